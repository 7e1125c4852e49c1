import re
from pathlib import Path

import numpy as np
import pytest

from gcd_longtail.features import features
from gcd_longtail.figures.metrics import score
from gcd_longtail.figures.mistakes import CLASSES, mistakes
from gcd_longtail.protocol.data import Data, load
from gcd_longtail.settings.commands import FeatureConfig, FeaturesSettings, SourceConfig, SplitSettings
from gcd_longtail.split import split


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("mistakes") / "digits"
    split(SplitSettings(folder, SourceConfig(Path("digits")), imbalance_ratio=10))
    features(FeaturesSettings(folder, FeatureConfig("pixels", 8)))
    return load(folder)


def shown(clusters: np.ndarray, data: Data):
    scored = score(data.unlabelled_labels, clusters, data.split.known, data.split.frequencies, 10)
    return mistakes(clusters, scored, data)


def test_nothing_is_shown_where_all_is_right(data: Data) -> None:
    assert shown(data.unlabelled_labels, data) == []


def test_classes_with_most_images_elsewhere_come_first_and_say_where_they_went(data: Data) -> None:
    truth = data.unlabelled_labels
    clusters = truth.copy()
    one, other = (np.flatnonzero(truth == c) for c in (7, 3))
    clusters[one[:6]] = 3
    clusters[other[:2]] = 7
    pictures = shown(clusters, data)
    assert len(pictures) == 2 <= CLASSES
    names = [data.split.classes[c].name for c in (7, 3)]
    assert re.match(
        rf"{names[0]} \(novel\): 6 of {len(one)} images grouped wrongly, 6 with {names[1]}",
        pictures[0].caption,
    )
    assert pictures[1].caption.startswith(f"{names[1]} (known): 2 of")
    assert pictures[0].image.startswith(b"\xff\xd8")


def test_images_that_are_gone_are_no_reason_to_stop(
    data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gcd_longtail.figures import mistakes as module
    from seminar_common.errors import UserError

    def gone(config):
        raise UserError("photos/: no such folder")

    monkeypatch.setattr(module, "open_source", gone)
    assert shown(np.zeros_like(data.unlabelled_labels), data) == []
    assert "no pictures of mistakes: photos/: no such folder" in capsys.readouterr().err

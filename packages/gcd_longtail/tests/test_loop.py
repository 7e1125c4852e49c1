import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from gcd_longtail import loop as module
from gcd_longtail.features import features
from gcd_longtail.loop import loop
from gcd_longtail.protocol.data import load
from gcd_longtail.reviewing.loop_rows import measured
from gcd_longtail.reviewing.rounds import Step
from gcd_longtail.settings.commands import FeatureConfig, FeaturesSettings, SourceConfig, SplitSettings
from gcd_longtail.settings.methods import LoopSettings
from gcd_longtail.split import split
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.results import Results, read_results


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of long-tailed digits, of which few are left."""
    folder = tmp_path_factory.mktemp("loop") / "digits"
    for seed in range(2):
        source = SourceConfig(Path("digits"))
        split(SplitSettings(folder / f"seed{seed}", source, imbalance_ratio=20, seed=seed))
        features(FeaturesSettings(folder / f"seed{seed}", FeatureConfig("pixels", 8)))
    return folder


def settings(data: Path, out: Path, **changes) -> LoopSettings:
    base = LoopSettings(data, out, "ss-kmeans", (6,), every=3, draws=2, device=DeviceConfig(threads=1))
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def measured_loop(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    out = tmp_path_factory.mktemp("out") / "loop"
    return out, loop(settings(data, out))


def test_decisions_name_more_than_random_labels_do(measured_loop: tuple[Path, Results]) -> None:
    _, results = measured_loop
    for images in ("transductive", "test"):
        before = results.one(model="ss-kmeans", split=images, metric="named_macro_all", decisions=0)
        after = results.one(model="ss-kmeans, decisions", split=images, metric="named_macro_all", decisions=6)
        random = results.one(
            model="ss-kmeans, random labels", split=images, metric="named_macro_all", decisions=6
        )
        assert before.value < 0.55 and after.value > before.value + 0.2 and after.value > random.value
        ahead = results.one(
            metric="named_macro_all_difference",
            split=images,
            decisions=6,
            baseline="ss-kmeans, random labels",
        )
        assert ahead.value == pytest.approx(after.value - random.value) and ahead.seeds == (0, 1)
    assert results.one(model="ss-kmeans, doubtful labels", metric="images_answered", decisions=6).value == 6
    shown = results.one(model="ss-kmeans, decisions", metric="images_answered", decisions=6).value
    as_many = results.one(
        model="ss-kmeans, random labels, one an image", metric="images_answered", decisions=6
    )
    assert shown == as_many.value > 6


def test_a_loop_is_published_and_runs_nothing_twice(
    measured_loop: tuple[Path, Results], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first = measured_loop
    assert read_results(out).rows == first.rows
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 4 and "a category that nobody named counts as wrong" in page
    monkeypatch.setattr(module, "run_loop", lambda *_, **__: pytest.fail("was done already"))
    assert loop(settings(data, out)).rows == first.rows


def test_a_stored_case_under_a_foreign_name_is_refused(
    measured_loop: tuple[Path, Results], data: Path, tmp_path: Path
) -> None:
    shutil.copytree(measured_loop[0], tmp_path / "loop")
    one, other = sorted((tmp_path / "loop").rglob("*-random-0-*.npz"))[:2]
    shutil.copy(one, other)
    with pytest.raises(UserError, match="another split .*; remove it, or take another --out"):
        loop(settings(data, tmp_path / "loop"))


def test_accuracy_by_name_counts_nameless_classes_as_wrong(data: Path) -> None:
    one = load(data / "seed0")
    classes = len(one.split.classes)
    named = np.arange(classes)
    named[1] = -1
    perfect = {"test": np.eye(classes, dtype=np.int64) * 3}
    figures = measured(Step(5, 5, named, perfect), "test", one)
    assert figures["macro_all"] == 1 and figures["named_macro_all"] == pytest.approx(1 - 1 / classes)
    named[1] = 0  # two found classes of one name count both, the other class has none
    assert measured(Step(5, 5, named, perfect), "test", one)["named_macro_all"] == pytest.approx(
        1 - 1 / classes
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgets": (5, 2)}, "--budgets 5 2: give one or more numbers from 1, in ascending order"),
        ({"budgets": ()}, "--budgets : give one or more"),
        ({"every": 0}, "--every 0: must be 1 or more"),
        ({"draws": 0}, "--draws 0: must be 1 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(Path("data"), Path("out"), **changes)

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcd_longtail import features
from gcd_longtail.protocol import near_copies
from gcd_longtail.protocol.near_copies import near_pairs
from gcd_longtail.settings.commands import FeatureConfig, FeaturesSettings, SourceConfig, SplitSettings
from gcd_longtail.split import split
from seminar_common.errors import UserError


def planted(n: int = 400, width: int = 90) -> np.ndarray:
    """Return random rows of which every tenth has a near copy of another length."""
    generator = np.random.default_rng(0)
    rows = generator.gamma(1.0, size=(n, width)).astype(np.float32)
    noise = generator.normal(0, 0.2, size=(n // 10, width)).astype(np.float32)
    rows[1::10] = 3 * (rows[0::10] + noise)
    return rows


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.97, 0.9999])
@pytest.mark.parametrize("width", [10, 90])
def test_no_pair_is_missed_and_none_is_made_up(
    monkeypatch: pytest.MonkeyPatch, threshold: float, width: int
) -> None:
    monkeypatch.setattr(near_copies, "_BLOCK", 64)
    rows = planted(width=width)
    unit = rows.astype(np.float64) / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = np.triu(unit @ unit.T, 1)
    expected = {
        (i, j) for i, j in np.argwhere(cosine >= threshold).tolist() if cosine[i, j] > threshold + 1e-6
    }
    pairs, cosines, complete = near_pairs(rows, threshold, most=100_000)
    assert complete and expected <= set(map(tuple, pairs.tolist()))
    np.testing.assert_allclose(cosines, cosine[pairs[:, 0], pairs[:, 1]], atol=1e-6)
    assert (cosines >= threshold).all() and len(set(map(tuple, pairs.tolist()))) == len(pairs)


def test_a_pile_of_one_picture_ends_the_search() -> None:
    pairs, cosines, complete = near_pairs(np.ones((300, 70), np.float32), 0.9, most=50)
    assert not complete and len(pairs) == len(cosines) == 50
    nothing, _, complete = near_pairs(np.eye(70, dtype=np.float32), 0.9)
    assert complete and not len(nothing)


def test_near_copies_are_named_and_leaks_come_first(
    tmp_path: Path, make_images, capsys: pytest.CaptureFixture
) -> None:
    """A picture that is saved again has other bytes and the same features."""
    folder = tmp_path / "images"
    make_images(folder / "train", {"a": 3, "b": 3, "c": 3})
    make_images(folder / "test", {"a": 2, "b": 2, "c": 2}, 20)
    for copy, of in (("train/b/again.png", "train/b/001.png"), ("test/a/again.png", "train/a/000.png")):
        Image.open(folder / of).save(folder / copy, compress_level=1)
    split(SplitSettings(tmp_path / "data", SourceConfig(folder)))
    given = FeaturesSettings(tmp_path / "data", FeatureConfig(size=32, mirror=False), near_copies=0.99999)
    features.features(given)
    with (tmp_path / "data" / near_copies.FILE).open(newline="") as stream:
        leak, other = csv.DictReader(stream)
    assert (leak["image"], leak["other"], leak["role"]) == ("test/a/again.png", "train/a/000.png", "test")
    assert leak["other_role"] in ("labelled", "unlabelled") and leak["cosine"] == "1.0000"
    assert (other["image"], other["other"], other["class"]) == ("train/b/001.png", "train/b/again.png", "b")
    assert "2 pairs of near copies, 1 of them of a training and a test image: see" in capsys.readouterr().err


def test_a_threshold_is_a_cosine() -> None:
    with pytest.raises(UserError, match="--near-copies 1.5: is a cosine"):
        FeaturesSettings(Path("data"), near_copies=1.5)

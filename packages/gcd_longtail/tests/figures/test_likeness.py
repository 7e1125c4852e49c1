import numpy as np
import pytest

from gcd_longtail.discovery.predictors import nearest_centroid
from gcd_longtail.figures import likeness
from gcd_longtail.figures.likeness import alike, by_likeness, geometry, places, suspicious


def made(centres: np.ndarray, size: int = 20, seed: int = 0, spread: float = 0.3):
    """Return a predictor, features and classes of images around ``centres`` [k, P]."""
    generator = np.random.default_rng(seed)
    classes = np.repeat(np.arange(len(centres)), size)
    features = centres[classes] + generator.normal(0, spread, (len(classes), centres.shape[1]))
    return nearest_centroid(centres), features.astype(np.float32), classes


def spread_out(k: int = 8, width: int = 6) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 4, (k, width))


def test_distances_are_those_to_the_means_in_any_number_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, features, classes = made(spread_out())
    whole = geometry(predictor, features, classes)
    monkeypatch.setattr(likeness, "BLOCK", 7)
    parts = geometry(predictor, features, classes)
    means = np.stack([features[classes == c].mean(0, dtype=np.float64) for c in range(8)])
    distances = np.linalg.norm(features[:, None] - means, axis=2)
    rows = np.arange(len(classes))
    for found in (whole, parts):
        np.testing.assert_allclose(found.means, means, atol=1e-5)
        np.testing.assert_allclose(found.own, distances[rows, classes], atol=1e-3)
        away = distances.copy()
        away[rows, classes] = np.inf
        np.testing.assert_allclose(found.other, away.min(1), atol=1e-3)
        assert (found.second == away.argmin(1)).all()
    assert 0 <= whole.doubt.min() and whole.doubt.max() < 0.5


def test_an_empty_class_is_near_to_nothing() -> None:
    predictor, features, classes = made(spread_out())
    classes = np.where(classes == 2, 3, classes)
    found = geometry(predictor, features, classes)
    assert found.sizes[2] == 0 and (found.second != 2).all() and np.isfinite(found.own).all()
    near = alike(found)
    assert near[2] == [] and all(2 not in row for row in near)
    assert sorted(by_likeness(found)) == [0, 1, 3, 4, 5, 6, 7]
    centres, points = places(found, predictor, features, classes, np.arange(len(classes)))
    assert np.isfinite(centres).all() and np.isfinite(points).all()


def test_a_single_class_has_no_other() -> None:
    predictor, features, classes = made(spread_out(1))
    found = geometry(predictor, features, classes)
    assert (found.second == -1).all() and (found.doubt == 0).all()
    assert alike(found) == [[]] and by_likeness(found) == [0]
    assert places(found, predictor, features, classes, np.arange(20))[1].shape == (20, 2)


def test_two_halves_of_a_class_are_most_alike_and_stand_side_by_side() -> None:
    centres = spread_out()
    centres[5] = centres[1] + 0.4
    found = geometry(*made(centres))
    assert alike(found)[1][0] == 5 and alike(found)[5][0] == 1
    order = by_likeness(found)
    assert abs(order.index(1) - order.index(5)) == 1


def test_a_mixture_in_the_middle_is_not_named_first_everywhere() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(0, 4, (12, 20))
    centres[6:11] = centres[:5] + generator.normal(0, 0.7, (5, 20))  # five pairs
    centres[11] = centres[:11].mean(0)  # a mixture
    first = [row[0] for row in alike(geometry(*made(centres)))]
    assert first[:5] == [6, 7, 8, 9, 10] and first[6:11] == [0, 1, 2, 3, 4]
    assert first[5] != 11


def test_a_wrong_label_is_suspicious_and_right_ones_are_not() -> None:
    predictor, features, classes = made(spread_out())
    labels = np.where(np.arange(len(classes)) % 2 == 0, classes, -1)
    assert (
        suspicious(geometry(predictor, features, labels.clip(0)), predictor.predict(features), labels * 0 - 1)
        == []
    )
    labels[4], classes[4] = 3, 3  # an image of class 0
    found = geometry(predictor, features, classes)
    assert suspicious(found, predictor.predict(features), labels) == [(4, 0)]


def test_a_label_that_stands_alone_is_not_judged_by_itself() -> None:
    predictor, features, classes = made(spread_out(3), size=4)
    classes = np.array([0] * 4 + [1] * 7 + [2])
    found = geometry(predictor, features, classes)
    labels = np.where(np.arange(12) == 11, 2, -1)
    assert suspicious(found, np.full(12, 1), labels) == []


def test_the_map_keeps_neighbours_and_lies_in_the_unit_square() -> None:
    centres = spread_out(12)
    centres[7] = centres[2] + 0.3
    predictor, features, classes = made(centres)
    found = geometry(predictor, features, classes)
    chosen = np.arange(0, len(classes), 3)
    at, points = places(found, predictor, features, classes, chosen)
    assert points.shape == (len(chosen), 2) and 0 <= points.min() and points.max() <= 1
    away = np.linalg.norm(at[:, None] - at, axis=2) + np.eye(12)
    assert away[2].argmin() == 7 and away[7].argmin() == 2
    near = np.linalg.norm(points[:, None] - at, axis=2).argmin(1)
    assert np.mean(near == classes[chosen]) > 0.9
    again = places(found, predictor, features, classes, chosen)
    assert (again[0] == at).all() and (again[1] == points).all()

import numpy as np
import pytest

from gcd_longtail.discovery import strangers
from gcd_longtail.discovery.strangers import Surroundings


def cluster(direction: int, count: int, seed: int) -> np.ndarray:
    """Return rows round a unit vector, of many lengths."""
    generator = np.random.default_rng(seed)
    rows = np.eye(12)[direction] + 0.1 * generator.normal(size=(count, 12))
    return (rows * generator.uniform(1, 5, (count, 1))).astype(np.float32)


ROWS = np.vstack([cluster(i, count, i) for i, count in enumerate((300, 100, 20))])
CLASSES = np.repeat([0, 1, 2], [300, 100, 20])


def test_images_such_as_the_runs_are_even_from_0_to_1_and_those_of_an_unseen_class_are_near_1() -> None:
    found = Surroundings.of(ROWS, CLASSES)
    assert found is not None
    more = found.unlike(np.vstack([cluster(i, 400, 10 + i) for i in range(3)]))
    assert more.mean() == pytest.approx(0.5, abs=0.06)
    assert (more > 0.95).mean() == pytest.approx(0.05, abs=0.03)
    assert (found.unlike(cluster(7, 50, 20)) > 0.99).all()
    assert found.unlike(np.empty((0, 12), np.float32)).shape == (0,)


def test_each_image_is_left_out_of_the_mean_of_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "_BLOCK", 7)
    rows, classes = ROWS[[0, 1, 2, 300, 301, 400]], np.array([5, 5, 5, 9, 9, 11])
    unit = rows.astype(np.float64) / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = []
    for i in range(6):
        others = np.arange(6) != i
        means = [unit[others & (classes == c)].mean(0) for c in np.unique(classes[others])]
        expected.append(min(np.linalg.norm(unit[i] - mean) for mean in means))
    found = Surroundings.of(rows, classes)
    assert found is not None
    np.testing.assert_allclose(found.distances[[0, 500, -1]], np.quantile(expected, [0, 0.5, 1]), rtol=1e-5)


def test_surroundings_survive_their_arrays_and_may_be_missing() -> None:
    found = Surroundings.of(ROWS, CLASSES)
    assert found is not None
    again = Surroundings.from_arrays({"assignments": CLASSES, **found.arrays()})
    assert again is not None
    np.testing.assert_array_equal(again.unlike(ROWS), found.unlike(ROWS))
    assert Surroundings.from_arrays({"assignments": CLASSES}) is None
    assert Surroundings.of(ROWS[:2], np.array([0, 1])) is None

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from gcd_longtail.discovery.calibration import fit_temperature, held_out, probabilities, temperature
from gcd_longtail.discovery.methods import make_method
from gcd_longtail.discovery.problem import Problem


def drawn(true: float, n: int = 4000, k: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return scores [n, k] and classes drawn with the probabilities softmax(scores / true)."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 3, (n, k))
    chances = softmax(scores / true, axis=1)
    return scores, np.array([generator.choice(k, p=row) for row in chances])


@pytest.mark.parametrize("true", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_temperature_that_made_the_classes_is_found_at_any_scale(true: float, scale: float) -> None:
    scores, classes = drawn(true)
    assert temperature(scores * scale, classes) == pytest.approx(true * scale, rel=0.1)


def test_it_is_that_of_the_lowest_likelihood_loss_of_scipy() -> None:
    scores, classes = drawn(2.0)

    def loss(value: float) -> float:
        return -float(log_softmax(scores / value, axis=1)[np.arange(len(scores)), classes].mean())

    best = minimize_scalar(loss, bounds=(0.1, 20), method="bounded")
    assert temperature(scores, classes) == pytest.approx(best.x, rel=5e-3)


def test_few_rows_that_are_all_right_do_not_make_it_certain() -> None:
    scores = 10 * np.eye(4)[[0, 1, 2]]
    few = softmax(scores / temperature(scores, np.array([0, 1, 2])), axis=1).max(1).mean()
    many = np.tile(scores, (100, 1))
    more = softmax(many / temperature(many, np.tile([0, 1, 2], 100)), axis=1).max(1).mean()
    assert few == pytest.approx(4 / 5 + 1 / 20, abs=0.01)  # (N + 1) / (N + 2), and its part of the rest
    assert few < more < 1


def test_scores_that_are_all_alike_and_no_rows() -> None:
    assert np.isfinite(temperature(np.ones((5, 3)), np.zeros(5, int)))
    with pytest.raises(ValueError, match="at least one row"):
        temperature(np.empty((0, 3)), np.empty(0, int))


def problem() -> Problem:
    generator = np.random.default_rng(0)
    centres = generator.normal(0, 2, (6, 12)).astype(np.float32)
    classes = np.repeat(np.arange(6), 20)
    rows = (centres[classes] + generator.normal(0, 1, (120, 12))).astype(np.float32)
    labelled = (classes < 4) & (np.arange(120) % 2 == 0)
    views = np.stack([rows, rows + 1])
    return Problem(
        rows[labelled], classes[labelled], rows[~labelled], 4, views[:, labelled], views[:, ~labelled]
    )


def test_a_fifth_of_each_classs_labels_is_held_out_and_becomes_unlabelled() -> None:
    given = problem()
    smaller, rows, classes = held_out(given, 0)
    assert np.bincount(classes).tolist() == [2, 2, 2, 2] and np.bincount(smaller.labels).tolist() == [8] * 4
    assert np.array_equal(smaller.unlabelled[-8:], rows)
    assert smaller.unlabelled_views is not None and np.array_equal(smaller.unlabelled_views[1, -8:], rows + 1)
    assert len(smaller.unlabelled) == len(given.unlabelled) + 8


def test_a_class_with_one_label_keeps_it_and_alone_it_is_used_as_it_is() -> None:
    given = problem()
    first = np.array([np.flatnonzero(given.labels == c)[0] for c in range(4)])
    single = Problem(given.labelled[first], given.labels[first], given.unlabelled, 4)
    assert not len(held_out(single, 0)[2])
    method = make_method("ward")
    predictor = method.fit(single, 6, 0).predictor
    assert fit_temperature(method, single, predictor, 0) == temperature(
        predictor.scores(single.labelled), single.labels
    )


def test_probabilities_add_up_and_keep_the_prediction() -> None:
    given, method = problem(), make_method("ward")
    predictor = method.fit(given, 6, 0).predictor
    found = probabilities(predictor, given.features, fit_temperature(method, given, predictor, 0))
    assert np.allclose(found.sum(1), 1) and np.array_equal(found.argmax(1), predictor.predict(given.features))
    assert probabilities(predictor, given.features[:0], 1.0).shape == (0, 6)

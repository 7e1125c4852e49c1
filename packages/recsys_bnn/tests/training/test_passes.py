import numpy as np
import pytest

from recsys_bnn.training.passes import LEAST_OF_A_CLASS, choose_passes

LABELS = np.tile([0, 1], 50)


def chosen(first: int, means: dict[int, float | None], labels: np.ndarray = LABELS, noise: float = 0.01):
    """Return the passes, and those that were tried, when a training with so many passes has these mean losses."""
    tried = []

    def train_and_measure(passes: int) -> np.ndarray | None:
        tried.append(passes)
        mean = means[passes]
        return None if mean is None else mean + noise * np.random.default_rng(passes).normal(size=len(labels))

    return choose_passes(first, labels, train_and_measure), tried


@pytest.mark.parametrize(
    ("means", "passes", "tried"),
    [
        ({4: 0.5, 8: 0.4, 16: 0.3}, 16, [4, 8, 16]),
        ({4: 0.5, 8: 0.4, 16: 0.45}, 8, [4, 8, 16]),
        ({4: 0.5, 8: 0.6, 2: 0.4}, 2, [4, 8, 2]),
        ({4: 0.5, 8: 0.6, 2: 0.55}, 4, [4, 8, 2]),
        ({4: 0.5, 8: None, 2: 0.55}, 4, [4, 8, 2]),
        ({4: None}, 4, [4]),
    ],
    ids=["more", "no-longer", "fewer", "neither", "diverged", "diverged-at-once"],
)
def test_it_goes_on_as_long_as_the_loss_falls(
    means: dict[int, float | None], passes: int, tried: list[int]
) -> None:
    assert chosen(4, means) == (passes, tried)


def test_a_gain_within_its_standard_error_is_none() -> None:
    # The noise of a difference has the standard error 0.014 * 10 / 10.
    assert chosen(4, {4: 0.5, 8: 0.5 - 1e-3, 2: 0.5}, noise=0.1)[0] == 4
    assert chosen(4, {4: 0.5, 8: 0.5 - 1e-3, 16: 0.5}, noise=1e-4)[0] == 8


def test_one_pass_has_no_half() -> None:
    assert chosen(1, {1: 0.5, 2: 0.6}) == (1, [1, 2])


def test_too_few_rows_of_a_class_choose_nothing() -> None:
    few = np.repeat([0, 1], [90, LEAST_OF_A_CLASS - 1])
    assert chosen(4, {}, few) == (4, [])

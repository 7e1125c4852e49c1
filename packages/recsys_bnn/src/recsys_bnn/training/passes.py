"""How many passes over a short log a model gets: the validation rows say it, for each model apart."""

from collections.abc import Callable, Iterable

import numpy as np

from recsys_bnn.settings.log_length import FEWER, MORE
from seminar_common.progress import say

LEAST_OF_A_CLASS = 10
"""Validation rows with and without a click, each, below which nothing is chosen by them."""

Losses = np.ndarray | None
"""Log loss of each validation row after a training, in nats, shape [n]; None where it diverged."""


def choose_passes(first: int, labels: np.ndarray, train_and_measure: Callable[[int], Losses]) -> int:
    """Return ``first``, or more or fewer passes that are clearly better.

    Twice as many are tried, then four times; if twice are no better, half as many. A number is better if it lowers
    the mean log loss by more than the standard error of the paired difference. That is the one-standard-error rule
    (Breiman et al. 1984, "Classification and Regression Trees", Sec. 3.4.3) with the recipe as what is kept in doubt.

    Args:
        first: Passes of the recipe.
        labels: Labels of the validation rows, shape [n].
        train_and_measure: Trains with so many passes on the training rows and returns the losses of the others.
    """
    clicks = np.count_nonzero(labels)
    if min(clicks, len(labels) - clicks) < LEAST_OF_A_CLASS:
        say(f"{first} passes: too few validation rows of one class to try others")
        return first
    losses = train_and_measure(first)
    if losses is None:
        return first
    best = _last_better(first, losses, (first * times for times in MORE), train_and_measure)
    fewer = (max(1, round(first * times)) for times in FEWER)
    return best if best > first else _last_better(first, losses, fewer, train_and_measure)


def _last_better(
    best: int, losses: np.ndarray, others: Iterable[int], train_and_measure: Callable[[int], Losses]
) -> int:
    """Return the last of ``others`` up to which each is clearly better than the one before, or ``best``."""
    for passes in others:
        if passes == best:
            break
        measured = train_and_measure(passes)
        _say_tried(best, losses, passes, measured)
        if measured is None or not _clearly_lower(measured, losses):
            break
        best, losses = passes, measured
    return best


def _clearly_lower(others: np.ndarray, losses: np.ndarray) -> bool:
    difference = others - losses
    return bool(-difference.mean() > difference.std(ddof=1) / np.sqrt(len(difference)))


def _say_tried(passes: int, losses: np.ndarray, more: int, others: Losses) -> None:
    then = "diverged" if others is None else f"{others.mean():.4f}"
    say(f"log loss on validation rows: {losses.mean():.4f} after {passes} passes, {then} after {more}")

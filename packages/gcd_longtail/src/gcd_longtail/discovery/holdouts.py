"""Problems made of the known classes alone, in which some play novel ones: what settings are chosen and models learned on.

Half of the known classes, one of each neighbouring pair in the order of size, is hidden: their labelled images lose
their labels, and so does half of the labelled images of each class that stays known. No unlabelled image of the
original problem is in it, so every answer can be scored, and nothing that is to be scored later is looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gcd_longtail.discovery.clustering.leaves import some_of_each
from gcd_longtail.discovery.problem import Problem
from seminar_common.seeds import numpy_generator


@dataclass(frozen=True)
class Holdout:
    """A problem with its answers."""

    problem: Problem
    truth: np.ndarray
    """Class of each of its unlabelled images, int64 [U]: known classes first, then the hidden ones."""
    classes: int
    """Number of classes."""


FEWEST = 4
"""Known classes that can be halved."""


def holdouts(problem: Problem, count: int, seed: int) -> Iterator[Holdout]:
    """Yield ``count`` problems of the labelled images of ``problem``; none if it has fewer than four known classes.

    Source: the closed form of the split of known classes into pseudo-known and pseudo-novel ones (Vaze et al. 2022,
    section 3.3, estimate the number of classes so). Of very many labelled images some stand for all.
    """
    chosen = some_of_each(problem.labels, seed)
    if len(chosen) < len(problem.labels):
        views = problem.labelled_views
        problem = replace(
            problem,
            labelled=problem.labelled[chosen],
            labels=problem.labels[chosen],
            unlabelled=problem.unlabelled[:1],  # no image of it is used
            labelled_views=None if views is None else views[:, chosen],
            unlabelled_views=None,
        )
    for number in range(count if problem.known >= FEWEST else 0):
        yield _hide(problem, numpy_generator(seed, "holdout", number))


def half_of(counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return one class of each neighbouring pair in the order of size, int64."""
    order = np.argsort(-counts, kind="stable")
    pairs = [order[start : start + 2] for start in range(0, len(order) - 1, 2)]
    return np.array([pair[generator.integers(2)] for pair in pairs])


def _hide(problem: Problem, generator: np.random.Generator) -> Holdout:
    hidden = half_of(np.bincount(problem.labels), generator)
    kept = np.setdiff1d(np.arange(problem.known), hidden)
    numbers = np.empty(problem.known, np.int64)
    numbers[np.concatenate([kept, hidden])] = np.arange(problem.known)
    labels = numbers[problem.labels]
    labelled = np.zeros(len(labels), bool)
    for number in range(len(kept)):
        members = generator.permutation(np.flatnonzero(labels == number))
        labelled[members[: max(1, round(len(members) / 2))]] = True
    views = problem.labelled_views
    part = Problem(
        problem.labelled[labelled],
        labels[labelled],
        problem.labelled[~labelled],
        len(kept),
        None if views is None else views[:, labelled],
        None if views is None else views[:, ~labelled],
        problem.device,
    )
    return Holdout(part, labels[~labelled], problem.known)

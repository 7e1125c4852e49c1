"""The order in which pages are worth labelling.

Chosen one after the other, the next page is the one of which most is doubtful that is farthest from those before it.
Distance alone is the core-set of Sener & Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set
Approach" (their greedy k-center); that doubt and distance are multiplied follows Ash et al. 2020, "Deep Batch Active
Learning by Diverse, Uncertain Gradient Lower Bounds" (BADGE), where long gradients that differ are drawn. Here nothing is
drawn: the best is taken, so that the same pages give the same choice.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from doc_detect.settings.selection import By
from seminar_common.seeds import numpy_generator

SURE_SHARE = 0.1
"""Weight of a page of which nothing is doubtful; one of which everything is has 1. What was missed on a page shows in no
score, so it must not be 0."""
FARTHEST = 3.0
"""Standard deviations that a feature counts at most: a colour target is an outlier, and one of them is enough."""


@dataclass(frozen=True)
class Choice:
    """A page that was chosen."""

    page: int
    """Its number among all."""
    distance: float | None
    """To the nearest page that was chosen or labelled before it, in standard deviations of a feature; None where none was,
    or where distance was not looked at."""


def ranked(
    by: By,
    budget: int,
    uncertainty: np.ndarray,
    features: np.ndarray,
    books: Sequence[str],
    seed: int,
    before: Collection[int] = (),
) -> list[Choice]:
    """Return the pages to label, the best first.

    Args:
        by: What they are chosen by.
        budget: How many, at most as many as there are without ``before``.
        uncertainty: [N] of each page, from 0.
        features: [N, F] of each page.
        books: Book of each page.
        seed: Of a random choice; the others need none.
        before: Pages that are labelled already: as if they had been chosen first, and not returned.
    """
    if by == "random":
        return random_choice(budget, len(books), seed, before)
    if by == "uncertainty":
        order = [page for page in np.argsort(-uncertainty, kind="stable").tolist() if page not in before]
        return [Choice(page, None) for page in order[:budget]]
    apart = standardised(features)
    if by == "diversity":
        typical = -np.linalg.norm(apart, axis=1)
        return _farthest(budget, apart, lambda page: np.ones(len(apart)), typical, before)
    turns, numbers = Counter[str](), np.array(books)
    weights = SURE_SHARE + (1 - SURE_SHARE) * uncertainty / (1 + uncertainty)
    shares = weights.copy()

    def after(page: int) -> np.ndarray:
        """Return the weights once a page is chosen: with each the others of its book count less."""
        turns[books[page]] += 1
        own = numbers == books[page]
        shares[own] = weights[own] / (1 + turns[books[page]])
        return shares

    return _farthest(budget, apart, after, weights, before)


def random_choice(budget: int, count: int, seed: int, before: Collection[int] = ()) -> list[Choice]:
    """Return ``budget`` of ``count`` pages at random, none of those labelled ``before``."""
    order = [
        page for page in numpy_generator(seed, "select").permutation(count).tolist() if page not in before
    ]
    return [Choice(page, None) for page in order[:budget]]


def standardised(features: np.ndarray) -> np.ndarray:
    """Return features [N, F] in standard deviations over the pages, such that distances do not grow with F."""
    spread = features.std(axis=0)
    varying = spread > 1e-6
    if not varying.any():
        return np.zeros((len(features), 1))
    scaled = (features - features.mean(axis=0))[:, varying] / spread[varying]
    return scaled.clip(-FARTHEST, FARTHEST) / np.sqrt(varying.sum())


def _farthest(
    budget: int,
    features: np.ndarray,
    weights_after: Callable[[int], np.ndarray],
    preference: np.ndarray,
    before: Collection[int],
) -> list[Choice]:
    """Return pages of which each has the largest distance from those before it, times its weight.

    Args:
        budget: How many.
        features: [N, F].
        weights_after: Returns the weights [N] once a page is chosen.
        preference: [N]: where nothing was chosen before, the page with the largest one is the first.
        before: Pages that are labelled already.
    """
    nearest = np.full(len(features), np.inf)
    left = np.ones(len(features), bool)
    chosen: list[Choice] = []
    taken, score = list(before), preference
    while len(chosen) < budget:
        for page in taken:
            left[page] = False
            nearest = np.minimum(nearest, np.linalg.norm(features - features[page], axis=1))
            # Copies of pages have no distance; when nothing else is left, their weights decide.
            score = weights_after(page) * (nearest + 1e-9)
        best = int(np.where(left, score, -np.inf).argmax())
        chosen.append(Choice(best, float(nearest[best]) if np.isfinite(nearest[best]) else None))
        taken = [best]
    return chosen

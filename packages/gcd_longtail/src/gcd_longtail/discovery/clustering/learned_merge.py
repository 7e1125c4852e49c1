"""Which clusters are parts of one class: learned from known classes that were hidden, and merged by.

A clustering cut into more clusters than there are classes splits large classes and keeps small ones apart. Which of its
clusters belong together can be seen where the classes are known: hide some of them, cluster, and look. A logistic
regression learns from pairs of neighbouring clusters whether both are mostly of one class. It sees eleven features of a
pair: how far the means lie apart, before and after the noise of the means is taken out, the sizes, the spread within,
and how many of the nearest neighbours of one's images are the other's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

EVENTS = 10
"""Pairs of one class, and of two, for each feature, without which nothing is learned (Peduzzi et al. 1996, "A simulation
study of the number of events per variable in logistic regression analysis")."""
TOP = 6
"""A cluster is compared with so many of the clusters that are nearest to it."""


class Clusters:
    """Clusters that merge, with what tells whether two are of one class."""

    def __init__(
        self, sizes: np.ndarray, sums: np.ndarray, squares: np.ndarray, links: np.ndarray, known: int
    ):
        """Take over the statistics of ``k`` clusters, of which the first ``known`` are labelled classes.

        Args:
            sizes: images of each, [k].
            sums: of their vectors, [k, P].
            squares: sums of their vectors' squared lengths, [k].
            links: how often an image of one has an image of the other among its neighbours, [k, k].
            known: these never merge with each other.
        """
        self.sizes, self.sums, self.squares, self.links = (
            part.astype(np.float64) for part in (sizes, sums, squares, links)
        )
        self.known, self.alive = known, sizes > 0
        self.alive[:known] = True

    def copy(self) -> "Clusters":
        """Return clusters that merge on their own."""
        return Clusters(self.sizes, self.sums, self.squares, self.links, self.known)

    @classmethod
    def of(cls, rows: np.ndarray, clusters: np.ndarray, links: np.ndarray, k: int, known: int) -> "Clusters":
        """Return the clusters of rows [N, P] with their numbers, int64 [N]; ``links`` as :meth:`__init__` takes them."""
        sums, squares = np.zeros((k, rows.shape[1])), np.zeros(k)
        np.add.at(sums, clusters, rows)
        np.add.at(squares, clusters, np.square(rows).sum(1))
        return cls(np.bincount(clusters, minlength=k), sums, squares, links, known)

    def merge(self, kept: int, gone: int) -> None:
        """Put the cluster ``gone`` into ``kept``."""
        for part in (self.sizes, self.sums, self.squares, self.links):
            part[kept] += part[gone]
        self.links[:, kept] += self.links[:, gone]
        self.links[gone] = self.links[:, gone] = 0
        self.sizes[gone] = 0
        self.alive[gone] = False

    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of clusters of which one is among the nearest of the other, int64 [M] twice, each pair once."""
        alive = np.flatnonzero(self.alive & (self.sizes > 0))
        means = self.sums[alive] / self.sizes[alive, None]
        lengths = np.square(means).sum(1)
        distances = lengths[:, None] + lengths - 2 * means @ means.T
        known = alive < self.known
        distances[np.ix_(known, known)] = np.inf
        np.fill_diagonal(distances, np.inf)
        top = min(TOP, len(alive) - 1)
        nearest = np.argpartition(distances, top - 1, axis=1)[:, :top]
        one = np.repeat(np.arange(len(alive)), top)
        other = nearest.ravel()
        allowed = np.isfinite(distances[one, other])
        pairs = np.unique(np.sort(np.stack([one, other], 1)[allowed], axis=1), axis=0)
        return alive[pairs[:, 0]], alive[pairs[:, 1]]

    def features(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return eleven features of each pair of clusters, float64 [M, 11]."""
        n1, n2 = self.sizes[one], self.sizes[other]
        mean1, mean2 = self.sums[one] / n1[:, None], self.sums[other] / n2[:, None]
        gap = np.maximum(np.square(mean1 - mean2).sum(1), 1e-9)
        spread1, spread2 = (
            np.maximum(self.squares[c] / n - np.square(mean).sum(1), 1e-3)
            for c, n, mean in ((one, n1, mean1), (other, n2, mean2))
        )
        harmonic, within = n1 * n2 / (n1 + n2), (n1 * spread1 + n2 * spread2) / (n1 + n2)
        between = self.links[one, other] + self.links[other, one]
        fewest, most = np.minimum(n1, n2), np.maximum(n1, n2)
        reach = self.links.sum() / max(self.sizes.sum(), 1e-9)  # neighbours of an image
        by_chance = 2 * reach * n1 * n2 / self.sizes.sum()
        own = np.minimum(*((self.links[c, c] + 0.5) / (reach * n) for c, n in ((one, n1), (other, n2))))
        return np.stack(
            [
                np.log(gap),
                np.log(np.maximum(gap - within / np.maximum(harmonic, 1), 1e-3)),
                np.log(harmonic),
                np.log(within),
                np.log((between + 0.5) / (2 * reach * fewest)),
                np.log((between + 0.5) / (by_chance + 0.5)),
                np.log((between + 0.5) / (2 * reach * most)),
                np.log(own),
                np.log(np.minimum(spread1, spread2) / np.maximum(spread1, spread2)),
                ((one < self.known) | (other < self.known)).astype(np.float64),
                np.log(fewest),
            ],
            axis=1,
        )


SameClass = Callable[[np.ndarray], np.ndarray]
"""Maps features of pairs [M, 11] to the log odds that a pair is of one class, [M]."""


@dataclass(frozen=True)
class Example:
    """Clusters whose classes are known."""

    clusters: Clusters
    classes: np.ndarray
    """Class of most images of each cluster, int64 [k]."""
    purity: np.ndarray
    """Share of that class, [k]."""


def majority(clusters: np.ndarray, classes: np.ndarray, k: int, known: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of most images of each cluster, int64 [k], and its share, [k]; known ones keep their class.

    Args:
        clusters: of the images, int64 [N].
        classes: of the images, int64 [N].
        k: number of clusters.
        known: the first clusters are those of the known classes.
    """
    table = np.zeros((k, int(classes.max()) + 1))
    np.add.at(table, (clusters, classes), 1)
    best = table.argmax(1)
    best[:known] = np.arange(known)
    shares = table[np.arange(k), best] / np.maximum(table.sum(1), 1)
    return best, np.where(table.sum(1) > 0, shares, 0)


def learn(examples: Sequence[Example], stages: int = 3, strength: float = 0.3) -> SameClass | None:
    """Learn from clusters of hidden classes whether two clusters are of one class.

    Of every example the true pairs are merged by half, ``stages`` times, so that later stages of merging are seen too.

    Args:
        examples: over-cut clusterings of problems whose novel classes are known.
        stages: how often each is looked at.
        strength: inverse strength of the L2 penalty.

    Returns:
        The model; None if too few pairs are of one class, or too few are not.
    """
    features, same, weights = [], [], []
    for number, example in enumerate(examples):
        generator, clusters = np.random.default_rng(number), example.clusters.copy()
        for _ in range(stages):
            one, other = clusters.neighbours()
            together = example.classes[one] == example.classes[other]
            features.append(clusters.features(one, other))
            same.append(together)
            weights.append(np.minimum(example.purity[one], example.purity[other]))
            pairs = generator.permutation(np.stack([one, other], 1)[together])
            for kept, gone in pairs[: max(1, len(pairs) // 2)]:
                if clusters.alive[kept] and clusters.alive[gone]:
                    clusters.merge(kept, gone)
    rows, target, weight = (np.concatenate(part) for part in (features, same, weights))
    if min(target.sum(), (~target).sum()) < EVENTS * rows.shape[1]:
        return None
    mean, deviation = rows.mean(0), rows.std(0) + 1e-6
    model = LogisticRegression(C=strength, max_iter=500)
    model.fit((rows - mean) / deviation, target, sample_weight=weight + 1e-3)
    return lambda pairs: model.decision_function((pairs - mean) / deviation)


def merge_down(clusters: Clusters, same: SameClass, k: int) -> tuple[np.ndarray, list[tuple[int, float]]]:
    """Merge the likeliest pair, again and again, until ``k`` clusters are left. Uses ``clusters`` up.

    Returns:
        The new number of each old cluster, int64 (known ones keep theirs, the others follow in their order), and for
        each merge the number of clusters before it and its log odds.
    """
    names, path = np.arange(len(clusters.sizes)), []
    clusters.alive &= (clusters.sizes > 0) | (np.arange(len(names)) < clusters.known)
    while clusters.alive.sum() > k:
        one, other = clusters.neighbours()
        if not len(one):
            break
        odds = same(clusters.features(one, other))
        best = int(odds.argmax())
        path.append((int(clusters.alive.sum()), float(odds[best])))
        clusters.merge(one[best], other[best])
        names[names == other[best]] = one[best]
    numbers = np.full(len(names), -1)
    numbers[: clusters.known] = np.arange(clusters.known)
    rest = np.flatnonzero(clusters.alive[clusters.known :]) + clusters.known
    numbers[rest] = clusters.known + np.arange(len(rest))
    return numbers[names], path

"""Agglomerative clustering in which every labelled class is one node from the start.

Two nodes of sizes n1, n2 and centroids c1, c2 merge at the cost (n1 n2 / (n1 + n2))^gamma |c1 - c2|^2, the
cheapest pair first. With gamma = 1 this is Ward's method (Ward 1963, "Hierarchical grouping to optimize an
objective function"); a smaller gamma punishes the merging of large nodes less. Nodes of labelled classes never
merge with each other, so every cut has the known classes among its clusters.

k-means++ splits large classes and loses small ones, for it draws centres by mass; a merge looks at the
distance of whole nodes, so a small class that lies apart survives until the end.
"""

from dataclasses import dataclass

import numpy as np

from gcd_longtail.discovery.problem import check_k
from seminar_common.progress import progress


@dataclass(frozen=True)
class Merges:
    """The tree: nodes 0 .. known-1 are the labelled classes, the others the unlabelled rows."""

    known: int
    """Number of labelled classes."""
    nodes: int
    """Number of nodes before the first merge."""
    pairs: np.ndarray
    """The two nodes of each merge, int64 [M, 2], in order; the merged node keeps the smaller number."""
    heights: np.ndarray
    """Cost of each merge, float64 [M]."""

    def cut(self, k: int) -> np.ndarray:
        """Return the cluster of each unlabelled row, int64 [U], for ``k`` clusters.

        Known classes keep their numbers; the new clusters follow in the order of their first row.

        Raises:
            UserError: ``k`` is smaller than the number of labelled classes.
            ValueError: ``k`` is larger than the number of nodes.
        """
        check_k(k, self.known)
        if not self.nodes - len(self.pairs) <= k <= self.nodes:
            raise ValueError(f"k must be {self.nodes - len(self.pairs)} to {self.nodes}, not {k}")
        parents = np.arange(self.nodes)
        done = self.pairs[: self.nodes - k]
        parents[done[:, 1]] = done[:, 0]
        while (parents != parents[parents]).any():
            parents = parents[parents]
        roots = parents[self.known :]
        new = roots[np.sort(np.unique(roots, return_index=True)[1])]
        new = new[new >= self.known]
        numbers = np.arange(self.nodes)
        numbers[new] = self.known + np.arange(len(new))
        return numbers[roots]


def constrained_ward(
    unlabelled: np.ndarray,
    labelled: np.ndarray,
    labels: np.ndarray,
    *,
    gamma: float = 0.7,
    counts: np.ndarray | None = None,
    known_counts: np.ndarray | None = None,
    one_by_one: int = 2000,
) -> Merges:
    """Merge until only the labelled classes are left.

    While there are many nodes, all pairs of mutual nearest neighbours merge at once. For Ward's cost that gives
    the tree of merging one by one (it is reducible: Bruynooghe 1978), for a smaller gamma nearly so. Time
    grows with the square of U, memory with U.

    Args:
        unlabelled: float32 [U, D].
        labelled: float32 [L, D].
        labels: class of each labelled row, int64 [L], each of 0 .. known-1 at least once.
        gamma: exponent of the sizes.
        counts: how many images each unlabelled row stands for, [U]; 1 each if left out.
        known_counts: sizes of the labelled nodes, [known]; their numbers of rows if left out.
        one_by_one: with so many nodes or fewer, only the cheapest pair merges, again and again.
    """
    known = int(labels.max()) + 1
    own = np.bincount(labels, minlength=known)
    sums = np.zeros((known, labelled.shape[1]))
    np.add.at(sums, labels, labelled)
    sizes = np.concatenate(
        [
            own if known_counts is None else known_counts,
            np.ones(len(unlabelled)) if counts is None else counts,
        ]
    ).astype(np.float64)
    centroids = np.concatenate([sums / own[:, None], unlabelled]).astype(np.float32)
    return Merges(known, len(centroids), *_merge_all(_Forest(known, centroids, sizes, gamma), one_by_one))


def _merge_all(forest: "_Forest", one_by_one: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs and heights of all merges in order, down to the labelled classes."""
    steps, nodes = [], forest.alive
    with progress("merging", nodes - forest.known) as advance:
        while forest.alive > max(one_by_one, forest.known):
            steps.append(forest.merge_mutual())
            advance(len(steps[-1][0]))
        at_once = nodes - forest.alive
        while forest.alive > forest.known:
            steps.append(forest.merge_cheapest())
            advance()
    return _in_order(steps, at_once)


def _in_order(steps: list[tuple[np.ndarray, np.ndarray]], at_once: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs and heights from low to high; those merged one by one keep their order."""
    pairs = np.concatenate([np.empty((0, 2), np.int64), *(pair for pair, _ in steps)])
    heights = np.concatenate([np.empty(0), *(height for _, height in steps)])
    keys = np.concatenate([heights[:at_once], np.maximum.accumulate(heights[at_once:])])
    order = np.argsort(keys, kind="stable")
    return pairs[order], heights[order]


class _Forest:
    """The nodes that are alive and the cheapest partner of each.

    Costs are computed when needed and never kept, so memory grows with U alone. Slots are positions in the
    tables, names are the nodes' numbers; when a quarter of the slots is dead the tables shrink.
    """

    def __init__(self, known: int, centroids: np.ndarray, sizes: np.ndarray, gamma: float):
        self.known, self.gamma, self.alive = known, np.float32(gamma), len(sizes)
        self.names = np.arange(len(sizes))
        self.centroids, self.sizes = centroids, sizes.astype(np.float32)
        self.squares = np.square(centroids).sum(1)
        self._find_all_partners()

    def _costs(self, slots: np.ndarray) -> np.ndarray:
        """Return the costs of merging the nodes in ``slots`` [n] with each node, float32 [n, all slots]."""
        distances = self.centroids[slots] @ self.centroids.T
        distances *= -2
        distances += self.squares
        distances += self.squares[slots, None]
        np.maximum(distances, 0, out=distances)
        size = self.sizes[slots, None]
        weights = self.sizes * size / (self.sizes + size)
        distances *= np.power(weights, self.gamma, out=weights)
        distances[:, self.names < 0] = np.inf
        distances[np.arange(len(slots)), slots] = np.inf
        distances[slots < self.known, : self.known] = np.inf
        return distances

    def _find_partners(self, slots: np.ndarray) -> np.ndarray:
        costs = self._costs(slots)
        self.partners[slots] = partners = costs.argmin(1)
        self.cheapest[slots] = costs[np.arange(len(slots)), partners]
        return costs

    def _find_all_partners(self) -> None:
        self.partners = np.empty(len(self.names), np.int64)
        self.cheapest = np.empty(len(self.names), np.float32)
        for start in range(0, len(self.names), 256):
            self._find_partners(np.arange(start, min(start + 256, len(self.names))))

    def merge_mutual(self) -> tuple[np.ndarray, np.ndarray]:
        """Merge all pairs of mutual nearest neighbours, cheap ones first; return them as merge_cheapest does."""
        slots = np.arange(len(self.names))
        kept = np.flatnonzero((self.partners[self.partners] == slots) & (slots < self.partners))
        kept = kept[np.argsort(self.cheapest[kept], kind="stable")]
        gone, heights = self.partners[kept], self.cheapest[kept]
        pairs = np.stack([self.names[kept], self.names[gone]], 1)
        self._join(kept, gone)
        self._shrink()
        self._find_all_partners()
        return pairs, heights

    def merge_cheapest(self) -> tuple[np.ndarray, np.ndarray]:
        """Merge the cheapest pair; return its two names [1, 2], the one that stays first, and the cost [1]."""
        slot = int(self.cheapest.argmin())
        height = self.cheapest[slot]
        kept, gone = sorted((slot, int(self.partners[slot])))
        pair = self.names[[[kept, gone]]]
        self._join(np.array([kept]), np.array([gone]))
        self._update(kept, gone)
        if self.alive < 0.75 * len(self.names):
            self._shrink()
        return pair, np.array([height])

    def _join(self, kept: np.ndarray, gone: np.ndarray) -> None:
        n1, n2 = self.sizes[kept, None], self.sizes[gone, None]
        means = (n1 * self.centroids[kept] + n2 * self.centroids[gone]) / (n1 + n2)
        self.centroids[kept], self.squares[kept] = means, np.square(means).sum(1)
        self.sizes[kept] += self.sizes[gone]
        self.names[gone], self.cheapest[gone] = -1, np.inf
        self.alive -= len(gone)

    def _update(self, kept: int, gone: int) -> None:
        """Renew partners after ``gone`` went into ``kept``: of those that lost theirs, and where it is cheaper now."""
        orphans = (self.names >= 0) & ((self.partners == kept) | (self.partners == gone))
        orphans[kept] = False
        slots = np.concatenate([[kept], np.flatnonzero(orphans)])
        row = self._find_partners(slots)[0]
        better = row < self.cheapest
        self.partners[better], self.cheapest[better] = kept, row[better]

    def _shrink(self) -> None:
        """Drop dead slots. The labelled nodes never die, so they keep their slots."""
        kept = np.flatnonzero(self.names >= 0)
        slots = np.full(len(self.names), -1)
        slots[kept] = np.arange(len(kept))
        for name in ("names", "centroids", "squares", "sizes", "cheapest"):
            setattr(self, name, getattr(self, name)[kept])
        self.partners = slots[self.partners[kept]]

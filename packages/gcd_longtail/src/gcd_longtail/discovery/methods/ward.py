"""Constrained Ward clustering: agglomeration around the labelled classes, refined by semi-supervised k-means.

The merge rule is in :mod:`gcd_longtail.discovery.clustering.ward`. The distances are taken in a space of square-root
features, whitened by the spread within the labelled classes. Agglomeration finds a start that k-means++ would
not: small classes that lie apart keep a cluster of their own. Nothing is drawn at random unless there are so
many images that small clusters of them are merged instead.
"""

from dataclasses import dataclass

import numpy as np

from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.discovery.clustering.leaves import leaves_of
from gcd_longtail.discovery.clustering.ward import Merges, constrained_ward
from gcd_longtail.discovery.problem import Discovered, Problem, check_k
from gcd_longtail.discovery.spaces import Space, fit_space
from gcd_longtail.settings.methods import WardConfig


@dataclass(frozen=True)
class Tree:
    """The merges over a problem's unlabelled images, from which any number of clusters can be cut."""

    space: Space
    labelled: np.ndarray
    """In the space, float32 [L, P]."""
    unlabelled: np.ndarray
    """In the space, float32 [U, P]."""
    merges: Merges
    leaves: np.ndarray
    """Row of the merges that stands for each unlabelled image, int64 [U]."""

    def cut(self, k: int) -> np.ndarray:
        """Return the cluster of each unlabelled image, int64 [U]."""
        return self.merges.cut(k)[self.leaves]


def grow(problem: Problem, config: WardConfig, seed: int) -> Tree:
    """Return the merges over the unlabelled images, or over small clusters of them if there are very many."""
    space = fit_space(problem, config.space)
    labelled, unlabelled = space.transform(problem.labelled), space.transform(problem.unlabelled)
    rows, leaves, counts = leaves_of(unlabelled, seed, problem.device)
    merges = constrained_ward(rows, labelled, problem.labels, gamma=config.gamma, counts=counts)
    return Tree(space, labelled, unlabelled, merges, leaves)


def refine(tree: Tree, labels: np.ndarray, assignments: np.ndarray, k: int, device: str) -> Discovered:
    """Return what semi-supervised k-means makes of a clustering of the unlabelled images."""
    found = kmeans(
        tree.unlabelled,
        k,
        labelled=tree.labelled,
        labels=labels,
        start=means(tree.labelled, labels, tree.unlabelled, assignments, k),
        device=device,
    )
    return Discovered(found.assignments, tree.space.nearest(found.centres))


def means(
    labelled: np.ndarray, labels: np.ndarray, unlabelled: np.ndarray, assignments: np.ndarray, k: int
) -> np.ndarray:
    """Return the mean of each cluster over labelled and unlabelled rows, float32 [k, P]; zero if it has none."""
    clusters = np.concatenate([labels, assignments])
    sums = np.zeros((k, labelled.shape[1]))
    np.add.at(sums, clusters, np.concatenate([labelled, unlabelled]))
    counts = np.bincount(clusters, minlength=k)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


@dataclass(frozen=True)
class ConstrainedWard:
    """Constrained Ward clustering, refined by semi-supervised k-means."""

    config: WardConfig = WardConfig()

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Cluster all training images; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        check_k(k, problem.known)
        tree = grow(problem, self.config, seed)
        return refine(tree, problem.labels, tree.cut(k), k, problem.device)

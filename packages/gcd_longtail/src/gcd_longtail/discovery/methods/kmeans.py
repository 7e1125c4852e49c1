"""k-means: the baseline that looks at no label while it clusters.

Its clusters have no names. So that the known classes keep their numbers, the clusters that hold most labelled
images of each class, by one optimal assignment, take the known classes' places; the metric of this package,
which matches clusters to classes by one assignment over all of them, is unchanged by that.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.discovery.problem import Discovered, Problem, check_k
from gcd_longtail.discovery.spaces import fit_space
from gcd_longtail.settings.methods import SpaceConfig


class KMeans:
    """k-means on the unlabelled images in the space of the principal components."""

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Cluster the unlabelled images; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        check_k(k, problem.known)
        space = fit_space(problem, SpaceConfig())
        found = kmeans(space.transform(problem.unlabelled), k, seed=seed, device=problem.device)
        predictor = space.nearest(found.centres)
        order = known_first(predictor.predict(problem.labelled), problem.labels, problem.known, k)
        return Discovered(np.argsort(order)[found.assignments], space.nearest(found.centres[order]))


def known_first(clusters: np.ndarray, labels: np.ndarray, known: int, k: int) -> np.ndarray:
    """Return an order of the ``k`` clusters whose first ones are those of the known classes, int64 [k].

    Args:
        clusters: of the labelled images, int64 [L].
        labels: their classes, int64 [L].
        known: number of known classes.
        k: number of clusters.
    """
    shared = np.zeros((known, k), np.int64)
    np.add.at(shared, (labels, clusters), 1)
    first = linear_sum_assignment(shared, maximize=True)[1]
    return np.concatenate([first, np.setdiff1d(np.arange(k), first)])

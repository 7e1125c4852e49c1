"""Semi-supervised k-means: the clustering of GCD.

Source: Vaze, Han, Vedaldi & Zisserman 2022, "Generalized Category Discovery", section 3.2: k-means++ and
Lloyd's iterations in which labelled images stay in the cluster of their class.
"""

from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.discovery.problem import Discovered, Problem
from gcd_longtail.discovery.spaces import fit_space
from gcd_longtail.settings.methods import SpaceConfig


class SemiSupervisedKMeans:
    """Semi-supervised k-means in the space of the principal components."""

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Cluster all training images; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        space = fit_space(problem, SpaceConfig())
        found = kmeans(
            space.transform(problem.unlabelled),
            k,
            labelled=space.transform(problem.labelled),
            labels=problem.labels,
            seed=seed,
            device=problem.device,
        )
        return Discovered(found.assignments, space.nearest(found.centres))

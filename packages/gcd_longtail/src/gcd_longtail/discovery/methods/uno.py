"""UNO for generalized category discovery ("UNO+"): one classifier, pseudo-labels from Sinkhorn's algorithm.

Source: Fini et al. 2021, "A Unified Objective for Novel Class Discovery", equations 4 to 6. UNO assumes that
every unlabelled image is of a novel class; as GCD's authors did for their comparison (Vaze et al. 2022), here
an unlabelled image may be of any class: its pseudo-label is its column of the Sinkhorn assignment over all
classes, taken from its other view. The assignment shares the images equally over the classes, which is what
UNO assumes and what a long tail breaks. Departures: frozen backbone with a linear adapter, one head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gcd_longtail.discovery.methods.head import Batch, Head, Training
from gcd_longtail.discovery.methods.losses import sinkhorn, soft_cross_entropy
from gcd_longtail.discovery.problem import Discovered, Problem
from gcd_longtail.settings.methods import HeadConfig

TEMPERATURE = 0.1  # of predictions
EPSILON, ITERATIONS = 0.05, 3  # entropy of the Sinkhorn assignments, and how often they are scaled


@dataclass(frozen=True)
class UNO:
    """UNO on frozen features."""

    head: HeadConfig = HeadConfig()

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Train and predict; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        training = Training.start(problem, k, self.head, seed)
        training.run(self.loss)
        return training.discovery()

    def loss(self, head: Head, batch: Batch, progress: float) -> Tensor:
        """Return the unified cross-entropy of each view against the labels or the other view's pseudo-labels."""
        cosines = head.cosines(head.embed(batch.features))
        first, second = (cosines / TEMPERATURE).chunk(2)
        of_first, of_second = (self._targets(view, batch.labels) for view in cosines.detach().chunk(2))
        return (soft_cross_entropy(first, of_second) + soft_cross_entropy(second, of_first)) / 2

    def _targets(self, cosines: Tensor, labels: Tensor) -> Tensor:
        known = one_hot(labels, cosines.shape[1]).to(cosines.dtype)
        pseudo = sinkhorn(cosines[len(labels) :], EPSILON, ITERATIONS)
        return torch.cat([known, pseudo])

"""A classifier of the known classes, by cross-entropy or logit adjustment, for those who would stop there.

Logit adjustment adds the log of the class frequencies to the logits while training (Menon et al. 2021,
"Long-tail learning via logit adjustment", equation 10); with power 1 that is balanced softmax (Ren et al.
2020). It has no idea of novel classes, so it is given the simplest one: the unlabelled images of which it is
least sure, as many as are expected to be novel, are clustered by k-means, in the adapted space.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.discovery.methods.head import Batch, Head, Training
from gcd_longtail.discovery.problem import Discovered, Problem
from gcd_longtail.settings.methods import KMeansConfig, SupervisedConfig


@dataclass(frozen=True)
class Supervised:
    """Cosine classifier of the known classes, and k-means on what it is least sure of."""

    config: SupervisedConfig = SupervisedConfig()

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Train, set doubtful images aside, cluster them; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        training = Training.start(problem, k, self.config.head, seed)
        frequencies = torch.bincount(training.images.labels).float() / len(problem.labels)
        adjustment = self.config.adjustment * frequencies.log()

        def loss(head: Head, batch: Batch, progress: float) -> Tensor:
            cosines = batch.labelled(head.cosines(head.embed(batch.features)))[:, : problem.known]
            return cross_entropy(cosines / self.config.temperature + adjustment, batch.both_labels)

        training.run(loss)
        if k > problem.known:
            self._add_novel(training, k, seed)
        return training.discovery()

    def _add_novel(self, training: Training, k: int, seed: int) -> None:
        """Replace the prototypes of novel classes by the centres of the images that look novel."""
        problem, unlabelled = training.problem, training.embedded()[1]
        prototypes = training.head.prototypes.detach().cpu().numpy().copy()
        known = prototypes[: problem.known]
        known = known / np.linalg.norm(known, axis=1, keepdims=True)
        surest = (unlabelled @ known.T).max(1)
        # As many as there would be if an image of a novel class were as likely as one of a known class.
        novel = max(k - problem.known, round(len(unlabelled) * (1 - problem.known / k)))
        doubtful = np.argsort(surest)[:novel]
        config = KMeansConfig(inits=3)
        found = kmeans(
            unlabelled[doubtful], k - problem.known, seed=seed, device=problem.device, config=config
        )
        prototypes[problem.known :] = found.centres
        training.start_at(prototypes)

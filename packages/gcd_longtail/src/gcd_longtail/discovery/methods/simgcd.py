"""SimGCD: a parametric classifier trained by self-distillation.

Source: Wen, Zhao & Qi 2023, "Parametric Classification for Generalized Category Discovery: A Baseline Study",
equations 1 to 7; the losses are checked against the official code's formulas in the tests. Departures: the
backbone is frozen and a linear adapter is trained in its place; AdamW instead of SGD.

The prototypes start at random, as in the paper, or at the clusters of another method: semi-supervised k-means,
or constrained Ward clustering in a space whitened by its own pseudo-labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy

from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.discovery.methods.head import Batch, Head, Training
from gcd_longtail.discovery.methods.losses import (
    distillation,
    entropy_gap,
    info_nce,
    same_class,
    supervised_contrastive,
)
from gcd_longtail.discovery.methods.ward import ConstrainedWard, means
from gcd_longtail.discovery.problem import Discovered, Problem, check_k
from gcd_longtail.discovery.spaces import fit_space
from gcd_longtail.settings.methods import FROM_CLUSTERS, KMeansConfig, SimGCDConfig, SpaceConfig

Start = Callable[[Training, int, int], None]


@dataclass(frozen=True)
class SimGCD:
    """SimGCD on frozen features."""

    config: SimGCDConfig = SimGCDConfig()
    start: Start | None = None
    """Sets the prototypes of a new head, given K and the seed; None leaves them random."""

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Train and predict; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        training = Training.start(problem, k, self.config.head, seed)
        if self.start is not None:
            self.start(training, k, seed)
        training.run(self.loss)
        return training.discovery()

    def loss(self, head: Head, batch: Batch, progress: float) -> Tensor:
        """Return the objective on a batch; ``progress`` is the share of the training that is over."""
        embedded = head.embed(batch.features)
        return self.objective(head.cosines(embedded), head.project(embedded), batch, progress)

    def objective(self, cosines: Tensor, projections: Tensor, batch: Batch, progress: float) -> Tensor:
        """Return the whole objective (equation 7): representation learning and classification.

        Args:
            cosines: of the batch to the prototypes, [2B, K].
            projections: of the batch, unit vectors, [2B, P].
            batch: its labels are used.
            progress: share of the training that is over.
        """
        config = self.config
        supervised = classification(cosines, batch, config) + contrast(projections, batch, config)
        unsupervised = self_distillation(cosines, progress, config)
        unsupervised = unsupervised + info_nce(projections, config.unsupervised_temperature)
        weight = config.supervised_weight
        return (1 - weight) * unsupervised + weight * supervised


def teacher_temperature(progress: float, config: SimGCDConfig) -> float:
    """Return the temperature of teachers, which falls linearly during the warm-up."""
    share = min(1.0, progress / config.warmup)
    return config.teacher_start + share * (config.teacher_end - config.teacher_start)


def self_distillation(cosines: Tensor, progress: float, config: SimGCDConfig) -> Tensor:
    """Return the unsupervised classification loss with its mean-entropy regulariser (equation 5)."""
    distilled = distillation(cosines, config.student_temperature, teacher_temperature(progress, config))
    mean = (cosines / config.student_temperature).softmax(1).mean(0)
    return distilled + config.entropy_weight * entropy_gap(mean)


def classification(cosines: Tensor, batch: Batch, config: SimGCDConfig) -> Tensor:
    """Return the cross-entropy of the labelled images (equation 6)."""
    return cross_entropy(batch.labelled(cosines) / config.student_temperature, batch.both_labels)


def contrast(projections: Tensor, batch: Batch, config: SimGCDConfig) -> Tensor:
    """Return the supervised contrastive loss of the labelled images (equation 2)."""
    positives = same_class(batch.labels)
    return supervised_contrastive(batch.labelled(projections), positives, config.supervised_temperature)


def start_at_ss_kmeans(training: Training, k: int, seed: int) -> None:
    """Set the prototypes to the centres of semi-supervised k-means."""
    labelled, unlabelled = training.embedded()
    found = kmeans(
        unlabelled,
        k,
        labelled=labelled,
        labels=training.problem.labels,
        seed=seed,
        device=training.problem.device,
        config=KMeansConfig(inits=3, iterations=50),
    )
    training.start_at(found.centres)


@dataclass(frozen=True)
class SimGCDFromWard:
    """SimGCD that starts from constrained Ward clustering, in a space whitened by its pseudo-labels."""

    config: SimGCDConfig = FROM_CLUSTERS
    ward: ConstrainedWard = ConstrainedWard()

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Cluster, train and predict; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        check_k(k, problem.known)
        clusters = self.ward.fit(problem, k, seed).assignments
        return train_from(problem, clusters, k, seed, self.config, self.ward.config.space).discovery()


def train_from(
    problem: Problem,
    clusters: np.ndarray,
    k: int,
    seed: int,
    config: SimGCDConfig,
    space: SpaceConfig,
    start: np.ndarray | None = None,
) -> Training:
    """Return a head trained by SimGCD whose prototypes start at clusters, in the space whitened by them.

    Args:
        problem: the images.
        clusters: of the unlabelled images, int64 [U].
        k: number of clusters.
        seed: of the training.
        config: losses and training.
        space: what is whitened by the clusters.
        start: clusters at whose means the prototypes start; the same ones if left out.
    """
    start = clusters if start is None else start
    whitened = fit_space(problem, space, pseudo_labels=clusters)
    training = Training.start(problem, k, config.head, seed, whitened)
    labelled, unlabelled = training.embedded()
    training.start_at(means(labelled, problem.labels, unlabelled, start, k))
    training.run(SimGCD(config).loss)
    return training

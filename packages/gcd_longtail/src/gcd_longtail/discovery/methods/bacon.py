"""A method after BaCon: SimGCD that estimates how large the classes are instead of taking them as equal.

Source: Bai et al. 2023, "Towards Distribution-Agnostic Generalized Category Discovery". Every few epochs the
images are clustered by k-means in the contrastive branch's space; the clusters' sizes, those of known classes
matched to their labels, estimate the class counts. They enter in three places: the regulariser asks for
predictions that follow the counts and not for uniform ones; the logits behind pseudo-labels are adjusted by
them; and the contrastive branch learns from pseudo-labelled images, of which those of frequent classes are
sampled less, with soft weights (the product of two predictions).

Departures: frozen backbone with one linear adapter a branch; the clusters that are returned come from
semi-supervised k-means in the contrastive branch's space, where the official code runs plain k-means.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gcd_longtail.discovery.clustering.kmeans import KMeansResult, kmeans
from gcd_longtail.discovery.methods.head import Batch, Head, Training
from gcd_longtail.discovery.methods.losses import (
    debiased,
    distillation,
    entropy_gap,
    info_nce,
    supervised_contrastive,
)
from gcd_longtail.discovery.methods.simgcd import classification, contrast, teacher_temperature
from gcd_longtail.discovery.problem import Discovered, Problem
from gcd_longtail.settings.methods import BaConConfig, KMeansConfig
from seminar_common.seeds import torch_generator


@dataclass(frozen=True)
class BaCon:
    """BaCon-like discovery on frozen features."""

    config: BaConConfig = BaConConfig()

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Train both branches, cluster the contrastive one; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        training = Training.start(problem, k, self.config.simgcd.head, seed)
        branches = _Branches(training, self.config, k, seed)
        training.run(branches.loss, branches.estimate)
        centres = branches.cluster(KMeansConfig(inits=3)).centres
        adapter = training.head.second.detach().cpu().numpy().T
        predictor = training.space.nearest(centres, adapter)
        return Discovered(predictor.predict(problem.unlabelled), predictor)


class _Branches:
    """The two branches: the head's adapter classifies, its second adapter learns by contrast."""

    def __init__(self, training: Training, config: BaConConfig, k: int, seed: int):
        self.training, self.config, self.k, self.seed = training, config, k, seed
        self.counts = torch.ones(k, device=training.problem.device)
        self.generator = torch_generator(seed, "bacon", device=training.problem.device)
        training.head.add_second_adapter()

    def cluster(self, config: KMeansConfig) -> KMeansResult:
        """Return semi-supervised k-means in the contrastive branch's space."""
        head, images = self.training.head, self.training.images
        with torch.no_grad():
            labelled, unlabelled = (head.embed_second(part) for part in (images.labelled, images.unlabelled))
        return kmeans(
            unlabelled,
            self.k,
            labelled=labelled,
            labels=images.labels,
            seed=self.seed,
            device=self.training.problem.device,
            config=config,
        )

    def estimate(self, epoch: int) -> None:
        """Renew the class counts: those of the clusters, labelled images included."""
        if epoch % self.config.estimate_every:
            return
        found = self.cluster(KMeansConfig(inits=1, iterations=30))
        counts = np.bincount(found.assignments, minlength=self.k)
        counts += np.bincount(self.training.problem.labels, minlength=self.k)
        self.counts = torch.from_numpy(np.maximum(counts, 1)).to(self.counts)

    def loss(self, head: Head, batch: Batch, progress: float) -> Tensor:
        """Return the losses of both branches; no gradient passes from one to the other."""
        cosines = head.cosines(head.embed(batch.features))
        return self._pseudo_labelling(cosines, batch, progress) + self._contrastive(head, cosines, batch)

    def _pseudo_labelling(self, cosines: Tensor, batch: Batch, progress: float) -> Tensor:
        config = self.config.simgcd
        temperature, prior = teacher_temperature(progress, config), self._prior()
        distilled = distillation(cosines, config.student_temperature, temperature, prior)
        mean = (cosines / config.student_temperature).softmax(1).mean(0)
        gap = entropy_gap(debiased(mean, self.counts, self.config.power))
        supervised = classification(cosines, batch, config)
        weight = config.supervised_weight
        return (1 - weight) * (distilled + config.entropy_weight * gap) + weight * supervised

    def _prior(self) -> Tensor:
        return self.config.adjustment * (self.counts / self.counts.sum()).log()

    def _contrastive(self, head: Head, cosines: Tensor, batch: Batch) -> Tensor:
        config = self.config.simgcd
        projections = head.project(head.embed_second(batch.features))
        plain = info_nce(projections, config.unsupervised_temperature)
        supervised = contrast(projections, batch, config)
        soft = self._soft_contrast(projections, cosines.detach(), batch)
        weight = config.supervised_weight
        return (1 - weight) * plain + weight / 2 * (supervised + soft)

    def _soft_contrast(self, projections: Tensor, cosines: Tensor, batch: Batch) -> Tensor:
        logits = cosines / self.config.simgcd.student_temperature - self._prior()
        predictions = torch.stack(logits.softmax(1).chunk(2)).mean(0)
        labelled = len(batch.labels)
        predictions[:labelled] = one_hot(batch.labels, self.k).to(predictions.dtype)
        chosen = self._sample(predictions, labelled)
        kept = predictions[chosen]
        weights = (kept @ kept.T).repeat(2, 2)
        views = torch.cat([half[chosen] for half in projections.chunk(2)])
        return supervised_contrastive(
            views, _with_other_view(weights), self.config.simgcd.supervised_temperature
        )

    def _sample(self, predictions: Tensor, labelled: int) -> Tensor:
        """Return the labelled rows and, of each pseudo-class, its surest images, fewer where it is frequent."""
        confidence, classes = predictions[labelled:].max(1)
        power = torch.full_like(self.counts, self.config.novel_sampling)
        power[: self.training.problem.known] = self.config.known_sampling
        rate = (self.counts.min() / self.counts) ** power
        lots = torch.rand(len(classes), generator=self.generator, device=classes.device) < rate[classes]
        quota = torch.bincount(classes[lots], minlength=self.k)
        order = torch.argsort(confidence, descending=True, stable=True)
        order = order[torch.argsort(classes[order], stable=True)]
        sizes = torch.bincount(classes, minlength=self.k)
        rank = torch.arange(len(order), device=order.device) - (sizes.cumsum(0) - sizes)[classes[order]]
        chosen = order[rank < quota[classes[order]]]
        return torch.cat([torch.arange(labelled, device=chosen.device), labelled + chosen])


def _with_other_view(weights: Tensor) -> Tensor:
    """Set the weight of each image's other view to one."""
    half = len(weights) // 2
    index = torch.arange(len(weights), device=weights.device)
    return weights.index_put((index, index.roll(half)), torch.ones((), device=weights.device))

"""Adversarial feature alignment: the detector learns features by which a classifier can't tell source from target.

Sources: Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks": the classifier minimises its loss, and the
gradient that goes on into the features is reversed, with a weight that rises over the training (section 5.2.2). For
detectors Chen et al. 2018, "Domain Adaptive Faster R-CNN for Object Detection in the Wild", of which this is the part
for images: each position of the feature maps is told the world of its page. The maps are those of the pyramid, and one
classifier serves all levels, as the heads do. Pages of the source's world give the detector's losses beside that.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doc_detect.adaptation.base import Lessons, Method, Problem
from doc_detect.adaptation.source_pages import SourcePages
from doc_detect.adaptation.views import Marks, strong_view
from doc_detect.detectors.base import Detector, Target
from doc_detect.detectors.fcos import STRIDES
from doc_detect.detectors.tensors import to_tensor
from doc_detect.training.pages import Sample, collate, training_size
from seminar_common.seeds import derive, numpy_generator


class DomainClassifier(nn.Module):
    """Says of each position of feature maps [B, C, H_k, W_k] by a logit [B, H_k, W_k] whether its page is a target's."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, 1, 1))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits of each map."""
        return [self.layers(each).squeeze(1) for each in features]


class _Reversal(torch.autograd.Function):
    """What passes it stays as it is; the gradient that comes back is reversed and weighted."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: float) -> Tensor:
        """Return the features."""
        ctx.weight = weight
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the features, reversed."""
        return -ctx.weight * gradients[0], None


def reverse(features: Tensor, weight: float) -> Tensor:
    """Return features whose gradient will be multiplied by ``-weight`` (Ganin et al. 2016, equations 15 and 16)."""
    return cast(Tensor, _Reversal.apply(features, weight))


def risen(done: float) -> float:
    """Return the weight of the reversed gradient as a share of its full one, ``done`` being the share of the steps.

    Source: Ganin et al. 2016, equation 14, with gamma = 10.
    """
    return 2 / (1 + math.exp(-10 * done)) - 1


class Adversarial(Method):
    """Source pages are learned, and as many target pages must look like them to the classifier."""

    needs_source = True

    def __init__(self, problem: Problem):
        super().__init__(problem)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(problem.settings.seed, "domain-classifier"))
            self._classifier = DomainClassifier(problem.source.config.channels)

    @property
    def own(self) -> nn.Module:
        """The domain classifier."""
        return self._classifier

    def prepare(self) -> Lessons:
        """Say what the source pages label."""
        self.pages = SourcePages(self.problem)
        return self.pages.lessons()

    def losses(self, student: nn.Module, average: Detector, step: int) -> dict[str, Tensor]:
        """Return the detector's losses on source pages, and ``domain``, the classifier's on both worlds."""
        known, other = self.pages.samples(step), self._target_samples(step)
        images, targets = collate([*known, *other])
        device = next(average.parameters()).device
        images, targets = [i.to(device) for i in images], [t.to(device) for t in targets]
        maps: list[Tensor] = []
        backbone = cast(nn.Module, student.backbone)  # Fabric's wrapper hands out what it wraps
        hook = backbone.register_forward_hook(lambda _, __, features: maps.extend(features))
        try:
            losses = student(images, targets)
        finally:
            hook.remove()
        weight = self.problem.settings.adversarial.reversal * risen(step / self.steps)
        logits = self._classifier([reverse(each, weight) for each in maps])
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        return {**losses, "domain": domain_loss(logits, sizes, len(known))}

    def _target_samples(self, step: int) -> list[Sample]:
        """Return views of target pages of which nothing is known, so that the detector learns nothing from them."""
        settings, pages = self.problem.settings, self.problem.pages
        config, labels = settings.optimization, self.problem.source.labels
        size = training_size(config, step, settings.seed)
        nothing, none = np.zeros((0, 4)), torch.zeros((0, 4))
        target = Target(none, torch.zeros(0, dtype=torch.int64), none, tuple(range(len(labels))))
        samples = []
        for index in range(step * config.batch_size, (step + 1) * config.batch_size):
            g = numpy_generator(settings.seed, "view", index)
            pixels = pages[int(g.integers(len(pages)))].read().pixels
            marks = Marks(nothing, np.zeros(0, np.int64), nothing)
            view, _ = strong_view(pixels, marks, size, settings.views, g)
            samples.append(Sample(to_tensor(view), target))
        return samples


def domain_loss(logits: Sequence[Tensor], sizes: Sequence[tuple[int, int]], known: int) -> Tensor:
    """Return the mean binary cross-entropy over the positions of pages, both worlds and all levels counting alike.

    Args:
        logits: Of each level, [B, H_k, W_k].
        sizes: Height and width of each page: what lies outside is padding, which would tell the worlds apart.
        known: So many pages of the source come first.
    """
    parts = []
    for stride, level in zip(STRIDES, logits, strict=True):
        for world, rows in ((0.0, range(known)), (1.0, range(known, len(sizes)))):
            inside = [level[i, : -(-sizes[i][0] // stride), : -(-sizes[i][1] // stride)] for i in rows]
            seen = torch.cat([each.flatten() for each in inside]).float()
            parts.append(F.binary_cross_entropy_with_logits(seen, torch.full_like(seen, world)))
    return torch.stack(parts).mean()

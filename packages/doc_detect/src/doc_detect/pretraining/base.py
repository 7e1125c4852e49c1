"""What every method of self-supervision does, and the table of methods.

A method is one file with one class; :data:`METHODS` names it. It is given a :class:`Problem` and returns the losses of
each step from the pyramid's maps. Steps, optimizer, moving average, checkpoints and the look-out for collapse are the
caller's.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doc_detect.detectors.backbones import PyramidBackbone
from doc_detect.pretraining.windows import Windows
from doc_detect.settings.pretraining import PretrainSettings

Maps = Sequence[Tensor]
"""Of a batch, by level, finest first: [B, C, S / stride, S / stride]."""
Pyramid = Callable[[Tensor], Maps]
"""Maps pixels [B, 3, S, S] in 0..1 to its maps."""


@dataclass(frozen=True)
class Problem:
    """What a method is given."""

    start: PyramidBackbone
    """Backbone and pyramid as they were before the first step, in evaluation; they stay as they are."""
    windows: Windows
    settings: PretrainSettings

    @property
    def device(self) -> torch.device:
        """Where the backbone computes."""
        return next(self.start.parameters()).device


class Method(ABC):
    """A task that needs no label."""

    def __init__(self, problem: Problem):
        self.problem = problem

    @property
    def own(self) -> nn.Module | None:
        """What is trained beside the pyramid and thrown away at the end, such as a decoder."""
        return None

    @abstractmethod
    def losses(self, student: Pyramid, average: Pyramid, step: int) -> dict[str, Tensor]:
        """Return the losses of a step by name; their sum is minimised.

        They depend on the seed, the step and the weights alone, so that a resumed run ends with the same bits.

        Args:
            student: Backbone and pyramid that learn.
            average: The moving average of their weights, in evaluation.
            step: Number of the step, from 0.
        """


METHODS: Mapping[str, str] = {
    "denoising": "doc_detect.pretraining.denoising:Denoising",
    "dense-contrast": "doc_detect.pretraining.dense_contrast:DenseContrast",
    "distillation": "doc_detect.pretraining.distillation:Distillation",
    "masked": "doc_detect.pretraining.masked:Masked",
}
"""Method classes by name, imported when they are used."""


def make_method(problem: Problem) -> Method:
    """Return the method that the settings of ``problem`` name."""
    module, name = METHODS[problem.settings.method].split(":")
    return getattr(importlib.import_module(module), name)(problem)


def distance(maps: Maps, wanted: Maps, where: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return the mean squared distance of maps from others, in variances of those, over all levels.

    A level counts in its own unit, so that a loud one does not drown the others: that of all its channels together, for on
    a coarse level a batch has too few places to say how much a single channel varies.

    Args:
        maps: What there is.
        wanted: What there should be; nothing is learned through it.
        where: Returns for a map [B, C, h, w] the weight of each place, [B, 1, h, w]; all count alike by default.
    """
    parts = []
    for ours, theirs in zip(maps, wanted, strict=True):
        theirs = theirs.detach()
        unit = theirs.var(correction=0).clamp(min=1e-6)
        error = (ours - theirs).square().mean(dim=1, keepdim=True) / unit
        weights = torch.ones_like(error) if where is None else where(theirs).to(error)
        parts.append((error * weights).sum() / weights.sum().clamp(min=1e-6))
    return torch.stack(parts).mean()


@torch.no_grad()
def spread(maps: Maps) -> float:
    """Return how much the features of places differ, 0 where all are alike and near 1 where channels vary freely.

    It is the standard deviation over places of features of length 1, times the root of their number, averaged over
    channels and levels. Source: Chen & He 2021, "Exploring Simple Siamese Representation Learning", section 4.1.
    """
    values = []
    for level in maps:
        places = F.normalize(level.float().permute(0, 2, 3, 1).flatten(0, 2), dim=1)
        values.append(places.std(dim=0, correction=0).mean() * places.shape[1] ** 0.5)
    return float(torch.stack(values).mean())


def at_level(mask: Tensor, level: Tensor) -> Tensor:
    """Return a mask [B, 1, n, n] of squares at the places of a map [B, C, h, w]: as float, the share that it covers."""
    fine = F.interpolate(mask.float(), scale_factor=4)
    return F.adaptive_avg_pool2d(fine, (level.shape[2], level.shape[3])).to(level)

"""Masked autoencoding of features: those of hidden places from those around.

Source: Zhao et al. 2023, "Masked Retraining Teacher-Student Framework for Domain Adaptive Object Detection" (MRT): on
target pages a part of the maps is replaced by a learned token, and a small decoder gives the features back. Here those of the
moving average on the clean page are wanted, as of a mean teacher: a student can't make them easy by itself.
"""

import torch
from torch import Tensor, nn

from doc_detect.detectors.fcos import STRIDES
from doc_detect.pretraining.base import Maps, Method, Problem, Pyramid, at_level, distance
from doc_detect.pretraining.windows import batch


class Filler(nn.Module):
    """Maps with tokens in hidden places to maps without, level by level with shared weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(len(STRIDES), channels))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 5, padding=2),
        )

    def forward(self, maps: Maps, hidden: Tensor) -> list[Tensor]:
        """Return the maps; ``hidden`` is bool [B, 1, n, n] over the page."""
        made = []
        for level, token in zip(maps, self.tokens, strict=True):
            covered = at_level(hidden, level)
            made.append(self.layers(level * (1 - covered) + token[None, :, None, None] * covered))
        return made


class Masked(Method):
    """Features of hidden places are wanted back."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.filler = Filler(problem.start.out_channels)

    @property
    def own(self) -> nn.Module:
        """The decoder and its tokens."""
        return self.filler

    def losses(self, student: Pyramid, average: Pyramid, step: int) -> dict[str, Tensor]:
        """Return the distance from the moving average's maps, in hidden places."""
        windows, device = self.problem.windows, self.problem.device
        clean = windows.clean(step)
        hidden = windows.with_holes(clean, step).hidden.to(device)
        light = batch(windows.in_other_light(clean, step)).to(device)
        with torch.no_grad():
            wanted = average(batch(clean).to(device))
        made = self.filler(student(light), hidden)
        return {"masked": distance(made, wanted, lambda level: at_level(hidden, level))}

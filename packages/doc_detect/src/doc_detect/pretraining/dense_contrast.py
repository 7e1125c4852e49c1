"""Dense contrast: a place of a page is known again in another light, among places of this page and of others.

Sources: O. Pinheiro et al. 2020, "Unsupervised Learning of Dense Visual Representations" (VADeR), for views whose places
correspond by construction; Wang et al. 2021, "Dense Contrastive Learning for Self-Supervised Visual Pre-Training" (DenseCL).
The loss is InfoNCE (van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding"). The second view
is moved by whole squares, so that a place is not known by the edge that it is near. Most of a page is paper, which looks
alike everywhere: places are drawn where there is ink.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doc_detect.detectors.fcos import STRIDES
from doc_detect.pretraining.base import Maps, Method, Problem, Pyramid
from doc_detect.pretraining.windows import batch
from doc_detect.settings.pretraining import COARSEST
from seminar_common.seeds import numpy_generator

LEVELS = 3
"""Levels that are contrasted, the finest; on coarser ones a window has too few places."""
PLACES = 48
"""Places of a page that are drawn at a level, at most."""
PAPER = 0.02
"""Contrast, in pixels of 0..1, that a place of plain paper counts as."""
FARTHEST = 2
"""Squares of 32 pixels that the second view is moved by at most, to each side."""


class Projector(nn.Module):
    """Features [N, C] to directions [N, 64], a pair of layers a level."""

    def __init__(self, channels: int):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 64))
            for _ in range(LEVELS)
        )

    def forward(self, features: Tensor, level: int) -> Tensor:
        """Return vectors of length 1."""
        return F.normalize(self.heads[level](features), dim=1)


class DenseContrast(Method):
    """Places of two views are matched."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.projector = Projector(problem.start.out_channels)

    @property
    def own(self) -> nn.Module:
        """The projector."""
        return self.projector

    def losses(self, student: Pyramid, average: Pyramid, step: int) -> dict[str, Tensor]:
        """Return InfoNCE of places, averaged over both directions and the levels."""
        windows, device = self.problem.windows, self.problem.device
        g = numpy_generator(self.problem.settings.seed, "places", step)
        moved = [int(n) for n in g.integers(0, self._most() + 1, 2)]  # down and to the right, in squares
        whole = windows.clean(step, room=COARSEST * self._most())
        y, x = (COARSEST * n for n in moved)
        side = windows.side
        squares = (
            [picture[:side, :side] for picture in whole],
            [picture[y : y + side, x : x + side] for picture in whole],
        )
        views = [windows.in_other_light(views, step, number) for number, views in enumerate(squares)]
        one, other = (student(batch(view).to(device)) for view in views)
        ink = _contrast(batch(squares[0]))
        parts = [self._level(one, other, ink, level, moved, g) for level in range(LEVELS)]
        return {"contrast": torch.stack(parts).mean()}

    def _most(self) -> int:
        """Return by how many squares the second view may be moved: half of the window stays common at least."""
        return min(FARTHEST, self.problem.windows.side // COARSEST // 2)

    def _level(
        self, one: Maps, other: Maps, ink: Tensor, level: int, moved: list[int], g: np.random.Generator
    ) -> Tensor:
        """Return the loss of a level."""
        down, right = (n * COARSEST // STRIDES[level] for n in moved)
        height, width = (edge - n for edge, n in zip(one[level].shape[2:], (down, right), strict=True))
        common = one[level][:, :, down:, right:], other[level][:, :, :height, :width]
        pooled = F.adaptive_avg_pool2d(ink, (one[level].shape[2], one[level].shape[3]))
        weights = pooled[:, 0, down:, right:].flatten(1).numpy()
        drawn = []
        for page, chances in enumerate(weights.astype(np.float64) + PAPER):
            count = min(PLACES, len(chances))
            places = g.choice(len(chances), count, replace=False, p=chances / chances.sum())
            drawn.append(page * len(chances) + places)
        rows = torch.from_numpy(np.concatenate(drawn)).to(one[level].device)
        first, second = (
            self.projector(maps.permute(0, 2, 3, 1).flatten(0, 2)[rows], level) for maps in common
        )
        alike = first @ second.T / self.problem.settings.temperature
        same = torch.arange(len(rows), device=alike.device)
        return (F.cross_entropy(alike, same) + F.cross_entropy(alike.T, same)) / 2


def _contrast(pixels: Tensor) -> Tensor:
    """Return the standard deviation of grey around each pixel's square of 8, [B, 1, S / 8, S / 8]."""
    grey = pixels.mean(dim=1, keepdim=True)
    mean = F.avg_pool2d(grey, 8)
    return (F.avg_pool2d(grey.square(), 8) - mean.square()).clamp(min=0).sqrt()

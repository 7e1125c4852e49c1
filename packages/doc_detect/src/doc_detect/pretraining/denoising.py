"""Denoising: the clean page from one in another light and with holes, through the pyramid.

Sources: He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", for hidden squares and for the target, pixels
normalised in each square; Brempong et al. 2022, "Denoising Pretraining for Semantic Segmentation", for a convolutional
encoder and decoder that learn from noise. Here the decoder is a few convolutions on the sum of all levels, so that what is
learned is in the pyramid.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doc_detect.detectors.fcos import STRIDES
from doc_detect.pretraining.base import Maps, Method, Problem, Pyramid
from doc_detect.pretraining.windows import batch

HALF = 2
"""The page is given back at half its size: strokes are seen, the grain of the scan is not asked for."""
SQUARE = 8
"""Side in pixels, of that size, of the squares in which it is normalised."""
LEAST_CONTRAST = 0.05
"""Standard deviation, of pixels in 0..1, to which squares of plain paper are normalised at most."""
HIDDEN_WEIGHT = 4.0
"""How much a hidden place counts, one that is seen being 1."""


class Decoder(nn.Module):
    """Pyramid maps to a picture in grey, [B, 1, S / 2, S / 2]."""

    def __init__(self, channels: int):
        super().__init__()
        factor = STRIDES[0] // HALF
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, factor * factor, 3, padding=1),
            nn.PixelShuffle(factor),
        )

    def forward(self, maps: Maps) -> Tensor:
        """Return the picture."""
        finest = maps[0].shape[2:]
        total = torch.stack([F.interpolate(level, finest, mode="nearest") for level in maps]).sum(dim=0)
        return self.layers(total)


class Denoising(Method):
    """The clean page is wanted back."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.decoder = Decoder(problem.start.out_channels)

    @property
    def own(self) -> nn.Module:
        """The decoder."""
        return self.decoder

    def losses(self, student: Pyramid, average: Pyramid, step: int) -> dict[str, Tensor]:
        """Return the squared error in normalised pixels."""
        windows, device = self.problem.windows, self.problem.device
        clean = windows.clean(step)
        holes = windows.with_holes(windows.in_other_light(clean, step), step)
        wanted = normalised(F.avg_pool2d(batch(clean).mean(dim=1, keepdim=True), HALF)).to(device)
        made = self.decoder(student(holes.pixels.to(device)))
        weights = 1 + (HIDDEN_WEIGHT - 1) * F.interpolate(holes.hidden.float(), made.shape[2:]).to(made)
        return {"denoising": ((made - wanted).square() * weights).sum() / weights.sum()}


def normalised(picture: Tensor) -> Tensor:
    """Return a picture [B, 1, h, w] less the mean of each of its squares, in their standard deviations."""
    mean = F.avg_pool2d(picture, SQUARE)
    deviation = (F.avg_pool2d(picture.square(), SQUARE) - mean.square()).clamp(min=0).sqrt()
    mean, deviation = (F.interpolate(x, scale_factor=SQUARE) for x in (mean, deviation))
    return (picture - mean) / deviation.clamp(min=LEAST_CONTRAST)

"""Squares of pages, as a method of self-supervision shows them: clean, in another light, with holes."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from doc_detect.adaptation.target import TargetPage
from doc_detect.adaptation.views import Marks, strong_view
from doc_detect.detectors.tensors import to_tensor
from doc_detect.settings.adaptation import ViewConfig
from doc_detect.settings.pretraining import COARSEST, PretrainSettings
from seminar_common.seeds import numpy_generator

STILL = ViewConfig(smallest=1.0, largest=1.0, shift=0.0, rotation=0.0)
"""A view in another light alone: every place stays where it is."""
SMALLEST = 0.75
"""Least scale of a page; as in use, none is enlarged."""
_NOTHING = Marks(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros((0, 4)))


@dataclass(frozen=True)
class Holes:
    """Pictures with hidden squares."""

    pixels: Tensor
    """[B, 3, S, S] RGB in 0..1."""
    hidden: Tensor
    """[B, 1, S / 32, S / 32] bool: which squares are hidden."""


class Windows:
    """The squares of a run: those of a step depend on the seed and the step alone."""

    def __init__(self, pages: Sequence[TargetPage], settings: PretrainSettings):
        self.pages, self.settings = pages, settings
        self.side = settings.fitting.window

    def clean(self, step: int, room: int = 0) -> list[np.ndarray]:
        """Return squares of the pages of a step, uint8 [S + room, S + room, 3]."""
        size = self.settings.fitting.batch_size
        return [self._square(step * size + number, self.side + room) for number in range(size)]

    def _square(self, index: int, side: int) -> np.ndarray:
        g = numpy_generator(self.settings.seed, "window", index)
        pixels = self.pages[int(g.integers(len(self.pages)))].read().pixels
        scale = g.uniform(SMALLEST, 1)
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        missing = [max(0, side - edge) for edge in pixels.shape[:2]]
        if any(missing):  # the paper goes on where a page is smaller
            paper = np.quantile(pixels.reshape(-1, 3), 0.8, axis=0).tolist()
            pixels = cv2.copyMakeBorder(
                pixels, 0, missing[0], 0, missing[1], cv2.BORDER_CONSTANT, value=paper
            )
        y, x = (int(g.integers(edge - side + 1)) for edge in pixels.shape[:2])
        return np.ascontiguousarray(pixels[y : y + side, x : x + side])

    def in_other_light(self, squares: Sequence[np.ndarray], step: int, number: int = 0) -> list[np.ndarray]:
        """Return the squares as another camera would have them, every place where it was.

        Args:
            squares: uint8 [S, S, 3] each.
            step: Of the training.
            number: Of the view: others are in other light.
        """
        made = []
        for index, square in enumerate(squares):
            g = numpy_generator(self.settings.seed, "light", step, number, index)
            made.append(strong_view(square, _NOTHING, max(square.shape[:2]), STILL, g)[0])
        return made

    def with_holes(self, squares: Sequence[np.ndarray], step: int) -> Holes:
        """Return squares of which ``--hidden`` is hidden by the colour of their paper, in cells of 32 pixels."""
        cells = self.side // COARSEST
        masks, shown = [], []
        for index, square in enumerate(squares):
            g = numpy_generator(self.settings.seed, "holes", step, index)
            mask = np.zeros(cells * cells, bool)
            count = min(len(mask) - 1, max(1, round(self.settings.hidden * len(mask))))
            mask[g.permutation(len(mask))[:count]] = True
            mask = mask.reshape(cells, cells)
            whole = np.repeat(np.repeat(mask, COARSEST, 0), COARSEST, 1)
            paper = np.quantile(square.reshape(-1, 3), 0.8, axis=0).astype(np.uint8)
            masks.append(mask)
            shown.append(np.where(whole[..., None], paper, square))
        return Holes(batch(shown), torch.from_numpy(np.stack(masks))[:, None])


def batch(squares: Sequence[np.ndarray]) -> Tensor:
    """Return squares of one size, uint8 [S, S, 3], as [B, 3, S, S] RGB in 0..1."""
    pixels = torch.stack([to_tensor(square) for square in squares])
    return pixels.contiguous(memory_format=torch.channels_last)

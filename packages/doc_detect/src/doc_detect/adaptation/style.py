"""Labelled source pages that look like the target: on its paper, or with its low frequencies.

Sources: Yang & Soatto 2020, "FDA: Fourier Domain Adaptation for Semantic Segmentation": the amplitudes of the lowest
frequencies, which hold light and colour, are those of the target, the phases those of the source. Where the source's
pages are clean ink (`synth --ink`), some are printed on the paper of a target page, which is what is left of it when its
ink is taken away: the model of a page is ink times paper, as in `doc_detect.synthesis.degrade`.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from doc_detect.adaptation.base import Lessons, Problem, SampleMethod
from doc_detect.adaptation.source_pages import SourcePages
from doc_detect.adaptation.target import TargetPage
from doc_detect.adaptation.views import Marks, strong_view
from doc_detect.settings.adaptation import StyleConfig
from doc_detect.training.pages import Sample, is_ink, read_rgb
from seminar_common.seeds import numpy_generator

DARKER = 0.88
"""What is darker than this share of the paper around it is ink."""
DARK = 0.6
"""So is what is darker than this share of the page's light paper, such as the inside of a picture."""
WIDEST_STROKE = 1 / 40
"""Width of what :data:`DARKER` still finds, as a share of the page's longest side."""
COARSE = 160
"""Longest side of the picture in which the paper under the ink is made up, in pixels."""
THINNEST = 0.7
"""How dark ink is at least when it is printed: 1 is that of the source."""


class Style(SampleMethod):
    """Source pages in the style of target pages."""

    needs_source = True

    def prepare(self) -> Lessons:
        """Say what the source pages label."""
        self.pages = StyledPages(self.problem)
        return self.pages.lessons()

    def samples(self, step: int) -> list[Sample]:
        """Return the pages of a step."""
        return self.pages.samples(step)


class StyledPages(SourcePages):
    """Source pages, each with a target page that lends it its look."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.targets: Sequence[TargetPage] = problem.pages
        self.views = problem.settings.views
        self.style: StyleConfig = problem.settings.style

    def shown(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a source page in the style of a target page."""
        g = numpy_generator(self.seed, "style", index)
        target = self.targets[int(g.integers(len(self.targets)))].read().pixels
        if is_ink(self.pages) and g.random() < self.style.paper_share:
            return self._printed(index, paper_of(target, g), g)
        pixels, boxes, labels = super().shown(index)
        if g.random() < self.style.fourier_share:
            swapped = with_amplitudes(pixels, target, self.style.fourier_beta)
            pixels = swapped.clip(0, 255).round().astype(np.uint8)
        return pixels, boxes, labels

    def _printed(
        self, index: int, paper: np.ndarray, g: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a source page that is printed on ``paper``, as a strong view of it."""
        page = self.drawn(index, g)
        ink = read_rgb(self.pages.image_path(page))
        boxes = page.boxes * (ink.shape[1] / page.width)
        leaf = printed(ink, paper, g.uniform(THINNEST, 1))
        marks = Marks(boxes, page.labels, np.zeros((0, 4)))
        view, marks = strong_view(leaf, marks, self.side(index), self.views, g)
        return view, marks.boxes, marks.labels


def printed(ink: np.ndarray, paper: np.ndarray, density: float) -> np.ndarray:
    """Return ink on white, uint8 [h, w, 3], on paper of any size; ``density`` 0 leaves nothing of it, 1 all."""
    height, width = ink.shape[:2]
    below = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    passed = 1 - density * (1 - ink.astype(np.float32) / 255)
    return (below * passed).round().astype(np.uint8)


def paper_of(pixels: np.ndarray, g: np.random.Generator) -> np.ndarray:
    """Return the paper of a page, uint8 [h, w, 3]: itself, with its ink replaced by what the paper around is like.

    Args:
        pixels: The page, uint8 [h, w, 3].
        g: Draws the grain of what is replaced.
    """
    ink = ink_of(pixels)
    if ink.all():
        return np.full_like(pixels, 255)
    height, width = ink.shape
    scale = min(1.0, COARSE / max(ink.shape))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    kept = cv2.resize((~ink).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    light = cv2.resize(pixels.astype(np.float32) * ~ink[..., None], size, interpolation=cv2.INTER_AREA)
    light = (light / np.maximum(kept, 1e-6)[..., None]).clip(0, 255).round().astype(np.uint8)
    hole = (kept < 0.05).astype(np.uint8)  # where hardly a pixel of paper is left
    coarse = cv2.inpaint(light, hole, 3, cv2.INPAINT_TELEA)
    fill = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    spread = min(8.0, float((pixels[~ink].astype(np.float32) - fill[~ink]).std()))
    grain = g.normal(0, spread, (height, width, 1)).astype(np.float32)
    return np.where(ink[..., None], (fill + grain).clip(0, 255).round(), pixels).astype(np.uint8)


def ink_of(pixels: np.ndarray) -> np.ndarray:
    """Return which pixels of a page, uint8 [h, w, 3], are ink or its blurred edges, bool [h, w]."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    side = 2 * round(WIDEST_STROKE * max(grey.shape) / 2) + 1
    # Closing takes away what is dark and narrower than the kernel.
    around = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((max(3, side),) * 2, np.uint8))
    around = cv2.blur(around, (max(3, side),) * 2).astype(np.float32)
    paper = float(np.quantile(around, 0.7))
    ink = (grey < DARKER * around) | (grey < DARK * paper)
    return cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def with_amplitudes(pixels: np.ndarray, other: np.ndarray, beta: float) -> np.ndarray:
    """Return a picture with the amplitudes of the lowest frequencies of another, float64 [h, w, 3]; phases stay.

    These are the frequencies of the square from ``-b`` to ``b`` in either direction, with b = floor(beta min(h, w))
    (Yang & Soatto 2020, equations 1 and 2). With ``beta`` 0 it is the mean alone.

    Args:
        pixels: The picture, [h, w, 3].
        other: Lends its amplitudes; of any size.
        beta: Half the side of the square, as a share of the shorter side.
    """
    height, width = pixels.shape[:2]
    other = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
    ours, theirs = (np.fft.rfft2(each.astype(np.float64), axes=(0, 1)) for each in (pixels, other))
    reach = int(beta * min(height, width))
    low = np.abs(np.fft.fftfreq(height) * height)[:, None].round() <= reach
    low = low & (np.fft.rfftfreq(width) * width <= reach + 0.5)[None]
    amplitude = np.where(low[..., None], np.abs(theirs), np.abs(ours))
    return np.fft.irfft2(amplitude * np.exp(1j * np.angle(ours)), s=(height, width), axes=(0, 1))

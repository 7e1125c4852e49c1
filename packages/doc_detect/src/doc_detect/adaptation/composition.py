"""Copy-paste across worlds: sure finds of the target, pasted onto labelled source pages where there is no such object.

Source: Ghiasi et al. 2021, "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation", here with
objects that the source detector is sure of in place of labelled ones. The ink alone is pasted: the place is painted over
with the source page's own paper first, and what is pasted darkens that as much as it darkened the target's. So no edge
tells a detector where something was pasted. Text may be painted over, unless text is what the detector finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from doc_detect.adaptation.base import Lessons, Problem, SampleMethod
from doc_detect.adaptation.pseudo_labels import count, kept_finds, scores_of, too_few
from doc_detect.adaptation.source_pages import SourcePages
from doc_detect.adaptation.target import TargetPage
from doc_detect.adaptation.views import paint_over, paper_around
from doc_detect.classes import class_index
from doc_detect.coco import IGNORED, CocoPage
from doc_detect.training.pages import SMALLEST_SIDE, Sample, own_labels
from seminar_common.seeds import numpy_generator

TRIES = 20
"""Places that are tried for an object before it is left out."""
APART = 4
"""Pixels that must lie between an object that is pasted and what is there."""
SCALES = (0.8, 1.25)
"""Range of the size of a pasted object, as a share of that which it has on its page."""
DARKEST = 96
"""Mean of the paper, 0 to 255, on which ink can still be seen."""
LARGEST = 0.8
"""Largest side of a pasted object, as a share of the page's."""


@dataclass(frozen=True)
class Crop:
    """An object on a target page."""

    page: TargetPage
    box: np.ndarray
    """[4] xyxy, in the page's own pixels."""
    label: int
    """Its number in ``CLASSES``."""

    def ink(self) -> tuple[np.ndarray, float]:
        """Return how much light each pixel lets through, float32 [h, w, 3] in 0..1, and the page's longest side."""
        seen = self.page.read()
        height, width = seen.pixels.shape[:2]
        x1, y1, x2, y2 = seen.to_seen(self.box[None])[0].round().astype(int)
        x1, y1 = max(0, min(x1, width - 1)), max(0, min(y1, height - 1))
        x2, y2 = min(width, max(x2, x1 + 1)), min(height, max(y2, y1 + 1))
        paper = np.median(paper_around(seen.pixels, np.array([x1, y1, x2, y2])), axis=0)
        crop = seen.pixels[y1:y2, x1:x2].astype(np.float32) / np.maximum(paper, 1)
        return crop.clip(0, 1).astype(np.float32), float(max(height, width))


class Composition(SampleMethod):
    """Source pages with objects of the target on them."""

    needs_source = True

    def prepare(self) -> Lessons:
        """Look for objects on all pages with the source detector, or read what a killed run has found."""
        problem, config = self.problem, self.problem.settings.self_training
        labels = problem.source.labels
        found = kept_finds(problem, problem.source)
        counts = {label: dict(count(found, label, config)) for label in labels}
        pasted = [label for label in labels if counts[label]["sure"] >= config.fewest]
        self.pages = ComposedPages(problem, crops_of(problem.pages, found, pasted, config.sure))
        own = self.pages.lessons()
        if not pasted:
            return Lessons((), (), counts, too_few(counts, config.fewest))
        counts = {label: counts[label] | dict(own.counts.get(label, {})) for label in labels}
        number = sum(map(len, self.pages.crops))
        learned = tuple(label for label in labels if label in (*own.learned, *pasted))
        line = f"{own.line}, with {number:,} objects of the target: {', '.join(pasted)}"
        return Lessons(learned, (), counts, line)

    def samples(self, step: int) -> list[Sample]:
        """Return the pages of a step."""
        return self.pages.samples(step)


def crops_of(
    pages: Sequence[TargetPage], found: Sequence[CocoPage], labels: Sequence[str], sure: float
) -> list[list[Crop]]:
    """Return the sure finds of each of ``labels``."""
    crops: list[list[Crop]] = []
    for label in labels:
        number = class_index(label)
        crops.append([])
        for page, there in zip(pages, found, strict=True):
            kept = (there.labels == number) & (scores_of(there) >= sure)
            crops[-1] += [Crop(page, box, number) for box in there.boxes[kept]]
    return crops


class ComposedPages(SourcePages):
    """Source pages onto which crops are pasted; classes come up alike."""

    def __init__(self, problem: Problem, crops: Sequence[Sequence[Crop]]):
        super().__init__(problem)
        self.crops = crops
        self.pasted = problem.settings.composition.pasted

    def shown(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a source page with 0 to ``pasted`` objects more than it has."""
        pixels, boxes, labels = super().shown(index)
        pixels = pixels.copy()
        g = numpy_generator(self.seed, "paste", index)
        for _ in range(g.integers(self.pasted + 1)):
            kind = self.crops[int(g.integers(len(self.crops)))]
            crop = kind[int(g.integers(len(kind)))]
            box = paste(pixels, boxes[self._taken(labels)], crop, g)
            if box is not None:
                boxes = np.concatenate([boxes, box[None].astype(boxes.dtype)])
                labels = np.append(labels, crop.label)
        return pixels, boxes, labels

    def _taken(self, labels: np.ndarray) -> np.ndarray:
        """Say which things on a page nothing may be pasted over, by their numbers in ``CLASSES``; bool [N]."""
        return (own_labels(labels, self.labels) >= 0) | (labels == IGNORED)


def paste(pixels: np.ndarray, boxes: np.ndarray, crop: Crop, g: np.random.Generator) -> np.ndarray | None:
    """Paste an object onto a page where there is none; return its box, [4] xyxy, or None where no place was found.

    Args:
        pixels: The page, uint8 [h, w, 3], changed in place.
        boxes: Where nothing may be pasted, [N, 4].
        crop: The object.
        g: Draws its size, its place and the grain of the paper.
    """
    height, width = pixels.shape[:2]
    ink, side = crop.ink()
    scale = max(height, width) / side * g.uniform(*SCALES)
    down, across = (round(edge * scale) for edge in ink.shape[:2])
    if min(down, across) < SMALLEST_SIDE or down > LARGEST * height or across > LARGEST * width:
        return None
    for _ in range(TRIES):
        x, y = int(g.integers(width - across + 1)), int(g.integers(height - down + 1))
        box = np.array([x, y, x + across, y + down])
        if not _near_any(box, boxes) and paper_around(pixels, box).mean() >= DARKEST:
            paint_over(pixels, box, g)
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            ink = cv2.resize(ink, (across, down), interpolation=method)
            place = pixels[y : y + down, x : x + across]
            place[:] = (place * ink).round().clip(0, 255)
            return box
    return None


def _near_any(box: np.ndarray, boxes: np.ndarray) -> bool:
    """Say whether a box [4] touches one of others [N, 4], or comes too near."""
    apart = (boxes[:, :2] >= box[2:] + APART) | (boxes[:, 2:] <= box[:2] - APART)
    return not apart.any(axis=1).all()

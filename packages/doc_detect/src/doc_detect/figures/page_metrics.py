"""What a person with a pile of pages feels: are the right pages found, and do the crops fit?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doc_detect.classes import CLASSES
from doc_detect.coco import CocoPage
from doc_detect.detectors.postprocess import box_iou
from doc_detect.figures.coco_metrics import SMALLEST, object_size

SURE = 0.5
"""Score from which a detection counts as found; the default of ``filter`` and ``crop``."""


@dataclass(frozen=True)
class PageScores:
    """One class on many pages: is it there, and how sure is the detector?"""

    present: np.ndarray
    """[P] bool: the page has an object of the class."""
    scores: np.ndarray
    """[P] the best score of the class on the page, 0 where nothing was found."""

    def average_precision(self, draws: np.ndarray) -> np.ndarray:
        """Return the average precision of ranking pages, on each draw of pages, [R]; NaN where none has the class.

        The mean precision over the pages that have the class, each at its own score; ties share their
        precision (scikit-learn's ``average_precision_score``).

        Args:
            draws: [R, P] how often each page is there.
        """
        order = np.argsort(-self.scores, kind="stable")
        scores, weights = self.scores[order], draws[:, order]
        last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
        true = np.cumsum(weights * self.present[order], axis=1)[:, last]
        precision = true / np.maximum(np.cumsum(weights, axis=1)[:, last], np.finfo(float).eps)
        gained = np.diff(true, prepend=0, axis=1)
        return _share((gained * precision).sum(axis=1), true[:, -1])

    def f1(self, draws: np.ndarray) -> np.ndarray:
        """Return F1 of calling pages with a score of :data:`SURE` or more, on each draw, [R]; NaN where none has the class.

        Args:
            draws: [R, P] how often each page is there.
        """
        called = self.scores >= SURE
        has = draws @ self.present
        return np.where(has > 0, _share(2 * (draws @ (called & self.present)), has + draws @ called), np.nan)


def page_scores(truth: Sequence[CocoPage], found: Sequence[CocoPage], label: str) -> PageScores:
    """Return for each page whether it has the class, and the best score of the class."""
    number = CLASSES.index(label)
    present = np.array([(page.labels == number).any() for page in truth], bool)
    best = [page.scores[page.labels == number].max(initial=0.0) for page in found if page.scores is not None]
    return PageScores(present, np.array(best, float))


@dataclass(frozen=True)
class CropFits:
    """How well the crops of one class fit the objects on each page."""

    total: np.ndarray
    """[P] sum over the page's objects of the IoU with the crop that fits best; 0 for a missed object."""
    objects: np.ndarray
    """[P] objects that count."""

    def mean(self, draws: np.ndarray) -> np.ndarray:
        """Return the mean IoU over all objects, on each draw of pages, [R]; NaN where there is none.

        Args:
            draws: [R, P] how often each page is there.
        """
        return _share(draws @ self.total, draws @ self.objects)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def crop_fits(truth: Sequence[CocoPage], found: Sequence[CocoPage], label: str) -> CropFits:
    """Compare each object of the protocol's size with the crops that ``crop`` would make of its page."""
    number = CLASSES.index(label)
    total, objects = np.zeros(len(truth)), np.zeros(len(truth))
    for index, (page, seen) in enumerate(zip(truth, found, strict=True)):
        boxes = page.boxes[page.labels == number]
        boxes = boxes[object_size(boxes, page) >= SMALLEST]
        assert seen.scores is not None
        crops = seen.boxes[(seen.labels == number) & (seen.scores >= SURE)]
        objects[index] = len(boxes)
        total[index] = box_iou(boxes, crops).max(axis=1, initial=0.0).sum()
    return CropFits(total, objects)

"""What a detector finds on pages of the target, taken for their labels: sure finds, doubtful ones and nothing."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from doc_detect.adaptation.base import Problem
from doc_detect.adaptation.criterion import SAME, SMALLER
from doc_detect.adaptation.target import TargetPage
from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, read_coco, write_coco
from doc_detect.detectors.base import Detector
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.onnx import PageDetector
from doc_detect.detectors.postprocess import box_iou
from doc_detect.detectors.torch import TorchDetector
from doc_detect.settings.adaptation import SelfTrainingConfig
from seminar_common.images import shrink
from seminar_common.progress import progress

PSEUDO_LABELS = "pseudo-labels.json"
"""In the run folder: what the source finds on the pages that are learned from, with its scores, as a COCO file. With
--agree, a sure find that is not there at the smaller size has the score of --doubt."""


def kept_finds(problem: Problem, detector: Detector, name: str = PSEUDO_LABELS) -> list[CocoPage]:
    """Return what a detector finds on all pages, or what a killed run has found and kept under ``name``.

    Args:
        problem: Whose pages to look at.
        detector: Looks at them; not asked where ``name`` is there.
        name: COCO file in the run folder.
    """
    stored = problem.folder / name
    if not stored.exists():
        seeing, pages = seen_by(detector, problem), []
        with progress("looking at target pages", len(problem.pages)) as advance:
            for page in problem.pages:
                pages.append(finds(seeing, page, problem.settings.self_training))
                advance(1)
        write_coco(stored, pages, {"name": "pseudo-labels"}, problem.source.labels)
    by_name = {page.file_name: page for page in read_coco(stored).pages}
    return [by_name[page.name] for page in problem.pages]


def seen_by(detector: Detector, problem: Problem) -> TorchDetector:
    """Return a detector as what looks at pages, its scores calibrated as the source's."""
    return TorchDetector(detector, next(detector.parameters()).device, scoring=problem.scoring)


def finds(detector: PageDetector, page: TargetPage, config: SelfTrainingConfig) -> CocoPage:
    """Return the sure and the doubtful finds of a page, in its own pixels, with their scores."""
    seen = page.read()
    found = detector.detect(seen)
    kept = found.scores >= config.doubt
    boxes, scores = found.boxes[kept].astype(np.float64), found.scores[kept].astype(np.float64)
    if config.agree:
        side = max(32, round(SMALLER * max(seen.pixels.shape[:2])))
        smaller = detector.detect(dataclasses.replace(seen, pixels=shrink(seen.pixels, side)))
        alone = ~found_again(Detections(boxes, scores, found.labels[kept]), smaller, config.doubt)
        scores[alone & (scores >= config.sure)] = config.doubt
    numbers = np.array([class_index(label) for label in detector.labels])
    return CocoPage(page.name, page.width, page.height, boxes, numbers[found.labels[kept]], scores)


def found_again(first: Detections, second: Detections, doubt: float) -> np.ndarray:
    """Say which finds have one of the same class, that scores ``doubt`` or more, in their place among others; bool [N]."""
    same = first.labels[:, None] == second.labels[None]
    there = same & (second.scores >= doubt)[None]
    return ((box_iou(first.boxes, second.boxes) >= SAME) & there).any(axis=1)


def scores_of(page: CocoPage) -> np.ndarray:
    """Return the scores of a page's finds, [N]."""
    return np.zeros(0) if page.scores is None else page.scores  # a file without a find has no scores


def count(found: Sequence[CocoPage], label: str, config: SelfTrainingConfig) -> Mapping[str, int]:
    """Return how many finds of a class are sure and doubtful, and on how many pages sure ones are."""
    scores = [scores_of(page)[page.labels == class_index(label)] for page in found]
    sure = [int((each >= config.sure).sum()) for each in scores]
    doubtful = sum(int(((each >= config.doubt) & (each < config.sure)).sum()) for each in scores)
    return {"sure": sum(sure), "doubtful": doubtful, "pages": sum(number > 0 for number in sure)}


def too_few(counts: Mapping[str, Mapping[str, int]], fewest: int) -> str:
    """Return the line that says that no class has enough sure finds."""
    best = max(counts, key=lambda label: counts[label]["sure"])
    return f"no class has {fewest} sure finds ({best} has {counts[best]['sure']})"

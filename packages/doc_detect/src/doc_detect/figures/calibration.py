"""Fit what scores mean, on held-out pages, and what margin people leave, on a few pages that they have drawn."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, CocoSet
from doc_detect.detectors.onnx import PageDetector
from doc_detect.detectors.postprocess import box_iou
from doc_detect.detectors.scoring import Scoring
from doc_detect.figures.coco_metrics import match_class
from doc_detect.figures.findings import WINDOW, find_on_pages, measured_labels
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.seeds import numpy_generator

LEAST = 10
"""Right and wrong detections of a class that there must be to fit its two numbers."""
FLOOR = 0.01
"""Detections that are wrong ninety-nine times of a hundred are not written. On pages of another kind than those that
scores were calibrated on, scores are lower: a floor of 0.05 cost three points of AP50 on old books."""
SURELY_IT = 0.4
"""IoU from which a detection is taken to be an object that a person drew, however much wider they drew it."""
CERTAIN = 0.2
"""Score from which a detection is compared with what people drew."""
PRIOR = 20
"""Objects of all classes together that a class's own margin is weighed against: with few of its own it follows them."""


def fit_scoring(detector: PageDetector, pages: CocoSet, limit: int | None = None) -> Scoring:
    """Return the calibration of each class on held-out pages, with the floor.

    Args:
        detector: One whose scores are raw.
        pages: Pages that it was not trained on.
        limit: Take the first so many.
    """
    pairs = list(find_on_pages(detector, pages, limit))
    truth, found = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    calibration = {}
    for label in measured_labels(truth, pages, detector.labels):
        matches = match_class(truth, found, label)
        counted = matches.counts[0]
        pair = fit_calibration(matches.scores[counted], matches.hit[0][counted])
        if pair is None:
            say(f"{label}: too few detections on the held-out pages to calibrate its scores, which stay raw")
        else:
            calibration[label] = pair
    return Scoring(calibration, FLOOR)


def fit_calibration(scores: np.ndarray, right: np.ndarray) -> tuple[float, float] | None:
    """Return the slope and offset that make ``sigmoid(slope * logit(score) + offset)`` the chance of being right.

    Maximum likelihood with Platt's targets, which keep a class of few examples from certainty.

    Args:
        scores: [D] raw scores.
        right: [D] bool.

    Returns:
        None where there are too few of either kind, or scores that tell nothing.
    """
    from scipy.optimize import minimize

    positive, negative = int(right.sum()), int((~right).sum())
    if min(positive, negative) < LEAST:
        return None
    raw = scores.astype(np.float64).clip(1e-6, 1 - 1e-6)
    logit = np.log(raw / (1 - raw))
    target = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(pair: np.ndarray) -> tuple[float, np.ndarray]:
        line = pair[0] * logit + pair[1]
        error = 1 / (1 + np.exp(-line)) - target
        value = float(np.mean(np.logaddexp(0, line) - target * line))
        return value, np.array([np.mean(error * logit), np.mean(error)])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True).x
    return (round(float(slope), 4), round(float(offset), 4)) if slope > 0 else None


def fit_margin(detector: PageDetector, pages: CocoSet, count: int, seed: int = 0) -> dict[str, float]:
    """Return by how much the boxes that people drew stand off ours, of each class, fitted on ``count`` pages.

    The pages are drawn at random, one of each book in turn, among those that hold an object of the detector's
    classes. A margin is the median over objects of the mean gap of the four sides, as a share of the longest side of
    what the detector saw; it is never below 0. That of a class is the mean of its own and of that of all classes, its
    own with the weight of its objects, the other with that of :data:`PRIOR`.

    Raises:
        UserError: no page has such an object, or nothing was found on them.
    """
    chosen = draw_pages(pages, detector.labels, count, seed)
    return margin_of([*find_on_pages(detector, chosen)], detector.labels, pages.path)


def margin_of(
    pairs: Sequence[tuple[CocoPage, CocoPage]], labels: Sequence[str], path: Path
) -> dict[str, float]:
    """Return what :func:`fit_margin` does, of pages with what was found on them.

    Args:
        pairs: Pages, and the same with what :func:`doc_detect.figures.findings.find_on_pages` found.
        labels: Classes of the detector.
        path: Where the pages are from, for the user.

    Raises:
        UserError: nothing was found on them.
    """
    gaps: dict[str, list[float]] = {label: [] for label in labels}
    for truth, found in pairs:
        for label, gap in _gaps(truth, found, labels):
            gaps[label].append(gap)
    every = [gap for of_label in gaps.values() for gap in of_label]
    if not every:
        raise UserError(
            f"{path}: nothing that is drawn on the {len(pairs)} pages was found; "
            "a margin needs pages with objects that the detector knows"
        )
    say(f"margin fitted on {len(pairs)} pages, {len(every)} objects")
    common = float(np.median(every))
    margins = {
        label: (len(own) * float(np.median(own or [common])) + PRIOR * common) / (len(own) + PRIOR)
        for label, own in gaps.items()
    }
    return {label: round(max(0.0, margin), 5) for label, margin in margins.items()}


def draw_pages(pages: CocoSet, labels: Sequence[str], count: int, seed: int, use: str = "margin") -> CocoSet:
    """Return at most ``count`` pages that hold an object, drawn at random, one of each book in turn.

    A smaller number of pages drawn with the same seed is the beginning of a larger one.

    Args:
        pages: The pages to draw from.
        labels: The classes, of which a page must hold one.
        count: How many.
        seed: With ``use``, names the stream of random numbers.
        use: What they are for.

    Raises:
        UserError: no page holds an object.
    """
    numbers = [class_index(label) for label in labels]
    books: dict[str, list[CocoPage]] = {}
    for page in pages.pages:
        if np.isin(page.labels, numbers).any():
            books.setdefault(str(page.facts.get("book", "")), []).append(page)
    if not books:
        raise UserError(f"{pages.path}: no page has one of {', '.join(labels)}")
    generator = numpy_generator(seed, use)
    piles = [[book[i] for i in generator.permutation(len(book))] for _, book in sorted(books.items())]
    piles = [piles[i] for i in generator.permutation(len(piles))]
    turns = [pile[turn] for turn in range(max(map(len, piles))) for pile in piles if turn < len(pile)]
    return dataclasses.replace(pages, pages=tuple(turns[:count]))


def _gaps(truth: CocoPage, found: CocoPage, labels: Sequence[str]) -> list[tuple[str, float]]:
    """Return the class and the mean gap of each object that was found, as a share of the window's longest side."""
    gaps = []
    assert found.scores is not None
    for label in labels:
        number = class_index(label)
        drawn = truth.boxes[truth.labels == number]
        ours = found.boxes[(found.labels == number) & (found.scores >= CERTAIN)]
        overlap = box_iou(drawn, ours)
        if not overlap.size:
            continue
        for row, best in enumerate(overlap.argmax(axis=1)):
            if overlap[row, best] >= SURELY_IT:
                outward = (drawn[row] - ours[best]) * np.array([-1, -1, 1, 1])
                gaps.append((label, float(outward.mean()) / float(found.facts[WINDOW])))
    return gaps

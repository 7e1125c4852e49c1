"""What a detector finds on labelled pages, beside the truth."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from doc_detect.classes import CLASSES, class_index
from doc_detect.coco import CocoPage, CocoSet
from doc_detect.detectors.onnx import PageDetector
from doc_detect.detectors.scoring import Scoring, widened
from doc_detect.figures.coco_metrics import SIZES, precision_table
from doc_detect.training.pages import read_labelled

WINDOW = "window_side"
"""Fact of a page that was looked at: the longest side of what was seen of it, in its own pixels."""

BOXES = "boxes"
"""Fact of a row: ``ink`` or, widened by the margin that people leave, ``drawn``."""


def find_on_pages(
    detector: PageDetector, pages: CocoSet, limit: int | None = None
) -> Iterator[tuple[CocoPage, CocoPage]]:
    """Yield each page as (truth, found), boxes in the pixels of the truth."""
    numbers = np.array([class_index(label) for label in detector.labels])
    for page in pages.pages[:limit]:
        seen, truth = read_labelled(pages, page, detector.size, detector.trim)
        found = detector.detect(seen)
        boxes, scores = found.boxes.astype(np.float64), found.scores.astype(np.float64)
        facts = {**truth.facts, WINDOW: seen.window_side}
        yield (
            truth,
            dataclasses.replace(truth, boxes=boxes, labels=numbers[found.labels], scores=scores, facts=facts),
        )


def as_drawn(pages: Sequence[CocoPage], scoring: Scoring) -> list[CocoPage]:
    """Return what :func:`find_on_pages` found with boxes as people would draw them, wider by each class's margin."""
    shares = np.array([scoring.margin.get(label, 0.0) for label in CLASSES])
    return [
        dataclasses.replace(
            page,
            boxes=widened(
                page.boxes, page.labels, shares, float(page.facts[WINDOW]), (page.width, page.height)
            ),
        )
        for page in pages
    ]


def drawn_too(
    found: Sequence[CocoPage], scoring: Scoring
) -> Iterator[tuple[Mapping[str, str], Sequence[CocoPage]]]:
    """Yield facts of a row and what was found: with boxes of ink, and as people draw them where that is known."""
    if not scoring.margin:
        yield {}, found
        return
    yield {BOXES: "ink"}, found
    yield {BOXES: "drawn"}, as_drawn(found, scoring)


def measured_labels(truth: Sequence[CocoPage], pages: CocoSet, known: Iterable[str]) -> list[str]:
    """Return the classes that a detector knows, that the set labels and that are on its pages."""
    there = {CLASSES[number] for page in truth for number in page.labels if number >= 0}
    return [label for label in known if label in pages.labelled and label in there]


def shared_labels(known: Iterable[str], sets: Iterable[CocoSet], truth: Sequence[CocoPage]) -> list[str]:
    """Return the classes of ``known`` that every set labels and that are on the pages ``truth``, in our order."""
    labels = set(known)
    for pages in sets:
        labels &= set(measured_labels(truth, pages, labels))
    return [name for name in CLASSES if name in labels]


def quick_figures(detector: PageDetector, pages: CocoSet, limit: int) -> dict[str, float]:
    """Return the mean ``ap`` and ``ap50`` and each class's AP50 on the first pages, to watch a training by."""
    pairs = list(find_on_pages(detector, pages, limit))
    truth, found = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    labels = measured_labels(truth, pages, detector.labels)
    if not labels:
        return {}
    table = precision_table(truth, found, labels)[..., list(SIZES).index("protocol")]
    values = {label: table[:, :, i].mean(axis=1) for i, label in enumerate(labels) if table[0, 0, i] >= 0}
    if not values:
        return {}
    mean = np.mean(list(values.values()), axis=0)
    figures = {"ap": float(mean.mean()), "ap50": float(mean[0])}
    return figures | {f"ap50_{label}": float(each[0]) for label, each in values.items()}

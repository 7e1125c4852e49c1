"""Average precision of boxes, as COCO defines it, through faster-coco-eval; and the same under resampling.

An object's size here is its shorter side as a share of the page's height, not its area in pixels: scans come in
all resolutions. The protocol ignores objects under 2%: specks that annotators label or leave out at will. That
is, they count neither as missed nor, where something is found on them, as false, and neither does a detection of
that size that fits nothing.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from doc_detect.classes import CLASSES, TEXT_CLASSES
from doc_detect.coco import IGNORED, CocoPage
from doc_detect.detectors.postprocess import box_iou

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100
"""Detections of a class that count on a page."""
SMALLEST = 0.02
"""Shorter side as a share of the page's height from which an object counts."""
SIZES: Mapping[str, tuple[float, float]] = {
    "protocol": (SMALLEST, 1e5),
    "unfiltered": (0.0, 1e5),
    "small": (SMALLEST, 0.08),
    "medium": (0.08, 0.25),
    "large": (0.25, 1e5),
}
"""Ranges of size that AP is computed for."""


def object_size(boxes: np.ndarray, page: CocoPage) -> np.ndarray:
    """Return the shorter side of boxes [N, 4] as a share of the page's height, [N]."""
    return (boxes[:, 2:] - boxes[:, :2]).min(axis=1) / page.height


def precision_table(
    truth: Sequence[CocoPage], found: Sequence[CocoPage], labels: Sequence[str]
) -> np.ndarray:
    """Return COCO's interpolated precision, [10 IoUs, 101 recalls, classes, sizes]; -1 where there is no object.

    Args:
        truth: Pages with their objects.
        found: The same pages in the same order with what was detected, scores included.
        labels: The classes to measure.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval_faster(*coco_pair(truth, found, labels, COCO), "bbox", print_function=_silent)
        set_parameters(evaluation.params)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0]


def _silent(*_: object) -> None:
    """Swallow the library's progress messages."""


def set_parameters(params: Any) -> None:
    """Give COCO's evaluation our ranges of size; they stand in the place of its areas."""
    params.iouThrs, params.maxDets = IOU_THRESHOLDS, [MAX_DETECTIONS]
    params.areaRng = [list(limits) for limits in SIZES.values()]
    params.areaRngLbl = list(SIZES)


def coco_pair(
    truth: Sequence[CocoPage], found: Sequence[CocoPage], labels: Sequence[str], api: type
) -> tuple[Any, Any]:
    """Return truth and detections as two objects of ``api``, a COCO class of pycocotools or faster-coco-eval."""
    categories = [{"id": i, "name": name} for i, name in enumerate(labels, 1)]
    images = [{"id": i, "width": p.width, "height": p.height} for i, p in enumerate(truth, 1)]
    pair = []
    for pages, is_truth in ((truth, True), (found, False)):
        annotations = [a for i, p in enumerate(pages, 1) for a in _annotations(i, p, labels, is_truth)]
        for number, annotation in enumerate(annotations, 1):
            annotation["id"] = number
        coco = api()
        coco.dataset = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        coco.createIndex()
        pair.append(coco)
    return pair[0], pair[1]


def _annotations(image: int, page: CocoPage, labels: Sequence[str], is_truth: bool) -> list[dict[str, Any]]:
    annotations = []
    for category, name in enumerate(labels, 1):
        rows = np.flatnonzero(page.labels == CLASSES.index(name))
        annotations += [_annotation(image, category, page, row, 0) for row in rows]
        if is_truth and name in TEXT_CLASSES:
            rows = np.flatnonzero(page.labels == IGNORED)
            annotations += [_annotation(image, category, page, row, 1) for row in rows]
    return annotations


def _annotation(image: int, category: int, page: CocoPage, row: int, crowd: int) -> dict[str, Any]:
    box = page.boxes[row]
    x1, y1, x2, y2 = map(float, box)
    entry: dict[str, Any] = {"image_id": image, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    entry |= {"area": float(object_size(box[None], page)[0]), "iscrowd": crowd, "ignore": crowd}
    if page.scores is not None:
        entry["score"] = float(page.scores[row])
    return entry


@dataclass(frozen=True)
class ClassMatches:
    """Every detection of one class with what it hit, best first: enough to compute AP on any resample of pages."""

    page: np.ndarray
    """[D] number of the page."""
    scores: np.ndarray
    """[D] its score."""
    hit: np.ndarray
    """[10, D] whether it is true at each IoU."""
    counts: np.ndarray
    """[10, D] whether it counts at all: False where it lies on something ignored."""
    objects: np.ndarray
    """[pages] objects of the class that count."""

    def average_precision(self, draws: np.ndarray) -> np.ndarray:
        """Return AP at each IoU on each draw of pages, [R, 10]; NaN where a draw has no object.

        It is the mean over 101 recalls of the best precision at that recall or a higher one.

        Args:
            draws: [R, P] how often each page is there, whole numbers.
        """
        few = max(1, _AT_ONCE // max(1, len(self.page)))
        parts = [self._average_precision(draws[start : start + few]) for start in range(0, len(draws), few)]
        return np.concatenate(parts)

    def _average_precision(self, draws: np.ndarray) -> np.ndarray:
        totals = np.rint(draws @ self.objects).astype(np.int64)
        needed = _needed(totals)
        # The order by score is that of all pages, whichever are drawn: no resample needs to match or sort again.
        each = np.rint(draws[:, self.page]).astype(np.int64)
        precision = np.full((len(draws), len(IOU_THRESHOLDS)), np.nan)
        for level, (hit, counts) in enumerate(zip(self.hit, self.counts, strict=True)):
            true, counted = np.cumsum(each * (hit & counts), axis=1), np.cumsum(each * counts, axis=1)
            best = np.zeros((len(draws), len(self.page) + 1))
            best[:, :-1] = true / np.maximum(counted, 1)
            best = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]
            # Recalls that are never reached count as precision 0: COCO's average is over all 101, reached or not.
            precision[:, level] = np.take_along_axis(best, _reached(true, needed, totals), axis=1).mean(
                axis=1
            )
        precision[totals == 0] = np.nan
        return precision


_AT_ONCE = 1_000_000
"""Detections of all draws that are counted together: some tens of megabytes."""


def _needed(totals: np.ndarray) -> np.ndarray:
    """Return the true detections that it takes to reach each of 101 recalls of so many objects, [R, 101]."""
    # Quotients are compared as COCO does; from here on all are whole numbers, which are exact.
    each, place = np.unique(totals, return_inverse=True)
    table = [np.searchsorted(np.arange(total + 1) / max(total, 1), RECALLS) for total in each]
    return np.stack(table)[place]


def _reached(true: np.ndarray, needed: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the first place of each line of ``true`` [R, D], which rises, with each of ``needed``, [R, 101]; D for none.

    All lines are searched at once, as one that goes on from each to the next above all that is needed before.
    """
    start = np.concatenate([[0], np.cumsum(totals + 2)[:-1]])[:, None]
    lines = np.arange(len(true))[:, None]
    return np.searchsorted((true + start).ravel(), needed + start) - lines * true.shape[1]


def match_class(truth: Sequence[CocoPage], found: Sequence[CocoPage], label: str) -> ClassMatches:
    """Match the detections of one class with its objects by COCO's rules, in the protocol's range of size."""
    pages, scores, hits, counts = [], [], [], []
    objects = np.zeros(len(truth))
    for number, (true, seen) in enumerate(zip(truth, found, strict=True)):
        boxes, ignored, crowd = _objects(true, label)
        objects[number] = (~ignored).sum()
        rows = np.flatnonzero(seen.labels == CLASSES.index(label))
        assert seen.scores is not None
        rows = rows[np.argsort(-seen.scores[rows], kind="mergesort")][:MAX_DETECTIONS]
        hit, count = _match_page(seen.boxes[rows], object_size(seen.boxes[rows], true), boxes, ignored, crowd)
        pages.append(np.full(len(rows), number))
        scores.append(seen.scores[rows])
        hits.append(hit)
        counts.append(count)
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    joined = (np.concatenate(hits, axis=1)[:, order], np.concatenate(counts, axis=1)[:, order])
    return ClassMatches(np.concatenate(pages)[order], np.concatenate(scores)[order], *joined, objects)


def _objects(page: CocoPage, label: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes [N, 4] of a class, which of them are ignored and which of those are regions; counted ones first."""
    own = np.flatnonzero(page.labels == CLASSES.index(label))
    regions = np.flatnonzero(page.labels == IGNORED) if label in TEXT_CLASSES else own[:0]
    rows = np.concatenate([own, regions])
    crowd = np.arange(len(rows)) >= len(own)
    ignored = crowd | (object_size(page.boxes[rows], page) < SMALLEST)
    order = np.argsort(ignored, kind="mergesort")
    return page.boxes[rows][order], ignored[order], crowd[order]


def _match_page(
    found: np.ndarray, sizes: np.ndarray, boxes: np.ndarray, ignored: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each IoU and each detection, best first, whether it hits and whether it counts, both [10, D]."""
    overlap = _overlap(found, boxes, crowd)
    hit = np.zeros((len(IOU_THRESHOLDS), len(found)), bool)
    counts = np.tile(sizes >= SMALLEST, (len(IOU_THRESHOLDS), 1))  # of what matches nothing
    near = np.flatnonzero(overlap.max(axis=1, initial=0.0) >= IOU_THRESHOLDS[0])
    for level, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(boxes), bool)
        for index in near:
            best = _best_object(overlap[index], free, ignored, min(threshold, 1 - 1e-10))
            if best >= 0:
                free[best] = crowd[best]  # a region takes any number of detections, an object one
                hit[level, index] = counts[level, index] = not ignored[best]
    return hit, counts


def _overlap(found: np.ndarray, boxes: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Return IoU [D, N]; with a region, the share of the detection that lies in it."""
    overlap = box_iou(found, boxes)
    if crowd.any() and len(found):
        area = (found[:, 2:] - found[:, :2]).prod(axis=1)[:, None]
        theirs = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[None]
        inner = overlap * (area + theirs) / (1 + overlap)
        overlap = np.where(crowd, inner / area, overlap)
    return overlap


def _best_object(overlap: np.ndarray, free: np.ndarray, ignored: np.ndarray, threshold: float) -> int:
    """Return the free object that overlaps most, the counted ones before the ignored ones; -1 if none is enough."""
    for group in (~ignored, ignored):
        candidates = np.flatnonzero(free & group & (overlap >= threshold))
        if len(candidates):
            best = overlap[candidates]
            return int(
                candidates[len(best) - 1 - np.argmax(best[::-1])]
            )  # of equals the last, as pycocotools
    return -1

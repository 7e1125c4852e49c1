"""From raw boxes to detections, in NumPy: the same for a model in PyTorch and for an ONNX file.

The model answers with boxes and the score of each class for every position. Here each class's boxes are thinned
out by non-maximum suppression, each box that stays becomes the mean of those it stands for, and where two classes
claim one thing the weaker claim loses score.
"""

import numpy as np

CANDIDATES = 500
"""Boxes of a class that are looked at on a page: those that score highest."""
VOTE_IOU = 0.7
"""Boxes that overlap a kept one by more than this have a vote on where its edges are."""


def detections(
    boxes: np.ndarray,
    scores: np.ndarray,
    *,
    score_threshold: float,
    nms_iou: float,
    max_detections: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the detections of one page, best first.

    Args:
        boxes: [N, 4] absolute xyxy.
        scores: [N, C] score of each class, 0..1.
        score_threshold: Lower scores are dropped.
        nms_iou: Of two boxes of one class that overlap more than this, the better one stays.
        max_detections: How many are kept over all classes.

    Returns:
        Boxes [K, 4] float32, scores [K] float32 and class numbers [K] int64.
    """
    # A network can put the left edge right of the right one; such a box has no area and would overlap nothing.
    solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (scores.max(axis=1, initial=0.0) >= score_threshold)
    boxes, scores = boxes[solid].astype(np.float64), scores[solid]
    parts = [
        _one_class(boxes, scores[:, label], label, score_threshold, nms_iou, max_detections)
        for label in range(scores.shape[1])
    ]
    kept_boxes, kept_scores, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept_scores = compete(kept_boxes, kept_scores, labels)
    # A stable sort, so that equal scores come in the same order on every machine and from every engine.
    order = np.argsort(-kept_scores, kind="stable")
    order = order[kept_scores[order] >= score_threshold][:max_detections]
    return kept_boxes[order].astype(np.float32), kept_scores[order].astype(np.float32), labels[order]


def _one_class(
    boxes: np.ndarray, scores: np.ndarray, label: int, threshold: float, nms_iou: float, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    candidates = np.flatnonzero(scores >= threshold)
    candidates = candidates[np.argsort(-scores[candidates], kind="stable")][:CANDIDATES]
    boxes, scores = boxes[candidates], scores[candidates].astype(np.float64)
    single = boxes.astype(np.float32)  # half the time, and exact enough to compare with a threshold
    overlap = box_iou(single, single)
    kept = _suppress(overlap, nms_iou)[:limit]
    # All candidates have a vote, also those that were suppressed: they saw the same edges from other positions.
    voted = vote(overlap[kept], boxes, scores)
    return voted, scores[kept], np.full(len(kept), label, np.int64)


def compete(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the scores lowered by what other classes say with more certainty about the same place, [N].

    Classes are scored independently, so an ornate initial is also, with half the score, an illustration and a
    stamp; but a thing is of one class. Every box of another class that scores higher takes its score times the
    overlap off, ``s_i <- s_i * prod_j (1 - IoU_ij * s_j)``: the linear decay of Bodla et al. 2017, "Soft-NMS",
    equation 2, between classes in place of within one, and weighted by how certain the winner is.

    Args:
        boxes: [N, 4] absolute xyxy.
        scores: [N], 0..1.
        labels: [N] class numbers.
    """
    overlap = box_iou(boxes, boxes)
    # Strictly better rivals alone: of two equal claims each would lower the other, and both might go.
    rivals = (labels[:, None] != labels[None]) & (scores[None] > scores[:, None])
    return scores * np.where(rivals, 1 - overlap * scores[None], 1.0).prod(axis=1)


def _suppress(overlap: np.ndarray, nms_iou: float) -> np.ndarray:
    """Return which of the boxes, best first, stay, given the IoU [N, N] of each pair."""
    # Best first: whatever suppresses a box stands before it. One turn for each box that stays.
    alive, kept = np.ones(len(overlap), bool), []
    while alive.any():
        index = int(alive.argmax())
        kept.append(index)
        alive &= overlap[index] <= nms_iou
        alive[index] = False  # a box always goes with itself, whatever rounding says of its own overlap
    return np.array(kept, np.int64)


def vote(overlap: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return each kept box as the mean of all boxes near it, weighted by score and overlap, [K, 4].

    Source: Gidaris & Komodakis 2015, "Object detection via a multi-region & semantic segmentation-aware CNN
    model", section 5.

    Args:
        overlap: [K, N] IoU of the kept boxes with all boxes.
        boxes: [N, 4], the kept ones among them.
        scores: [N].
    """
    weights = np.where(overlap > VOTE_IOU, overlap * scores, 0)
    return weights @ boxes / weights.sum(axis=1, keepdims=True)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each pair of boxes, [A, B]; boxes without area overlap nothing."""
    # A plane for each coordinate: arrays [A, B, 2] took several times as long, half of a page's time.
    ax, ay, ar, ab = (np.ascontiguousarray(part)[:, None] for part in a.T)
    bx, by, br, bb = (np.ascontiguousarray(part)[None] for part in b.T)
    inner = np.maximum(np.minimum(ar, br) - np.maximum(ax, bx), 0)
    inner *= np.maximum(np.minimum(ab, bb) - np.maximum(ay, by), 0)
    union = (ar - ax) * (ab - ay) + (br - bx) * (bb - by) - inner
    return inner / np.maximum(union, np.finfo(inner.dtype).tiny, out=union)

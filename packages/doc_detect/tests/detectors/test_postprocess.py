import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from torchvision.ops import batched_nms
from torchvision.ops import box_iou as reference_iou

from doc_detect.detectors.postprocess import VOTE_IOU, box_iou, compete, detections, vote

SETTINGS = {"score_threshold": 0.05, "nms_iou": 0.5, "max_detections": 50}


def raw(seed: int, count: int = 300, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    corner = generator.uniform(0, 200, (count, 2))
    boxes = np.concatenate([corner, corner + generator.uniform(20, 90, (count, 2))], axis=1)
    return boxes.astype(np.float32), generator.random((count, classes)).astype(np.float32) ** 3


@pytest.mark.parametrize("seed", range(3))
def test_what_stays_is_what_torchvision_keeps(seed: int) -> None:
    boxes, scores = raw(seed)
    part = np.arange(len(boxes)) % scores.shape[1]  # the classes lie apart, so that none has a say in another
    boxes, scores = boxes + 1000 * part[:, None], np.where(part[:, None] == np.arange(3), scores, 0)
    boxes, scores = boxes.astype(np.float32), scores.astype(np.float32)
    _, kept, labels = detections(boxes, scores, **SETTINGS)
    at, label = np.nonzero(scores >= 0.05)
    all_scores = torch.from_numpy(scores[at, label])
    order = batched_nms(torch.from_numpy(boxes[at]), all_scores, torch.from_numpy(label), 0.5)[:50]
    np.testing.assert_array_equal(kept, all_scores[order].numpy())
    np.testing.assert_array_equal(labels, label[order.numpy()])


def test_a_kept_box_is_the_weighted_mean_of_those_it_stands_for() -> None:
    boxes = np.array([[0, 0, 100, 100], [0, 0, 100, 110], [300, 300, 400, 400.0]])
    scores = np.array([0.8, 0.4, 0.9])
    iou = 100 / 110
    expected = (0.8 * 100 + 0.4 * iou * 110) / (0.8 + 0.4 * iou)
    voted = vote(box_iou(boxes[:1], boxes), boxes, scores)
    np.testing.assert_allclose(voted, [[0, 0, 100, expected]])
    assert iou > VOTE_IOU


def test_of_two_classes_in_one_place_the_weaker_loses_and_what_lies_apart_does_not() -> None:
    boxes = np.array([[0, 0, 100, 100], [0, 0, 100, 80], [0, 0, 100, 100], [200, 0, 300, 100.0]])
    scores, labels = np.array([0.9, 0.5, 0.4, 0.3]), np.array([1, 0, 1, 0])
    lowered = compete(boxes, scores, labels)
    # The third is of the winner's class; the second, 0.8 of it, takes from it all the same.
    np.testing.assert_allclose(lowered, [0.9, 0.5 * (1 - 0.8 * 0.9), 0.4 * (1 - 0.8 * 0.5), 0.3])


def test_a_detection_whose_score_falls_below_the_threshold_is_dropped() -> None:
    boxes = np.array([[0, 0, 100, 100], [0, 0, 100, 100]], np.float32)
    _, kept, labels = detections(boxes, np.array([[0.95, 0.1], [0, 0]], np.float32), **SETTINGS)
    assert labels.tolist() == [0] and kept.tolist() == pytest.approx([0.95])


def test_overlap_equals_that_of_torchvision_and_is_zero_without_area() -> None:
    (a, _), (b, _) = raw(0, 40), raw(1, 30)
    expected = reference_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(box_iou(a, b), expected, atol=1e-6)
    assert box_iou(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_boxes_without_area_and_low_scores_are_dropped() -> None:
    boxes = np.array([[5, 5, 5, 9], [9, 9, 5, 12], [0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    scores = np.array([[0.9], [0.9], [0.04], [0.05]], np.float32)
    found, kept, labels = detections(boxes, scores, **SETTINGS)
    np.testing.assert_allclose(found, boxes[3:])
    assert kept.tolist() == pytest.approx([0.05]) and labels.tolist() == [0]


def test_nothing_found_is_three_empty_arrays() -> None:
    found, scores, labels = detections(np.zeros((0, 4)), np.zeros((0, 2)), **SETTINGS)
    assert found.shape == (0, 4) and scores.shape == labels.shape == (0,)

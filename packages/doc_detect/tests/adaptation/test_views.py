"""A view shows what its marks say."""

import pytest

pytest.importorskip("torch")

import cv2
import numpy as np

from doc_detect.adaptation.views import Marks, paint_over, strong_view
from doc_detect.settings.adaptation import ViewConfig

NONE = np.zeros((0, 4))


def page() -> tuple[np.ndarray, Marks]:
    """White paper with a dark block of each class, well apart."""
    pixels = np.full((400, 280, 3), 235, np.uint8)
    boxes = np.array([[40.0, 50, 140, 130], [180, 250, 230, 330]])
    for x1, y1, x2, y2 in boxes.astype(int):
        pixels[y1:y2, x1:x2] = 15
    return pixels, Marks(boxes, np.array([1, 0]), np.array([[10.0, 350, 60, 390]]))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [256, 400])
def test_boxes_go_where_their_objects_go(size: int, seed: int) -> None:
    pixels, marks = page()
    view, moved = strong_view(pixels, marks, size, ViewConfig(), np.random.default_rng(seed))
    assert 0.75 * size < max(view.shape[:2]) < 1.18 * size
    assert list(moved.labels) == [1, 0] and len(moved.unknown) == 1
    grey = cv2.GaussianBlur(view, (0, 0), 1).mean(axis=2)
    dark = grey < (grey.max() + grey.min()) / 2
    for box in moved.boxes:
        x1, y1, x2, y2 = np.round(box).astype(int)
        around = np.zeros_like(dark)
        around[max(0, y1 - 6) : y2 + 6, max(0, x1 - 6) : x2 + 6] = True
        rows, columns = np.nonzero(dark & around)
        seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.array(seen) - box).max() < 4
    # Never mirrored: the first block lies left of and above the second one.
    assert (moved.boxes[0, :2] < moved.boxes[1, :2]).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_page_that_is_moved_is_not_cut(seed: int) -> None:
    pixels = np.full((300, 200, 3), 235, np.uint8)
    edges = np.array([[0.0, 0, 20, 20], [180, 280, 200, 300]])
    marks = Marks(edges, np.array([0, 0]), NONE)
    _, moved = strong_view(pixels, marks, 300, ViewConfig(1, 1, 0.1, 0), np.random.default_rng(seed))
    np.testing.assert_allclose(moved.boxes[:, 2:] - moved.boxes[:, :2], 20)


def test_what_has_left_the_view_is_no_object() -> None:
    pixels, _ = page()
    marks = Marks(np.array([[-90.0, 10, 10, 60]]), np.array([0]), NONE)
    _, moved = strong_view(pixels, marks, 400, ViewConfig(1, 1, 0, 0), np.random.default_rng(0))
    assert not len(moved.boxes)
    np.testing.assert_allclose(moved.unknown, [[0, 10, 10, 60]], atol=0.1)


def test_a_view_depends_on_its_generator_alone() -> None:
    pixels, marks = page()
    one, two, other = (
        strong_view(pixels, marks, 256, ViewConfig(), np.random.default_rng(seed))[0] for seed in (3, 3, 4)
    )
    assert np.array_equal(one, two) and not (one.shape == other.shape and np.array_equal(one, other))


def test_paint_is_the_paper_around_a_place_not_its_ink() -> None:
    pixels, marks = page()
    pixels[150:240:6, 20:260] = 30  # lines of text
    pixels[:, 140:] = np.minimum(pixels[:, 140:], 200)  # darker paper on the right
    before = pixels.copy()
    for box in marks.boxes:
        paint_over(pixels, box, np.random.default_rng(0))
    assert abs(float(pixels[60:120, 50:130].mean()) - 235) < 12
    assert abs(float(pixels[260:320, 190:220].mean()) - 200) < 5
    assert np.array_equal(pixels[150:240], before[150:240])
    paint_over(pixels, np.array([-50.0, -50, -10, -10]), np.random.default_rng(0))  # off the page
    paint_over(pixels, np.array([0.0, 0, 280, 400]), np.random.default_rng(0))  # nothing is around it

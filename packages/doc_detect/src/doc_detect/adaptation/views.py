"""Views of a page for a student: other light, another size, moved and turned a little, never mirrored."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from doc_detect.settings.adaptation import ViewConfig

VISIBLE = 0.5
"""Share of an object that must be left on a view; of one that has less, the rest is a place of which nothing is known."""
Pixels = np.ndarray


@dataclass(frozen=True)
class Marks:
    """What is known of the places on a picture; boxes are xyxy in its pixels."""

    boxes: np.ndarray
    """[N, 4] objects."""
    labels: np.ndarray
    """[N] their classes, numbers of the detector's."""
    unknown: np.ndarray
    """[M, 4] places of which nothing is known."""


def strong_view(
    pixels: Pixels, marks: Marks, size: int, config: ViewConfig, g: np.random.Generator
) -> tuple[Pixels, Marks]:
    """Return a view of a picture, uint8 [h, w, 3], with a longest side of about ``size``, and what is known of it."""
    side = max(pixels.shape[:2])
    scale = min(size, side) / side * g.uniform(config.smallest, config.largest)
    height, width = (max(32, round(edge * scale)) for edge in pixels.shape[:2])
    turn = cv2.getRotationMatrix2D((0, 0), g.uniform(-config.rotation, config.rotation), scale)
    middle = np.array([pixels.shape[1] / 2, pixels.shape[0] / 2])
    shift = np.round(g.uniform(-config.shift, config.shift, 2) * max(height, width))
    turn[:, 2] = np.array([width / 2, height / 2]) + shift.clip(0) - turn[:, :2] @ middle
    across, down = width + abs(int(shift[0])), height + abs(int(shift[1]))  # moved, nothing of it is cut off
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    # Averaging comes first: a warp alone would leave out pixels.
    smaller = cv2.resize(pixels, (width, height), interpolation=method)
    back = np.diag([pixels.shape[1] / width, pixels.shape[0] / height, 1.0])
    view = cv2.warpAffine(
        smaller,
        (np.vstack([turn, [0, 0, 1]]) @ back)[:2],
        (across, down),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=tuple(float(value) for value in _border_colour(smaller)),
    )
    return _in_other_light(view, g), _moved(marks, turn, across, down)


def _moved(marks: Marks, turn: np.ndarray, width: int, height: int) -> Marks:
    boxes, whole = _moved_boxes(marks.boxes, turn, width, height)
    unknown, _ = _moved_boxes(marks.unknown, turn, width, height)
    left = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) >= VISIBLE * whole
    return Marks(boxes[left], marks.labels[left], np.concatenate([unknown, boxes[~left]]))


def _moved_boxes(
    boxes: np.ndarray, turn: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes round moved boxes [N, 4], cut at the view's edges, and their areas before that, [N]."""
    x, y = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]
    corners = np.einsum("ij,njk->nik", turn, np.stack([x, y, np.ones_like(x)], axis=1))
    moved = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=1)
    whole = (moved[:, 2:] - moved[:, :2]).prod(axis=1)
    return moved.clip(0, np.array([width, height] * 2)), whole


def _border_colour(pixels: Pixels) -> np.ndarray:
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return np.median(np.concatenate(edges), axis=0)


def _in_other_light(pixels: Pixels, g: np.random.Generator) -> Pixels:
    """Return a picture as another camera would have it."""
    picture = pixels.astype(np.float32) / 255
    picture = picture ** math.exp(g.uniform(-0.35, 0.35))
    picture = (picture - 0.5) * g.uniform(0.75, 1.25) + 0.5 + g.uniform(-0.1, 0.1)
    picture = picture * g.uniform(0.94, 1.06, 3).astype(np.float32)
    for chance, change in ((0.3, _grey), (0.3, _shaded), (0.3, _blurred), (0.5, _noisy)):
        if g.random() < chance:
            picture = change(picture, g)
    result = (picture.clip(0, 1) * 255).astype(np.uint8)
    return _compressed(result, g) if g.random() < 0.3 else result


def _grey(picture: Pixels, g: np.random.Generator) -> Pixels:
    return np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)


def _shaded(picture: Pixels, g: np.random.Generator) -> Pixels:
    height, width = picture.shape[:2]
    corners = g.uniform(0.8, 1.1, (2, 2)).astype(np.float32)
    return picture * cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]


def _blurred(picture: Pixels, g: np.random.Generator) -> Pixels:
    return cv2.GaussianBlur(picture, (0, 0), g.uniform(0.3, 1.0))


def _noisy(picture: Pixels, g: np.random.Generator) -> Pixels:
    return picture + g.normal(0, g.uniform(0.004, 0.03), picture.shape).astype(np.float32)


def _compressed(pixels: Pixels, g: np.random.Generator) -> Pixels:
    _, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, int(g.integers(40, 91))))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def paint_over(pixels: Pixels, box: np.ndarray, g: np.random.Generator) -> None:
    """Paint a place on a picture over with the paper around it.

    Args:
        pixels: uint8 [h, w, 3], changed in place.
        box: xyxy.
        g: Draws the paper's grain.
    """
    x1, y1, x2, y2 = _widened(box, pixels)
    if x2 <= x1 or y2 <= y1:
        return
    paper = paper_around(pixels, box)
    grain = g.normal(0, 1, (y2 - y1, x2 - x1, 1)) * min(8.0, float(paper.std(axis=0).mean()))
    pixels[y1:y2, x1:x2] = (np.median(paper, axis=0) + grain).clip(0, 255)


def paper_around(pixels: Pixels, box: np.ndarray) -> np.ndarray:
    """Return the colours of the lightest pixels around a place on a picture, float32 [N, 3]: text around is darker."""
    x1, y1, x2, y2 = _widened(box, pixels)
    reach = max(4, round(0.15 * max(x2 - x1, y2 - y1)))
    top, left = max(0, y1 - reach), max(0, x1 - reach)
    around = pixels[top : y2 + reach, left : x2 + reach].astype(np.float32)
    ring = np.ones(around.shape[:2], bool)
    ring[y1 - top : y2 - top, x1 - left : x2 - left] = False
    values = around[ring] if ring.any() else around.reshape(-1, 3)
    light = values.mean(axis=1)
    return values[light >= np.quantile(light, 0.6)]


def _widened(box: np.ndarray, pixels: Pixels) -> tuple[int, int, int, int]:
    """Return a box with two pixels around it, cut at the picture's edges; of one off the picture nothing is left."""
    height, width = pixels.shape[:2]
    x1, y1 = (max(0, math.floor(edge) - 2) for edge in box[:2])
    x2, y2 = (min(most, math.ceil(edge) + 2) for edge, most in zip(box[2:], (width, height), strict=True))
    return x1, y1, x2, y2

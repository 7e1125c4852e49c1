"""Small ornament: printers' pieces one by one, in rows, triangles and lozenges, narrow strips, small devices.

Functions return [H, W] uint8, black on white.
"""

import math

import cv2
import numpy as np

from doc_detect.synthesis.art import ornament
from doc_detect.synthesis.art.ornament import FLOWERS, Field, blank
from doc_detect.synthesis.fonts import covers

Generator = np.random.Generator
_LARGE = 96
"""Height in pixels at which a piece is drawn before it is scaled down."""


def piece(size: int, g: Generator, face: str) -> np.ndarray:
    """Return one printer's ornament ``size`` pixels high: a flower out of the font, or a cut piece.

    Args:
        size: Height, px, 4 or more.
        g: The only source of chance.
        face: Font of type flowers; a font without them is passed over.
    """
    signs = covers(face, FLOWERS)
    if signs and g.random() < 0.35:
        large = ornament.drawn(face, signs[int(g.integers(len(signs)))])
    else:
        makers = (_rosette, _leaves, _lily, _acorn, _knot, _star, _moresque, _vase)
        large = makers[int(g.integers(len(makers)))](g)
        large = _cut(large)
    width = int(np.clip(round(size * large.shape[1] / large.shape[0]), 3, 4 * size))
    return cv2.resize(large, (width, max(4, size)), interpolation=cv2.INTER_AREA)


def _cut(art: np.ndarray) -> np.ndarray:
    """Cut an ornament to its ink."""
    rows, columns = np.flatnonzero((art < 128).any(1)), np.flatnonzero((art < 128).any(0))
    if not len(rows):
        return art
    return art[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _field() -> tuple[np.ndarray, int]:
    return blank(_LARGE, _LARGE), _LARGE // 2


def _turn(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _fill(canvas: np.ndarray, points: np.ndarray, hollow: bool) -> None:
    polygon = [np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)]
    cv2.fillPoly(canvas, polygon, 255 if hollow else 0, cv2.LINE_AA, 4)
    cv2.polylines(canvas, polygon, True, 0, 3, cv2.LINE_AA, 4)


def _petal(length: float, wide: float, pointed: float) -> np.ndarray:
    """Return a petal [22, 2] that grows from the origin to the right."""
    t = np.linspace(0, 1, 11)
    half = np.sin(np.pi * t**pointed) * wide / 2
    return np.concatenate([np.stack([t * length, half], 1), np.stack([t * length, -half], 1)[::-1]])


def _rosette(g: Generator) -> np.ndarray:
    canvas, middle = _field()
    count, hollow = int(g.integers(4, 10)), g.random() < 0.5
    petal = _petal(middle * 0.92, middle * g.uniform(0.3, 0.75), g.uniform(0.7, 2.2))
    start = float(g.choice([0, math.pi / count]))
    for k in range(count):
        _fill(canvas, _turn(petal, start + k * 2 * math.pi / count) + middle, hollow)
    cv2.circle(canvas, (middle, middle), int(middle * g.uniform(0.08, 0.25)), 0 if hollow else 255, -1)
    cv2.circle(canvas, (middle, middle), int(middle * 0.25), 0, 3, cv2.LINE_AA)
    return canvas


def _leaves(g: Generator) -> np.ndarray:
    """Draw a vine leaf or an ivy leaf on a curling stalk."""
    canvas, middle = _field()
    lobes, hollow = int(g.integers(3, 6)), g.random() < 0.3
    for k in range(lobes):
        angle = -math.pi / 2 + (k - (lobes - 1) / 2) * g.uniform(0.6, 1.0)
        _fill(canvas, _turn(_petal(middle * g.uniform(0.6, 0.95), middle * 0.5, 1.2), angle) + middle, hollow)
    way = float(g.choice([-1, 1]))
    t = np.linspace(0, 1, 14)
    stalk = np.stack([middle + way * middle * 0.6 * np.sin(2.6 * t), middle + middle * 0.9 * t], 1)
    cv2.polylines(canvas, [stalk.astype(np.int32)], False, 0, int(g.integers(4, 8)), cv2.LINE_AA)
    return canvas


def _lily(g: Generator) -> np.ndarray:
    """Draw a fleur-de-lis."""
    canvas, middle = _field()
    _fill(canvas, _turn(_petal(middle * 1.25, middle * 0.6, 1), -math.pi / 2) + (middle, middle * 1.3), False)
    for side in (-1, 1):
        angle = -math.pi / 2 + side * g.uniform(0.6, 1.0)
        _fill(canvas, _turn(_petal(middle, middle * 0.45, 1.6), angle) + (middle, middle * 1.3), False)
        foot = math.pi / 2 - side * g.uniform(0.2, 0.6)
        _fill(canvas, _turn(_petal(middle * 0.6, middle * 0.25, 1), foot) + (middle, middle * 1.3), False)
    bar = int(middle * 0.4)
    cv2.rectangle(canvas, (middle - bar, int(middle * 1.22)), (middle + bar, int(middle * 1.38)), 0, -1)
    return canvas


def _acorn(g: Generator) -> np.ndarray:
    canvas, middle = _field()
    axes = (int(middle * g.uniform(0.3, 0.5)), int(middle * 0.55))
    cv2.ellipse(canvas, (middle, int(middle * 1.2)), axes, 0, 0, 360, 0, int(g.choice([-1, 5])), cv2.LINE_AA)
    cup = (int(axes[0] * 1.35), int(middle * 0.4))
    cv2.ellipse(canvas, (middle, int(middle * 0.95)), cup, 0, 180, 360, 0, -1, cv2.LINE_AA)
    cv2.line(canvas, (middle, int(middle * 0.6)), (middle + int(g.integers(-9, 9)), 4), 0, 6, cv2.LINE_AA)
    if g.random() < 0.5:
        for side in (-1, 1):
            leaf = _turn(_petal(middle * 0.8, middle * 0.35, 1.3), -math.pi / 2 + side * 1.1)
            _fill(canvas, leaf + (middle, middle * 0.7), False)
    return canvas


def _knot(g: Generator) -> np.ndarray:
    """Draw a strapwork knot: crossing ellipses."""
    canvas, middle = _field()
    axes = (int(middle * 0.9), int(middle * g.uniform(0.25, 0.5)))
    thick, count = int(g.integers(3, 8)), int(g.integers(2, 5))
    start = float(g.choice([0, 45]))
    for k in range(count):
        cv2.ellipse(canvas, (middle, middle), axes, start + k * 180 / count, 0, 360, 0, thick, cv2.LINE_AA)
    if g.random() < 0.5:
        cv2.circle(canvas, (middle, middle), int(middle * g.uniform(0.1, 0.3)), 0, -1, cv2.LINE_AA)
    return canvas


def _star(g: Generator) -> np.ndarray:
    canvas, middle = _field()
    count, inner = int(g.integers(4, 13)), g.uniform(0.25, 0.6)
    angle = np.arange(2 * count) * math.pi / count - math.pi / 2
    radius = np.where(np.arange(2 * count) % 2 == 0, 1.0, inner) * middle * 0.95
    points = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], 1) + middle
    _fill(canvas, points, g.random() < 0.4)
    if g.random() < 0.4:
        cv2.circle(canvas, (middle, middle), int(middle * inner * 0.5), 255, -1, cv2.LINE_AA)
    return canvas


def _moresque(g: Generator) -> np.ndarray:
    return ornament.arabesque(_LARGE, round(_LARGE * g.uniform(0.6, 2.2)), g)


def _vase(g: Generator) -> np.ndarray:
    return ornament.any_motif(_LARGE, round(_LARGE * g.uniform(0.8, 1.4)), g)


def pieces(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return 3 to 40 pieces composed: rows, a triangle that points down, a lozenge, a cross or a ring."""
    shapes = (_triangle, _triangle, _lozenge, _rows, _rows, _cross, _ring)
    places = shapes[int(g.integers(len(shapes)))](g)
    spread = np.ptp(places, axis=0) + 1
    size = max(4, int(min(height / spread[1], width / spread[0])))
    sign = piece(size, g, face)
    other = piece(size, g, face) if g.random() < 0.4 else sign
    step = np.array([max(sign.shape[1], other.shape[1]), size]) + int(size * g.uniform(0, 0.35))
    step = np.minimum(step, np.array([width, height]) // np.maximum(spread, 1) + 1)
    corners = np.round((places - places.min(axis=0)) * step).astype(int)
    sides = corners.max(axis=0) + (max(sign.shape[1], other.shape[1]), size)
    canvas = blank(int(sides[1]), int(sides[0]))
    for k, (x, y) in enumerate(corners):
        art = sign if k % 2 == 0 else other
        place = canvas[y : y + art.shape[0], x : x + art.shape[1]]
        np.minimum(place, art[: place.shape[0], : place.shape[1]], out=place)
    return canvas


def _triangle(g: Generator) -> np.ndarray:
    rows = int(g.integers(2, 7))
    return np.array([(k + row / 2, row) for row in range(rows) for k in range(rows - row)], float)


def _lozenge(g: Generator) -> np.ndarray:
    half = int(g.integers(1, 4))
    rows = range(-half, half + 1)
    return np.array([(k + abs(r) / 2, r) for r in rows for k in range(2 * half + 1 - abs(r))], float)


def _rows(g: Generator) -> np.ndarray:
    rows, columns = int(g.choice([1, 1, 1, 2, 2, 3])), int(g.integers(3, 14))
    return np.array([(k, row) for row in range(rows) for k in range(columns)], float)


def _cross(g: Generator) -> np.ndarray:
    reach = int(g.integers(1, 3))
    arms = [(k, 0) for k in range(-reach, reach + 1)] + [(0, k) for k in range(-reach, reach + 1) if k]
    return np.array(arms, float)


def _ring(g: Generator) -> np.ndarray:
    count = int(g.integers(6, 13))
    angle = np.arange(count) * 2 * math.pi / count
    return np.stack([np.cos(angle), np.sin(angle)], 1) * count / 6


def strip(height: int, width: int, g: Generator, face: str, field: Field | None = None) -> np.ndarray:
    """Return a narrow band of exactly this size: repeated pieces or foliage, some between rules."""
    height, width = max(6, height), max(6, width)
    ruled = g.random() < 0.3 and height >= 14
    inset = int(height * g.uniform(0.15, 0.25)) if ruled else 0
    if g.random() < 0.3:
        row = ornament.band(height - 2 * inset, width, g, field)
    else:
        row = _chain(height - 2 * inset, width, g, face)
    canvas = blank(height, width)
    canvas[inset : inset + row.shape[0], : row.shape[1]] = row[: height - inset, :width]
    if ruled:
        thick = max(1, inset // 4)
        cv2.line(canvas, (0, thick), (width - 1, thick), 0, thick)
        cv2.line(canvas, (0, height - 1 - thick), (width - 1, height - 1 - thick), 0, thick)
    return canvas


def _chain(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return pieces side by side, every other one of another kind or turned, in one or two rows."""
    rows = int(g.choice([1, 1, 1, 2])) if height >= 16 else 1
    size = height // rows
    first = piece(size, g, face)
    second = (first, first[::-1], first[:, ::-1], piece(size, g, face))[int(g.integers(4))]
    gap = blank(size, 6)[:, : int(g.integers(0, max(2, min(6, size // 2))))][:size]
    unit = np.concatenate([first, gap[: first.shape[0]], second, gap[: first.shape[0]]], axis=1)
    line = np.tile(unit, (1, max(1, round(width / unit.shape[1]))))
    line = cv2.resize(line, (width, line.shape[0]), interpolation=cv2.INTER_AREA)
    return np.concatenate([line if k % 2 == 0 else line[::-1] for k in range(rows)])


def small(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return one small ornament that is at most this large: a piece, a moresque, an emblem or a device."""
    side = max(6, min(height, width))
    drawn = g.random()
    if drawn < 0.45:
        art = piece(side, g, face)
    elif drawn < 0.7:
        art = ornament.arabesque(side, round(min(width, side * g.uniform(0.8, 2.5))), g)
    else:
        art = ornament.any_motif(side, round(min(width, side * g.uniform(0.8, 1.3))), g)
    return art[:, :width]

"""Printers' ornament: headpieces, tailpieces, vignettes, bands of type flowers, devices and coats of arms.

Functions return [H, W] uint8, black on white.
"""

import functools
import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from doc_detect.synthesis.art.render import hatch
from doc_detect.synthesis.art.shapes import blob
from doc_detect.synthesis.degrade import smooth_noise
from doc_detect.synthesis.fonts import covers, load

Generator = np.random.Generator
Field = Callable[[int, int, Generator], np.ndarray]
"""Fills a rectangle (height, width) with ornament, [H, W] uint8."""
FLOWERS = "❦❧☙✤✥❖✻❀✿❁❋✽✾❉❈✢✣♣♠※◆●✠☩"


def blank(height: int, width: int) -> np.ndarray:
    """Return white [H, W] uint8 of at least 6 pixels a side."""
    return np.full((max(6, height), max(6, width)), 255, np.uint8)


def _leaf(canvas: np.ndarray, x: float, y: float, length: float, angle: float, fill: int) -> None:
    t = np.linspace(0, 1, 9)
    half = np.sin(np.pi * t) * length * 0.24
    bend = 0.35 * t * t
    along, side = t * length, bend * length
    upper = np.stack([along, side + half], 1)
    lower = np.stack([along, side - half], 1)[::-1]
    points = np.concatenate([upper, lower])
    cos, sin = math.cos(angle), math.sin(angle)
    turned = points @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
    polygon = np.round(turned * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.fillPoly(canvas, [polygon], fill, cv2.LINE_AA, 4)
    cv2.polylines(canvas, [polygon], True, 0, 1, cv2.LINE_AA, 4)


def scroll(
    canvas: np.ndarray, x: float, y: float, radius: float, angle: float, turn: float, g: Generator
) -> None:
    """Draw a leafy spiral (rinceau) that starts at (x, y), in place."""
    thick = max(1, int(radius * 0.09))
    fill = 255 if g.random() < 0.4 else 0
    step = 0.33 * math.copysign(1, turn)
    stride, points = radius * 0.33, []
    for k in range(26):
        points.append((x, y))
        if k % 2 == 1 and k < 22:
            side = 1 if k % 4 == 1 else -1
            _leaf(
                canvas,
                x,
                y,
                radius * g.uniform(0.25, 0.5) * (1 - k / 40),
                angle + side * g.uniform(0.6, 1.2),
                fill,
            )
        x, y = x + stride * math.cos(angle), y + stride * math.sin(angle)
        angle += step * (0.55 + k * 0.03)
        stride *= 0.955
    line = np.round(np.array(points) * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [line], False, 0, thick, cv2.LINE_AA, 4)
    cv2.circle(canvas, (round(x), round(y)), max(2, int(radius * 0.13)), 0 if fill else 255, -1, cv2.LINE_AA)
    cv2.circle(canvas, (round(x), round(y)), max(2, int(radius * 0.13)), 0, 1, cv2.LINE_AA)


def foliage(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a field of scrolls, or of blotted leafwork, that fills the rectangle."""
    canvas = blank(height, width)
    height, width = canvas.shape
    kind = g.random()
    if kind < 0.6:
        radius = min(height, width) * g.uniform(0.3, 0.6)
        for _ in range(min(14, 2 + int(2.2 * height * width / radius**2))):
            at = g.uniform(0, width), g.uniform(0, height)
            scroll(canvas, *at, radius * g.uniform(0.6, 1.1), g.uniform(0, 6.3), float(g.choice([-1, 1])), g)
    else:
        cell = max(3.0, min(height, width) * g.uniform(0.06, 0.2))
        noise = smooth_noise((height, width), cell, g, 2)
        field = np.abs(noise) - g.uniform(0.2, 0.5) if kind < 0.8 else noise - g.uniform(-0.3, 0.3)
        canvas = (255 * np.clip(field * cell / 2 + 0.5, 0, 1)).astype(np.uint8)
    return canvas


def cutting(height: int, width: int, g: Generator, face: str) -> np.ndarray | None:
    """Return a piece of the leafwork round or in a font's initials, turned and cut; None if it has none."""
    letters = leafy_letters(face)
    if not letters:
        return None
    art = drawn(face, letters[int(g.integers(len(letters)))])
    art = np.rot90(art, int(g.integers(4)))
    share = g.uniform(0.45, 1.0)
    rows, columns = art.shape
    tall, wide = rows * share, columns * share
    if width / height < wide / tall:
        wide = max(8, tall * width / height)
    else:
        tall = max(8, wide * height / width)
    top, left = int(g.uniform(0, rows - tall)), int(g.uniform(0, columns - wide))
    piece = np.ascontiguousarray(art[top : top + int(tall) + 1, left : left + int(wide) + 1])
    return cv2.resize(piece, (max(6, width), max(6, height)), interpolation=cv2.INTER_AREA)


def peopled(height: int, width: int, g: Generator, figures: Sequence[np.ndarray]) -> np.ndarray:
    """Return foliage with figures in it: beasts and people among scrolls, as cutters loved them.

    Args:
        height: Of the result, px.
        width: Of the result, px.
        g: The only source of chance.
        figures: Black on white, [H_i, W_i]; all are set in, in this order.
    """
    canvas = foliage(height, width, g) if g.random() < 0.8 else blank(height, width)
    height, width = canvas.shape
    for figure in figures:
        tall = min(height * g.uniform(0.45, 1.0), width * 1.2 * figure.shape[0] / figure.shape[1])
        wide = tall * figure.shape[1] / figure.shape[0]
        size = (min(width, max(4, round(wide))), min(height, max(4, round(tall))))
        art = cv2.resize(figure[:, :: int(g.choice([-1, 1]))], size, interpolation=cv2.INTER_AREA)
        art = 255 - art if g.random() < 0.15 else art
        at = int(g.integers(0, width - size[0] + 1)), int(g.integers(0, height - size[1] + 1))
        _stick(canvas, art, *at)
    return canvas


@functools.lru_cache(maxsize=64)
def leafy_letters(face: str) -> tuple[str, ...]:
    """Return the capitals of a font that consist of a dozen strokes or more."""
    found = covers(face, "ABCDEFGHIKLMNOPQRSTV")
    return tuple(c for c in found if cv2.connectedComponents((drawn(face, c) > 128).astype(np.uint8))[0] > 12)


@functools.lru_cache(maxsize=512)
def drawn(face: str, sign: str) -> np.ndarray:
    """Return a large letter or sign of a font, black on white, cut to its ink."""
    mask = load(face, 400).getmask(sign)
    return 255 - np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0])


def _mirrored(left: np.ndarray, width: int) -> np.ndarray:
    return np.concatenate([left, left[:, ::-1]], axis=1)[:, :width]


def _ground(canvas: np.ndarray, g: Generator) -> np.ndarray:
    """Give some ornament a black, hatched or dotted ground."""
    kind = g.random()
    if kind < 0.25:
        return 255 - canvas
    if kind < 0.5:
        lines = hatch(np.full(canvas.shape, 0.45, np.float32), max(3.0, canvas.shape[0] / 18), g, 1, 0)
        solid = cv2.morphologyEx(canvas, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return np.where(solid > 200, lines, 255 - canvas) if g.random() < 0.5 else cv2.min(canvas, lines)
    if kind < 0.6:
        y, x = np.ogrid[0 : canvas.shape[0], 0 : canvas.shape[1]]
        dots = ((x + y // 4 * 2) % 5 < 2) & (y % 5 < 2)
        return np.where(dots & (canvas < 128), 255, canvas).astype(np.uint8)
    return canvas


def _frame(canvas: np.ndarray, g: Generator) -> np.ndarray:
    height, width = canvas.shape
    thick = int(g.integers(1, 4))
    cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), 0, thick)
    if g.random() < 0.4 and min(height, width) > 24:
        cv2.rectangle(canvas, (thick + 2, thick + 2), (width - thick - 3, height - thick - 3), 255, 2)
        cv2.rectangle(canvas, (thick + 4, thick + 4), (width - thick - 5, height - thick - 5), 0, 1)
    return canvas


def headpiece(height: int, width: int, g: Generator, field: Field | None = None) -> np.ndarray:
    """Return a symmetrical band of foliage round a central motif."""
    half = (field or foliage)(height, (width + 1) // 2, g)
    canvas = _ground(np.ascontiguousarray(_mirrored(half, width)), g)
    canvas = shaded(canvas, g) if g.random() < 0.4 else canvas
    height, width = canvas.shape
    if g.random() < 0.7 and height > 16:
        motif = any_motif(int(height * 0.95), int(height * g.uniform(0.8, 1.5)), g)
        motif = motif[:height, : width // 2]
        _stick(canvas, motif, (width - motif.shape[1]) // 2, (height - motif.shape[0]) // 2)
    return _frame(canvas, g) if g.random() < 0.5 else _scalloped(canvas, g)


def _stick(canvas: np.ndarray, motif: np.ndarray, x: int, y: int) -> None:
    """Put an opaque motif on a canvas: white inside its hull, its ink on top."""
    hull = cv2.morphologyEx((motif < 128).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    place = canvas[y : y + motif.shape[0], x : x + motif.shape[1]]
    place[hull > 0] = 255
    np.minimum(place, motif, out=place)


def _scalloped(canvas: np.ndarray, g: Generator) -> np.ndarray:
    """Let the upper edge rise towards the middle, as in a frameless headpiece."""
    height, width = canvas.shape
    x = np.abs(np.linspace(-1, 1, width))
    wave = 0.5 + 0.5 * np.cos(x * math.pi * g.integers(1, 4))
    top = height * g.uniform(0, 0.35) * (1 - wave)
    canvas[np.arange(height)[:, None] < top[None]] = 255
    return canvas


def band(height: int, width: int, g: Generator, field: Field | None = None) -> np.ndarray:
    """Return a strip in which one ornament repeats."""
    count = int(np.clip(width / max(height, 6) / g.choice([1, 1, 2, 3]), 1, 24))
    tile = (field or foliage)(height, max(6, width // (2 * count)), g)
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
    if g.random() < 0.3:
        tile = np.concatenate([tile[: tile.shape[0] // 2], tile[: tile.shape[0] - tile.shape[0] // 2][::-1]])
    canvas = cv2.resize(
        np.tile(tile, (1, count)), (max(6, width), max(6, height)), interpolation=cv2.INTER_AREA
    )
    canvas = _ground(canvas, g)
    return _frame(canvas, g) if g.random() < 0.4 else canvas


def type_flowers(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return one to three rows of a printer's flower from a font."""
    rows = int(g.choice([1, 1, 2, 3]))
    size = max(6, height // rows)
    signs = covers(face, FLOWERS) or covers(face, "*O")
    if not signs:
        return band(height, width, g)
    sign = signs[int(g.integers(len(signs)))]
    mask = _glyph(sign, size, face)
    if g.random() < 0.4:
        mask = np.concatenate([mask, mask[:, ::-1]], axis=1)
    gap = blank(mask.shape[0], 6)[:, : int(g.integers(0, 4))]
    unit = np.concatenate([mask, gap], axis=1)
    line = np.tile(unit, (1, max(1, width // unit.shape[1])))
    turned = line[::-1] if g.random() < 0.5 else line
    return np.concatenate([line if k % 2 == 0 else turned for k in range(rows)])


def _glyph(sign: str, size: int, face: str) -> np.ndarray:
    """Return a flower as [size, width] uint8; it is drawn large first, for at few pixels a glyph may be empty."""
    mask = load(face, max(24, size)).getmask(sign)
    pixels = 255 - np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0])
    width = max(4, int(size * pixels.shape[1] / pixels.shape[0]))
    return cv2.resize(pixels, (width, size), interpolation=cv2.INTER_AREA)


def tailpiece(height: int, width: int, g: Generator, field: Field | None = None) -> np.ndarray:
    """Return an ornament that narrows downwards, or a round or lozenge-shaped one."""
    if g.random() < 0.3:
        return shaded(arabesque(height, width, g), g) if g.random() < 0.5 else arabesque(height, width, g)
    half = (field or foliage)(height, (width + 1) // 2, g)
    canvas = _ground(np.ascontiguousarray(_mirrored(half, width)), g)
    height, width = canvas.shape
    y = np.linspace(0, 1, height)[:, None]
    x = np.abs(np.linspace(-1, 1, width))[None]
    limits = (1 - y, np.sqrt(np.clip(1 - (2 * y - 1) ** 2, 0, 1)), 1 - np.abs(2 * y - 1), 1 - y**2)
    limit = limits[int(g.choice([0, 0, 1, 2, 3]))]
    ragged = smooth_noise((height, (width + 1) // 2), max(4, width / 9), g) * 0.09
    canvas[x > limit + np.concatenate([ragged, ragged[:, ::-1]], axis=1)[:, :width]] = 255
    canvas = without_specks(canvas)
    if g.random() < 0.5 and height > 24:
        size = int(min(height, width) * g.uniform(0.3, 0.6))
        motif = any_motif(size, size, g)
        _stick(canvas, motif, (width - motif.shape[1]) // 2, int(height * 0.05))
    return canvas


def mask_face(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a grotesque face."""
    canvas = blank(height, width)
    height, width = canvas.shape
    outline = blob(width / 2, height / 2, width * 0.4, height * 0.47, 0.05, g, 20)
    cv2.polylines(canvas, [outline.astype(np.int32)], True, 0, max(1, height // 30), cv2.LINE_AA)
    radius = max(1, width // 14)
    for side in (-1, 1):
        eye = (int(width * (0.5 + side * 0.17)), int(height * 0.4))
        cv2.circle(canvas, eye, radius, 0, -1, cv2.LINE_AA)
        cv2.ellipse(canvas, (eye[0], eye[1] - radius), (radius * 2, radius), 0, 180, 360, 0, 1, cv2.LINE_AA)
        scroll(canvas, width * (0.5 + side * 0.35), height * 0.2, width * 0.2, -1.5, side, g)
    cv2.ellipse(
        canvas, (width // 2, int(height * 0.68)), (width // 7, height // 12), 0, 0, 360, 0, -1, cv2.LINE_AA
    )
    cv2.line(canvas, (width // 2, int(height * 0.4)), (width // 2, int(height * 0.57)), 0, 1, cv2.LINE_AA)
    return canvas


def basket(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a vase with flowers."""
    canvas = blank(height, width)
    height, width = canvas.shape
    for _ in range(int(g.integers(5, 12))):
        at = (int(width * g.uniform(0.15, 0.85)), int(height * g.uniform(0.12, 0.5)))
        cv2.line(canvas, (width // 2, int(height * 0.65)), at, 0, 1, cv2.LINE_AA)
        radius = max(2, int(width * g.uniform(0.05, 0.11)))
        cv2.circle(canvas, at, radius, 255, -1, cv2.LINE_AA)
        for ring in (1.0, 0.55):
            cv2.circle(canvas, at, max(1, int(radius * ring)), 0, 1, cv2.LINE_AA)
    vase = [[0.3, 0.6], [0.7, 0.6], [0.62, 0.95], [0.38, 0.95]]
    polygon = (np.array(vase) * (width, height)).astype(np.int32)
    cv2.fillPoly(canvas, [polygon], 255)
    cv2.polylines(canvas, [polygon], True, 0, max(1, height // 50), cv2.LINE_AA)
    for level in np.linspace(0.66, 0.9, int(g.integers(2, 6))):
        cv2.line(
            canvas, (int(width * 0.34), int(height * level)), (int(width * 0.66), int(height * level)), 0, 1
        )
    return canvas


def arms(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a coat of arms: a shield with a charge, under a crown or helm, between mantling."""
    canvas = blank(height, width)
    height, width = canvas.shape
    for side in (-1, 1):
        for level in (0.35, 0.65):
            angle = math.pi / 2 - side * math.pi / 2
            scroll(
                canvas, width * (0.5 + side * 0.2), height * level, min(height, width) * 0.2, angle, -side, g
            )
    half, top, bottom = width * 0.27, height * 0.28, height * 0.97
    t = np.linspace(0, 1, 9)
    right = np.stack(
        [width / 2 + half * np.cos(t * math.pi / 2) ** 0.6, top + (bottom - top) * (0.35 + 0.65 * t)], 1
    )
    left = np.stack([width - right[:, 0], right[:, 1]], 1)[::-1]
    shield = np.concatenate([[[width / 2 - half, top], [width / 2 + half, top]], right, left]).astype(
        np.int32
    )
    cv2.fillPoly(canvas, [shield], 255, cv2.LINE_AA)
    _charge(canvas, shield, g)
    cv2.polylines(canvas, [shield], True, 0, max(1, height // 45), cv2.LINE_AA)
    _crown(canvas, width / 2, top - height * 0.02, half * 0.9, height * 0.22, g)
    return canvas


def _charge(canvas: np.ndarray, shield: np.ndarray, g: Generator) -> None:
    height, width = canvas.shape
    inside = np.zeros(canvas.shape, np.uint8)
    cv2.fillPoly(inside, [shield], 1)
    y, x = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    fields = (
        np.abs(x - y + g.uniform(-0.1, 0.2)) < 0.09,  # a bend
        np.abs(y - 0.55 - np.abs(x - 0.5) * 0.8) < 0.07,  # a chevron
        (x * 9).astype(int) % 2 == (y * 0).astype(int),  # pales
        ((x * 8).astype(int) + (y * 8).astype(int)) % 2 == 0,  # checky
        (np.abs(x - 0.5) < 0.05) | (np.abs(y - 0.5) < 0.05),  # a cross
        y < 0.42,  # a chief
    )
    field = fields[int(g.integers(len(fields)))] & (inside > 0)
    shade = hatch(np.full(canvas.shape, g.uniform(0.05, 0.6), np.float32), max(3.0, height / 40), g, 2, 0)
    canvas[field] = shade[np.broadcast_to(field, canvas.shape)]
    for _ in range(int(g.integers(0, 4))):
        at = (int(width * g.uniform(0.35, 0.65)), int(height * g.uniform(0.4, 0.8)))
        cv2.drawMarker(canvas, at, 0, int(g.integers(0, 7)), max(4, height // 9), max(1, height // 60))


def _crown(canvas: np.ndarray, x: float, base: float, half: float, height: float, g: Generator) -> None:
    count = int(g.integers(3, 7))
    points = [[x - half, base]]
    for k in range(count):
        left = x - half * 1.1 + 2.2 * half * k / count
        points += [[left + half / count, base - height], [left + 2.2 * half / count, base - height * 0.45]]
    points.append([x + half, base])
    polygon = np.array(points).astype(np.int32)
    cv2.fillPoly(canvas, [polygon], 255, cv2.LINE_AA)
    cv2.polylines(canvas, [polygon], True, 0, max(1, int(height / 14)), cv2.LINE_AA)
    for point in polygon[1:-1:2]:
        cv2.circle(canvas, tuple(int(v) for v in point), max(1, int(height / 9)), 0, -1, cv2.LINE_AA)


def device(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a printer's device: an emblem in an oval or a cartouche of scrolls."""
    canvas = blank(height, width)
    height, width = canvas.shape
    axes = (int(width * 0.36), int(height * 0.38))
    for angle in np.linspace(0, 2 * math.pi, int(g.integers(6, 14)), endpoint=False):
        at = (width / 2 + axes[0] * 1.02 * math.cos(angle), height / 2 + axes[1] * 1.02 * math.sin(angle))
        scroll(canvas, *at, min(height, width) * 0.09, angle, float(g.choice([-1, 1])), g)
    centre = (width // 2, height // 2)
    cv2.ellipse(canvas, centre, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.ellipse(canvas, centre, axes, 0, 0, 360, 0, max(1, height // 60), cv2.LINE_AA)
    inner = tuple(int(a * 0.82) for a in axes)
    cv2.ellipse(canvas, centre, inner, 0, 0, 360, 0, 1, cv2.LINE_AA)
    size = int(min(axes) * 1.1)
    motif = (basket, bouquet, mask_face, arms)[int(g.integers(4))](size, size, g)
    y, x = centre[1] - motif.shape[0] // 2, centre[0] - motif.shape[1] // 2
    place = canvas[y : y + motif.shape[0], x : x + motif.shape[1]]
    np.minimum(place, motif, out=place)
    return canvas


def bouquet(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a basket or an urn that overflows with leaves, flowers and fruit."""
    canvas = blank(height, width)
    height, width = canvas.shape
    base, spread = height * g.uniform(0.5, 0.72), width * g.uniform(0.3, 0.47)
    for _ in range(int(g.integers(25, 70))):
        angle, far = g.uniform(-math.pi, 0), math.sqrt(g.random())
        at = (width / 2 + spread * far * math.cos(angle), base + base * 0.85 * far * math.sin(angle))
        _leaf(
            canvas,
            *at,
            height * g.uniform(0.07, 0.17),
            angle + g.normal(0, 0.7),
            int(g.choice([0, 255, 255])),
        )
        if g.random() < 0.35:
            _flower(canvas, *at, height * g.uniform(0.025, 0.075), g)
    tall, wide = height - base, width * g.uniform(0.22, 0.42)
    rim, foot = wide / 2, wide / 2 * g.uniform(0.45, 0.9)
    t = np.linspace(0, 1, 12)
    belly = rim + (foot - rim) * t + wide * g.uniform(0, 0.22) * np.sin(math.pi * t)
    right = np.stack([width / 2 + belly, base + tall * 0.97 * t], 1)
    left = np.stack([width / 2 - belly, base + tall * 0.97 * t], 1)[::-1]
    outline = np.concatenate([right, left]).astype(np.int32)
    cv2.fillPoly(canvas, [outline], 255, cv2.LINE_AA)
    inside = np.zeros(canvas.shape, np.uint8)
    cv2.fillPoly(inside, [outline], 1)
    weave = hatch(np.full(canvas.shape, g.uniform(0.2, 0.55), np.float32), max(3.0, height / 30), g, 2, 2)
    canvas[inside > 0] = weave[inside > 0]
    cv2.polylines(canvas, [outline], True, 0, max(1, height // 50), cv2.LINE_AA)
    return canvas


def _flower(canvas: np.ndarray, x: float, y: float, radius: float, g: Generator) -> None:
    petals = int(g.choice([0, 5, 6, 8]))
    for angle in np.arange(petals) * 2 * math.pi / max(1, petals):
        at = (round(x + radius * math.cos(angle)), round(y + radius * math.sin(angle)))
        cv2.circle(canvas, at, max(1, round(radius * 0.55)), 255, -1, cv2.LINE_AA)
        cv2.circle(canvas, at, max(1, round(radius * 0.55)), 0, 1, cv2.LINE_AA)
    heart = max(1, round(radius * (0.5 if petals else 1)))
    cv2.circle(canvas, (round(x), round(y)), heart, 255 if g.random() < 0.6 else 0, -1, cv2.LINE_AA)
    cv2.circle(canvas, (round(x), round(y)), heart, 0, 1, cv2.LINE_AA)


def arabesque(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a moresque: bold scrolls and leaves without a frame, mirrored once or twice, that touch no edge."""
    double = g.random() < 0.45 and height >= 24
    half = blank(height // 2 if double else height, (width + 1) // 2)
    rows, columns = half.shape
    radius = min(rows, columns) * g.uniform(0.3, 0.5)
    for _ in range(int(g.integers(4, 10))):
        at = (columns * (1 - g.random() ** 2 * 0.75), rows * g.uniform(0.15, 0.85))
        scroll(half, *at, radius * g.uniform(0.5, 1), g.uniform(1.6, 4.7), float(g.choice([-1, 1])), g)
    if g.random() < 0.6:
        bold = max(2, round(min(rows, columns) * g.uniform(0.015, 0.05)))
        half = cv2.erode(half, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (bold, bold)))
    y, x = np.ogrid[0 : 1 : rows * 1j, 1 : 0 : columns * 1j]
    y = 1 - y if double else 2 * np.abs(y - 0.5) ** g.uniform(0.8, 2) if g.random() < 0.5 else y**2
    half[x + y * g.uniform(0.3, 0.9) > 1] = 255
    half[:2] = half[:, :2] = 255
    whole = _mirrored(half, width)
    if double:
        whole = np.concatenate([whole, whole[::-1], blank(height, width)[: height - 2 * rows]])
    return without_specks(whole)


def without_specks(art: np.ndarray) -> np.ndarray:
    """Erase what cutting left far from an ornament's body, which would stretch its box, in place."""
    near = max(3, min(art.shape) // 20) | 1
    body = cv2.dilate((art < 200).astype(np.uint8), np.ones((near, near), np.uint8))
    _, number, stats, _ = cv2.connectedComponentsWithStats(body, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if len(areas):
        small = np.concatenate([[False], areas < 0.03 * areas.max()])
        art[np.isin(number, np.flatnonzero(small))] = 255
    return art


def shaded(art: np.ndarray, g: Generator) -> np.ndarray:
    """Hatch what the lines of a motif enclose, darker towards one side, as a cutter models a body."""
    height, width = art.shape
    outside = np.pad((art > 140).astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    inside = outside[1:-1, 1:-1] == 1
    slope = np.linspace(0, 1, width)[None] if g.random() < 0.7 else np.linspace(0, 1, height)[:, None]
    slope = slope if g.random() < 0.5 else 1 - slope
    depth = g.uniform(0.2, 0.7)
    tone = 1.15 - depth * slope + 0.13 * smooth_noise((height, width), max(6, width / 5), g, 2)
    lines = hatch(tone.astype(np.float32), max(2.5, height / g.uniform(25, 60)), g, 2, 4)
    return np.where(inside, np.minimum(art, lines), art)


def any_motif(height: int, width: int, g: Generator) -> np.ndarray:
    """Draw a face, a vase, a bouquet, a shield, a device or an arabesque, most of them shaded."""
    makers = (mask_face, basket, bouquet, bouquet, arms, arms, device, arabesque, arabesque)
    art = makers[int(g.integers(len(makers)))](height, width, g)
    return shaded(art, g) if g.random() < 0.65 else art


def border(height: int, width: int, thick: int, g: Generator, field: Field | None = None) -> np.ndarray:
    """Return an ornamental frame for a title page: four strips round a white middle."""
    canvas = blank(height, width)
    height, width = canvas.shape
    if g.random() < 0.35:  # architecture: columns, base, pediment
        column = band(height, thick, g, field)
        column = column[:, : thick // 2] if column.shape[1] < thick else column
        canvas[: column.shape[0], : column.shape[1]] = column
        canvas[: column.shape[0], width - column.shape[1] :] = column[:, ::-1]
    else:
        side = cv2.rotate(band(thick, height, g, field), cv2.ROTATE_90_CLOCKWISE)
        canvas[: side.shape[0], : side.shape[1]] = side[:height, :width]
        canvas[: side.shape[0], width - side.shape[1] :] = side[:height, ::-1]
    for at in (0, height - thick):
        strip = headpiece(thick, width, g, field)[:, :width]
        canvas[at : at + strip.shape[0], : strip.shape[1]] = strip[: height - at]
    cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), 0, 1)
    cv2.rectangle(canvas, (thick, thick), (width - thick - 1, height - thick - 1), 0, 1)
    return canvas

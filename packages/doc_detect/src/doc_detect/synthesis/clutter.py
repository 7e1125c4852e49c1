"""What lies beside and on a leaf when it is photographed: rulers, colour targets, fingers, weights, slips, tape, holes.

Things are RGB uint8 arrays. :func:`lay` puts them where there is neither ink nor an object.
"""

from collections.abc import Callable

import cv2
import numpy as np

Generator = np.random.Generator
Thing = tuple[np.ndarray, np.ndarray]
"""Pixels [H, W, 3] uint8 and which of them are there, [H, W] bool."""

_PATCHES = (
    ((115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177), (103, 189, 170)),
    ((214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108), (157, 188, 64), (224, 163, 46)),
    ((56, 61, 150), (70, 148, 73), (175, 54, 60), (231, 199, 31), (187, 86, 149), (8, 133, 161)),
)
"""Colours of the patches of a colour chart, about those of a ColorChecker."""
_SKINS = ((224, 178, 150), (198, 150, 120), (150, 105, 80), (105, 72, 55), (236, 200, 178))
_GLOVES = ((240, 240, 242), (90, 130, 190), (60, 60, 66), (170, 140, 200))
_REACH = 8
"""Pixels of the scan to one of the map of what is free."""


def ruler(width: int, height: int, g: Generator) -> np.ndarray:
    """Return a ruler: white, black, yellow, wooden or of grey steel, with ticks and numbers, or chequered."""
    width, height = max(24, width), max(8, height)
    paper, ink = (
        ((248, 248, 246), (20, 20, 20)),
        ((25, 25, 27), (235, 235, 235)),
        ((235, 205, 60), (20, 20, 20)),
        ((200, 165, 110), (40, 25, 15)),
        ((165, 168, 172), (30, 30, 32)),
    )[int(g.integers(5))]
    art = np.full((height, width, 3), paper, np.uint8)
    pitch = max(6.0, width / g.integers(8, 30))
    if g.random() < 0.3:
        for k in range(int(width / pitch) + 1):
            top = (k % 2) * height // 2
            cv2.rectangle(art, (round(k * pitch), top), (round((k + 1) * pitch), top + height // 2), ink, -1)
        return art
    parts = 10 if pitch > 24 else 5 if pitch > 12 else 2
    for k in range(int(width / pitch * parts) + 1):
        x = round(k * pitch / parts)
        deep = 0.55 if k % parts == 0 else 0.4 if parts == 10 and k % 5 == 0 else 0.25
        cv2.line(art, (x, 0), (x, round(height * deep)), ink, 1)
    size = min(height * 0.35, pitch * 0.6) / 22
    for k in range(1, int(width / pitch)) if size > 0.25 else ():
        at = (round(k * pitch - 8 * size), height - 2)
        cv2.putText(art, str(k), at, cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)
    return art


def target(width: int, height: int, g: Generator, grey: bool = False) -> np.ndarray:
    """Return a colour target in rows of patches, or a grey wedge, with or without frame and caption."""
    width, height = max(24, width), max(10, height)
    border = int(g.choice([20, 235, 128]))
    art = np.full((height, width, 3), border, np.uint8)
    steps = np.linspace(245, 15, int(g.integers(5, 20)))
    rows = int(g.integers(1, 5)) if not grey else 1
    if g.random() < 0.4:
        rows = min(rows, 2)
    flat = [colour for line in _PATCHES for colour in line]
    pad = int(min(height, width) * g.choice([0, 0.04, 0.12]))
    foot = int(height * 0.25) if height > 40 and g.random() < 0.5 else 0
    gap = pad // 3
    for row in range(rows):
        wedge = grey or (row == rows - 1 and rows > 1)
        colours = [(int(v),) * 3 for v in steps] if wedge else [flat[i] for i in g.permutation(len(flat))]
        colours = colours[: max(4, int(len(colours) * (1 if wedge else width / height / 5)))][:20]
        top = pad + (height - 2 * pad - foot) * row // rows
        end = pad + (height - 2 * pad - foot) * (row + 1) // rows - gap - 1
        for k, colour in enumerate(colours):
            left = pad + (width - 2 * pad) * k // len(colours)
            right = pad + (width - 2 * pad) * (k + 1) // len(colours) - gap - 1
            cv2.rectangle(art, (left, top), (right, max(top, end)), colour, -1)
    if foot:
        text = str(
            g.choice(["Color Control Patches", "Grey Scale", "Q-13", "Kodak", "Centimetres", "A 1 2 3 M"])
        )
        tone = (15, 15, 15) if border > 100 else (235, 235, 235)
        cv2.putText(
            art, text, (pad + 2, height - 4), cv2.FONT_HERSHEY_SIMPLEX, foot / 45, tone, 1, cv2.LINE_AA
        )
    return art


def finger(long: int, g: Generator) -> Thing:
    """Return a finger, bare or gloved, that points to the right."""
    long = max(16, long)
    wide = int(long * g.uniform(0.25, 0.45))
    mask = np.zeros((wide, long), np.uint8)
    radius = wide // 2
    cv2.rectangle(mask, (0, 0), (long - radius, wide), 255, -1)
    cv2.ellipse(mask, (long - radius, radius), (radius, radius), 0, 0, 360, 255, -1)
    bare = g.random() < 0.7
    shades = _SKINS if bare else _GLOVES
    shade = np.array(shades[int(g.integers(len(shades)))], np.float32)
    round_off = 0.65 + 0.35 * np.sin(np.pi * np.linspace(0.05, 0.95, wide))[:, None]
    art = np.broadcast_to((shade * round_off[..., None]), (wide, long, 3)).astype(np.uint8).copy()
    if bare:
        nail = tuple(int(v) for v in np.clip(shade * (1.05, 0.98, 1.0) + 12, 0, 255))
        cv2.ellipse(
            art, (long - radius, radius), (int(radius * 0.8), int(radius * 0.55)), 0, 0, 360, nail, -1
        )
        for share in (0.35, 0.42, 0.38):
            x = int(long * share)
            cv2.line(art, (x, int(wide * 0.2)), (x, int(wide * 0.8)), tuple(int(v) for v in shade * 0.75), 1)
    return art, mask > 0


def weight(long: int, g: Generator) -> Thing:
    """Return a bar that holds a leaf down: a lead snake, a metal bar, a strip of clear plastic."""
    long = max(16, long)
    wide = max(5, int(long * g.uniform(0.1, 0.3)))
    shade = ((35, 35, 38), (120, 30, 40), (150, 150, 155), (222, 226, 228))[int(g.integers(4))]
    light = 0.7 + 0.4 * np.sin(np.pi * np.linspace(0, 1, wide))[:, None, None]
    art = np.clip(np.array(shade, np.float32) * light, 0, 255).astype(np.uint8)
    return np.repeat(art, long, axis=1), np.ones((wide, long), bool)


def _ruler(size: int, g: Generator) -> Thing:
    long = int(size * g.uniform(0.25, 0.9))
    art = ruler(long, int(size * g.uniform(0.02, 0.06)), g)
    return art, np.ones(art.shape[:2], bool)


def _target(size: int, g: Generator) -> Thing:
    long = int(size * g.uniform(0.15, 0.7))
    art = target(long, int(long * g.uniform(0.1, 0.5)), g, g.random() < 0.3)
    return art, np.ones(art.shape[:2], bool)


def _finger(size: int, g: Generator) -> Thing:
    return finger(int(size * g.uniform(0.05, 0.16)), g)


def _weight(size: int, g: Generator) -> Thing:
    return weight(int(size * g.uniform(0.06, 0.25)), g)


def _slip(size: int, g: Generator) -> Thing:
    """Return a label: paper with a frame and a shelf mark, or a bar code."""
    wide, tall = max(24, int(size * g.uniform(0.06, 0.2))), max(12, int(size * g.uniform(0.03, 0.09)))
    shade = ((246, 240, 226), (255, 255, 255), (226, 204, 160), (205, 60, 50))[int(g.integers(4))]
    art = np.full((tall, wide, 3), shade, np.uint8)
    if g.random() < 0.35:
        bars = np.repeat(g.random(wide // 2 + 1) < 0.5, 2)[:wide]
        bars[:3] = bars[-3:] = False
        art[2 : int(tall * 0.75), bars] = 15
        return art, np.ones((tall, wide), bool)
    cv2.rectangle(art, (2, 2), (wide - 3, tall - 3), (70, 60, 60), 1)
    rows = int(np.clip(tall // 14, 1, 4))
    for k in range(rows):
        text = f"{chr(65 + int(g.integers(26)))} {g.integers(10, 9999)}"
        at = (int(wide * 0.12), int(tall * (k + 0.75) / rows) - 1)
        cv2.putText(
            art, text, at, cv2.FONT_HERSHEY_COMPLEX_SMALL, tall / rows / 26, (40, 35, 40), 1, cv2.LINE_AA
        )
    return art, np.ones((tall, wide), bool)


def _hole(size: int, g: Generator) -> Thing:
    """Return a black or white hole or a piece that is torn out, with a ragged edge."""
    radius = max(3, int(size * g.uniform(0.004, 0.03)))
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    far = radius * (1 - np.abs(g.normal(0, 0.18, 18)))
    points = np.stack([radius + far * np.cos(angle), radius + far * np.sin(angle) * g.uniform(0.6, 1)], 1)
    mask = np.zeros((2 * radius + 1, 2 * radius + 1), np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 255)
    tone = int(g.choice([8, 8, 30, 245]))
    return np.full((*mask.shape, 3), tone, np.uint8), mask > 0


def _corner(size: int, g: Generator) -> Thing:
    """Return what is seen where a corner is torn off: a ragged triangle at the lower left."""
    side = max(8, int(size * g.uniform(0.02, 0.12)))
    t = np.linspace(0, 1, 9)
    edge = np.stack([t * side, t * side], 1) + g.normal(0, side * 0.04, (9, 2))
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.concatenate([edge, [[0, side]]]).astype(np.int32)], 255)
    tone = int(g.choice([8, 60, 245]))
    return np.full((side, side, 3), tone, np.uint8), mask > 0


_AT_EDGES: tuple[Callable[[int, Generator], Thing], ...] = (
    _ruler,
    _target,
    _finger,
    _finger,
    _weight,
    _corner,
)
_ANYWHERE: tuple[Callable[[int, Generator], Thing], ...] = (_slip, _slip, _hole, _hole)


def lay(scene: np.ndarray, ink: np.ndarray, boxes: np.ndarray, g: Generator) -> None:
    """Lay one to three things on a scan, at its edges or on empty paper, never on ink or on an object.

    Args:
        scene: [H, W, 3] float32 in 0..1, RGB; changed in place.
        ink: [H, W, 3] uint8, the ink that lies there, on white.
        boxes: [N, 4] xyxy of the objects, px.
        g: The only source of chance.
    """
    taken = _taken(ink, boxes)
    size = max(scene.shape[:2])
    if g.random() < 0.15:
        _tape(scene, g)
    for _ in range(int(g.choice([1, 1, 1, 2, 3]))):
        at_edge = g.random() < 0.7
        makers = _AT_EDGES if at_edge else _ANYWHERE
        make = makers[int(g.integers(len(makers)))]
        thing = make(size, g)
        side = int(g.integers(4)) if at_edge else None
        if side is not None:
            thing = _turned(thing, side)
        for _ in range(6):
            corner = _place(scene.shape[:2], thing[1].shape, side, g, in_corner=make is _corner)
            if _is_free(taken, corner, thing[1].shape):
                _stamp(scene, thing, corner)
                break


def _taken(ink: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return which cells of ``_REACH`` pixels hold ink or touch a box, [H / 8, W / 8] bool."""
    height, width = ink.shape[:2]
    cells = (max(1, height // _REACH), max(1, width // _REACH))
    small = cv2.resize(ink, cells[::-1], interpolation=cv2.INTER_AREA)
    taken = (small.min(axis=2) < 248).astype(np.uint8)
    scale = np.array([cells[1] / width, cells[0] / height] * 2)
    for x0, y0, x1, y1 in boxes * scale:
        if x1 > x0 and y1 > y0:
            taken[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = 1
    return cv2.dilate(taken, np.ones((3, 3), np.uint8)) > 0


def _turned(thing: Thing, side: int) -> Thing:
    """Turn a thing that comes in from the left so that it comes in from a side: left, bottom, right, top."""
    art, mask = (np.ascontiguousarray(np.rot90(part, side)) for part in thing)
    return art, mask


def _place(
    size: tuple[int, int], thing: tuple[int, int], side: int | None, g: Generator, in_corner: bool
) -> tuple[int, int]:
    """Draw the row and column of a thing's upper left corner: at an edge, in the corner after it, or anywhere."""
    rows, columns = size[0] - thing[0], size[1] - thing[1]
    row, column = int(g.uniform(0, max(1, rows))), int(g.uniform(0, max(1, columns)))
    if side is None:
        return row, column
    if in_corner:
        return ((rows, 0), (rows, columns), (0, columns), (0, 0))[side]
    return ((row, 0), (rows, column), (row, columns), (0, column))[side]


def _is_free(taken: np.ndarray, corner: tuple[int, int], thing: tuple[int, int]) -> bool:
    row, column = corner
    if row < 0 or column < 0:
        return False
    cells = taken[
        row // _REACH : (row + thing[0]) // _REACH + 1, column // _REACH : (column + thing[1]) // _REACH + 1
    ]
    return not cells.any()


def _stamp(scene: np.ndarray, thing: Thing, corner: tuple[int, int]) -> None:
    art, mask = thing
    row, column = corner
    place = scene[row : row + art.shape[0], column : column + art.shape[1]]
    seen = mask[: place.shape[0], : place.shape[1]]
    place[seen] = art[: place.shape[0], : place.shape[1]][seen].astype(np.float32) / 255


def _tape(scene: np.ndarray, g: Generator) -> None:
    """Tint a strip as old adhesive tape does; what is under it stays to be seen."""
    height, width = scene.shape[:2]
    centre = (width * g.uniform(0.1, 0.9), height * g.uniform(0.05, 0.95))
    size = (max(height, width) * g.uniform(0.05, 0.3), max(height, width) * g.uniform(0.015, 0.05))
    mask = np.zeros((height, width), np.uint8)
    corners = cv2.boxPoints((centre, size, float(g.choice([0, 90]) + g.normal(0, 4))))
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    tint = np.array((0.88, 0.74, 0.5), np.float32) ** np.float32(g.uniform(0.3, 1.2))
    scene[mask > 0] *= tint

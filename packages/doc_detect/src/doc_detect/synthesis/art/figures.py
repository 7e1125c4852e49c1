"""Figures of reports and journals, 1900 to 2020: charts, images, diagrams, maps; RGB [H, W, 3] uint8 on white."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from doc_detect.synthesis.art.charts import (
    BLACK,
    SERIES,
    Manner,
    bars,
    box_plot,
    curves,
    heat,
    manner,
    pick,
    pie,
    scatter,
    text_at,
)

Generator = np.random.Generator
_STEPS: tuple[str, ...] = tuple(
    "input|filter|Board|Select|model|Sum|store|output|Secretary|Excluded (n = 7)|A|B1|pump|valve|Analysis".split(
        "|"
    )
)


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((max(24, height), max(24, width), 3), 255, np.uint8)


# --- images


def _noise(height: int, width: int, scale: float, g: Generator) -> np.ndarray:
    """Return smooth noise [H, W] float32 in 0..1 whose lumps are about ``scale`` px wide."""
    small = g.random((max(3, round(height / scale)), max(3, round(width / scale))), np.float32)
    return np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _micrograph(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Fill a panel with cells, fibres or spots, light on dark or dark on light, with a scale bar."""
    height, width = canvas.shape[:2]
    lumps = _noise(height, width, max(3.0, min(height, width) * g.uniform(0.02, 0.15)), g)
    tone = lumps + 0.4 * _noise(height, width, 4.0, g) - 0.2
    kind = int(g.integers(3))
    if kind == 0:
        tone = (tone > g.uniform(0.5, 0.75)) * tone
    elif kind == 1:
        tone = 1 - np.abs(tone - 0.5) * g.uniform(3, 6)
    pixels = np.clip(tone, 0, 1) * 235
    if g.random() < 0.5:
        pixels = 250 - pixels
    tint = np.array(_pick_tint(g), np.float32)
    canvas[:] = np.clip(pixels[..., None] * tint, 0, 255).astype(np.uint8)
    shade = (255, 255, 255) if canvas.mean() < 128 else BLACK
    y = height - max(3, round(made.size * 0.8))
    cv2.line(canvas, (round(width * 0.7), y), (round(width * 0.92), y), shade, 2)


def _pick_tint(g: Generator) -> tuple[float, float, float]:
    """Return factors of red, green and blue: grey, a fluorescent dye, or a stain."""
    tints = (
        (1, 1, 1),
        (1, 1, 1),
        (1, 1, 1),
        (1, 1, 1),
        (0.15, 1, 0.2),
        (0.25, 0.35, 1),
        (1, 0.25, 0.2),
        (1, 0.75, 0.9),
    )
    return tints[int(g.integers(len(tints)))]


def _gel(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw lanes of blurred bands with a name above each."""
    height, width = canvas.shape[:2]
    dark = g.random() < 0.4
    top = round(made.size * 1.6)
    lanes = int(g.integers(3, 12))
    field = np.full((max(8, height - top), width), 40 if dark else 215, np.uint8)
    for lane in range(lanes):
        x = round((lane + 0.5) * width / lanes)
        half = max(2, round(width / lanes * 0.36))
        for _ in range(int(g.integers(1, 7))):
            y = int(g.integers(2, field.shape[0]))
            value = int(g.integers(120, 250)) if dark else int(g.integers(10, 150))
            cv2.line(field, (x - half, y), (x + half, y), value, int(g.integers(2, 5)))
        text_at(canvas, str(lane + 1), x, made.size * 0.7, made.size, made.face)
    field = cv2.GaussianBlur(field, (0, 0), 1.2)
    canvas[top : top + field.shape[0]] = field[: height - top, :, None]
    cv2.rectangle(canvas, (0, top), (width - 1, height - 1), BLACK, 1)


# --- diagrams


def _tree(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw a tree of kinship that branches to the right, with names at its leaves."""
    height, width = canvas.shape[:2]
    leaves = int(np.clip(height / made.size / 1.5, 3, int(g.integers(4, 25))))
    nodes = [(width * 0.7, height * (k + 0.5) / leaves) for k in range(leaves)]
    for _, y in nodes:
        text_at(canvas, f"{pick(SERIES, g)} {g.integers(1, 99)}", width * 0.72, y, made.size, made.face, 0.0)
    while len(nodes) > 1:
        k = int(g.integers(len(nodes) - 1))
        (x1, y1), (x2, y2) = nodes[k], nodes[k + 1]
        x = min(x1, x2) - width * g.uniform(0.02, 0.6 / leaves + 0.05)
        x = max(x, width * 0.02)
        for end, y in ((x1, y1), (x2, y2)):
            cv2.line(canvas, (round(x), round(y)), (round(end), round(y)), BLACK, 1)
        cv2.line(canvas, (round(x), round(y1)), (round(x), round(y2)), BLACK, 1)
        nodes[k : k + 2] = [(x, (y1 + y2) / 2)]


def _flow(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw boxes or ovals in rows, joined by arrows from row to row."""
    height, width = canvas.shape[:2]
    rows = int(g.integers(2, 7))
    fill = (255, 255, 255) if g.random() < 0.7 else tuple(int(v) for v in g.integers(190, 256, 3))
    oval, above = g.random() < 0.2, []
    for row in range(rows):
        count = int(g.integers(1, 5))
        half = (round(width / count * g.uniform(0.25, 0.42)), round(height / rows * g.uniform(0.2, 0.34)))
        centres = [
            (round(width * (k + 0.5) / count), round(height * (row + 0.5) / rows)) for k in range(count)
        ]
        for k, centre in enumerate(centres):
            if above:
                start = above[min(k, len(above) - 1)]
                cv2.arrowedLine(
                    canvas, start, (centre[0], centre[1] - half[1]), BLACK, 1, cv2.LINE_AA, tipLength=0.15
                )
            low, high = (centre[0] - half[0], centre[1] - half[1]), (centre[0] + half[0], centre[1] + half[1])
            if oval:
                cv2.ellipse(canvas, centre, half, 0, 0, 360, fill, -1)
                cv2.ellipse(canvas, centre, half, 0, 0, 360, BLACK, 1, cv2.LINE_AA)
            else:
                cv2.rectangle(canvas, low, high, fill, -1)
                cv2.rectangle(canvas, low, high, BLACK, made.stroke)
            if half[0] > made.size * 1.5:
                text_at(
                    canvas, pick(_STEPS, g)[: int(half[0] * 3.2 / made.size)], *centre, made.size, made.face
                )
        above = [(x, y + half[1]) for x, y in centres]


def _machine(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw parts of a machine in section: nested boxes and circles, axes, hatching, measures and letters."""
    height, width = canvas.shape[:2]
    for _ in range(int(g.integers(9, 28))):
        x, y = int(g.uniform(0.1, 0.8) * width), int(g.uniform(0.1, 0.8) * height)
        w, h = int(g.uniform(0.05, 0.4) * width), int(g.uniform(0.05, 0.4) * height)
        if g.random() < 0.35:
            for share in (1.0, 0.75, 0.15)[: int(g.integers(1, 4))]:
                cv2.circle(canvas, (x, y), max(2, int(min(w, h) * share / 2)), BLACK, 1, cv2.LINE_AA)
            cv2.line(canvas, (x - w // 2, y), (x + w // 2, y), (120, 120, 120), 1)
            cv2.line(canvas, (x, y - h // 2), (x, y + h // 2), (120, 120, 120), 1)
            continue
        part = canvas[y : y + h, x : x + w]
        if g.random() < 0.4 and part.size:
            step = int(g.integers(3, 7))
            stripes = (np.add.outer(np.arange(part.shape[0]), np.arange(part.shape[1])) % step) == 0
            part[stripes] = BLACK
        cv2.rectangle(canvas, (x, y), (min(x + w, width - 1), min(y + h, height - 1)), BLACK, made.stroke)
        text_at(
            canvas,
            pick(list("abcdefghkABCD12345"), g),
            x + w / 2,
            max(0, y - made.size),
            made.size,
            made.face,
        )
    y = height - max(4, round(made.size * 1.2))
    cv2.arrowedLine(canvas, (width // 2, y), (round(width * 0.1), y), BLACK, 1, tipLength=0.04)
    cv2.arrowedLine(canvas, (width // 2, y), (round(width * 0.9), y), BLACK, 1, tipLength=0.04)
    text_at(canvas, str(g.integers(10, 900)), width / 2, y - made.size * 0.8, made.size, made.face)


# --- whole figures

Panel = Callable[[np.ndarray, Manner, Generator], None]
_PANELS: tuple[tuple[Panel, float], ...] = (
    (curves, 0.3),
    (scatter, 0.12),
    (bars, 0.2),
    (box_plot, 0.05),
    (heat, 0.05),
    (pie, 0.03),
    (_micrograph, 0.12),
    (_gel, 0.04),
    (_tree, 0.03),
    (_flow, 0.04),
    (_machine, 0.02),
)


def _panel(g: Generator) -> Panel:
    return _PANELS[int(g.choice(len(_PANELS), p=[share for _, share in _PANELS]))][0]


def plot(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return one chart, one image or one diagram."""
    canvas = _blank(height, width)
    _panel(g)(canvas, manner(height, width, g, face), g)
    return canvas


def panels(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return a figure of two to twelve panels with letters (a), (b) or without, of one kind or of several."""
    canvas = _blank(height, width)
    height, width = canvas.shape[:2]
    columns = int(np.clip(round(width / height * g.uniform(0.8, 2.2)), 1, 4))
    rows = int(np.clip(round(columns * height / width * g.uniform(0.8, 1.4)), 1, 4))
    rows += int(rows * columns == 1)
    made = manner(height, width // columns * 2, g, face)
    draw, mixed = _panel(g), g.random() < 0.3
    form = ("({})", "{}", "")[int(g.integers(3))]
    gap = round(made.size * g.uniform(0.4, 1.6))
    above = round(made.size * 1.5) if form else 0
    for k in range(rows * columns):
        if k and g.random() < 0.04:
            continue  # a place left empty
        top, left = k // columns * height // rows, k % columns * width // columns
        panel = _blank(height // rows - gap - above, width // columns - gap)
        (_panel(g) if mixed else draw)(panel, made, g)
        place = canvas[top + above : top + above + panel.shape[0], left : left + panel.shape[1]]
        place[:] = panel[: place.shape[0], : place.shape[1]]
        if form:
            letter = "abcdefghijklmnop"[k]
            label = form.format(letter if form == "({})" else letter.upper())
            text_at(canvas, label, left + made.size, top + above * 0.5, made.size * 1.15, face)
    return canvas


def diagram(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return a flow chart, a tree or a machine."""
    canvas = _blank(height, width)
    draw = (_flow, _flow, _tree, _machine)[int(g.integers(4))]
    draw(canvas, manner(height, width, g, face), g)
    return canvas


def _coast(g: Generator, corners: int = 60) -> np.ndarray:
    """Return a ragged outline [corners, 2] in fractions of the picture."""
    angle = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    reach = 1 + sum(g.normal(0, 0.25 / k) * np.cos(k * angle + g.uniform(0, 6.3)) for k in range(1, 12))
    centre, size = g.uniform(0.25, 0.75, 2), g.uniform(0.15, 0.35)
    return np.clip(centre + size * np.stack([reach * np.cos(angle), reach * np.sin(angle)], 1), 0.01, 0.99)


def chart_map(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return a map: coasts with hachures, rivers, place names, a compass and a frame with degrees."""
    canvas = _blank(height, width)
    height, width = canvas.shape[:2]
    for _ in range(int(g.integers(1, 4))):
        coast = _coast(g) * (width, height)
        for k, shade in enumerate((190, 130, 20)):
            cv2.polylines(
                canvas, [(coast + (2 - k, 0)).astype(np.int32)], True, (shade, shade, shade), 1, cv2.LINE_AA
            )
    for _ in range(int(g.integers(2, 7))):
        river = np.cumsum(g.normal(0, 0.02, (25, 2)) * (width, height), axis=0) + g.uniform(0.2, 0.8, 2) * (
            width,
            height,
        )
        cv2.polylines(canvas, [river.astype(np.int32)], False, (60, 60, 60), 1, cv2.LINE_AA)
    size = max(6.0, height * 0.025)
    for _ in range(int(g.integers(4, 22))):
        x, y = g.uniform(0.1, 0.9) * width, g.uniform(0.1, 0.9) * height
        cv2.circle(canvas, (int(x), int(y)), 2, (20, 20, 20), 1)
        text_at(
            canvas,
            str(g.choice(["Roma", "Lut.", "Mons", "Burg", "Vera", "Alba", "Nova", "Fl."])),
            x,
            y + size,
            size,
            face,
        )
    for inset in (0, max(3, height // 60)):
        cv2.rectangle(canvas, (inset, inset), (width - 1 - inset, height - 1 - inset), (10, 10, 10), 1)
    centre, reach = (int(width * 0.85), int(height * 0.82)), min(height, width) * 0.08
    for angle in np.arange(0, 2 * math.pi, math.pi / 8):
        end = (int(centre[0] + reach * math.cos(angle)), int(centre[1] + reach * math.sin(angle)))
        cv2.line(canvas, centre, end, (20, 20, 20), 1, cv2.LINE_AA)
    return canvas


def thematic_map(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return a map of districts in greys or colours, with their borders, a key, a scale and a frame or none."""
    canvas = _blank(height, width)
    height, width = canvas.shape[:2]
    made = manner(height, width, g, face)
    places = g.uniform(0.15, 0.85, (int(g.integers(10, 39)), 2))
    side = np.linspace(0, 1, 90)
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 1, 2)
    nearest = np.square(grid - places).sum(-1).argmin(1).reshape(90, 90).astype(np.uint8)
    whole = cv2.resize(cv2.medianBlur(nearest, 3), (width, height), interpolation=cv2.INTER_NEAREST)
    land = np.zeros((height, width), np.uint8)
    cv2.fillPoly(land, [(_coast(g) * (width, height)).astype(np.int32)], 1)
    tints = np.array([(255, 255, 255), (225, 225, 225), (180, 180, 180), (120, 120, 120)], np.uint8)
    if g.random() < 0.4:
        tints = g.integers(120, 256, (4, 3), np.uint8)
    classes = g.integers(0, 4, len(places))
    canvas[land == 1] = tints[classes[whole]][land == 1]
    borders = cv2.morphologyEx(whole + 40 * land, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    canvas[borders & (cv2.dilate(land, np.ones((3, 3), np.uint8)) == 1)] = BLACK
    step = made.size * 1.4
    for k, tint in enumerate(tints.tolist()):
        x, y = round(width * 0.03), round(height * 0.95 - step * (4 - k))
        far = (round(x + step), round(y + made.size))
        cv2.rectangle(canvas, (x, y), far, tint, -1)
        cv2.rectangle(canvas, (x, y), far, BLACK, 1)
        text_at(canvas, f"{k * 10}–{k * 10 + 9}", x + step * 1.3, y + made.size / 2, made.size, face, 0.0)
    ends = [(round(width * share), round(height * 0.95)) for share in (0.7, 0.92)]
    cv2.line(canvas, ends[0], ends[1], BLACK, 2)
    text_at(canvas, f"{g.integers(1, 50) * 10} km", width * 0.81, height * 0.95 - made.size, made.size, face)
    if g.random() < 0.5:
        cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), BLACK, 1)
    return canvas


def geometry(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return a geometer's figure: circles, chords and lettered points."""
    canvas = _blank(height, width)
    height, width = canvas.shape[:2]
    centre, reach = (width // 2, height // 2), int(min(height, width) * 0.42)
    points = [
        (int(centre[0] + reach * math.cos(a)), int(centre[1] + reach * math.sin(a)))
        for a in g.uniform(0, 6.28, int(g.integers(3, 8)))
    ]
    for k in range(int(g.integers(1, 4))):
        cv2.circle(
            canvas,
            centre if k == 0 else points[k % len(points)],
            max(4, int(reach * (1 if k == 0 else g.uniform(0.1, 0.6)))),
            (20, 20, 20),
            1,
            cv2.LINE_AA,
        )
    for first in points:
        cv2.line(
            canvas,
            first,
            points[int(g.integers(len(points)))] if g.random() < 0.6 else centre,
            (20, 20, 20),
            1,
            cv2.LINE_AA,
        )
    for k, point in enumerate(points):
        text_at(canvas, "ABCDEFGHIK"[k], point[0] + 6, point[1] - 6, max(7, height * 0.06), face)
    return canvas


FIGURES = (*[plot] * 6, *[panels] * 5, diagram, diagram, geometry, chart_map, thematic_map)
"""Makers of figures, common ones several times."""

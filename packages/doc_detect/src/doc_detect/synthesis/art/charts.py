"""Plots between axes and pies, as in reports and journals of 1900 to 2020, drawn into RGB [H, W, 3] uint8 panels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from doc_detect.synthesis.fonts import load

Generator = np.random.Generator
Colour = tuple[int, int, int]
Point = tuple[int, int]
COLOURS: tuple[Colour, ...] = (
    (31, 119, 180),
    (214, 39, 40),
    (44, 160, 44),
    (20, 20, 20),
    (148, 103, 189),
    (255, 127, 14),
    (120, 120, 120),
)
_GREYS: tuple[Colour, ...] = ((25, 25, 25), (150, 150, 150), (90, 90, 90), (205, 205, 205), (60, 60, 60))
BLACK: Colour = (20, 20, 20)
_QUANTITIES = (
    "Time (s)|Time, hours|Year|Dose (mg/kg)|Frequency|x|Distance (km)|Temperature, °C|Depth, m|Energy (eV)|Age|"
    "Concentration (mM)|Per cent|Number|Intensity (a.u.)|Millions|log P|Score|Price|Rate|Lbs. per acre|Error|Density"
).split("|")
SERIES = (
    "Control|Model|Observed|Treated|n = 12|1901–10|Total|Exports|Male|Female|Group A|wt|Mean|Theory".split(
        "|"
    )
)


@dataclass(frozen=True)
class Manner:
    """How all panels of one figure are drawn."""

    face: str
    size: float
    """Of the letters, px."""
    colours: tuple[Colour, ...]
    frame: bool
    """Whether lines stand on all four sides of a plot."""
    grid: int
    """Grey of the grid; 255 for no grid."""
    inward: bool
    """Whether ticks point into the plot."""
    stroke: int
    paper: float
    """Distance of the lines of graph paper, px; 0 for white paper."""


def manner(height: int, width: int, g: Generator, face: str) -> Manner:
    """Draw how a figure of this size is drawn."""
    palette = list(COLOURS if g.random() < 0.4 else _GREYS if g.random() < 0.6 else (BLACK,))
    g.shuffle(palette)
    size = float(np.clip(math.sqrt(height * width) * g.uniform(0.022, 0.045), 6, 15))
    grid = int(g.choice([255, 255, 255, 225, 190]))
    stroke = int(g.choice([1, 1, 2]))
    paper = size * float(g.choice([0.5, 0.7])) if g.random() < 0.08 else 0.0
    return Manner(face, size, tuple(palette), g.random() < 0.5, grid, g.random() < 0.4, stroke, paper)


def text_at(
    canvas: np.ndarray,
    text: str,
    x: float,
    y: float,
    size: float,
    face: str,
    align: float = 0.5,
    up: bool = False,
) -> None:
    """Write a label in place; what reaches over the edge is cut.

    Args:
        canvas: [H, W, 3] uint8.
        text: What to write.
        x: The left edge for ``align`` 0, the middle for 0.5, the right edge for 1; px.
        y: The middle of the label's height, px.
        size: Of the letters, px.
        face: Path of the font.
        align: See ``x``.
        up: Whether it reads from the bottom upwards; then it is centred on (x, y).
    """
    mask = load(face, max(6, round(size))).getmask(text)
    if not all(mask.size):
        return
    glyphs = 255 - np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0])
    if up:
        glyphs, align = np.rot90(glyphs), 0.5
    top, left = max(0, round(y - glyphs.shape[0] / 2)), max(0, round(x - glyphs.shape[1] * align))
    place = canvas[top : top + glyphs.shape[0], left : left + glyphs.shape[1]]
    np.minimum(place, glyphs[: place.shape[0], : place.shape[1], None], out=place)


def pick(items: Sequence[str], g: Generator) -> str:
    """Draw one of the words."""
    return items[int(g.integers(len(items)))]


# --- axes


@dataclass(frozen=True)
class Field:
    """The plot within its axes, px."""

    left: int
    top: int
    right: int
    bottom: int

    def at(self, x: float, y: float) -> Point:
        """Return the pixel of a point in fractions of the plot, y upwards."""
        return (
            round(self.left + x * (self.right - self.left)),
            round(self.bottom - y * (self.bottom - self.top)),
        )


def _numbers(count: int, g: Generator) -> list[str]:
    """Return the labels of ``count`` ticks: even steps of 1, 2, 2.5 or 5 times a power of ten, years, or powers."""
    drawn = g.random()
    if drawn < 0.12:
        first, step = int(g.integers(170, 200)) * 10, int(g.choice([1, 5, 10, 20]))
        return [str(first + step * k) for k in range(count)]
    if drawn < 0.18:
        return [f"1e{k}" for k in range(count)]
    power = int(g.integers(-2, 4))
    step = float(g.choice([1, 2, 2.5, 5])) * 10.0**power
    first = step * int(g.choice([0, 0, 0, -2, 1]))
    places = max(0, 1 - power) if step * 10**-power == 2.5 else max(0, -power)
    return [f"{first + step * k:.{places}f}" for k in range(count)]


def _axes(canvas: np.ndarray, made: Manner, g: Generator, names: list[str] | None = None) -> Field:
    """Draw axes with ticks, numbers and titles; ``names`` stand below the x axis in place of numbers."""
    height, width = canvas.shape[:2]
    size = made.size
    count = int(np.clip(height / size / 4, 2, int(g.integers(4, 9))))
    marks = _numbers(count, g)
    font = load(made.face, max(6, round(size)))
    titled = g.random() < 0.85
    left = round(max(font.getlength(text) for text in marks) + size * (2.6 if titled else 0.9))
    bottom = height - round(size * (3.0 if titled else 1.7))
    field = Field(min(left, width // 3), round(size * 0.8), width - round(size), max(bottom, height // 2))
    _graph_paper(canvas, field, made)
    for k, text in enumerate(marks):
        _tick(canvas, field, made, (0.0, k / (count - 1)), text)
    across = names or _numbers(int(np.clip(width / size / 6, 2, int(g.integers(4, 9)))), g)
    for k, text in enumerate(across):
        at = (k + 0.5) / len(across) if names else k / (len(across) - 1)
        _tick(canvas, field, made, (at, 0.0), text)
    if titled:
        middle = ((field.left + field.right) / 2, (field.top + field.bottom) / 2)
        text_at(canvas, pick(_QUANTITIES, g), middle[0], height - size * 0.7, size, made.face)
        text_at(canvas, pick(_QUANTITIES, g), size * 0.7, middle[1], size, made.face, up=True)
    cv2.line(canvas, field.at(0, 0), field.at(1, 0), BLACK, 1)
    cv2.line(canvas, field.at(0, 0), field.at(0, 1), BLACK, 1)
    if made.frame:
        cv2.rectangle(canvas, field.at(0, 0), field.at(1, 1), BLACK, 1)
    return field


def _graph_paper(canvas: np.ndarray, field: Field, made: Manner) -> None:
    """Rule a plot with fine lines, every fifth of them darker."""
    if not made.paper:
        return
    for k in range(int((field.right - field.left) / made.paper)):
        x = round(field.left + k * made.paper)
        cv2.line(canvas, (x, field.top), (x, field.bottom), (170 if k % 5 == 0 else 218,) * 3, 1)
    for k in range(int((field.bottom - field.top) / made.paper)):
        y = round(field.bottom - k * made.paper)
        cv2.line(canvas, (field.left, y), (field.right, y), (170 if k % 5 == 0 else 218,) * 3, 1)


def _tick(canvas: np.ndarray, field: Field, made: Manner, at: tuple[float, float], text: str) -> None:
    """Mark a place on the x axis (y 0) or the y axis (x 0) with its number, and draw its line of the grid."""
    x, y = field.at(*at)
    reach = max(2, round(made.size * 0.3)) * (-1 if made.inward else 1)
    upright = at[0] > 0 or text == ""
    grid = (made.grid,) * 3
    if at[0] == 0:
        if made.grid < 255 and 0 < at[1] < 1:
            cv2.line(canvas, (x, y), field.at(1, at[1]), grid, 1)
        cv2.line(canvas, (x, y), (x - reach, y), BLACK, 1)
        text_at(canvas, text, x - made.size * 0.6, y, made.size, made.face, 1.0)
    if upright:
        if made.grid < 255 and at[0] < 1:
            cv2.line(canvas, (x, y), field.at(at[0], 1), grid, 1)
        cv2.line(canvas, (x, y), (x, y + reach), BLACK, 1)
        text_at(canvas, text, x, y + made.size * 1.0, made.size, made.face)


def _legend(
    canvas: np.ndarray, field: Field, made: Manner, colours: list[Colour], g: Generator, filled: bool
) -> None:
    """Set a key of the series within the plot, some in a frame."""
    size = made.size
    if g.random() < 0.4 or field.right - field.left < size * 14:
        return
    names = [pick(SERIES, g) for _ in colours]
    font = load(made.face, max(6, round(size)))
    wide = round(max(font.getlength(name) for name in names) + size * 3.2)
    left = field.right - wide - round(size * 0.5) if g.random() < 0.6 else field.left + round(size * 0.6)
    top = field.top + round(size * 0.4)
    tall = round(len(names) * size * 1.35 + size * 0.4)
    cv2.rectangle(canvas, (left, top), (left + wide, top + tall), (255, 255, 255), -1)
    if g.random() < 0.6:
        cv2.rectangle(canvas, (left, top), (left + wide, top + tall), BLACK, 1)
    for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
        y = round(top + size * (0.9 + 1.35 * k))
        start, end = (left + round(size * 0.4), y), (left + round(size * 2.0), y)
        if filled:
            cv2.rectangle(
                canvas, (start[0], y - round(size * 0.35)), (end[0], y + round(size * 0.35)), colour, -1
            )
        else:
            cv2.line(canvas, start, end, colour, made.stroke, cv2.LINE_AA)
        text_at(canvas, name, left + size * 2.6, y, size, made.face, 0.0)


def _few(made: Manner, count: int) -> list[Colour]:
    return [made.colours[k % len(made.colours)] for k in range(count)]


# --- plots between axes


def _curve(g: Generator, count: int) -> np.ndarray:
    """Return heights [count] in 0..1 of one series: a walk, a hump, a growth, a wave or a spectrum."""
    x, kind = np.linspace(0, 1, count), int(g.integers(6))
    if kind == 0:
        y = np.cumsum(g.normal(0, 0.5 / math.sqrt(count), count)) + 0.4 * x * g.normal() + 0.5
    elif kind == 1:
        y = 0.8 * np.exp(-(((x - g.uniform(0.2, 0.8)) / g.uniform(0.05, 0.3)) ** 2)) + 0.05
    elif kind == 2:
        y = 0.9 / (1 + np.exp(-(x - g.uniform(0.3, 0.7)) * g.uniform(4, 20)))
    elif kind == 3:
        y = 0.5 + 0.4 * np.sin(x * g.uniform(6, 40) + g.uniform(0, 6)) * np.exp(-x * g.uniform(0, 3))
    elif kind == 4:
        y = 0.1 + sum(
            g.uniform(0.1, 0.8) * np.exp(-(((x - g.random()) / g.uniform(0.004, 0.03)) ** 2))
            for _ in range(8)
        )
    else:
        y = 0.9 * np.exp(-x * g.uniform(1, 6))
    return np.clip(y + g.normal(0, float(g.choice([0, 0.004, 0.02])), count), 0.01, 0.99)


def _dash(canvas: np.ndarray, points: np.ndarray, colour: Colour, made: Manner, on: int) -> None:
    """Draw a broken line: pieces of ``on`` points with as many left out."""
    for start in range(0, len(points) - 1, 2 * on):
        cv2.polylines(canvas, [points[start : start + on + 1]], False, colour, made.stroke, cv2.LINE_AA)


def curves(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw one to five curves, whole, dashed or stepped, with or without markers and error bars."""
    field = _axes(canvas, made, g)
    count = int(g.choice([8, 15, 40, 150]))
    x, colours = np.linspace(0, 1, count), _few(made, int(g.integers(1, 6)))
    marked, stepped, barred = g.random() < 0.4, g.random() < 0.12, g.random() < 0.2
    for series, colour in enumerate(colours):
        y = _curve(g, count)
        points = np.array([field.at(*p) for p in zip(x, y, strict=True)], np.int32)
        if stepped:
            points = np.stack([np.repeat(points[:, 0], 2)[1:], np.repeat(points[:, 1], 2)[:-1]], 1)
        if series and len(made.colours) == 1 and count > 15:
            _dash(canvas, points, colour, made, 1 + series)
        else:
            cv2.polylines(canvas, [points], False, colour, made.stroke, cv2.LINE_AA)
        for point in points[:: max(1, count // 20)] if marked or barred else ():
            middle = (int(point[0]), int(point[1]))
            if barred:
                _whisker(canvas, middle, round(made.size * g.uniform(0.3, 1.5)), made)
            if marked:
                _marker(canvas, middle, series, made.size * 0.4, colour)
    _legend(canvas, field, made, colours, g, filled=False)


def _marker(canvas: np.ndarray, at: Point, kind: int, reach: float, colour: Colour) -> None:
    radius = max(1, round(reach))
    if kind % 4 == 0:
        cv2.circle(canvas, at, radius, colour, -1, cv2.LINE_AA)
    elif kind % 4 == 1:
        cv2.circle(canvas, at, radius, (255, 255, 255), -1)
        cv2.circle(canvas, at, radius, colour, 1, cv2.LINE_AA)
    elif kind % 4 == 2:
        cv2.rectangle(canvas, (at[0] - radius, at[1] - radius), (at[0] + radius, at[1] + radius), colour, 1)
    else:
        cv2.drawMarker(canvas, at, colour, cv2.MARKER_TRIANGLE_UP, 2 * radius + 1, 1)


def _whisker(canvas: np.ndarray, at: Point, reach: int, made: Manner) -> None:
    cap = max(1, round(made.size * 0.25))
    cv2.line(canvas, (at[0], at[1] - reach), (at[0], at[1] + reach), BLACK, 1)
    for y in (at[1] - reach, at[1] + reach):
        cv2.line(canvas, (at[0] - cap, y), (at[0] + cap, y), BLACK, 1)


def scatter(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw clouds of points, some with a line through them."""
    field = _axes(canvas, made, g)
    colours, slope = _few(made, int(g.integers(1, 4))), float(g.normal(0, 0.8))
    for series, colour in enumerate(colours):
        count = int(10 ** g.uniform(1, 2.4))
        x = np.clip(g.normal(g.uniform(0.3, 0.7), g.uniform(0.1, 0.25), count), 0.02, 0.98)
        y = np.clip(0.5 + slope * (x - 0.5) + g.normal(0, g.uniform(0.03, 0.2), count), 0.02, 0.98)
        for point in zip(x, y, strict=True):
            _marker(canvas, field.at(*point), series, made.size * 0.22, colour)
    if g.random() < 0.5:
        ends = [float(np.clip(0.5 + slope * (x - 0.5), 0, 1)) for x in (0.05, 0.95)]
        cv2.line(canvas, field.at(0.05, ends[0]), field.at(0.95, ends[1]), BLACK, 1, cv2.LINE_AA)
    _legend(canvas, field, made, colours, g, filled=True)


def bars(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw bars: one a group, several beside or upon each other, some with error bars; or a histogram."""
    histogram = g.random() < 0.2
    groups = int(g.integers(12, 40)) if histogram else int(g.integers(2, 10))
    names = (
        None
        if histogram
        else [pick(("A", "B", "C", "1", "2", "Ctrl", "I", "II", "60", "Low"), g) for _ in range(groups)]
    )
    field = _axes(canvas, made, g, names)
    series = 1 if histogram else int(g.integers(1, 5))
    colours, stacked, barred = _few(made, series), g.random() < 0.3, g.random() < 0.35
    width = 1.0 if histogram else float(g.uniform(0.5, 0.85))
    heights = g.uniform(0.08, 0.92, (groups, series))
    if histogram:
        heights = _curve(g, groups)[:, None]
    for group in range(groups):
        floor = 0.0
        for k, colour in enumerate(colours):
            share = heights[group, k] / (series if stacked else 1)
            step = width / (1 if stacked else series)
            start = (group + (1 - width) / 2 + (0 if stacked else k * step)) / groups
            low, high = field.at(start, floor), field.at(start + step / groups, floor + share)
            cv2.rectangle(canvas, low, high, colour if len(made.colours) > 1 or k else (255, 255, 255), -1)
            cv2.rectangle(canvas, low, high, BLACK, 1)
            if barred and not stacked and not histogram:
                _whisker(
                    canvas, ((low[0] + high[0]) // 2, high[1]), round(made.size * g.uniform(0.3, 1)), made
                )
            floor += share if stacked else 0.0
    _legend(canvas, field, made, colours, g, filled=True)


def box_plot(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw boxes of quartiles with whiskers and outliers."""
    groups = int(g.integers(2, 9))
    field = _axes(canvas, made, g, [str(k + 1) for k in range(groups)])
    for k in range(groups):
        low, first, middle, third, high = np.sort(g.uniform(0.05, 0.95, 5))
        x, half = (k + 0.5) / groups, 0.28 / groups
        cv2.line(canvas, field.at(x, low), field.at(x, high), BLACK, 1)
        cv2.rectangle(
            canvas,
            field.at(x - half, first),
            field.at(x + half, third),
            _few(made, 1)[0] if len(made.colours) > 1 else (255, 255, 255),
            -1,
        )
        cv2.rectangle(canvas, field.at(x - half, first), field.at(x + half, third), BLACK, 1)
        cv2.line(canvas, field.at(x - half, middle), field.at(x + half, middle), BLACK, made.stroke)


def heat(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw a field of greys or colours between axes, with a bar that explains them."""
    field = _axes(canvas, made, g)
    rough = int(g.integers(5, 30))
    tone = cv2.resize(
        g.integers(0, 256, (rough, rough), np.uint8), (64, 64), interpolation=int(g.integers(2))
    )
    width, height = field.right - field.left, field.bottom - field.top
    bar = max(4, round(width * 0.05))
    inner = max(8, width - 2 * bar)
    whole = cv2.resize(tone, (inner, height), interpolation=cv2.INTER_NEAREST)
    ramp = np.repeat(np.linspace(255, 0, height).astype(np.uint8)[:, None], bar, 1)
    for part, left in ((whole, field.left), (ramp, field.right - bar)):
        shown = (
            cv2.applyColorMap(part, cv2.COLORMAP_JET)
            if made.colours[0] in COLOURS[:3]
            else cv2.merge([part] * 3)
        )
        canvas[field.top : field.bottom, left : left + part.shape[1]] = shown[..., ::-1]
        cv2.rectangle(canvas, (left, field.top), (left + part.shape[1], field.bottom), BLACK, 1)


def pie(canvas: np.ndarray, made: Manner, g: Generator) -> None:
    """Draw a pie whose pieces are named beside it."""
    height, width = canvas.shape[:2]
    centre, radius = (width // 2, height // 2), int(min(height, width) * 0.34)
    shares = g.uniform(0.3, 2, int(g.integers(2, 8)))
    angle = float(g.uniform(0, 360))
    for k, share in enumerate(shares / shares.sum()):
        end = angle + 360 * share
        colour = made.colours[k % len(made.colours)] if len(made.colours) > 1 else (255 - 30 * (k % 5),) * 3
        cv2.ellipse(canvas, centre, (radius, radius), 0, angle, end, colour, -1, cv2.LINE_AA)
        cv2.ellipse(canvas, centre, (radius, radius), 0, angle, end, BLACK, 1, cv2.LINE_AA)
        for side in (angle, end):
            a = math.radians(side)
            rim = (round(centre[0] + radius * math.cos(a)), round(centre[1] + radius * math.sin(a)))
            cv2.line(canvas, centre, rim, BLACK, 1, cv2.LINE_AA)
        a = math.radians((angle + end) / 2)
        x, y = centre[0] + radius * 1.12 * math.cos(a), centre[1] + radius * 1.2 * math.sin(a)
        text_at(
            canvas,
            f"{pick(SERIES, g)} {100 * share:.0f}%",
            x,
            y,
            made.size,
            made.face,
            float(math.cos(a) < 0),
        )
        angle = end

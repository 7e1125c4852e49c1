"""Figures of modern pages: plots, bar charts, diagrams, maps; RGB [H, W, 3] uint8 on white."""

import math

import cv2
import numpy as np

from doc_detect.synthesis.fonts import load

Generator = np.random.Generator
COLOURS = (
    (31, 119, 180),
    (214, 39, 40),
    (44, 160, 44),
    (20, 20, 20),
    (148, 103, 189),
    (255, 127, 14),
    (120, 120, 120),
)


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((max(24, height), max(24, width), 3), 255, np.uint8)


def _text(canvas: np.ndarray, text: str, x: float, y: float, size: float, face: str) -> None:
    """Write a label centred on (x, y), in place; what reaches over the edge is cut."""
    mask = load(face, max(6, round(size))).getmask(text)
    glyphs = 255 - np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0])
    top, left = max(0, round(y - glyphs.shape[0] / 2)), max(0, round(x - glyphs.shape[1] / 2))
    place = canvas[top : top + glyphs.shape[0], left : left + glyphs.shape[1]]
    np.minimum(place, glyphs[: place.shape[0], : place.shape[1], None], out=place)


def _axes(canvas: np.ndarray, face: str, g: Generator) -> tuple[int, int, int, int]:
    """Draw axes with ticks and numbers; return the plot's left, top, right and bottom."""
    height, width = canvas.shape[:2]
    size = max(6.0, min(height, width) * 0.05)
    left, bottom = int(width * 0.13), int(height * 0.87)
    top, right = int(height * 0.04), int(width * 0.97)
    cv2.line(canvas, (left, bottom), (right, bottom), (0, 0, 0), 1)
    cv2.line(canvas, (left, top), (left, bottom), (0, 0, 0), 1)
    if g.random() < 0.5:
        cv2.rectangle(canvas, (left, top), (right, bottom), (0, 0, 0), 1)
    ticks = int(g.integers(3, 7))
    for k in range(ticks + 1):
        x, y = left + (right - left) * k // ticks, bottom - (bottom - top) * k // ticks
        cv2.line(canvas, (x, bottom), (x, bottom + 3), (0, 0, 0), 1)
        cv2.line(canvas, (left - 3, y), (left, y), (0, 0, 0), 1)
        _text(canvas, str(k * 10), x, bottom + size, size, face)
        _text(canvas, f"{k / 5:.1f}", left - size * 1.3, y, size, face)
    _text(
        canvas,
        str(g.choice(["time (s)", "x", "year", "dose", "frequency"])),
        (left + right) / 2,
        height - size * 0.7,
        size,
        face,
    )
    return left, top, right, bottom


def plot(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return curves or scattered points between axes."""
    canvas = _blank(height, width)
    left, top, right, bottom = _axes(canvas, face, g)
    x = np.linspace(0, 1, 40)
    for series in range(int(g.integers(1, 5))):
        y = np.cumsum(g.normal(0, 0.08, 40)) + 0.4 * x * g.normal() + 0.5
        if g.random() < 0.3:
            y = 0.8 * np.exp(-(((x - g.uniform(0.2, 0.8)) / g.uniform(0.05, 0.3)) ** 2))
        y = np.clip(y, 0.02, 0.98)
        points = np.stack([left + x * (right - left), bottom - y * (bottom - top)], 1).astype(np.int32)
        colour = COLOURS[int(g.integers(len(COLOURS)))] if g.random() < 0.6 else (20, 20, 20)
        if g.random() < 0.7:
            cv2.polylines(canvas, [points], False, colour, int(g.integers(1, 3)), cv2.LINE_AA)
        if g.random() < 0.5:
            for point in points[:: int(g.integers(1, 4))]:
                cv2.drawMarker(
                    canvas, (int(point[0]), int(point[1])), colour, series, max(4, height // 40), 1
                )
    return canvas


def bars(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return a bar chart."""
    canvas = _blank(height, width)
    left, top, right, bottom = _axes(canvas, face, g)
    groups, series = int(g.integers(3, 9)), int(g.integers(1, 4))
    step = (right - left) / groups
    for group in range(groups):
        for k in range(series):
            x = int(left + step * (group + 0.15 + 0.7 * k / series))
            y = int(bottom - (bottom - top) * g.uniform(0.05, 0.95))
            far = (int(x + step * 0.65 / series), bottom)
            cv2.rectangle(canvas, (x, y), far, COLOURS[k], -1)
            cv2.rectangle(canvas, (x, y), far, (0, 0, 0), 1)
    return canvas


def diagram(height: int, width: int, g: Generator, face: str) -> np.ndarray:
    """Return boxes and circles joined by arrows."""
    canvas = _blank(height, width)
    height, width = canvas.shape[:2]
    rows, columns = int(g.integers(1, 4)), int(g.integers(2, 5))
    size = max(6.0, min(height / rows, width / columns) * 0.16)
    centres = [
        (int(width * (c + 0.5) / columns), int(height * (r + 0.5) / rows))
        for r in range(rows)
        for c in range(columns)
    ]
    half = (int(width / columns * 0.36), int(height / rows * g.uniform(0.18, 0.36)))
    for first, second in zip(centres, centres[1:], strict=False):
        cv2.arrowedLine(canvas, first, second, (30, 30, 30), 1, cv2.LINE_AA, tipLength=0.08)
    round_ones = g.random() < 0.3
    fill = (255, 255, 255) if g.random() < 0.5 else tuple(int(v) for v in g.integers(190, 256, 3))
    for x, y in centres:
        if round_ones:
            cv2.ellipse(canvas, (x, y), half, 0, 0, 360, fill, -1, cv2.LINE_AA)
            cv2.ellipse(canvas, (x, y), half, 0, 0, 360, (20, 20, 20), 1, cv2.LINE_AA)
        else:
            cv2.rectangle(canvas, (x - half[0], y - half[1]), (x + half[0], y + half[1]), fill, -1)
            cv2.rectangle(canvas, (x - half[0], y - half[1]), (x + half[0], y + half[1]), (20, 20, 20), 1)
        _text(
            canvas,
            str(g.choice(["input", "filter", "A", "B1", "model", "sum", "store", "output"])),
            x,
            y,
            size,
            face,
        )
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
        _text(
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
        _text(canvas, "ABCDEFGHIK"[k], point[0] + 6, point[1] - 6, max(7, height * 0.06), face)
    return canvas


FIGURES = (plot, plot, bars, diagram, geometry, chart_map)
"""Makers of figures, common ones twice."""

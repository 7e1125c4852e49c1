"""What is drawn or printed beside and between text and is no picture: rules, braces, pointing hands, asterisks."""

import math

import cv2
import numpy as np

from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.fonts import covers
from doc_detect.synthesis.layouts import furniture
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import Colour, Style, set_line

Generator = np.random.Generator
Area = tuple[float, float, float, float]
_HANDS = "☞☛"
_SIGNS = "*⁂†‡✠✻✽❦❧"
"""Signs that are set small between paragraphs."""


def rule(canvas: Canvas, x: float, y: float, width: float, g: Generator) -> float:
    """Print a rule of any kind across: plain, thick and thin, swelled, wavy, dotted, broken; return the y below."""
    if g.random() < 0.4:
        return furniture.rule(canvas, x, y, width, g)
    kinds = (_thick_and_thin, _swelled, _wavy, _dotted, _short)
    tall = kinds[int(g.integers(len(kinds)))](canvas, x, y, width, g)
    return y + max(tall * 1.5, canvas.height * 0.012)


def _line(canvas: Canvas, x: float, y: float, width: float, thick: int) -> None:
    cv2.line(canvas.ink, (round(x), round(y)), (round(x + width), round(y)), (35, 35, 35), thick)


def _thick_and_thin(canvas: Canvas, x: float, y: float, width: float, g: Generator) -> float:
    thick = max(2, round(canvas.height * g.uniform(0.002, 0.005)))
    levels = ((0, thick), (1.6, 1)) if g.random() < 0.6 else ((0, 1), (1.5, thick), (3, 1))
    for level, weight in levels:
        _line(canvas, x, y + level * thick, width, weight)
    return 4.0 * thick


def _swelled(canvas: Canvas, x: float, y: float, width: float, g: Generator) -> float:
    half = max(1.0, canvas.height * g.uniform(0.0012, 0.004))
    wide = width * g.uniform(0.12, 0.5)
    start = x + (width - wide) / 2
    t = np.linspace(0, 1, 21)
    swell = half * np.sin(np.pi * t) ** g.uniform(1, 3) + 0.4
    upper = np.stack([start + t * wide, y + half - swell], 1)
    lower = np.stack([start + t * wide, y + half + swell], 1)[::-1]
    outline = np.round(np.concatenate([upper, lower]) * 16).astype(np.int32)
    cv2.fillPoly(canvas.ink, [outline], (30, 30, 30), cv2.LINE_AA, 4)
    return 2 * half


def _wavy(canvas: Canvas, x: float, y: float, width: float, g: Generator) -> float:
    size = canvas.height * g.uniform(0.001, 0.003)
    t = np.arange(0, width, 2.0)
    for level in range(int(g.integers(1, 3))):
        wave = y + size * np.sin(t * g.uniform(0.3, 0.9)) + level * 3 * size
        line = np.round(np.stack([x + t, wave], 1) * 16).astype(np.int32)
        cv2.polylines(canvas.ink, [line], False, (40, 40, 40), 1, cv2.LINE_AA, 4)
    return 5 * size


def _dotted(canvas: Canvas, x: float, y: float, width: float, g: Generator) -> float:
    radius = max(1, round(canvas.height * g.uniform(0.0008, 0.002)))
    for at in np.arange(x, x + width, radius * g.uniform(3, 8)):
        cv2.circle(canvas.ink, (round(at), round(y + radius)), radius, (35, 35, 35), -1, cv2.LINE_AA)
    return 2.0 * radius


def _short(canvas: Canvas, x: float, y: float, width: float, g: Generator) -> float:
    wide = width * g.uniform(0.05, 0.3)
    _line(canvas, x + (width - wide) / 2, y, wide, int(g.integers(1, 3)))
    return 2.0


def asterisks(canvas: Canvas, x: float, y: float, width: float, style: Style, g: Generator) -> float:
    """Set one to seven small signs between paragraphs; they are no ornament. Return the y below them."""
    signs = covers(style.face, _SIGNS) or ["*"]
    sign = signs[int(g.integers(len(signs)))]
    small = style.scaled(min(1.0, canvas.height * 0.014 / style.size))  # as high as one per cent of the page
    text = ("   " if g.random() < 0.5 else " ").join([sign] * int(g.choice([1, 1, 3, 3, 5, 7])))
    set_line(canvas, text, x + width / 2, y, small, None, 0.5)
    return y + style.leading


def brace(
    canvas: Canvas, x: float, top: float, bottom: float, g: Generator, colour: Colour = (35, 35, 35)
) -> None:
    """Draw a brace or a large bracket between two heights, open to either side."""
    tall, way = bottom - top, float(g.choice([-1, 1]))
    wide = float(np.clip(tall * 0.12, 4, canvas.width * 0.025)) * way
    if g.random() < 0.35:
        points = np.array([(x + wide, top), (x, top), (x, bottom), (x + wide, bottom)])
    else:
        t = np.linspace(0, 1, 15)
        arm = np.stack([np.cos(t * math.pi) * 0.5 + 0.5, t * 0.5], 1)  # from the end to the nib
        curl = np.concatenate([arm, np.stack([arm[::-1, 0], 1 - arm[::-1, 1]], 1)])
        points = curl * (wide, tall) + (x, top)
    line = np.round(points * 16).astype(np.int32)
    thick = max(1, round(tall / g.uniform(60, 150)))
    cv2.polylines(canvas.ink, [line], False, colour, thick, cv2.LINE_AA, 4)


def manicule(canvas: Canvas, x: float, y: float, size: float, materials: Materials, g: Generator) -> None:
    """Draw a pointing hand: the printer's sign where a font has one, or a reader's with the pen."""
    faces = [materials.face(g, "sans", "roman") for _ in range(2)]
    colour = ((35, 35, 35), (90, 65, 40), (60, 60, 70), (150, 50, 40))[int(g.integers(4))]
    for face in faces:
        hands = covers(face, _HANDS)
        if hands and g.random() < 0.5:
            set_line(canvas, hands[0], x, y, Style(face, size, size, colour))
            return
    way = float(g.choice([-1, 1]))
    hand = [(-1.6, -0.35), (-0.9, -0.3), (-0.4, -0.45), (0.1, -0.3), (1.3, -0.2), (1.35, -0.02), (0.3, 0.05)]
    hand += [(0.42, 0.18), (0.3, 0.3), (0.36, 0.42), (0.2, 0.5), (-0.3, 0.5), (-0.9, 0.35), (-1.6, 0.4)]
    points = np.array(hand) * (way * size * 0.5, size * 0.6) + (x, y + size / 2)
    points = points + g.normal(0, size * 0.012, points.shape)
    cv2.polylines(canvas.ink, [np.round(points * 16).astype(np.int32)], False, colour, 1, cv2.LINE_AA, 4)
    cuff = np.array([(-1.6, -0.5), (-1.6, 0.55), (-1.75, 0.55), (-1.75, -0.5)])
    cuff = cuff * (way * size * 0.5, size * 0.6) + (x, y + size / 2)
    cv2.polylines(canvas.ink, [np.round(cuff * 16).astype(np.int32)], True, colour, 1, cv2.LINE_AA, 4)


def beside(canvas: Canvas, frame: Area, leading: float, materials: Materials, g: Generator) -> None:
    """Put one to four marks into the margins: braces, brackets, pointing hands, strokes, small crosses."""
    x, y, width, height = frame
    for _ in range(int(g.integers(1, 5))):
        at = y + height * g.uniform(0.02, 0.8)
        left = g.random() < 0.5
        edge = (
            x * g.uniform(0.55, 0.93)
            if left
            else x + width + (canvas.width - x - width) * g.uniform(0.1, 0.5)
        )
        drawn = g.random()
        if drawn < 0.4:
            colour = ((35, 35, 35), (100, 75, 50), (150, 60, 45))[int(g.choice(3, p=[0.7, 0.2, 0.1]))]
            brace(canvas, edge, at, min(at + leading * int(g.integers(2, 12)), y + height), g, colour)
        elif drawn < 0.75:
            manicule(canvas, edge, at, canvas.height * g.uniform(0.014, 0.035), materials, g)
        else:
            end = (round(edge + g.normal(0, 2)), round(at + leading * g.uniform(1, 5)))
            cv2.line(canvas.ink, (round(edge), round(at)), end, (90, 70, 60), 1, cv2.LINE_AA)

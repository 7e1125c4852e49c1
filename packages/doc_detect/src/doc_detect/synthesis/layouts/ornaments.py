"""Where small ornament and small pictures stand on a printed page: strips round it, rows of cuts, cuts in a column."""

import cv2
import numpy as np

from doc_detect.synthesis.art import fleurons, ornament
from doc_detect.synthesis.art.render import STYLES
from doc_detect.synthesis.art.shapes import Scene, bust
from doc_detect.synthesis.canvas import Box, Canvas
from doc_detect.synthesis.layouts.decoration import framed, inked, oval
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import Style, fitted, set_line
from doc_detect.synthesis.words import Writer

Generator = np.random.Generator
Area = tuple[float, float, float, float]


def borders(canvas: Canvas, frame: Area, style: Style, face: str, materials: Materials, g: Generator) -> Area:
    """Print one to four strips of ornament round the type area, each an object; return the area within.

    Args:
        canvas: The page.
        frame: The type area (x, y, width, height), px; the strips take their place from its edges.
        style: The text's type, whose ink is printed with.
        face: Font of type flowers.
        materials: What may be used.
        g: The only source of chance.
    """
    x, y, width, height = frame
    thick = canvas.height * g.uniform(0.015, 0.055)
    sides = ("left", "right", "top", "bottom")
    chosen = (sides, sides, sides[:2], sides[2:], ("left",), ("right",), ("left", "bottom"))
    strips = chosen[int(g.integers(len(chosen)))]
    deep = thick + thick * g.uniform(0.2, 0.5)
    taken = {side: deep * (side in strips) for side in sides}
    pattern = _strip(thick, width, face, materials, g) if g.random() < 0.4 else None
    for side in strips:
        upright = side in ("left", "right")
        length = height - taken["top"] - taken["bottom"] if upright else width
        art = _strip(thick, length, face, materials, g) if upright or pattern is None else pattern
        art = cv2.rotate(art, cv2.ROTATE_90_CLOCKWISE) if upright else art
        left = x + width - art.shape[1] if side == "right" else x
        top = y + taken["top"] if upright else y if side == "top" else y + height - art.shape[0]
        canvas.place(inked(art, style), left, top, "graphic")
    head = style.leading * 1.8  # room for the running title and the signature
    top, bottom = (taken[side] and taken[side] + head for side in ("top", "bottom"))
    return x + taken["left"], y + top, width - taken["left"] - taken["right"], height - top - bottom


def _strip(thick: float, length: float, face: str, materials: Materials, g: Generator) -> np.ndarray:
    field = materials.leafwork if g.random() < 0.5 else None
    return fleurons.strip(round(thick), round(length), g, face, field)


def cut(height: float, width: float, materials: Materials, g: Generator, *styles: str) -> np.ndarray:
    """Return a small picture: framed, oval or bare."""
    art = materials.picture(height, width, g, *styles)
    return framed(art, g) if g.random() < 0.75 else oval(art) if g.random() < 0.5 else art


def row(
    canvas: Canvas,
    area: Area,
    style: Style,
    materials: Materials,
    writer: Writer,
    g: Generator,
    *styles: str,
) -> float:
    """Print a row of small arms, coins, portraits or cuts, each an object, some with names; return the y below it."""
    x, y, width, room = area
    count = int(g.integers(2, 7))
    pitch = width / count
    tall = min(room, pitch * g.uniform(0.5, 0.95), canvas.height * g.uniform(0.035, 0.1))
    kind = int(g.integers(4))
    named = g.random() < 0.35
    deepest = 0.0
    for k in range(count):
        art = _small_thing(kind, round(tall), materials, g, *styles)
        left = x + pitch * (k + 0.5) - art.shape[1] / 2
        canvas.place(inked(art, style), left, y, "graphic")
        deepest = max(deepest, art.shape[0])
        if named:
            small = style.scaled(0.7)
            text = fitted(writer.phrase(1, 2).capitalize(), small, pitch * 0.9)
            set_line(canvas, text, x + pitch * (k + 0.5), y + art.shape[0] + 2, small, "caption", 0.5)
    return y + deepest + style.leading * (1.2 if named else 0.5)


def _small_thing(kind: int, tall: int, materials: Materials, g: Generator, *styles: str) -> np.ndarray:
    if kind == 0:
        return ornament.shaded(ornament.arms(tall, round(tall * 0.9), g), g)
    if kind == 1:
        return coin(tall, g)
    if kind == 2:
        portrait = Scene(0.8, tuple(bust(0.4, 0.36, 0.55, g)))
        wide = max(8, round(tall * 0.8))
        art = STYLES[styles[0] if styles else "woodcut"](portrait, max(10, tall), wide, g)
        return framed(art, g) if g.random() < 0.6 else oval(art)
    return cut(tall, tall * g.uniform(0.7, 1.2), materials, g, *(styles or ("woodcut",)))


def coin(size: int, g: Generator) -> np.ndarray:
    """Return a coin or a medal [size, size] uint8: a head or arms in a ring of beads."""
    size = max(12, size)
    canvas = ornament.blank(size, size)
    middle, radius = size // 2, size // 2 - 1
    inner = max(6, int(radius * 1.15))
    if g.random() < 0.6:
        scene = Scene(1.0, tuple(bust(0.5, 0.34, 0.6, g)))
        head = STYLES["engraving" if g.random() < 0.5 else "line"](scene, inner, inner, g)[..., 0]
    else:
        head = ornament.any_motif(inner, inner, g)
    corner = (size - inner) // 2
    canvas[corner : corner + inner, corner : corner + inner] = head[:inner, :inner]
    y, x = np.ogrid[0:size, 0:size]
    canvas[(x - middle) ** 2 + (y - middle) ** 2 > radius**2] = 255
    cv2.circle(canvas, (middle, middle), radius, 0, max(1, size // 40), cv2.LINE_AA)
    if g.random() < 0.7:
        count = int(g.integers(20, 40))
        for angle in np.arange(count) * 2 * np.pi / count:
            at = (middle + radius * 0.86 * np.cos(angle), middle + radius * 0.86 * np.sin(angle))
            cv2.circle(canvas, (round(at[0]), round(at[1])), max(1, size // 50), 0, -1, cv2.LINE_AA)
    return canvas


def beside_text(
    canvas: Canvas,
    area: Area,
    style: Style,
    materials: Materials,
    g: Generator,
    *styles: str,
) -> tuple[Box | None, float, int]:
    """Print a small cut at the left of a column, for text to run beside it.

    Args:
        canvas: The page.
        area: The paragraph (x, y, width, height), px, of three lines or more.
        style: The text's type.
        materials: What may be used.
        g: The only source of chance.
        styles: How pictures are cut.

    Returns:
        The box of its ink, the width that the text must leave free, px, and the number of lines.
    """
    x, y, measure, room = area
    most = int(room / style.leading + 0.02)
    lines = min(int(np.clip(canvas.height * g.uniform(0.035, 0.12) / style.leading, 2, 12)) + 1, most)
    tall = lines * style.leading - style.leading * 0.35
    wide = float(np.clip(tall * g.uniform(0.5, 1.6), measure * 0.12, measure * 0.55))
    art = cut(tall, wide, materials, g, *styles)
    box = canvas.place(inked(art, style), x, y + style.size * 0.2, "graphic")
    return box, art.shape[1] + style.size * g.uniform(0.4, 0.9), lines

"""What catalogue and article pages share: paragraphs, captions and figures as objects of their own."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from doc_detect.synthesis.art import initials
from doc_detect.synthesis.art.figures import FIGURES
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import Setting, Style, fitted, set_block, set_line
from doc_detect.synthesis.words import Writer

Generator = np.random.Generator
Area = tuple[float, float, float, float]


@dataclass(frozen=True)
class Design:
    """The typography of a modern book or journal."""

    body: Style
    bold: Style
    small: Style
    writer: Writer
    justify: bool
    number_word: str
    """What a caption begins with."""


def design(
    height: float, materials: Materials, g: Generator, language: str, lines: tuple[int, int]
) -> Design:
    """Draw a typography whose page would hold ``lines`` lines."""
    leading = height / g.integers(*lines)
    families = ("roman", "roman", "sans") if g.random() < 0.8 else ("sans",)
    style = families[int(g.integers(len(families)))]
    shade = int(g.integers(10, 50))
    ink = (shade, shade, shade)
    body = Style(
        materials.face(g, style, bold=False, figures=True), leading * g.uniform(0.72, 0.85), leading, ink
    )
    bold = replace(body, face=materials.face(g, style, "sans", bold=True, figures=True))
    words = ("Fig.", "FIG.", "Figure", "Abb.", "Pl.", "No.")
    return Design(body, bold, body.scaled(0.84), Writer(g, language), g.random() < 0.75, str(g.choice(words)))


def paragraph(
    canvas: Canvas, area: Area, style: Style, made: Design, g: Generator, label: str = "main_text"
) -> float:
    """Set one paragraph that fills an area's width; return the y below it."""
    x, y, width, height = area
    lines = int(height / style.leading)
    if lines < 1:
        return y + height
    box = set_block(
        canvas, (x, y, width, lines * style.leading), style, Setting(justify=made.justify), made.writer, g
    )
    canvas.add(label, [box] if box else [])
    return y + lines * style.leading


def opening(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> float:
    """Set the first paragraph of an article with a capital of two to four lines; return the y below it.

    It has no capital where the area holds fewer lines than that.
    """
    x, y, width, height = area
    body, count = made.body, int(g.choice([2, 2, 3, 3, 4]))
    lines = int(height / body.leading)
    if lines < count or width < count * body.leading * 2.5:
        return paragraph(canvas, area, body, made, g)
    tall = count * body.leading - (body.leading - body.size * 0.72)
    art = drop_letter(max(8, round(tall * g.uniform(0.92, 1.05))), made, materials, g)
    box = canvas.place(art, x, y + body.size * 0.28, "drop_capital")
    hole = (art.shape[1] + max(3.0, body.size * g.uniform(0.2, 0.6)) if box else 0.0, count)
    setting = Setting(justify=made.justify, hole=hole, capitals=int(g.choice([0, 0, 1, 2, 4])))
    text = set_block(canvas, (x, y, width, lines * body.leading), body, setting, made.writer, g)
    canvas.add("main_text", [text] if text else [])
    return y + lines * body.leading


def drop_letter(height: int, made: Design, materials: Materials, g: Generator) -> np.ndarray:
    """Return a capital as set from 1880 to 1980: bare, in colour, in a frame, cut out of a square, or ornate."""
    letter = initials.choose_letter(g)
    face = materials.face(g, "roman", "sans", "roman", "blackletter", bold=bool(g.random() < 0.6) or None)
    ink = made.body.colour if g.random() < 0.8 else (170, 35, 30)
    drawn = g.random()
    if drawn < 0.6:
        return initials.plain(letter, height, face, ink)
    if drawn < 0.72:
        return initials.block(letter, height, face, g, ink, materials)
    inner = initials.glyph(letter, max(6, int(height * g.uniform(0.55, 0.8))), face)
    field = np.zeros((height, max(height, inner.shape[1] + 4)), np.uint8)
    top, left = (height - inner.shape[0]) // 2, (field.shape[1] - inner.shape[1]) // 2
    field[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    if drawn < 0.88:  # white on a square
        field = 255 - field
    else:
        cv2.rectangle(field, (0, 0), (field.shape[1] - 1, height - 1), 255, int(g.integers(1, 3)))
    strength = field[..., None].astype(np.float32) / 255
    return (255 - strength * (255 - np.array(ink, np.float32))).astype(np.uint8)


def column(
    canvas: Canvas, area: Area, made: Design, g: Generator, headings: float = 0.12, lists: float = 0.06
) -> None:
    """Fill an area with paragraphs, headings and lists."""
    x, y, width, height = area
    bottom, leading = y + height, made.body.leading
    while bottom - y > 1.5 * leading:
        drawn = g.random()
        if drawn < headings and bottom - y > 4 * leading:
            y = title(canvas, x, y + leading * 0.4, width, made, g) + leading * 0.3
        tall = min(bottom - y, leading * int(g.integers(3, 15)))
        if drawn > 1 - lists:
            y = item_list(canvas, (x, y, width, tall), made, g) + leading * 0.5
        else:
            y = paragraph(canvas, (x, y, width, tall), made.body, made, g) + leading * float(
                g.choice([0, 0.5, 0.5])
            )


def title(
    canvas: Canvas, x: float, y: float, width: float, made: Design, g: Generator, scale: float = 1.0
) -> float:
    """Set a heading at the left; return the y below it."""
    style = made.bold.scaled(scale * float(g.choice([1.0, 1.0, 1.15])))
    text = made.writer.phrase(1, 6)
    text = text.upper() if g.random() < 0.3 else text.capitalize()
    if g.random() < 0.3:
        text = f"{g.integers(1, 6)}.{g.integers(1, 5)} {text}"
    set_line(canvas, fitted(text, style, width), x, y, style, "title")
    return y + style.leading


def item_list(canvas: Canvas, area: Area, made: Design, g: Generator) -> float:
    """Set a list with bullets or numbers; return the y below it."""
    x, y, width, height = area
    style, boxes = made.body, []
    indent = style.size * 1.6
    numbered = g.random() < 0.5
    for k in range(max(2, int(height / style.leading / 2))):
        boxes.append(set_line(canvas, f"{k + 1}." if numbered else "•", x, y, style))
        tall = style.leading * int(g.integers(1, 3))
        boxes.append(
            set_block(canvas, (x + indent, y, width - indent, tall), style, Setting(False), made.writer, g)
        )
        y += tall
    canvas.add("list", [box for box in boxes if box])
    return y


def caption(canvas: Canvas, x: float, y: float, width: float, made: Design, g: Generator) -> float:
    """Set a caption of one to four lines; return the y below it."""
    lines = int(g.choice([1, 1, 2, 3, 4]))
    setting = Setting(justify=False, centred=g.random() < 0.4)
    lead = f"{made.number_word} {g.integers(1, 300)}."
    first = set_line(
        canvas, fitted(f"{lead} {made.writer.phrase(2, 6).capitalize()}", made.small, width), x, y, made.small
    )
    area = (x, y + made.small.leading, width, (lines - 1) * made.small.leading)
    rest = set_block(canvas, area, made.small, setting, made.writer, g) if lines > 1 else None
    canvas.add("caption", [box for box in (first, rest) if box])
    return y + lines * made.small.leading


def figure(
    canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator, photographs: float
) -> float:
    """Print a figure with its caption above or below; return the y below both."""
    x, y, width, height = area
    above = g.random() < 0.12
    leading = made.small.leading
    if above:
        y = caption(canvas, x, y, width, made, g) + leading * 0.4
    tall = max(20.0, min(height - 2 * leading, width * g.uniform(0.4, 1.2)))
    if g.random() < photographs * 0.75:
        art = materials.photograph(tall, width, g)
    elif g.random() < photographs:
        art = materials.picture(tall, width, g, "engraving", "wash", "line", "woodcut")
    else:
        make = FIGURES[int(g.integers(len(FIGURES)))]
        art = make(round(tall), round(width), g, made.body.face)
    canvas.place(art, x, y, "graphic")
    y += art.shape[0] + leading * 0.4
    return y if above else caption(canvas, x, y, width, made, g)

"""Auction and exhibition catalogues: numbered lots, plates, photographs with captions, estimates."""

import numpy as np

from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts import furniture, modern, tables
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import Setting, fitted, set_block, set_line

Generator = np.random.Generator


def page(height: int, materials: Materials, g: Generator) -> Canvas:
    """Return one page of a catalogue."""
    width = int(height * g.uniform(0.62, 0.8))
    canvas = Canvas.blank(height, width)
    made = modern.design(height, materials, g, "catalogue", (44, 72))
    mx, top, bottom = (
        width * g.uniform(0.07, 0.14),
        height * g.uniform(0.07, 0.12),
        height * g.uniform(0.06, 0.12),
    )
    frame = (mx, top, width - 2 * mx, height - top - bottom)
    if g.random() < 0.7:
        furniture.headline(canvas, frame, made.small, made.writer, g)
    kinds = (_lots, _plates, _grid, _essay, _prices)
    kinds[int(g.choice(len(kinds), p=(0.42, 0.22, 0.16, 0.12, 0.08)))](canvas, frame, made, materials, g)
    if g.random() < 0.08:
        furniture.stamp(canvas, materials, g)
    if g.random() < 0.1:
        furniture.handwriting(canvas, materials, g)
    return canvas


def spread(height: int, materials: Materials, g: Generator) -> tuple[Canvas, Canvas]:
    """Return two facing pages."""
    return page(height, materials, g), page(height, materials, g)


def _lots(
    canvas: Canvas, frame: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> None:
    """Set numbered lots in one or two columns, some with a photograph."""
    x, y, width, height = frame
    columns = int(g.choice([1, 2]))
    gap = width * 0.05
    measure = (width - gap * (columns - 1)) / columns
    number, pictures = int(g.integers(1, 900)), float(g.choice([0, 0.3, 0.7]))
    for k in range(columns):
        left, at = x + k * (measure + gap), y
        while at < y + height - 8 * made.body.leading:
            at = _lot(canvas, (left, at, measure, y + height - at), number, pictures, made, materials, g)
            number += 1


def _lot(
    canvas: Canvas,
    area: modern.Area,
    number: int,
    pictures: float,
    made: modern.Design,
    materials: Materials,
    g: Generator,
) -> float:
    x, y, width, room = area
    leading = made.body.leading
    if g.random() < pictures and room > 16 * leading:
        y = (
            modern.figure(
                canvas, (x, y, width * g.uniform(0.5, 1.0), room * 0.5), made, materials, g, photographs=0.97
            )
            + leading * 0.5
        )
    text = f"{number}   {made.writer.name().upper()} ({made.writer.name()}, {g.integers(1450, 1930)})"
    set_line(canvas, fitted(text, made.bold, width), x, y, made.bold, "title")
    y += leading * 1.1
    indent = width * float(g.choice([0, 0.08]))
    lines = leading * int(g.integers(2, 8))
    y = modern.paragraph(
        canvas, (x + indent, y, width - indent, min(lines, area[1] + room - y)), made.body, made, g
    )
    if g.random() < 0.5:
        price = f"{g.integers(1, 90)}00/{g.integers(90, 200)}00"
        set_line(canvas, price, x + width, y, made.body, "main_text", 1.0)
        y += leading
    return y + leading * g.uniform(0.4, 1.2)


def _plates(
    canvas: Canvas, frame: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> None:
    """Print one to three large photographs with captions."""
    x, y, width, height = frame
    count = int(g.choice([1, 1, 2, 3]))
    for k in range(count):
        room = height / count
        wide = width * g.uniform(0.5, 1.0)
        area = (x + (width - wide) / 2, y + k * room, wide, room - made.small.leading * 3)
        modern.figure(canvas, area, made, materials, g, photographs=0.97)


def _grid(
    canvas: Canvas, frame: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> None:
    """Print small photographs in rows, each with its number or caption."""
    x, y, width, height = frame
    rows, columns = int(g.integers(2, 5)), int(g.integers(2, 5))
    cell = (width / columns, height / rows)
    for r in range(rows):
        for c in range(columns):
            tall, wide = cell[1] * g.uniform(0.5, 0.78), cell[0] * g.uniform(0.6, 0.9)
            art = materials.picture(tall, wide, g, "photograph", "photograph", "wash", "engraving")
            left, top = x + c * cell[0], y + r * cell[1]
            canvas.place(art, left, top, "graphic")
            text = fitted(f"{g.integers(1, 900)} {made.writer.phrase(1, 3)}", made.small, cell[0] * 0.95)
            set_line(canvas, text, left, top + art.shape[0] + 3, made.small, "caption")


def _essay(
    canvas: Canvas, frame: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> None:
    """Set an introduction, some with a picture at the top."""
    x, y, width, height = frame
    y = modern.title(canvas, x, y, width, made, g, scale=1.6) + made.body.leading
    if g.random() < 0.4:
        area = (x, y, width * g.uniform(0.5, 1), height * 0.4)
        y = modern.figure(canvas, area, made, materials, g, photographs=0.9) + made.body.leading
    modern.column(canvas, (x, y, width, frame[1] + height - y), made, g, headings=0.06, lists=0.02)


def _prices(
    canvas: Canvas, frame: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> None:
    """Set a list of prices as a table, or the conditions of sale as text."""
    x, y, width, height = frame
    y = modern.title(canvas, x, y, width, made, g, scale=1.3) + made.body.leading
    room = frame[1] + height - y
    if g.random() < 0.7:
        tables.table(canvas, (x, y, width, room * g.uniform(0.5, 1)), made.small, made.writer, g)
    else:
        box = set_block(canvas, (x, y, width, room), made.body, Setting(), made.writer, g)
        canvas.add("main_text", [box] if box else [])

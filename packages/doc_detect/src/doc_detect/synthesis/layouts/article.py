"""Modern journal articles: one to three columns with figures, tables, lists, formulas and captions."""

import numpy as np

from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts import furniture, lookalikes, modern
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.layouts.titled import titled_table
from doc_detect.synthesis.text import fitted, set_line

Generator = np.random.Generator


def page(height: int, materials: Materials, g: Generator) -> Canvas:
    """Return one page of an article."""
    width = int(height * g.uniform(0.7, 0.79))
    canvas = Canvas.blank(height, width)
    made = modern.design(height, materials, g, "modern", (58, 96))
    mx, top, bottom = (
        width * g.uniform(0.06, 0.12),
        height * g.uniform(0.06, 0.1),
        height * g.uniform(0.06, 0.1),
    )
    frame = (mx, top, width - 2 * mx, height - top - bottom)
    furniture.headline(canvas, frame, made.small, made.writer, g)
    if g.random() < 0.4:
        _folio(canvas, frame, made, g)
    y, end = top, top + frame[3]
    if g.random() < 0.18:
        y = _front(canvas, frame, made, g)
    elif g.random() < 0.15:
        y = _floats_alone(canvas, frame, made, materials, g)
    columns = int(g.choice([1, 2, 3], p=[0.3, 0.6, 0.1]))
    if g.random() < 0.35:
        tall = min(end - y, frame[3] * g.uniform(0.2, 0.6))
        y = _float(canvas, (mx, y, frame[2], tall), made, materials, g) + made.body.leading
    gap = width * g.uniform(0.025, 0.05)
    measure = (frame[2] - gap * (columns - 1)) / columns
    for k in range(columns):
        _column(canvas, (mx + k * (measure + gap), y, measure, end - y), made, materials, g)
    return canvas


def _folio(canvas: Canvas, frame: modern.Area, made: modern.Design, g: Generator) -> None:
    x, y, width, height = frame
    at = y + height + made.body.leading * 0.8
    set_line(
        canvas,
        str(g.integers(1, 400)),
        x + width * float(g.choice([0.5, 1.0])),
        at,
        made.small,
        "page_number",
        0.5,
    )


def _front(canvas: Canvas, frame: modern.Area, made: modern.Design, g: Generator) -> float:
    """Set title, authors and abstract; return the y below them."""
    x, y, width, _ = frame
    style = made.bold.scaled(float(g.uniform(1.5, 2.2)))
    for _ in range(int(g.integers(1, 3))):
        set_line(canvas, fitted(made.writer.phrase(4, 9).capitalize(), style, width), x, y, style, "title")
        y += style.leading
    authors = ", ".join(f"{made.writer.name()} {made.writer.name()}" for _ in range(int(g.integers(1, 5))))
    set_line(canvas, fitted(authors, made.body, width), x, y, made.body, "main_text")
    y += made.body.leading * 2
    return (
        modern.paragraph(canvas, (x, y, width, made.body.leading * 8), made.small, made, g)
        + made.body.leading
    )


def _floats_alone(
    canvas: Canvas, frame: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> float:
    """Print figures and tables over the whole width, one below the other; return the y below them."""
    x, y, width, height = frame
    end = y + height
    for _ in range(int(g.integers(1, 4))):
        tall = min(end - y, height * g.uniform(0.3, 0.95))
        if tall > 16 * made.body.leading:
            y = _float(canvas, (x, y, width, tall), made, materials, g) + made.body.leading
    return min(y, end)


def _float(
    canvas: Canvas, area: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> float:
    """Print a figure, two beside each other, or a table; return the y below."""
    x, y, width, height = area
    drawn = g.random()
    if drawn < 0.45:
        return titled_table(canvas, area, made, g, titles=0.95)
    if drawn < 0.52 and width > canvas.width * 0.6:
        half = width * 0.48
        pair = [(x, y, half, height), (x + width - half, y, half, height)]
        return max(modern.figure(canvas, part, made, materials, g, photographs=0.15) for part in pair)
    inset = width * float(g.choice([0, 0, 0, g.uniform(0.05, 0.2)]))
    part = (x + inset, y, width - 2 * inset, height)
    return modern.figure(canvas, part, made, materials, g, photographs=0.15)


def _column(
    canvas: Canvas, area: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> None:
    """Fill a column with text; some have a figure or a table in it, some formulas, some end in references."""
    x, y, width, height = area
    leading = made.body.leading
    if height < 20 * leading or g.random() > 0.6:
        modern.column(canvas, area, made, g)
        return
    drawn = g.random()
    before = height * float(g.choice([0, g.uniform(0, 0.5)]))
    modern.column(canvas, (x, y, width, before), made, g)
    y, end = y + before + leading * min(1.0, before), area[1] + height
    if drawn < 0.75:
        tall = min(end - y, height * g.uniform(0.25, 0.6))
        y = _float(canvas, (x, y, width, tall), made, materials, g) + leading
    elif drawn < 0.88:
        lookalikes.formulas(canvas, (x, y, width, end - y), made, g)
        return
    else:
        lookalikes.bibliography(canvas, (x, y, width, end - y), made, g)
        return
    modern.column(canvas, (x, y, width, max(0.0, end - y)), made, g)

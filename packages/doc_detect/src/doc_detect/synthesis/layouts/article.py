"""Modern journal articles: one or two columns with figures, tables, lists and captions."""

import numpy as np

from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts import furniture, modern, tables
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import fitted, set_line

Generator = np.random.Generator


def page(height: int, materials: Materials, g: Generator) -> Canvas:
    """Return one page of an article."""
    width = int(height * g.uniform(0.7, 0.79))
    canvas = Canvas.blank(height, width)
    made = modern.design(height, materials, g, "modern", (58, 86))
    mx, top, bottom = (
        width * g.uniform(0.06, 0.12),
        height * g.uniform(0.06, 0.1),
        height * g.uniform(0.06, 0.1),
    )
    frame = (mx, top, width - 2 * mx, height - top - bottom)
    furniture.headline(canvas, frame, made.small, made.writer, g)
    if g.random() < 0.4:
        _folio(canvas, frame, made, g)
    y = top
    if g.random() < 0.18:
        y = _front(canvas, frame, made, g)
    columns = int(g.choice([1, 2, 2, 2, 3], p=[0.3, 0.2, 0.2, 0.2, 0.1]))
    if g.random() < 0.3:
        y = _float(canvas, (mx, y, frame[2], frame[3] * 0.45), made, materials, g) + made.body.leading
    gap = width * g.uniform(0.025, 0.05)
    measure = (frame[2] - gap * (columns - 1)) / columns
    for k in range(columns):
        area = (mx + k * (measure + gap), y, measure, top + frame[3] - y)
        _column(canvas, area, made, materials, g)
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


def _float(
    canvas: Canvas, area: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> float:
    if g.random() < 0.6:
        return modern.figure(canvas, area, made, materials, g, photographs=0.35)
    x, y, width, height = area
    y = modern.caption(canvas, x, y, width, made, g) + made.small.leading * 0.4
    tall = min(height * g.uniform(0.3, 0.9), height)
    tables.table(canvas, (x, y, width, tall), made.small, made.writer, g)
    return y + tall


def _column(
    canvas: Canvas, area: modern.Area, made: modern.Design, materials: Materials, g: Generator
) -> None:
    """Fill a column; one in three has a figure or a table in it."""
    x, y, width, height = area
    leading = made.body.leading
    if g.random() > 0.4 or height < 20 * leading:
        modern.column(canvas, area, made, g)
        return
    before = height * g.uniform(0, 0.5)
    modern.column(canvas, (x, y, width, before), made, g)
    y = _float(canvas, (x, y + before + leading, width, height * 0.4), made, materials, g) + leading
    modern.column(canvas, (x, y, width, max(0.0, area[1] + height - y)), made, g)

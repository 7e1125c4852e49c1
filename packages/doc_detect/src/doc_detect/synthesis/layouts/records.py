"""Records of about 1850 to 1990: reports, statistics, registers, typescripts and forms, and what only looks like a table."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from doc_detect.synthesis.canvas import Box, Canvas
from doc_detect.synthesis.layouts import furniture, lookalikes, modern, tables
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.layouts.titled import titled_table
from doc_detect.synthesis.text import Setting, Style, fitted, set_block, set_line

Generator = np.random.Generator
Area = tuple[float, float, float, float]


@dataclass(frozen=True)
class Record:
    """What all parts of a page share."""

    design: modern.Design
    typed: bool
    entry: Style
    """The hand or the machine that fills in forms."""
    materials: Materials


def page(height: int, materials: Materials, g: Generator) -> Canvas:
    """Return one page; the longer side of a page on its side is ``height``."""
    layouts: tuple[tuple[float, Layout, float], ...] = (
        (0.24, _report, 0.05),
        (0.17, _full_page, 0.3),
        (0.15, _several, 0.15),
        (0.07, _lists, 0.0),
        (0.09, _ledger, 0.3),
        (0.1, _form, 0.1),
        (0.04, _loose_form, 0.05),
        (0.05, _charts, 0.3),
        (0.14, _lookalike, 0.0),
    )
    shares = np.array([share for share, _, _ in layouts])
    _, layout, landscape = layouts[int(g.choice(len(layouts), p=shares / shares.sum()))]
    aspect = g.uniform(0.64, 0.8)
    on_its_side = g.random() < landscape
    size = (round(height * aspect), height) if on_its_side else (height, round(height * aspect))
    canvas = _drawn(size, layout, materials, g)
    return _turned(canvas) if on_its_side and g.random() < 0.3 else canvas


def spread(height: int, materials: Materials, g: Generator) -> tuple[Canvas, Canvas]:
    """Return the two pages of an open register."""
    size = (height, round(height * g.uniform(0.64, 0.8)))
    layout: Layout = _ledger if g.random() < 0.6 else _full_page
    return _drawn(size, layout, materials, g), _drawn(size, layout, materials, g)


def _drawn(size: tuple[int, int], layout: "Layout", materials: Materials, g: Generator) -> Canvas:
    canvas = Canvas.blank(*size)
    made = _record(max(size), materials, g)
    height, width = size
    left, right = width * g.uniform(0.05, 0.15), width * g.uniform(0.04, 0.12)
    top, bottom = height * g.uniform(0.05, 0.11), height * g.uniform(0.05, 0.12)
    frame = (left, top, width - left - right, height - top - bottom)
    if g.random() < 0.6:
        furniture.headline(canvas, frame, made.design.body, made.design.writer, g)
    layout(canvas, frame, made, g)
    if g.random() < 0.06:
        furniture.stamp(canvas, materials, g)
    if g.random() < 0.08:
        furniture.handwriting(canvas, materials, g)
    return canvas


def _record(height: int, materials: Materials, g: Generator) -> Record:
    typed = g.random() < 0.4
    language = str(g.choice(["english", "modern", "modern", "french"]))
    design = modern.design(height, materials, g, language, (50, 66) if typed else (54, 92))
    if typed:
        face = materials.face(g, "typewriter", bold=False)
        body = replace(design.body, face=face, size=design.body.leading * g.uniform(0.7, 0.82))
        design = replace(design, body=body, bold=body, small=body, justify=False)
    shade = ((45, 50, 105), (40, 35, 35), (70, 50, 40), (75, 75, 80))[int(g.integers(4))]
    face = materials.face(g, "hand", "hand", "italic", "typewriter")
    size = design.body.size * g.uniform(1.0, 1.5)
    return Record(design, typed, Style(face, size, size * 1.25, shade), materials)


def _turned(canvas: Canvas) -> Canvas:
    """Return a page that lies on its side as it is bound: turned by a right angle."""
    width = canvas.width
    objects: list[tuple[str, Box]] = [
        (name, (y0, width - x1, y1, width - x0)) for name, (x0, y0, x1, y1) in canvas.objects
    ]
    return replace(canvas, ink=np.ascontiguousarray(np.rot90(canvas.ink)), objects=objects)


# --- tables on pages


def _titled(canvas: Canvas, area: Area, made: Record, g: Generator, recipe: str = "") -> float:
    """Print a table, most with a title above and some with notes below; return the y below all."""
    return titled_table(canvas, area, made.design, g, recipe, made.typed)


def _report(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    """Set text in one column or two with one to three tables, and a chart now and then."""
    columns = 1 if made.typed or g.random() < 0.6 else 2
    x, y, width, height = frame
    if g.random() < 0.3:
        y = modern.title(canvas, x, y, width, made.design, g, 1.3) + made.design.body.leading
    gap = width * 0.05
    measure = (width - gap * (columns - 1)) / columns
    if columns == 2 and g.random() < 0.4:
        y = _titled(canvas, (x, y, width, height * g.uniform(0.2, 0.5)), made, g) + made.design.body.leading
    for k in range(columns):
        area = (x + k * (measure + gap), y, measure, frame[1] + height - y)
        _text_and_tables(canvas, area, made, g, 0.9 if columns == 1 else 0.6)


def _text_and_tables(canvas: Canvas, area: Area, made: Record, g: Generator, share: float) -> None:
    x, y, width, height = area
    bottom, leading = y + height, made.design.body.leading
    while bottom - y > 6 * leading:
        tall = min(bottom - y, leading * int(g.integers(2, 16)))
        modern.column(canvas, (x, y, width, tall), made.design, g)
        y += tall + leading * g.uniform(0.6, 1.5)
        if bottom - y < 12 * leading or g.random() > share:
            continue
        tall = min(bottom - y, leading * int(g.integers(12, 36)))
        if g.random() < 0.1:
            y = modern.figure(canvas, (x, y, width, tall), made.design, made.materials, g, 0.2)
        else:
            inset = width * float(g.choice([0, 0, 0, 0.08]))
            y = _titled(canvas, (x + inset, y, width - 2 * inset, tall), made, g)
        y += leading * g.uniform(0.8, 1.6)


def _full_page(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    """Print one table that fills the page, or nearly."""
    recipe = tables.draw_from({"statistics": 0.55, "wide": 0.3, "words": 0.15}, g)
    _titled(canvas, frame, made, g, recipe)


def _several(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    """Print small tables below and beside each other, close together."""
    x, y, width, height = frame
    bottom, leading = y + height, made.design.small.leading
    while bottom - y > 12 * leading:
        beside = int(g.choice([1, 1, 2, 2, 3]))
        tall = min(bottom - y, leading * int(g.integers(12, 28)))
        gap = width * g.uniform(0.025, 0.06)
        measure = (width - gap * (beside - 1)) / beside
        ends = []
        for k in range(beside):
            area = (x + k * (measure + gap), y, measure, tall)
            recipe = tables.draw_from({"pairs": 0.4, "statistics": 0.6}, g) if beside > 1 else ""
            ends.append(_titled(canvas, area, made, g, recipe))
        y = max(ends) + leading * g.uniform(0.5, 1.6)


def _lists(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    """Print narrow lists of names and numbers in two to four columns."""
    x, y, width, height = frame
    count = int(g.integers(2, 5))
    gap = width * g.uniform(0.04, 0.08)
    measure = (width - gap * (count - 1)) / count
    if g.random() < 0.6:
        y = modern.title(canvas, x, y, width, made.design, g, 1.2) + made.design.body.leading
    bottom = frame[1] + height * g.uniform(0.5, 1.0)
    for k in range(count):
        left, at = x + k * (measure + gap), y
        while bottom - at > 12 * made.design.small.leading:
            at = _titled(canvas, (left, at, measure, bottom - at), made, g, "pairs")
            at += made.design.small.leading * g.uniform(0.6, 2)


def _ledger(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    """Print a register's grid with entries by hand, typed or printed, and rows still empty."""
    x, y, width, height = frame
    if g.random() < 0.6:
        y = modern.title(canvas, x, y, width, made.design, g, 1.3) + made.design.body.leading * 0.5
    area = (x, y, width, frame[1] + height - y)
    style = made.design.small
    tables.table(
        canvas, area, style, made.design.writer, g, "ledger", made.entry if g.random() < 0.85 else None
    )


# --- forms


def _form(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    """Print a form: a heading, boxes with labels, small print, more boxes or lines to write on."""
    x, y, width, height = frame
    bottom, design = y + height, made.design
    for k in range(int(g.integers(1, 4))):
        style = design.bold.scaled(1.4 if k == 0 else 0.9)
        text = fitted(design.writer.phrase(2, 6).upper(), style, width)
        set_line(canvas, text, x + width / 2, y, style, "title", 0.5)
        y += style.leading
    y += design.body.leading * 0.5
    entry = made.entry if g.random() < 0.7 else None
    while bottom - y > 10 * design.body.leading:
        tall = min(bottom - y, height * g.uniform(0.15, 0.7))
        y = tables.form(canvas, (x, y, width, tall), design.small, design.writer, g, entry)
        y += design.body.leading * g.uniform(0.6, 1.5)
        if g.random() < 0.5 and bottom - y > 6 * design.body.leading:
            tall = design.small.leading * int(g.integers(2, 5))
            y = modern.paragraph(canvas, (x, y, width, tall), design.small, design, g) + design.body.leading
        if g.random() < 0.3 and bottom - y > 8 * design.body.leading:
            tall = min(bottom - y, height * 0.25)
            y = lookalikes.lines_to_fill(canvas, (x, y, width, tall), design, entry, g)
            y += design.body.leading


def _loose_form(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    """Print labels and lines to write on, which make no table."""
    x, y, width, height = frame
    y = modern.title(canvas, x, y, width, made.design, g, 1.4) + made.design.body.leading
    entry = made.entry if g.random() < 0.7 else None
    lookalikes.lines_to_fill(canvas, (x, y, width, frame[1] + height - y), made.design, entry, g)


# --- charts


def _charts(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    """Print one chart to three over the page's width, some with a table below."""
    x, y, width, height = frame
    bottom, leading = y + height, made.design.body.leading
    for _ in range(int(g.integers(1, 4))):
        tall = min(bottom - y, height * g.uniform(0.3, 1.0))
        if tall > 12 * leading:
            y = modern.figure(canvas, (x, y, width, tall), made.design, made.materials, g, 0.0) + leading
    if g.random() < 0.4:
        _titled(canvas, (x, y, width, bottom - y), made, g)


# --- what is no table


def _lookalike(canvas: Canvas, frame: Area, made: Record, g: Generator) -> None:
    make = lookalikes.LOOKALIKES[int(g.integers(len(lookalikes.LOOKALIKES)))]
    x, y, width, height = frame
    if g.random() < 0.5:
        y = modern.title(canvas, x, y, width, made.design, g, 1.3) + made.design.body.leading
    tall = height * float(g.choice([1.0, 1.0, g.uniform(0.3, 0.9)]))
    made_of = made.design
    if make is lookalikes.code:
        face = made.materials.face(g, "typewriter", bold=False)
        made_of = replace(made_of, body=replace(made_of.body, face=face))
    make(canvas, (x, y, width, frame[1] + tall - y), made_of, g)
    rest = frame[1] + height - (frame[1] + tall)
    if rest > 6 * made.design.body.leading and g.random() < 0.5:
        area = (x, frame[1] + tall + made.design.body.leading, width, rest - made.design.body.leading)
        box = set_block(canvas, area, made.design.body, Setting(made.design.justify), made.design.writer, g)
        canvas.add("main_text", [box] if box else [])


Layout = Callable[[Canvas, Area, Record, Generator], None]

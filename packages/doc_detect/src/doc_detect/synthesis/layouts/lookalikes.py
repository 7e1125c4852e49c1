"""What stands in rows and columns and is no table: contents, indexes, verse, addresses, dictionaries, formulas, code."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from doc_detect.synthesis.canvas import Box, Canvas
from doc_detect.synthesis.fonts import load
from doc_detect.synthesis.layouts import furniture, modern
from doc_detect.synthesis.layouts.modern import Area, Design
from doc_detect.synthesis.text import Setting, Style, fitted, set_block, set_line
from doc_detect.synthesis.words import roman

Generator = np.random.Generator
Draw = Callable[[Canvas, Area, Design, Generator], None]


def _columns(area: Area, count: int, gap: float) -> list[Area]:
    """Divide an area into columns with a gap (a share of the width) between them."""
    x, y, width, height = area
    measure = width * (1 - gap * (count - 1)) / count
    return [(x + k * (measure + width * gap), y, measure, height) for k in range(count)]


def _kept(boxes: list[Box | None]) -> list[Box]:
    return [box for box in boxes if box]


def contents(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set a table of contents: chapters, leaders and pages that rise."""
    x, y, width, height = area
    style, number, boxes = made.body, int(g.integers(1, 20)), []
    numbered, dotted, step = g.random() < 0.6, g.random() < 0.7, style.leading * g.uniform(1.0, 1.7)
    for k in range(int(height / step)):
        deep = 0 if g.random() < 0.4 else 1
        lead = f"{roman(k + 1)}. " if numbered and not deep else ""
        left = x + deep * style.size * 1.5
        text = fitted(lead + made.writer.phrase(1, 9).capitalize(), style, width * 0.85)
        number += int(g.integers(0, 12))
        at = y + k * step
        boxes.append(set_line(canvas, text, left, at, style))
        boxes.append(set_line(canvas, str(number), x + width, at, style, None, 1.0))
        if dotted:
            end = left + load(style.face, round(style.size)).getlength(text) * style.stretch
            room = x + width - style.size * 2 - end - style.size
            dots = " ." * int(room / load(style.face, round(style.size)).getlength(" ."))
            set_line(canvas, dots, x + width - style.size * 2, at, style, None, 1.0)
    canvas.add("main_text", _kept(boxes))


def index(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set an index of names with page numbers in two or three columns."""
    for x, y, width, height in _columns(area, int(g.integers(2, 4)), 0.05):
        boxes: list[Box | None] = []
        for k in range(int(height / made.small.leading)):
            pages = ", ".join(str(v) for v in sorted(g.integers(1, 500, int(g.integers(1, 5)))))
            indent = made.small.size * float(g.choice([0, 0, 1.2]))
            text = fitted(
                f"{made.writer.name()}, {made.writer.phrase(0, 3)} {pages}", made.small, width - indent
            )
            boxes.append(set_line(canvas, text, x + indent, y + k * made.small.leading, made.small))
        canvas.add("main_text", _kept(boxes))


def verse(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set verse with the number of every fifth line at the margin."""
    x, y, width, height = area
    style, first = made.body, int(g.integers(0, 60)) * 5
    measure, right = width * g.uniform(0.5, 0.8), g.random() < 0.6
    box = set_block(
        canvas, (x + width * 0.12, y, measure, height), style, Setting(verse=True), made.writer, g
    )
    canvas.add("main_text", [box] if box else [])
    for line in range(4, int(height / style.leading), 5):
        at = x + width if right else x
        set_line(
            canvas, str(first + line + 1), at, y + line * style.leading, style.scaled(0.9), None, float(right)
        )


def addresses(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set addresses of three to five short lines in rows."""
    count, style = int(g.integers(2, 4)), made.body
    deep = style.leading * int(g.integers(5, 8))
    for x, y, width, height in _columns(area, count, 0.04):
        for row in range(int(height / deep)):
            boxes = []
            for line in range(int(g.integers(3, 6))):
                text = (
                    f"{g.integers(1, 300)} {made.writer.name()} Street" if line == 1 else made.writer.name()
                )
                text = f"{text} {made.writer.name()}" if line == 0 else text
                at = y + row * deep + line * style.leading
                boxes.append(set_line(canvas, fitted(text, style, width), x, at, style))
            canvas.add("main_text", _kept(boxes))


def _hanging(canvas: Canvas, area: Area, lead: str, head: Style, made: Design, g: Generator) -> float:
    """Set an entry whose later lines are indented; return the y below it."""
    x, y, width, height = area
    style, indent = made.small, made.small.size * 1.4
    lines = min(int(g.integers(1, 6)), int(height / style.leading))
    first = fitted(lead, head, width * 0.7)
    taken = load(head.face, round(head.size)).getlength(first) * head.stretch + style.size * 0.4
    boxes = [set_line(canvas, first, x, y, head)]
    rest = fitted(made.writer.phrase(6, 12), style, width - taken)
    boxes.append(set_line(canvas, rest, x + taken, y, style))
    below = (x + indent, y + style.leading, width - indent, (lines - 1) * style.leading)
    boxes.append(set_block(canvas, below, style, Setting(made.justify), made.writer, g))
    canvas.add("main_text", _kept(boxes))
    return y + lines * style.leading


def _entries(
    canvas: Canvas, area: Area, made: Design, g: Generator, columns: int, bold: bool, gap: float
) -> None:
    for x, top, width, height in _columns(area, columns, 0.045):
        y = top
        while top + height - y > 2 * made.small.leading:
            name = made.writer.name() + (f", {made.writer.name()[:1]}." if not bold else "")
            head = replace(made.bold, size=made.small.size) if bold else made.small
            y = _hanging(canvas, (x, y, width, top + height - y), name, head, made, g)
            y += made.small.leading * gap


def dictionary(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set a dictionary in two or three columns, some with a rule between them."""
    count = int(g.integers(2, 4))
    _entries(canvas, area, made, g, count, True, float(g.choice([0, 0, 0.3])))
    if g.random() < 0.4:
        for x, y, _, height in _columns(area, count, 0.045)[1:]:
            at = round(x - area[2] * 0.0225)
            cv2.line(canvas.ink, (at, round(y)), (at, round(y + height)), (40, 40, 40), 1)


def bibliography(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set references with hanging indents."""
    _entries(canvas, area, made, g, int(g.choice([1, 1, 2])), False, float(g.choice([0, 0.4])))


def two_columns(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set text in columns, some with a heading between rules over both."""
    x, y, width, height = area
    if g.random() < 0.6:
        y = ruled_heading(canvas, x, y, width, made, g)
    for column in _columns((x, y, width, area[1] + height - y), int(g.integers(2, 4)), 0.04):
        modern.column(canvas, column, made, g)


def ruled_heading(canvas: Canvas, x: float, y: float, width: float, made: Design, g: Generator) -> float:
    """Set one to three centred lines between rules; return the y below."""
    y = furniture.rule(canvas, x, y, width, g)
    for _ in range(int(g.integers(1, 4))):
        style = made.bold.scaled(float(g.uniform(0.9, 1.5)))
        text = fitted(made.writer.phrase(1, 5).upper(), style, width)
        set_line(canvas, text, x + width / 2, y, style, "title", 0.5)
        y += style.leading
    return furniture.rule(canvas, x, y + made.body.leading * 0.4, width, g) + made.body.leading * 0.4


def ruled_headings(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set short paragraphs below headings that stand between rules."""
    x, y, width, height = area
    bottom = y + height
    while bottom - y > 9 * made.body.leading:
        y = ruled_heading(canvas, x, y, width, made, g)
        tall = min(bottom - y, made.body.leading * int(g.integers(2, 10)))
        y = modern.paragraph(canvas, (x, y, width, tall), made.body, made, g) + made.body.leading


def formulas(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set text with formulas in lines of their own, numbered at the right."""
    x, y, width, height = area
    bottom, leading, number = y + height, made.body.leading, int(g.integers(1, 60))
    while bottom - y > 8 * leading:
        y = modern.paragraph(canvas, (x, y, width, leading * int(g.integers(1, 6))), made.body, made, g)
        for _ in range(int(g.integers(1, 4))):
            _formula(canvas, x + width / 2, y + leading * 0.6, made.body, g)
            set_line(canvas, f"({number})", x + width, y + leading * 0.6, made.body, None, 1.0)
            number, y = number + 1, y + leading * 2.4


def _formula(canvas: Canvas, x: float, y: float, style: Style, g: Generator) -> None:
    """Set an equation of terms, some of them fractions, centred on ``x``."""
    terms = [str(g.choice(list("abcnkxyzMNRT"))) for _ in range(int(g.integers(2, 7)))]
    step = style.size * 2.4
    left = x - step * len(terms) / 2
    for k, term in enumerate(terms):
        at = left + k * step
        set_line(canvas, "=" if k == 1 else "+" if k else "", at - step * 0.4, y, style, None, 0.5)
        if g.random() < 0.5:
            set_line(canvas, term, at, y - style.size * 0.7, style, None, 0.5)
            set_line(canvas, f"{g.integers(1, 9)}{term}", at, y + style.size * 0.7, style, None, 0.5)
            middle, half = round(y + style.size * 0.65), style.size * 0.7
            cv2.line(canvas.ink, (round(at - half), middle), (round(at + half), middle), (40, 40, 40), 1)
        else:
            set_line(canvas, term, at, y, style, None, 0.5)


def code(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set a program with indents, some with line numbers."""
    x, y, width, height = area
    style, deep, boxes = made.body, 0, []
    numbered = g.random() < 0.5
    for k in range(int(height / style.leading)):
        deep = max(0, min(5, deep + int(g.integers(-1, 2))))
        if g.random() < 0.12:
            continue
        words = made.writer.phrase(1, 5).split()
        text = (
            f"{words[0]}({', '.join(words[1:])})" if g.random() < 0.5 else f"{words[0]} = {' + '.join(words)}"
        )
        left = x + style.size * (2.5 * numbered + 1.2 * deep)
        at = y + k * style.leading
        if numbered:
            set_line(canvas, str(k * 10 + 10), x + style.size * 2, at, style, None, 1.0)
        boxes.append(set_line(canvas, fitted(text, style, x + width - left), left, at, style))
    canvas.add("main_text", _kept(boxes))


def letter(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set a letter: date, address, paragraphs and a signature's name."""
    x, y, width, height = area
    leading, style = made.body.leading, made.body
    set_line(
        canvas,
        f"{g.integers(1, 31)} {made.writer.name()} {g.integers(1880, 1990)}",
        x + width,
        y,
        style,
        None,
        1.0,
    )
    for k in range(int(g.integers(2, 5))):
        set_line(
            canvas, f"{made.writer.name()} {made.writer.name()}", x, y + (k + 2) * leading, style, "main_text"
        )
    modern.column(canvas, (x, y + leading * 7, width, height - leading * 11), made, g, headings=0.0)
    set_line(
        canvas, f"{made.writer.name()} {made.writer.name()}", x + width * 0.6, y + height - leading * 2, style
    )


def lines_to_fill(canvas: Canvas, area: Area, made: Design, entry: Style | None, g: Generator) -> float:
    """Print labels with lines or dots to write on, some filled in; return the y below them.

    Nothing is recorded: loose lines are neither table nor text.
    """
    x, y, width, height = area
    style, step = made.body, made.body.leading * g.uniform(1.6, 2.6)
    font, dotted, share = load(style.face, round(style.size)), g.random() < 0.4, g.uniform(0.2, 0.9)
    for row in range(int(height / step)):
        at = y + row * step
        for left, top, measure, _ in _columns((x, at, width, step), int(g.choice([1, 1, 2, 3])), 0.04):
            label = fitted(made.writer.phrase(1, 4).capitalize() + ":", style, measure * 0.6)
            if g.random() < 0.12:
                corner = (round(left), round(top + style.size * 0.1))
                far = (round(left + style.size * 0.8), round(top + style.size * 0.9))
                cv2.rectangle(canvas.ink, corner, far, (40, 40, 40), 1)
                set_line(canvas, label, left + style.size * 1.3, top, style)
                continue
            set_line(canvas, label, left, top, style)
            start, base = (
                left + font.getlength(label) * style.stretch + style.size * 0.5,
                round(top + style.size),
            )
            if dotted:
                set_line(canvas, "." * int((left + measure - start) / font.getlength(".")), start, top, style)
            else:
                cv2.line(canvas.ink, (round(start), base), (round(left + measure), base), (60, 60, 60), 1)
            if entry and g.random() < share and left + measure - start > entry.size * 3:
                text = fitted(f"{made.writer.name()} {g.integers(1, 999)}", entry, left + measure - start)
                set_line(canvas, text, start + entry.size * 0.3, base - entry.size * 0.95, entry)
    return y + int(height / step) * step


LOOKALIKES: tuple[Draw, ...] = (
    contents,
    index,
    verse,
    addresses,
    bibliography,
    dictionary,
    two_columns,
    ruled_headings,
    formulas,
    code,
    letter,
)
"""Layouts whose pages hold no table."""

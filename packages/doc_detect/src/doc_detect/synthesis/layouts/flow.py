"""A column that fills itself with paragraphs, initials, headings and pictures."""

from dataclasses import dataclass, replace

import numpy as np

from doc_detect.synthesis.art import initials
from doc_detect.synthesis.art.manuscript import line_filler
from doc_detect.synthesis.canvas import Box, Canvas
from doc_detect.synthesis.fonts import covers, load
from doc_detect.synthesis.layouts import marks, ornaments
from doc_detect.synthesis.layouts.decoration import decoration, framed
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import RUBRIC, Colour, Setting, Style, fitted, set_block, set_line
from doc_detect.synthesis.words import Writer, roman

Generator = np.random.Generator
_WRITTEN = 150
"""A pixel whose darkest channel is below this is writing, no ruling."""
PARAPHS = "¶⸿❡⁋"
"""Signs at the beginning of a paragraph."""


@dataclass(frozen=True)
class Manner:
    """The habits of a book, the same in all its columns."""

    style: Style
    heading: Style
    setting: Setting
    initial_face: str
    ornate_face: str | None
    initial_share: float
    """Share of paragraphs that begin with an initial."""
    initial_kinds: tuple[str, ...]
    initial_lines: tuple[int, ...]
    heading_share: float
    picture_share: float
    picture_styles: tuple[str, ...] = ("woodcut",)
    paragraph: tuple[int, int] = (4, 16)
    """Fewest and most lines of a paragraph."""
    ornament_share: float = 0.0
    """Share of the gaps between paragraphs that hold an ornament."""
    cut_share: float = 0.0
    """Share of paragraphs that have a small picture beside them or a row of such before them."""
    asterisk_share: float = 0.0
    """Share of the gaps between paragraphs that hold small signs, which are no ornament."""
    ornament_face: str = ""
    """Font of type flowers."""
    gap: float = 0.0
    """Space between paragraphs, in lines."""
    sign_share: float = 0.0
    """Share of the other paragraphs that begin with a paraph or a capital of one line, which are no initials."""
    sign_colours: tuple[Colour, ...] = ()
    """The colours of those."""
    sign_kinds: tuple[str, ...] = ("type",)
    """How they are made: "type" out of a font, "paraph" and "versal" painted."""
    filler_share: float = 0.0
    """Share of last lines whose rest is filled by a painted bar or penwork."""


def draw_initial(kind: str, height: int, manner: Manner, materials: Materials, g: Generator) -> np.ndarray:
    """Return an initial of a kind, RGB on white."""
    ornate = manner.ornate_face if kind == "ornate" else None
    if ornate:
        letters = covers(ornate, initials.LETTERS)
        return initials.plain(letters[int(g.integers(len(letters)))], height, ornate, manner.style.colour)
    letter, face = initials.choose_letter(g), manner.initial_face
    if kind == "block":
        return initials.block(letter, height, face, g, manner.style.colour, materials)
    if kind == "flourished":
        return initials.flourished(letter, height, face, g)
    if kind == "painted":
        return initials.painted(letter, height, face, g)
    if kind == "coloured":
        colour = (initials.RED, initials.BLUE, initials.RED, initials.GOLD)[int(g.integers(4))]
        return initials.plain(letter, height, face, colour)
    return initials.plain(letter, height, face, manner.style.colour)


def fill_column(
    canvas: Canvas,
    area: tuple[float, float, float, float],
    manner: Manner,
    materials: Materials,
    writer: Writer,
    g: Generator,
    opening: bool = False,
) -> float:
    """Fill an area (x, y, width, height) from the top; return the y where its text ends.

    With ``opening`` the first paragraph begins with an initial if any does.
    """
    x, y, width, height = area
    bottom, boxes, first = y + height, [], True
    leading = manner.style.leading
    while bottom - y > leading * 1.5:
        if not first:
            y = _interlude(canvas, (x, y, width, bottom - y), manner, materials, writer, g)
        lines = min(int(g.integers(*manner.paragraph)), int((bottom - y) / leading))
        if lines < 1:
            break
        wanted = manner.initial_share > 0 and (opening and first or g.random() < manner.initial_share)
        block = _paragraph(canvas, (x, y, width, lines * leading), wanted, manner, materials, writer, g)
        boxes += block
        y = max([y + lines * leading, *[box[3] for box in block[1:]]]) + manner.gap * leading
        first = False
    canvas.add("main_text", boxes)
    return y


def _paragraph(
    canvas: Canvas,
    area: tuple[float, float, float, float],
    with_initial: bool,
    manner: Manner,
    materials: Materials,
    writer: Writer,
    g: Generator,
) -> list[Box]:
    """Set a paragraph; return the boxes of its text and, after it, of its initial."""
    x, y, width, height = area
    setting, parts = manner.setting, []
    count = int(g.choice(manner.initial_lines))
    if with_initial and count * manner.style.leading < min(width * 0.55, height * 1.01):
        box, hole = _initial(canvas, (x, y, width), count, manner, materials, g)
        parts = [box] if box else []
        setting = replace(setting, hole=(hole, count), capitals=int(g.choice([0, 1, 1, 2])), versals=0.0)
    elif g.random() < manner.cut_share * 0.6 and height > 4 * manner.style.leading:
        styles = manner.picture_styles
        box, hole, count = ornaments.beside_text(canvas, area, manner.style, materials, g, *styles)
        parts = [box] if box else []
        setting = replace(setting, hole=(hole, count), versals=0.0)
    elif g.random() < manner.sign_share:
        setting = replace(setting, hole=(_sign(canvas, (x, y), manner, g), 1))
    block = set_block(canvas, area, manner.style, setting, writer, g)
    if block and g.random() < manner.filler_share:
        _fill_last_line(canvas, area, manner, g)
    return ([block] if block else []) + parts


def _sign(canvas: Canvas, at: tuple[float, float], manner: Manner, g: Generator) -> float:
    """Write a paraph, a number or a capital no higher than its line; return the width that it takes."""
    colour = manner.sign_colours[int(g.integers(len(manner.sign_colours)))]
    kind = manner.sign_kinds[int(g.integers(len(manner.sign_kinds)))]
    gap = manner.style.size * g.uniform(0.1, 0.4)
    if kind == "type":
        return _typed_sign(canvas, at, colour, manner, g) + gap
    leading = manner.style.leading
    tall = max(8, round(leading * g.uniform(0.75, 1.08)))
    if kind == "paraph":
        art = initials.paraph(tall, colour, g)
    else:
        art = initials.versal(initials.choose_letter(g), tall, manner.initial_face, g)
    box = canvas.place(art, at[0], at[1] + leading * 0.55 - tall / 2)
    return (box[2] - at[0] if box else 0.0) + gap


def _typed_sign(
    canvas: Canvas, at: tuple[float, float], colour: Colour, manner: Manner, g: Generator
) -> float:
    style = manner.style.scaled(float(g.uniform(0.95, 1.25)))
    face = manner.initial_face if g.random() < 0.5 else style.face
    paraphs = covers(face, PARAPHS)
    drawn = g.random()
    if drawn < 0.15:
        text = str(
            g.choice([f"{g.integers(1, 99)}.", f"{g.integers(1, 9)}", roman(int(g.integers(1, 40))) + "."])
        )
    else:
        letters = paraphs if paraphs and drawn < 0.6 else initials.LETTERS
        text = letters[int(g.integers(len(letters)))]
    style = replace(style, face=face, colour=colour)
    rise = manner.style.leading * 0.82 - style.size * 0.95  # on the baseline of the first line
    box = set_line(canvas, text, at[0], at[1] + rise, style)
    return box[2] - at[0] if box else 0.0


def _fill_last_line(
    canvas: Canvas, area: tuple[float, float, float, float], manner: Manner, g: Generator
) -> None:
    """Fill the rest of a paragraph's last line; what is as high as a fiftieth of the page is a graphic."""
    x, y, width, height = area
    leading = manner.style.leading
    top = y + (int(height / leading + 0.02) - 1) * leading + leading * 0.15
    tall = round(leading * g.uniform(0.6, 0.88))
    line = canvas.ink[round(top) : round(top) + tall, max(0, round(x)) : round(x + width)]
    inked = np.flatnonzero((line.min(axis=2) < _WRITTEN).any(axis=0)) if line.size else np.zeros(0)
    if not len(inked):
        return
    start = x + inked[-1] + manner.style.size * g.uniform(0.3, 0.7)
    room = x + width - start
    if room > 1.5 * tall:
        art = line_filler(tall, round(room), g)
        canvas.place(art, start, top, "graphic" if tall >= 0.02 * canvas.height else None)


def _initial(
    canvas: Canvas,
    place: tuple[float, float, float],
    count: int,
    manner: Manner,
    materials: Materials,
    g: Generator,
) -> tuple[Box | None, float]:
    """Print an initial of ``count`` lines; return its box and how wide a hole it needs."""
    x, y, _ = place
    leading, size = manner.style.leading, manner.style.size
    kind = manner.initial_kinds[int(g.integers(len(manner.initial_kinds)))]
    full = kind in ("block", "painted", "ornate", "flourished")
    height = count * leading - (leading - size * 0.72) * (0.5 if full else 1.0)
    height *= g.uniform(0.92, 1.06)
    art = draw_initial(kind, max(10, round(height)), manner, materials, g)
    hang = art.shape[1] * float(g.choice([0, 0, 0, 0, 0.5, 1])) if kind in ("flourished", "coloured") else 0
    top = y + (size * 0.18 if full else size * 0.3) + (height - art.shape[0]) / 2
    box = canvas.place(art, x - hang, top, "drop_capital")
    if g.random() < {"flourished": 0.6, "painted": 0.15}.get(kind, 0):
        _tails(canvas, x - hang, top, art, g)
    return box, max(0.0, art.shape[1] - hang) + size * g.uniform(0.1, 0.5)


def _tails(canvas: Canvas, x: float, top: float, art: np.ndarray, g: Generator) -> None:
    length = canvas.height * g.uniform(0.03, 0.25)
    at = int(x + g.uniform(-2, art.shape[1] * 0.2))
    if g.random() < 0.7:
        initials.pen_tail(canvas.ink, at, int(top), -round(length), g)
    if g.random() < 0.8:
        initials.pen_tail(canvas.ink, at, int(top + art.shape[0]), round(length), g)


def _interlude(
    canvas: Canvas,
    area: tuple[float, float, float, float],
    manner: Manner,
    materials: Materials,
    writer: Writer,
    g: Generator,
) -> float:
    """Put a heading or a picture between paragraphs where the habits ask for one; return the new y."""
    x, y, width, room = area
    leading = manner.style.leading
    if g.random() < manner.heading_share and room > 6 * leading:
        y += leading * g.uniform(0.2, 1.0)
        ruled = g.random() < 0.2
        if ruled:
            y = marks.rule(canvas, x, y, width, g) + leading * g.uniform(0, 0.5)
        for _ in range(int(g.integers(1, 3))):
            y = heading(canvas, x, y, width, manner.heading, writer, g)
        if ruled and g.random() < 0.7:
            y = marks.rule(canvas, x, y + leading * g.uniform(0, 0.4), width, g)
        y += leading * g.uniform(0.1, 0.6)
    if g.random() < manner.picture_share and room > 9 * leading:
        y = picture(
            canvas,
            (x, y + leading * 0.4, width, min(room * 0.75, canvas.height * 0.45)),
            manner,
            materials,
            writer,
            g,
        )
    if g.random() < manner.cut_share * 0.4 and room > 9 * leading:
        area = (x, y + leading * 0.4, width, room * 0.4)
        y = _cuts(canvas, area, manner, materials, writer, g)
    if g.random() < manner.asterisk_share and room > 5 * leading:
        y = marks.asterisks(canvas, x, y, width, manner.style, g)
    elif g.random() < manner.ornament_share and room > 7 * leading:
        y = _ornament(canvas, (x, y + leading * g.uniform(0.3, 0.9), width), manner, materials, g)
    return y


def _cuts(
    canvas: Canvas,
    area: tuple[float, float, float, float],
    manner: Manner,
    materials: Materials,
    writer: Writer,
    g: Generator,
) -> float:
    """Print a row of small cuts, or one low cut of the column's width; return the y below."""
    x, y, width, room = area
    painted = "painting" in manner.picture_styles
    if not painted and g.random() < 0.6:
        return ornaments.row(canvas, area, manner.style, materials, writer, g, *manner.picture_styles)
    tall = min(room, canvas.height * g.uniform(0.04, 0.15 if painted else 0.08))
    art = ornaments.cut(tall, width * float(g.choice([1, 1, 0.6])), materials, g, *manner.picture_styles)
    canvas.place(art, x + (width - art.shape[1]) * float(g.choice([0, 0.5])), y, "graphic")
    return y + art.shape[0] + manner.style.leading * g.uniform(0.3, 0.8)


def _ornament(
    canvas: Canvas, place: tuple[float, float, float], manner: Manner, materials: Materials, g: Generator
) -> float:
    """Print an ornament across a column; return the y below it."""
    x, y, width = place
    leading = manner.style.leading
    size = 5 * leading, width * float(g.choice([1, 1, g.uniform(0.3, 0.95)]))
    art = decoration("gap", size, manner.style, manner.ornament_face, materials, g)
    canvas.place(art, x + (width - art.shape[1]) / 2, y, "graphic")
    return y + art.shape[0] + leading * g.uniform(0.3, 0.9)


def heading(
    canvas: Canvas, x: float, y: float, width: float, style: Style, writer: Writer, g: Generator
) -> float:
    """Set a centred heading of one line; return the y below it."""
    text = writer.phrase(1, 6)
    text = text.upper() if g.random() < 0.45 else text.capitalize()
    drawn = g.random()
    if drawn < 0.06:  # a letter or a number over a part of an alphabet or a list
        text = str(
            g.choice([initials.choose_letter(g), str(g.integers(1, 99)), roman(int(g.integers(1, 30)))])
        )
        style = style.scaled(float(g.uniform(1, 1.6)))
    text = fitted(text, style, width) + g.choice(["", ".", "."])
    if drawn > 0.88 and len(text) > 2:
        y += style.size * 0.3
        _large_first(canvas, text, x + width / 2, y, style, g)
    else:
        set_line(canvas, text, x + width / 2, y, style, "title", 0.5)
    return y + style.leading


def _large_first(canvas: Canvas, text: str, middle: float, y: float, style: Style, g: Generator) -> None:
    """Set a centred heading whose first letter is larger than the others, which makes it no initial."""
    factor = float(g.uniform(1.2, 1.55))
    large = style.scaled(factor)
    if g.random() < 0.25:
        large = replace(large, colour=RUBRIC)
    wide = (
        load(part.face, round(part.size)).getlength(t) for part, t in ((large, text[:1]), (style, text[1:]))
    )
    start = middle - sum(wide) * style.stretch / 2
    box = set_line(canvas, text[:1], start, y - (factor - 1) * style.size * 0.95, large)
    after = box[2] + style.size * 0.05 if box else start
    rest = set_line(canvas, text[1:], after, y, style)
    canvas.add("title", [part for part in (box, rest) if part])


def picture(
    canvas: Canvas,
    area: tuple[float, float, float, float],
    manner: Manner,
    materials: Materials,
    writer: Writer,
    g: Generator,
) -> float:
    """Print an illustration in the column, sometimes framed, sometimes with a caption; return the y below it."""
    x, y, width, room = area
    wide = width * float(g.choice([1, 1, 1, g.uniform(0.45, 0.95)]))
    tall = min(room * 0.9, wide * g.uniform(0.4, 1.3))
    if tall < 3 * manner.style.leading:
        return y
    art = materials.picture(tall, wide, g, *manner.picture_styles)
    if g.random() < 0.75:
        art = framed(art, g)
    offset = (width - wide) * float(g.choice([0.5, 0.5, 0, 1]))
    canvas.place(art, x + offset, y, "graphic")
    y += art.shape[0] + manner.style.leading * g.uniform(0.2, 0.6)
    if g.random() < 0.2:
        small = manner.style.scaled(0.85)
        text = fitted(writer.phrase(2, 8).capitalize(), small, width)
        set_line(canvas, text, x + width / 2, y, small, "caption", 0.5)
        y += small.leading
    return y

"""Printed books from about 1480 to 1800: prose, verse, openings of chapters, title pages, plates, tables."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from doc_detect.synthesis.art import initials, ornament
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.fonts import covers, has_figures
from doc_detect.synthesis.layouts import furniture, marks, ornaments, tables
from doc_detect.synthesis.layouts.decoration import Place, decoration, framed, inked
from doc_detect.synthesis.layouts.flow import PARAPHS, Manner, fill_column, heading, picture
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.layouts.table_recipes import OLD
from doc_detect.synthesis.text import RUBRIC, Setting, Style, fitted, set_block, set_line
from doc_detect.synthesis.words import Writer, roman

Generator = np.random.Generator
_PICTURE_STYLES = (("woodcut",), ("woodcut", "woodcut", "line"), ("engraving",), ("coloured", "woodcut"))


@dataclass(frozen=True)
class Book:
    """What all pages of a book share."""

    height: int
    width: int
    frame: tuple[float, float, float, float]
    """The type area: x, y, width, height, px."""
    columns: int
    manner: Manner
    note: Style
    headline: Style
    verse: bool
    bordered: bool = False
    """Whether ornament fills the margins."""


def book(height: int, materials: Materials, g: Generator) -> Book:
    """Draw a book's format, type and habits."""
    width = int(height * g.uniform(0.55, 0.78))
    left, right = width * g.uniform(0.07, 0.19), width * g.uniform(0.07, 0.17)
    top, bottom = height * g.uniform(0.06, 0.14), height * g.uniform(0.06, 0.17)
    frame = (left, top, width - left - right, height - top - bottom)
    gothic = g.random() < 0.24
    italic = not gothic and g.random() < 0.3
    columns = 2 if g.random() < (0.45 if gothic else 0.12) else 1
    leading = frame[3] / g.integers(16, 50 if columns == 1 else 60)
    ink = int(g.integers(5, 60))
    shade = (ink, ink, max(0, ink - 6))
    text_face = materials.face(g, "blackletter" if gothic else "italic" if italic else "roman", bold=False)
    style = Style(
        text_face,
        leading * g.uniform(0.74, 0.95),
        leading,
        shade,
        float(g.uniform(0.9, 1.1)),
        wobble=leading * 0.008,
    )
    display = materials.face(g, *(("blackletter", "roman") if gothic else ("roman", "roman", "italic")))
    headline = replace(style, face=display, size=style.size * g.uniform(0.9, 1.15), slant=0.0)
    manner = _manner(
        style,
        replace(headline, size=style.size * g.uniform(1, 1.7), leading=leading * 1.6),
        gothic,
        materials,
        g,
    )
    verse = not gothic and columns == 1 and g.random() < 0.3
    if verse:
        manner = replace(
            manner,
            setting=Setting(
                justify=False,
                verse=True,
                versals=style.size * float(g.choice([0, 0, 0, 0, g.uniform(0.55, 0.9)])),
            ),
            paragraph=(4, 14),
            gap=float(g.uniform(0.3, 1.2)),
        )
    note = replace(style, size=style.size * 0.75, leading=leading * 0.8)
    return Book(height, width, frame, columns, manner, note, headline, verse)


def _manner(style: Style, display: Style, gothic: bool, materials: Materials, g: Generator) -> Manner:
    ornate = materials.fonts.faces("initials")
    plain = g.random() < 0.5  # nothing small among the text but initials and plain signs
    kinds = ("block", "block", "plain") if g.random() < 0.6 else ("plain",)
    if ornate and g.random() < 0.2:
        kinds = ("ornate", "block")
    if gothic and g.random() < 0.35:
        kinds = (*kinds, "coloured")
    return Manner(
        style=style,
        heading=display,
        setting=Setting(
            rubric=float(g.choice([0, 0, 0, 0.1])) if gothic else 0.0,
            accent_share=float(g.choice([0, 0, 0.05, 0.12])) if gothic and not plain else 0.0,
            accents=((RUBRIC,), (RUBRIC, initials.BLUE), (style.colour,))[int(g.integers(3))],
            signs="".join(covers(style.face, PARAPHS)),
        ),
        initial_face=materials.face(g, *(("blackletter", "roman", "hand") if gothic else ("roman",))),
        ornate_face=ornate[int(g.integers(len(ornate)))].path if ornate else None,
        initial_share=float(g.choice([0, 0.25, 0.7])),
        initial_kinds=kinds,
        initial_lines=((2,), (2, 3), (2, 3, 4), (3, 4, 5, 6), (2, 6, 8, 10))[int(g.integers(5))],
        heading_share=float(g.choice([0, 0.15, 0.4])),
        picture_share=float(g.choice([0, 0, 0, 0.15, 0.5])),
        picture_styles=_PICTURE_STYLES[int(g.choice(4, p=(0.45, 0.1, 0.35, 0.1)))],
        paragraph=((3, 9), (6, 20), (20, 60))[int(g.integers(3))],
        gap=float(g.choice([0, 0, 0.5])),
        ornament_share=float(g.choice([0, 0, 0, 0.2, 0.5])),
        cut_share=0.0 if plain else float(g.choice([0, 0, 0, 0.2, 0.5])),
        asterisk_share=0.0 if plain else float(g.choice([0, 0, 0.2])),
        ornament_face=materials.face(g, "sans", "roman"),
        sign_share=float(g.choice([0, 0.5])) if gothic else float(g.choice([0, 0, 0, 0.2])),
        sign_colours=(style.colour, RUBRIC, initials.BLUE)[: int(g.integers(1, 4))]
        if gothic
        else (style.colour,),
        sign_kinds=("type", "type", "paraph", "versal")[: int(g.integers(2, 5))]
        if gothic and not plain
        else ("type",),
    )


def page(height: int, materials: Materials, g: Generator, shared: Book | None = None) -> Canvas:
    """Return one printed page."""
    made = shared or book(height, materials, g)
    kinds = (prose, opening, title_page, plate, ending, listing, blank)
    shares = (0.36, 0.28, 0.11, 0.06, 0.12, 0.05, 0.02)
    canvas = Canvas.blank(made.height, made.width)
    writer = materials.writer(g, "french", "french", "latin", "english")
    if g.random() < 0.06:
        face = made.manner.ornament_face
        frame = ornaments.borders(canvas, made.frame, made.manner.style, face, materials, g)
        made = replace(made, frame=frame, bordered=True)
    kinds[int(g.choice(len(kinds), p=shares))](canvas, made, materials, writer, g)
    if not made.bordered and g.random() < 0.08:
        marks.beside(canvas, made.frame, made.manner.style.leading, materials, g)
    if not made.bordered and g.random() < 0.05:
        furniture.ruled_frame(canvas, made.frame, g)
    if g.random() < 0.25:
        furniture.stamp(canvas, materials, g)
    if g.random() < 0.06:
        furniture.handwriting(canvas, materials, g)
    return canvas


def spread(height: int, materials: Materials, g: Generator) -> tuple[Canvas, Canvas]:
    """Return the two pages of an opening of one book."""
    shared = book(height, materials, g)
    return page(height, materials, g, shared), page(height, materials, g, shared)


def prose(canvas: Canvas, made: Book, materials: Materials, writer: Writer, g: Generator) -> None:
    """Set a page of running text, with its headline, notes and signature."""
    furniture.headline(canvas, made.frame, made.headline, writer, g)
    _columns(canvas, made, made.frame, materials, writer, g, opening=False)
    furniture.signature(canvas, made.frame, made.manner.style, writer, g)
    if not made.bordered and g.random() < 0.22:
        furniture.marginalia(canvas, made.frame, made.note, writer, g)


def _columns(
    canvas: Canvas,
    made: Book,
    area: tuple[float, float, float, float],
    materials: Materials,
    writer: Writer,
    g: Generator,
    opening: bool,
) -> float:
    x, y, width, height = area
    gap = width * g.uniform(0.03, 0.07) if made.columns > 1 else 0
    measure = (width - gap * (made.columns - 1)) / made.columns
    ends = []
    for column in range(made.columns):
        at = x + column * (measure + gap)
        ends.append(
            fill_column(
                canvas, (at, y, measure, height), made.manner, materials, writer, g, opening and column == 0
            )
        )
    if made.columns > 1 and g.random() < 0.25:
        middle = int(x + measure + gap / 2)
        cv2.line(canvas.ink, (middle, int(y)), (middle, int(max(ends))), (40, 40, 40), 1)
    return max(ends)


def opening(canvas: Canvas, made: Book, materials: Materials, writer: Writer, g: Generator) -> None:
    """Set the first page of a chapter: headpiece, heading, an initial, text."""
    x, y, width, height = made.frame
    bottom = y + height
    y += height * float(g.choice([0, 0, g.uniform(0, 0.25)]))
    if g.random() < 0.75:
        y += _decorate(canvas, (x, y, width, height * 0.3), made, materials, g, place="head")
    y += made.manner.style.leading * g.uniform(0.3, 1.2)
    for k in range(int(g.integers(1, 5))):
        style = made.manner.heading.scaled(
            float(g.choice([1, 1.4, 1.8])) if k == 0 else float(g.uniform(0.7, 1.1))
        )
        y = heading(canvas, x, y, width, style, writer, g)
    if g.random() < 0.2:
        y = marks.rule(canvas, x, y, width, g)
    keen = replace(
        made.manner, initial_share=max(0.3, made.manner.initial_share) if g.random() < 0.85 else 0.0
    )
    _columns(
        canvas, replace(made, manner=keen), (x, y, width, bottom - y), materials, writer, g, opening=True
    )
    furniture.signature(canvas, made.frame, made.manner.style, writer, g)
    if g.random() < 0.3:
        furniture.headline(canvas, made.frame, made.headline, writer, g)


def _decorate(
    canvas: Canvas,
    area: tuple[float, float, float, float],
    made: Book,
    materials: Materials,
    g: Generator,
    place: Place,
) -> float:
    """Print a headpiece or tailpiece centred in the upper part of an area; return its height."""
    x, y, width, room = area
    wide = width * float(
        g.choice([1, 1, 1, g.uniform(0.35, 0.95)]) if place == "head" else g.uniform(0.12, 0.65)
    )
    size = min(room, made.width * 0.4), wide
    art = decoration(place, size, made.manner.style, made.manner.ornament_face, materials, g)
    canvas.place(art, x + (width - art.shape[1]) / 2, y, "graphic")
    return art.shape[0]


def ending(canvas: Canvas, made: Book, materials: Materials, writer: Writer, g: Generator) -> None:
    """Set a page whose text ends early, most with a tailpiece under it."""
    x, y, width, height = made.frame
    furniture.headline(canvas, made.frame, made.headline, writer, g)
    end = y + height * g.uniform(0.1, 0.75)
    bottom = _columns(
        canvas, replace(made, columns=1), (x, y, width, end - y), materials, writer, g, opening=False
    )
    leading = made.manner.style.leading
    if g.random() < 0.25:
        tall = leading * int(g.integers(5, 12))
        taper = Setting(justify=False, centred=True, taper=True)
        if set_block(canvas, (x, bottom, width, tall), made.manner.style, taper, writer, g):
            bottom += tall
    if g.random() < 0.5:
        text = g.choice(["FIN.", "FINIS.", "F I N", "FINIS", "AMEN."])
        set_line(canvas, text, x + width / 2, bottom + leading, made.manner.heading, "title", 0.5)
        bottom += 2.2 * leading
    if g.random() < 0.75:
        room = y + height - bottom - leading
        if room > 40:
            _decorate(
                canvas,
                (x, bottom + leading * g.uniform(0.5, 2), width, room),
                made,
                materials,
                g,
                place="tail",
            )
    furniture.signature(canvas, made.frame, made.manner.style, writer, g)


def title_page(canvas: Canvas, made: Book, materials: Materials, writer: Writer, g: Generator) -> None:
    """Set a title page: large lines, a vignette or device, the imprint; some within a border."""
    x, y, width, height = made.frame
    bottom = y + height
    if not made.bordered and g.random() < 0.15:
        thick = round(canvas.width * g.uniform(0.06, 0.13))
        canvas.place(
            inked(
                ornament.border(round(height), round(width), thick, g, materials.leafwork), made.manner.style
            ),
            x,
            y,
            "graphic",
        )
        x, y, width, bottom = x + thick * 1.2, y + thick * 1.2, width - 2.4 * thick, bottom - thick * 1.3
    imprint = bottom - made.manner.style.leading * g.uniform(3.5, 6)
    y = _title_lines(canvas, (x, y, width, (imprint - y) * g.uniform(0.35, 0.7)), made, writer, g)
    room = imprint - y - made.manner.style.leading * 1.5
    if room > canvas.height * 0.06 and g.random() < 0.85:
        _vignette(canvas, (x, y + made.manner.style.leading * 0.7, width, room), made, materials, g)
    y = imprint
    if g.random() < 0.45:
        y = marks.rule(canvas, x + width * 0.1, y, width * 0.8, g)
    lines = [
        f"A {writer.name().upper()},",
        f"Chez {writer.name()} {writer.name()}",
        roman(int(g.integers(1480, 1800))),
    ]
    for line in lines[: int(g.integers(1, 4))]:
        style = made.headline.scaled(float(g.uniform(0.8, 1.3)))
        set_line(canvas, fitted(line, style, width), x + width / 2, y, style, "title", 0.5)
        y += style.leading * 1.1


def _title_lines(
    canvas: Canvas, area: tuple[float, float, float, float], made: Book, writer: Writer, g: Generator
) -> float:
    x, y, width, room = area
    end = y + room
    while y < end - made.manner.style.leading:
        size = made.manner.style.size * float(g.choice([1, 1.2, 1.6, 2.2, 3.2, 4.5]))
        size = min(size, canvas.height * 0.08, end - y)
        face = made.headline.face if g.random() < 0.6 else made.manner.style.face
        red = g.random() < 0.12
        style = Style(face, size, size * 1.25, (175, 45, 35) if red else made.manner.style.colour)
        text = writer.phrase(1, 3 if size > made.manner.style.size * 2 else 7)
        text = text.upper() if g.random() < 0.6 else text.capitalize()
        if text.isupper() and g.random() < 0.3:
            text = " ".join(text.split()[0])  # letters set apart, which are no initials
        set_line(canvas, fitted(text, style, width), x + width / 2, y, style, "title", 0.5)
        y += size * g.uniform(1.15, 1.6)
    return y


def _vignette(
    canvas: Canvas,
    area: tuple[float, float, float, float],
    made: Book,
    materials: Materials,
    g: Generator,
) -> None:
    x, y, width, room = area
    wide = width * g.uniform(0.25, 0.8)
    tall = min(room, wide * g.uniform(0.5, 1.3))
    style, face = made.manner.style, made.manner.ornament_face
    art = decoration("title", (tall, wide), style, face, materials, g, made.manner.picture_styles)
    offset = (room - art.shape[0]) * g.uniform(0.1, 0.8)
    canvas.place(art, x + (width - art.shape[1]) / 2, y + max(0, offset), "graphic")


def plate(canvas: Canvas, made: Book, materials: Materials, writer: Writer, g: Generator) -> None:
    """Print a full-page engraving or woodcut, with its plate mark and a legend below."""
    x, y, width, height = made.frame
    style = made.note
    legend = int(g.choice([0, 1, 2, 4]))
    wide = width * g.uniform(0.7, 1.15)
    tall = min((height - legend * style.leading * 1.3) * g.uniform(0.55, 1.0), wide * 1.8)
    left = x + (width - wide) / 2
    kinds = ("engraving", "engraving", "woodcut", "line", "wash")
    art = materials.picture(tall, wide, g, *kinds)
    if g.random() < 0.2:
        _cartouche(art, made, writer, g)
    art = framed(art, g) if g.random() < 0.7 else art
    y += (height - art.shape[0] - legend * style.leading) * g.uniform(0, 0.6)
    canvas.place(art, left, y, "graphic")
    boxes = []
    for k in range(legend):
        text = fitted(writer.phrase(3, 9).capitalize(), style, width)
        boxes.append(
            set_line(
                canvas, text, x + width / 2, y + art.shape[0] + style.leading * (0.5 + k), style, None, 0.5
            )
        )
    canvas.add("caption", [b for b in boxes if b])
    if g.random() < 0.3:
        pad = canvas.width * 0.02
        corner = (round(left - pad), round(y - pad))
        far = (
            round(left + wide + pad),
            round(min(canvas.height - 4, y + art.shape[0] + style.leading * (legend + 1))),
        )
        cv2.rectangle(canvas.ink, corner, far, (205, 205, 205), 1)


def _cartouche(art: np.ndarray, made: Book, writer: Writer, g: Generator) -> None:
    """Cut a field with a few engraved words into a picture, as on an engraved title, in place."""
    height, width = art.shape[:2]
    tall, wide = int(height * g.uniform(0.12, 0.4)), int(width * g.uniform(0.4, 0.75))
    y, x = int((height - tall) * g.uniform(0.1, 0.9)), (width - wide) // 2
    field = Canvas.blank(tall, wide)
    size = min(tall / 5, made.manner.style.size * g.uniform(0.8, 1.6))
    style = replace(made.headline, size=size, leading=size * 1.3)
    set_block(
        field, (size, size * 0.5, wide - 2 * size, tall - size), style, Setting(centred=True), writer, g
    )
    cv2.rectangle(field.ink, (0, 0), (wide - 1, tall - 1), (20, 20, 20), 2)
    art[y : y + tall, x : x + wide] = field.ink


def listing(canvas: Canvas, made: Book, materials: Materials, writer: Writer, g: Generator) -> None:
    """Set an index, a table of contents or a table of figures in ruled columns."""
    x, y, width, height = made.frame
    furniture.headline(canvas, made.frame, made.headline, writer, g)
    y = heading(canvas, x, y, width, made.manner.heading, writer, g)
    room = height * g.uniform(0.4, 0.95)
    if g.random() < 0.6 and has_figures(made.note.face):
        area = (x, y, width, min(room, made.frame[1] + height - y))
        _old_tables(canvas, area, made.note, writer, g)
    else:
        _index(canvas, (x, y, width, room), made, writer, g)
    if g.random() < 0.2:
        _decorate(canvas, (x, y + room + 8, width, height * 0.1), made, materials, g, place="tail")


def _old_tables(
    canvas: Canvas, area: tuple[float, float, float, float], style: Style, writer: Writer, g: Generator
) -> None:
    """Print one table, two below or two beside each other."""
    x, y, width, height = area
    drawn, gap = g.random(), width * g.uniform(0.03, 0.07)
    parts = [area]
    if drawn < 0.2:
        half = (width - gap) / 2
        parts = [(x, y, half, height), (x + half + gap, y, half, height)]
    elif drawn < 0.4:
        upper = height * g.uniform(0.3, 0.6)
        parts = [(x, y, width, upper), (x, y + upper + gap, width, height - upper - gap)]
    recipe = tables.draw_from(OLD, g)
    for part in parts:
        tables.table(canvas, part, style, writer, g, recipe)


def _index(
    canvas: Canvas, area: tuple[float, float, float, float], made: Book, writer: Writer, g: Generator
) -> None:
    x, y, width, room = area
    style, boxes = made.manner.style, []
    apart = g.random() < 0.3  # capitals in a column of their own
    large = replace(
        style.scaled(float(g.uniform(1, 1.35))), colour=RUBRIC if g.random() < 0.3 else style.colour
    )
    for k in range(int(room / style.leading)):
        if apart and g.random() < 0.6:
            letter = initials.choose_letter(g)
            set_line(canvas, letter, x - style.size * 0.4, y + k * style.leading, large, None, 1.0)
        text = fitted(writer.phrase(2, 6).capitalize(), style, width * 0.8)
        boxes.append(set_line(canvas, text, x, y + k * style.leading, style))
        boxes.append(
            set_line(canvas, str(g.integers(1, 400)), x + width, y + k * style.leading, style, None, 1.0)
        )
    canvas.add("main_text", [b for b in boxes if b])
    if g.random() < 0.2:
        lines = int(g.integers(2, 7))
        top = y + style.leading * int(g.integers(0, max(1, int(room / style.leading) - lines)))
        marks.brace(canvas, x + width * g.uniform(0.82, 0.9), top, top + lines * style.leading, g)


def blank(canvas: Canvas, made: Book, materials: Materials, writer: Writer, g: Generator) -> None:
    """Leave a leaf empty, or nearly so."""
    if g.random() < 0.5:
        furniture.headline(canvas, made.frame, made.headline, writer, g)
    if g.random() < 0.3:
        x, y, width, height = made.frame
        style = made.manner.style
        set_block(
            canvas,
            (x, y, width, style.leading * float(g.integers(1, 6))),
            style,
            made.manner.setting,
            writer,
            g,
        )
    if g.random() < 0.2:
        picture(
            canvas,
            (made.frame[0], made.frame[1], made.frame[2] * 0.4, made.frame[3] * 0.4),
            made.manner,
            materials,
            writer,
            g,
        )

"""Catalogues and picture books as printed from 1880 to 1980: lots, plates, cut-outs, trade lists, covers, essays."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from doc_detect.synthesis.art import ornament, photographs
from doc_detect.synthesis.art.photographs import Stock
from doc_detect.synthesis.canvas import Box, Canvas
from doc_detect.synthesis.layouts import furniture, modern, plates, tables
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.layouts.modern import Area, Design
from doc_detect.synthesis.text import Setting, fitted, set_block, set_line

Generator = np.random.Generator
Layout = Callable[[Canvas, Area, Design, Materials, Generator], None]
FULL = ("bleed", "album", "cover")
"""Layouts that leave no room for a running title."""
COVERS = (
    (178, 34, 40),
    (30, 60, 110),
    (40, 90, 70),
    (200, 160, 60),
    (120, 90, 60),
    (225, 215, 190),
    (25, 25, 28),
)


def page(height: int, materials: Materials, g: Generator) -> Canvas:
    """Return one page of a catalogue."""
    width = int(height * (g.uniform(0.62, 0.82) if g.random() < 0.9 else g.uniform(0.9, 1.1)))
    canvas = Canvas.blank(height, width)
    made = modern.design(height, materials, g, "catalogue", (44, 72))
    mx, top, bottom = (
        width * g.uniform(0.07, 0.14),
        height * g.uniform(0.07, 0.12),
        height * g.uniform(0.06, 0.12),
    )
    frame = (mx, top, width - 2 * mx, height - top - bottom)
    name = list(LAYOUTS)[int(g.choice(len(LAYOUTS), p=[share for _, share in LAYOUTS.values()]))]
    if name not in FULL and g.random() < 0.6:
        furniture.headline(canvas, frame, made.small, made.writer, g)
    LAYOUTS[name][0](canvas, frame, made, materials, g)
    if name not in FULL and g.random() < 0.08:
        furniture.stamp(canvas, materials, g)
    if name not in FULL and g.random() < 0.08:
        furniture.handwriting(canvas, materials, g)
    return canvas


def spread(height: int, materials: Materials, g: Generator) -> tuple[Canvas, Canvas]:
    """Return two facing pages."""
    return page(height, materials, g), page(height, materials, g)


# --- lots


def _lots(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set numbered lots in one or two columns, some with a photograph."""
    x, y, width, height = frame
    columns = int(g.choice([1, 2, 2, 3]))
    gap = width * 0.05
    measure = (width - gap * (columns - 1)) / columns
    number, pictures = int(g.integers(1, 900)), float(g.choice([0, 0.3, 0.7, 1.0]))
    for k in range(columns):
        left, at = x + k * (measure + gap), y
        while at < y + height - 8 * made.body.leading:
            at = _lot(canvas, (left, at, measure, y + height - at), number, pictures, made, materials, g)
            number += 1


def _lot(
    canvas: Canvas,
    area: Area,
    number: int,
    pictures: float,
    made: Design,
    materials: Materials,
    g: Generator,
) -> float:
    x, y, width, room = area
    leading = made.body.leading
    if g.random() < pictures and room > 16 * leading:
        wide, tall = width * g.uniform(0.4, 1.0), min(room * 0.5, width * g.uniform(0.35, 1.1))
        art = _illustration(tall, wide, materials, g)
        canvas.place(art, x + (width - art.shape[1]) * float(g.choice([0, 0.5])), y, "graphic")
        y += art.shape[0] + leading * g.uniform(0.2, 0.8)
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


def _illustration(height: float, width: float, materials: Materials, g: Generator) -> np.ndarray:
    """Return what stands beside a lot, on white: mostly a photograph, else a thing without a ground or a drawing."""
    drawn = g.random()
    if drawn < 0.72:
        art, mask = plates.shaped(height, width, materials, g, 0.1, 0.15)
        art = art.copy()
        art[~mask] = 255
        return art
    if drawn < 0.85:
        return photographs.cut_out(max(16, round(height)), max(16, round(width)), g)
    if drawn < 0.93:
        return photographs.line_cut(max(16, round(height)), max(16, round(width)), g)
    return materials.picture(height, width, g, "engraving", "line", "wash", "woodcut")


def _grid(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Print small pictures in rows, each with its number, a caption of a few lines, or nothing."""
    rows, columns = int(g.integers(2, 6)), int(g.integers(2, 6))
    gap = frame[2] * float(g.choice([0.01, 0.03, 0.06]))
    lines = int(g.choice([0, 1, 1, 2, 3]))
    room = made.small.leading * (lines + 0.5) if lines else 0.0
    same, level = g.random() < 0.4, g.random() < 0.5
    kind, stock = int(g.integers(4)), Stock.drawn(g)
    for x, y, width, height in plates.lattice(frame, rows, columns, gap):
        tall = (height - room) * (1.0 if same else g.uniform(0.6, 1))
        tall, wide = plates.print_size(tall, width * (1.0 if same else g.uniform(0.65, 1)))
        if min(tall, wide) < 16:
            continue
        art = materials.photograph(tall, wide, g, stock) if kind else _illustration(tall, wide, materials, g)
        top = y + (height - room - art.shape[0] if level else 0)
        canvas.place(art, x, top, "graphic")
        below = top + art.shape[0] + made.small.size * 0.3
        if lines == 1:
            text = fitted(f"{g.integers(1, 900)} {made.writer.phrase(1, 3)}", made.small, width)
            set_line(canvas, text, x, below, made.small, "caption")
        elif lines:
            area = (x, below, width, lines * made.small.leading)
            text = set_block(canvas, area, made.small, Setting(justify=False), made.writer, g)
            canvas.add("caption", [text] if text else [])


# --- things without a ground


def _things(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Show coins, vases, tools, jewels or stamps without a ground, in rows, with numbers; each is an object."""
    x, y, width, height = frame
    rows, columns = int(g.integers(1, 8)), int(g.integers(1, 7))
    dark, numbered = g.random() < 0.12, g.random() < 0.75
    stamps = g.random() < 0.2
    pairs = not stamps and g.random() < 0.2  # both sides of a coin
    if dark:
        plates.ground(canvas, plates.GROUNDS[int(g.integers(4))], g)
    room = made.small.leading * 1.3 if numbered else 0.0
    notes = Canvas.blank(canvas.height, canvas.width)
    for left, top, wide, tall in plates.lattice(frame, rows, columns, width * 0.02):
        size = (
            round(max(16, (tall - room) * g.uniform(0.6, 0.95))),
            round(max(14, wide * g.uniform(0.6, 0.95))),
        )
        if g.random() < 0.04:
            continue
        if stamps:
            size = min(size[0], round(size[1] * 1.4)), min(size[1], round(size[0] * 1.4))
        make = photographs.postage_stamp if stamps else photographs.cut_out
        below, at = top, left
        for _ in range(2 if pairs else 1):
            art = make(size[0], max(14, size[1] // 2 if pairs else size[1]), g)
            mask = art.min(axis=2) < (235 if stamps else 214)
            box = (
                canvas.paste(art, at, top, "graphic", mask) if dark else canvas.place(art, at, top, "graphic")
            )
            below, at = (max(below, box[3]), box[2] + wide * 0.03) if box else (below, at)
        if numbered:
            set_line(notes, str(g.integers(1, 999)), (left + at) / 2, below + 2, made.small, "caption", 0.5)
    if dark:
        canvas.knock_out(notes, (230, 230, 225))
    else:
        np.minimum(canvas.ink, notes.ink, out=canvas.ink)
        canvas.objects += notes.objects


def _trade(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set the line cuts of a trade catalogue, with names, descriptions and prices beside or below them."""
    x, y, width, height = frame
    if g.random() < 0.6:
        y = modern.title(canvas, x, y, width, made, g, scale=1.8) + made.body.leading * 0.5
    rows, columns = int(g.integers(2, 7)), int(g.integers(1, 4))
    ruled, beside = g.random() < 0.4, columns < 3 and g.random() < 0.6
    pad = made.small.size * 0.6
    for cell in plates.lattice((x, y, width, frame[1] + height - y), rows, columns, pad):
        left, top, wide, tall = cell
        if ruled:
            corners = (round(left), round(top)), (round(left + wide), round(top + tall))
            cv2.rectangle(canvas.ink, *corners, (40, 40, 40), 1)
        if g.random() < 0.06:
            modern.paragraph(
                canvas, (left + pad, top + pad, wide - 2 * pad, tall - 2 * pad), made.small, made, g
            )
            continue
        share = g.uniform(0.35, 0.55)
        size = (tall - 2 * pad, wide * share) if beside else (tall * 0.62, wide - 2 * pad)
        if min(size) < 20:
            continue
        make = photographs.line_cut if g.random() < 0.8 else photographs.cut_out
        canvas.place(make(round(size[0]), round(size[1]), g), left + pad, top + pad, "graphic")
        text = (left + wide * share + 2 * pad, top + pad) if beside else (left + pad, top + tall * 0.66)
        measure, bottom = left + wide - pad - text[0], top + tall - pad
        name = fitted(f"No. {g.integers(1, 999)}. {made.writer.phrase(1, 3).title()}", made.bold, measure)
        set_line(canvas, name, *text, made.bold.scaled(0.85), "main_text")
        room = bottom - text[1] - 2 * made.small.leading
        at = text[1] + made.small.leading
        if room > made.small.leading:
            at = modern.paragraph(canvas, (text[0], at, measure, room), made.small, made, g)
        if at + made.small.leading < bottom + pad:
            price = f"{g.choice(['$', '£', 'Fr. ', 'M. '])}{g.uniform(0.1, 90):.2f}"
            set_line(
                canvas,
                fitted(price, made.small, measure),
                text[0] + measure,
                at,
                made.small,
                "main_text",
                1.0,
            )


# --- text


def _essay(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set an essay in one or two columns: a capital at its start, a picture across, or beside the text."""
    x, y, width, height = frame
    if g.random() < 0.7:
        y = modern.title(canvas, x, y, width, made, g, scale=1.6) + made.body.leading
    bottom = frame[1] + height
    if g.random() < 0.35:
        area = (x, y, width * g.uniform(0.5, 1), (bottom - y) * 0.5)
        y = modern.figure(canvas, area, made, materials, g, photographs=0.97) + made.body.leading
    columns, gap = int(g.choice([1, 2, 2, 3])), made.body.size * 1.4
    measure = (width - gap * (columns - 1)) / columns
    capital = g.random() < 0.6
    for k in range(columns):
        at = y
        if capital and k == 0:
            tall = made.body.leading * int(g.integers(5, 14))
            at = modern.opening(canvas, (x, at, measure, min(tall, bottom - at)), made, materials, g)
        _run(canvas, (x + k * (measure + gap), at, measure, bottom - at), made, materials, g)


def _run(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Fill a column with text; one in three has a picture that takes its width or that the text runs beside."""
    x, y, width, height = area
    leading = made.body.leading
    if g.random() < 0.6 or height < 22 * leading:
        modern.column(canvas, area, made, g, headings=0.06, lists=0.02)
        return
    before = leading * int(g.integers(0, max(1, int(height * 0.4 / leading))))
    modern.column(canvas, (x, y, width, before), made, g, headings=0.06, lists=0)
    at, bottom = y + before + leading * 0.5, y + height
    if width < 22 * made.body.size or g.random() < 0.4:
        at = modern.figure(canvas, (x, at, width, (bottom - at) * 0.6), made, materials, g, photographs=0.97)
    else:
        lines = int(g.integers(7, max(8, int((bottom - at) * 0.7 / leading))))
        wide, gap = width * g.uniform(0.3, 0.55), made.body.size
        right = g.random() < 0.5
        art = _illustration(lines * leading - made.small.leading, wide, materials, g)
        canvas.place(art, x + (width - art.shape[1] if right else 0), at + leading * 0.15, "graphic")
        left = x if right else x + art.shape[1] + gap
        at = modern.paragraph(
            canvas, (left, at, width - art.shape[1] - gap, lines * leading), made.body, made, g
        )
    modern.column(canvas, (x, at + leading * 0.5, width, max(0.0, bottom - at - leading)), made, g, lists=0)


def _prices(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set a list of prices as a table, or the conditions of sale as text."""
    x, y, width, height = frame
    y = modern.title(canvas, x, y, width, made, g, scale=1.3) + made.body.leading
    room = frame[1] + height - y
    if g.random() < 0.7:
        tables.table(canvas, (x, y, width, room * g.uniform(0.5, 1)), made.small, made.writer, g)
    else:
        box = set_block(canvas, (x, y, width, room), made.body, Setting(), made.writer, g)
        canvas.add("main_text", [box] if box else [])


def _title_page(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set a title in centred lines, with an emblem, a photograph or nothing between them and the imprint."""
    x, y, width, height = frame
    if g.random() < 0.3:
        furniture.ruled_frame(canvas, frame, g)
    y = _lettering(canvas, (x, y + height * g.uniform(0, 0.12), width, height * 0.4), made, g)
    drawn, room = g.random(), frame[1] + height * 0.85 - y
    if drawn < 0.8 and room > height * 0.12:
        tall = min(room * 0.8, height * g.uniform(0.07, 0.4))
        if drawn < 0.4:
            art = _emblem(min(tall, height * 0.16), materials, g)
        else:
            art = _illustration(tall, tall * g.uniform(0.7, 1.5), materials, g)
        canvas.place(
            art, x + (width - art.shape[1]) / 2, y + (room - art.shape[0]) * g.uniform(0.2, 0.6), "graphic"
        )
    at = frame[1] + height - 3 * made.body.leading
    for text in (made.writer.name().upper(), f"{made.writer.phrase(1, 3).title()}, {g.integers(1880, 1981)}"):
        set_line(canvas, fitted(text, made.body, width), x + width / 2, at, made.body, "title", 0.5)
        at += made.body.leading


def _lettering(canvas: Canvas, area: Area, made: Design, g: Generator) -> float:
    """Set two to six lines of a title, centred or at the left; return the y below them."""
    x, y, width, height = area
    align = float(g.choice([0, 0.5, 0.5]))
    boxes: list[Box] = []
    for _ in range(int(g.integers(2, 7))):
        style = made.bold.scaled(g.uniform(1, 4.5)) if g.random() < 0.6 else made.body.scaled(g.uniform(1, 2))
        if y + style.leading > area[1] + height:
            break
        text = made.writer.phrase(1, 4)
        text = fitted(text.upper() if g.random() < 0.5 else text.title(), style, width)
        box = set_line(canvas, text, x + align * width, y, style, None, align)
        boxes += [box] if box else []
        y += style.leading
    canvas.add("title", boxes)
    return y


def _emblem(size: float, materials: Materials, g: Generator) -> np.ndarray:
    """Return a publisher's or a museum's device."""
    side = max(16, round(size))
    if g.random() < 0.5:
        return ornament.any_motif(side, round(side * g.uniform(0.8, 1.2)), g)
    if g.random() < 0.5:
        return photographs.line_cut(side, side, g)
    art = materials.picture(side, side, g, "line", "woodcut").copy()
    art[~photographs.shape_mask(*art.shape[:2], "oval", g)] = 255
    return art


def _cover(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Print a cover: a picture to the edges with lettering on it, or coloured board with lettering and a device."""
    letters = Canvas.blank(canvas.height, canvas.width)
    x, y, width, height = frame
    _lettering(letters, (x, y + height * float(g.choice([0, 0.05, 0.6])), width, height * 0.4), made, g)
    colour = COVERS[int(g.integers(len(COVERS)))]
    if g.random() < 0.55:
        area = (0, 0, canvas.width, canvas.height)
        if g.random() < 0.3:  # a band of colour beside the picture
            plates.ground(canvas, colour, g)
            area = (0, canvas.height * g.uniform(0.1, 0.35), canvas.width, canvas.height)
        canvas.paste(materials.photograph(area[3] - area[1], area[2], g), 0, area[1], "graphic")
        pale = _behind(canvas, letters) < 140
    else:
        plates.ground(canvas, colour, g)
        pale = max(colour) < 190
        if g.random() < 0.6:
            tall = height * g.uniform(0.2, 0.5)
            art, mask = plates.shaped(tall, tall * g.uniform(0.7, 1.3), materials, g, 0.2, 0.3)
            left, top = x + (width - art.shape[1]) / 2, y + height * 0.42 - art.shape[0] * 0.1
            box = canvas.paste(art, left, top, "graphic", mask)
            if box:  # the lettering keeps clear of the picture
                letters = _without(letters, box)
    if pale:
        canvas.knock_out(letters, ((255, 250, 240), (240, 205, 90), (255, 255, 255))[int(g.integers(3))])
    else:
        np.minimum(canvas.ink, letters.ink, out=canvas.ink)
        canvas.objects += letters.objects


def _behind(canvas: Canvas, letters: Canvas) -> float:
    """Return the mean lightness, 0 to 255, of a page where lettering is to stand."""
    places = [
        canvas.ink[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] for _, (x0, y0, x1, y1) in letters.objects
    ]
    return float(np.mean([place.mean() for place in places if place.size] or [255.0]))


def _without(letters: Canvas, box: Box) -> Canvas:
    """Return the lettering, or an empty page where it would touch a picture."""
    apart = all(
        b[3] < box[1] - 8 or b[1] > box[3] + 8 or b[2] < box[0] or b[0] > box[2] for _, b in letters.objects
    )
    return letters if apart else Canvas.blank(letters.height, letters.width)


def _bleed(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    plates.bleed(canvas, made, materials, g)


def _album(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    plates.album(canvas, made, materials, g)


LAYOUTS: Mapping[str, tuple[Layout, float]] = {
    "lots": (_lots, 0.14),
    "grid": (_grid, 0.12),
    "single": (plates.single, 0.07),
    "bleed": (_bleed, 0.08),
    "packed": (plates.packed, 0.1),
    "album": (_album, 0.11),
    "montage": (plates.montage, 0.06),
    "contact": (plates.contact, 0.03),
    "cards": (plates.cards, 0.04),
    "things": (_things, 0.07),
    "trade": (_trade, 0.05),
    "essay": (_essay, 0.08),
    "prices": (_prices, 0.02),
    "title": (_title_page, 0.01),
    "cover": (_cover, 0.02),
}
"""Layouts by name, each with its share of pages."""

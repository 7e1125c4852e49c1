"""Manuscripts of the 14th and 15th century: ruled parchment or paper, bookhands, initials, miniatures, borders."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from doc_detect.synthesis.art import manuscript as paint
from doc_detect.synthesis.art.initials import BLUE, GOLD, RED
from doc_detect.synthesis.art.shapes import Scene, Shape, animal, box, bust, person, tree
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.fonts import covers
from doc_detect.synthesis.layouts import furniture, marks
from doc_detect.synthesis.layouts.flow import PARAPHS, Manner, fill_column
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import RUBRIC, Setting, Style, fitted, set_line
from doc_detect.synthesis.words import Writer

Generator = np.random.Generator
INKS = ((40, 30, 22), (70, 50, 30), (28, 24, 22), (95, 70, 42), (20, 20, 20))


@dataclass(frozen=True)
class Codex:
    """What all pages of a manuscript share."""

    height: int
    width: int
    frame: tuple[float, float, float, float]
    columns: int
    manner: Manner
    ruled: bool
    richness: float
    """From 0 (plain) to 1 (miniatures and borders)."""
    parchment: bool


def codex(height: int, materials: Materials, g: Generator) -> Codex:
    """Draw a manuscript's format, hand and decoration."""
    width = int(height * g.uniform(0.62, 0.82))
    left, right = width * g.uniform(0.08, 0.2), width * g.uniform(0.08, 0.24)
    top, bottom = height * g.uniform(0.06, 0.16), height * g.uniform(0.1, 0.24)
    frame = (left, top, width - left - right, height - top - bottom)
    columns = int(g.choice([1, 2, 2, 3], p=[0.4, 0.35, 0.1, 0.15]))
    leading = frame[3] / g.integers(20, 48)
    verse = columns == 2 and g.random() < 0.6
    size = leading * g.uniform(0.72, 1.0)
    style = Style(
        materials.face(g, "blackletter", "blackletter", "hand"),
        size,
        leading,
        INKS[int(g.integers(len(INKS)))],
        stretch=float(g.uniform(0.72, 1.05)),
        slant=float(g.choice([0, 0, g.uniform(0, 0.18)])),
        wobble=leading * g.uniform(0.01, 0.05),
    )
    richness = float(g.choice([0.0, 0.3, 0.6, 1.0]))
    manner = _manner(style, verse, richness, materials, g)
    return Codex(height, width, frame, columns, manner, g.random() < 0.6, richness, g.random() < 0.75)


def _manner(style: Style, verse: bool, richness: float, materials: Materials, g: Generator) -> Manner:
    kinds = (
        ("flourished",),
        ("coloured",),
        ("flourished", "coloured"),
        ("painted", "flourished"),
        ("plain", "coloured"),
    )
    chosen = kinds[int(g.choice(5, p=[0.4, 0.18, 0.15, 0.15, 0.12]))]
    versals = style.size * g.uniform(0.5, 1.1) if verse and g.random() < 0.7 else 0.0
    setting = Setting(
        justify=not verse,
        verse=verse,
        rubric=float(g.choice([0, 0, 0.04, 0.15])),
        versals=versals,
        short_last=g.random() < 0.4,
        accent_share=float(g.choice([0, 0, 0.04, 0.12])),
        accents=((RED,), (RED, BLUE), (GOLD, BLUE), (BLUE, RED, GOLD))[int(g.integers(4))],
        signs="".join(covers(style.face, PARAPHS)),
    )
    hours = not verse and g.random() < 0.12  # short verses, each with a painted capital of one line
    heading = replace(
        style,
        size=style.size * g.uniform(0.95, 1.7),
        leading=style.leading * 1.5,
        colour=RUBRIC if g.random() < 0.6 else style.colour,
    )
    return Manner(
        style=style,
        heading=heading,
        setting=replace(setting, short_last=True) if hours else setting,
        initial_face=materials.face(g, "hand", "hand", "blackletter", "roman"),
        ornate_face=None,
        initial_share=0.08 if hours else float(g.choice([0.15, 0.5, 0.9])),
        initial_kinds=chosen,
        initial_lines=((2,), (2, 2, 3), (2, 3, 4), (3, 4, 6))[int(g.integers(4))],
        heading_share=float(g.choice([0, 0.2, 0.6])),
        picture_share=float(g.choice([0, 0.15, 0.4])) * (richness > 0.5),
        picture_styles=("painting",),
        cut_share=float(g.choice([0, 0.15, 0.4])) * (richness > 0.5),
        paragraph=(1, 5) if hours else ((4, 12), (6, 26), (15, 60))[int(g.integers(3))],
        filler_share=float(g.choice([0.4, 0.9])) * (hours or g.random() < 0.15),
        sign_share=0.9 if hours else float(g.choice([0, 0.4, 0.8])),
        sign_kinds=("versal",) if hours else ("type", "paraph", "versal")[: int(g.integers(1, 4))],
        sign_colours=((RED,), (RED, BLUE), (RED, BLUE, style.colour))[int(g.integers(3))],
    )


class Illuminated(Materials):
    """Materials whose pictures are miniatures and pen drawings."""

    def picture(self, height: float, width: float, generator: Generator, *styles: str) -> np.ndarray:
        """Return a miniature, or one of the user's pictures."""
        if self.pictures and generator.random() < 0.3:
            return super().picture(height, width, generator, *styles)
        make = paint.drawing if generator.random() < 0.12 else paint.miniature
        height, width = max(12, round(height)), max(12, round(width))
        return make(self.scene(width / height, generator), height, width, generator)

    def vignette(self, height: float, width: float, generator: Generator) -> np.ndarray:
        """Return figures side by side without frame or ground, as in a lower margin; one if it is no wider than high."""
        height, width = max(12, round(height)), max(12, round(width))
        aspect = width / height
        count = max(1, int(aspect * generator.uniform(0.5, 1.2)))
        shapes = [Shape(box(0, 0, aspect, 1), 1.0, (255, 255, 255), 0)]
        if count > 1 and generator.random() < 0.7:
            grass = ((120, 150, 90), (160, 150, 100), (100, 130, 110))[int(generator.integers(3))]
            shapes.append(Shape(box(0, 0.86, aspect, generator.uniform(0.04, 0.14)), 0.6, grass, 0))
        for k in range(count):
            size = min(0.9, aspect * 0.9 / count) * generator.uniform(0.8, 1.0)
            shapes += self._one((k + 0.5) * aspect / count, 0.96, size, generator)
        return paint.vignette(Scene(aspect, tuple(shapes)), height, width, generator)

    def _one(self, x: float, base: float, size: float, generator: Generator) -> list[Shape]:
        if self.pictographs and generator.random() < 0.5:
            return self._figure(x, base, size, generator)
        make = (person, animal, tree, person)[int(generator.integers(4))]
        if generator.random() < 0.15:
            return bust(x, base - size * 0.6, size * 0.6, generator)
        return make(x, base, size, generator)


def page(height: int, materials: Materials, g: Generator, shared: Codex | None = None) -> Canvas:
    """Return one manuscript page."""
    made = shared or codex(height, materials, g)
    canvas = Canvas.blank(made.height, made.width, made.parchment)
    painted = Illuminated(materials.fonts, materials.pictures, materials.pictographs)
    writer = materials.writer(g, "french", "latin")
    if made.ruled:
        _rule(canvas, made, g)
    drawn = g.random()
    if drawn < 0.04:
        pass  # a blank leaf
    elif drawn < 0.04 + 0.1 * made.richness:
        _full_page(canvas, made, painted, g)
    else:
        _text(canvas, made, painted, writer, g)
    if g.random() < 0.5:
        _folio_number(canvas, made, materials, g)
    if g.random() < 0.12:
        furniture.handwriting(canvas, materials, g)
    if g.random() < 0.2:
        furniture.stamp(canvas, materials, g)
    return canvas


def spread(height: int, materials: Materials, g: Generator) -> tuple[Canvas, Canvas]:
    """Return the two pages of an opening of one manuscript."""
    shared = codex(height, materials, g)
    return page(height, materials, g, shared), page(height, materials, g, shared)


def _rule(canvas: Canvas, made: Codex, g: Generator) -> None:
    """Draw the pale ruling that carries the lines."""
    x, y, width, height = made.frame
    pale = ((205, 190, 185), (215, 200, 190), (225, 215, 210))[int(g.integers(3))]
    if g.random() < 0.6:
        for k in range(int(height / made.manner.style.leading) + 1):
            at = round(y + (k + 0.93) * made.manner.style.leading)
            cv2.line(canvas.ink, (round(x), at), (round(x + width), at), pale, 1)
    for at in (x - 3, x + width + 3):
        cv2.line(canvas.ink, (round(at), 0), (round(at), canvas.height), pale, 1)


def _text(canvas: Canvas, made: Codex, painted: Illuminated, writer: Writer, g: Generator) -> None:
    x, y, width, height = made.frame
    bottom = y + height
    incipit = g.random() < 0.25
    if made.richness > 0.5 and g.random() < 0.15 + 0.3 * incipit:
        y += _miniature(canvas, (x, y, width, height * 0.6), painted, g) + made.manner.style.leading * 0.5
    if incipit:
        y = _large_line(canvas, (x, y, width), made, writer, g)
    if made.richness > 0.2 and g.random() < made.richness * 0.4:
        _borders(canvas, made, g)
    elif made.richness > 0.2 and g.random() < 0.3:
        _drolleries(canvas, made, painted, g)
    elif g.random() < 0.1:
        marks.beside(canvas, made.frame, made.manner.style.leading, painted, g)
    gap = width * g.uniform(0.04, 0.1)
    measure = (width - gap * (made.columns - 1)) / made.columns
    end = bottom if g.random() < 0.85 else y + (bottom - y) * g.uniform(0.15, 0.9)
    for column in range(made.columns):
        area = (x + column * (measure + gap), y, measure, end - y)
        fill_column(canvas, area, made.manner, painted, writer, g, opening=incipit and column == 0)


def _miniature(
    canvas: Canvas, area: tuple[float, float, float, float], painted: Illuminated, g: Generator
) -> float:
    x, y, width, room = area
    wide = width * float(g.choice([1, 1, g.uniform(0.4, 1)]))
    art = painted.picture(min(room, wide * g.uniform(0.5, 1.2)), wide, g, "painting")
    canvas.place(art, x + (width - art.shape[1]) * float(g.choice([0.5, 0])), y, "graphic")
    return art.shape[0]


def _full_page(canvas: Canvas, made: Codex, painted: Illuminated, g: Generator) -> None:
    x, y, width, height = made.frame
    art = painted.picture(height * g.uniform(0.7, 1.05), width * g.uniform(0.9, 1.15), g, "painting")
    canvas.place(art, x, y, "graphic")
    if g.random() < 0.4:
        _borders(canvas, made, g)


def _large_line(
    canvas: Canvas, area: tuple[float, float, float], made: Codex, writer: Writer, g: Generator
) -> float:
    """Write a first line or two in a large textura: an eye-catcher that is no initial."""
    x, y, width = area
    style = made.manner.style.scaled(float(g.uniform(1.4, 2.4)))
    style = replace(
        style, colour=(RED, BLUE, made.manner.style.colour, made.manner.style.colour)[int(g.integers(4))]
    )
    boxes = []
    for _ in range(int(g.integers(1, 3))):
        text = " ".join(writer.words(14))
        boxes.append(set_line(canvas, fitted(text, style, width), x, y, style))
        y += style.leading
    canvas.add("main_text", [box for box in boxes if box])
    return y


def _borders(canvas: Canvas, made: Codex, g: Generator) -> None:
    """Paint foliate strips or bars in one to four margins, each an object of its own."""
    x, y, width, height = made.frame
    pad = canvas.width * 0.012
    right, bottom = x + width + pad, y + height + pad
    sides = {
        "left": (x * 0.25, y, x * 0.75 - pad, height),
        "right": (right, y, (canvas.width - right) * 0.75, height),
        "top": (x * 0.25, y * 0.2, canvas.width - x * 0.5, y * 0.75 - pad),
        "bottom": (x * 0.25, bottom, canvas.width - x * 0.5, (canvas.height - bottom) * 0.75),
    }
    count = int(g.choice([1, 1, 1, 1, 2, 2, 3, 4]))
    chosen = [str(name) for name in g.permutation(list(sides))[:count]]
    bars = g.random() < 0.25
    for name in chosen:
        bx, by, bw, bh = sides[name]
        if min(bw, bh) < 12:
            continue
        make = paint.bar_border if bars and bh > bw else paint.foliate_border
        bx, by, bw, bh = _part((bx, by, bw, bh), name, g) if g.random() < 0.5 else (bx, by, bw, bh)
        strip = make(round(bh), round(min(bw, 40) if make is paint.bar_border else bw), g)
        canvas.place(strip, bx, by, "graphic")


def _part(
    area: tuple[float, float, float, float], side: str, g: Generator
) -> tuple[float, float, float, float]:
    """Return a part of a margin: shorter than the text and narrower, next to the text."""
    x, y, width, height = area
    length, depth = g.uniform(0.2, 1.0), g.uniform(0.25, 1.0)
    if side in ("left", "right"):
        start = x + width * (1 - depth) if side == "left" else x
        return start, y + height * (1 - length) * g.random(), width * depth, height * length
    start = y + height * (1 - depth) if side == "top" else y
    return x + width * (1 - length) * g.random(), start, width * length, height * depth


def _drolleries(canvas: Canvas, made: Codex, painted: Illuminated, g: Generator) -> None:
    """Paint small figures into the margins, or a scene below the text."""
    x, y, width, height = made.frame
    right, bottom = x + width, y + height
    if g.random() < 0.4:
        tall = min((canvas.height - bottom) * 0.75, canvas.height * g.uniform(0.04, 0.13))
        wide = width * g.uniform(0.3, 1.0)
        art = painted.vignette(tall, wide, g)
        gap = (canvas.height - bottom - tall) * g.uniform(0.2, 0.6)
        canvas.place(art, x + (width - wide) * g.random(), bottom + gap, "graphic")
    steps = np.linspace(y, bottom, int(g.integers(2, 5)))
    for top, end in zip(steps, steps[1:], strict=False):
        left = g.random() < 0.5
        room = x * 0.8 if left else (canvas.width - right) * 0.8
        size = min(room, (end - top) * 0.8, canvas.height * g.uniform(0.03, 0.12))
        if size < 12 or g.random() < 0.35:
            continue
        at = (
            x * 0.06 + (room - size) * g.random()
            if left
            else right + room * 0.12 + (room - size) * g.random()
        )
        canvas.place(painted.vignette(size, size, g), at, g.uniform(top, end - size), "graphic")


def _folio_number(canvas: Canvas, made: Codex, materials: Materials, g: Generator) -> None:
    size = canvas.height * g.uniform(0.012, 0.022)
    style = Style(materials.face(g, "hand", "italic"), size, size, (70, 60, 50))
    at = (made.frame[0] + made.frame[2]) * g.uniform(0.98, 1.06)
    set_line(
        canvas,
        str(g.integers(1, 300)),
        min(at, canvas.width * 0.93),
        made.frame[1] * g.uniform(0.2, 0.6),
        style,
        "page_number",
    )

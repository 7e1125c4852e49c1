"""What stands round a text: running titles, numbers, signatures, notes, rules, stamps."""

import cv2
import numpy as np

from doc_detect.synthesis.art.stamps import stamp as draw_stamp
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import Setting, Style, fitted, set_block, set_line
from doc_detect.synthesis.words import Writer, roman

Generator = np.random.Generator
Area = tuple[float, float, float, float]


def headline(canvas: Canvas, frame: Area, style: Style, writer: Writer, g: Generator) -> None:
    """Set a running title and a page number above the frame."""
    x, y, width, _ = frame
    at = y - style.leading * g.uniform(1.2, 1.7)
    if g.random() < 0.75:
        text = writer.phrase(1, 5)
        text = text.upper() if g.random() < 0.5 else text.capitalize()
        set_line(
            canvas, fitted(text + ".", style, width * 0.8), x + width / 2, at, style, "running_title", 0.5
        )
    if g.random() < 0.75:
        number = int(g.integers(1, 600))
        text = roman(number % 60 + 1).lower() if g.random() < 0.15 else str(number)
        outside, align = (x + width, 1.0) if g.random() < 0.5 else (x, 0.0)
        set_line(canvas, text, outside, at, style, "page_number", align)
    if g.random() < 0.1:
        rule(canvas, x, at + style.size * 1.2, width, g)


def signature(canvas: Canvas, frame: Area, style: Style, writer: Writer, g: Generator) -> None:
    """Set a quire mark or a catchword below the frame."""
    x, y, width, height = frame
    at = y + height + style.leading * g.uniform(0.0, 0.3)
    if g.random() < 0.35:
        text = f"{g.choice(list('ABCDEFGHIKLMNOPQ'))}{g.choice(['', ' ij', ' iij', ' 2', ' 3', ' v'])}"
        set_line(canvas, text, x + width * g.uniform(0.4, 0.7), at, style, "quire_mark")
    if g.random() < 0.4:
        set_line(canvas, writer.phrase(1, 1), x + width, at, style, "quire_mark", 1.0)


def marginalia(canvas: Canvas, frame: Area, style: Style, writer: Writer, g: Generator) -> None:
    """Set one to four notes in the outer margin."""
    x, y, width, height = frame
    right = g.random() < 0.6
    left_edge = x + width + canvas.width * 0.015 if right else canvas.width * 0.015
    room = (canvas.width - left_edge if right else x - left_edge) - canvas.width * 0.02
    at = y + height * g.uniform(0, 0.3)
    for _ in range(int(g.integers(1, 5))):
        tall = style.leading * int(g.integers(2, 12))
        if at + tall > y + height:
            break
        box = set_block(canvas, (left_edge, at, room, tall), style, Setting(justify=False), writer, g)
        canvas.add("margin_text", [box] if box else [])
        at += tall + height * g.uniform(0.03, 0.3)


def rule(canvas: Canvas, x: float, y: float, width: float, g: Generator) -> float:
    """Print one or two lines across; return the y below them."""
    thick = int(g.integers(1, 3))
    for k in range(int(g.choice([1, 1, 2]))):
        at = round(y) + k * (thick + 2)
        cv2.line(canvas.ink, (round(x), at), (round(x + width), at), (35, 35, 35), thick)
    return y + canvas.height * 0.012


def ruled_frame(canvas: Canvas, frame: Area, g: Generator) -> None:
    """Rule a box of one or two lines round the type area; it is no picture."""
    x, y, width, height = frame
    for pad in (0.012, 0.02)[: int(g.integers(1, 3))]:
        reach = canvas.width * pad
        corners = [
            (x - reach, y - reach),
            (x + width + reach, y - reach),
            (x + width + reach, y + height + reach),
            (x - reach, y + height + reach),
        ]
        colour = (190, 60, 50) if g.random() < 0.25 else (40, 40, 40)
        cv2.polylines(canvas.ink, [np.array(corners, np.int32)], True, colour, 1)


def stamp(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Print a library's stamp anywhere on the page, some across what is printed there."""
    size = round(canvas.height * g.uniform(0.05, 0.12))
    art = draw_stamp(size, materials.face(g, "roman", "sans"), g)
    x = g.uniform(0.03, 0.95) * canvas.width - art.shape[1] / 2
    y = g.uniform(0.05, 0.92) * canvas.height - art.shape[0] / 2
    printed = [box for name, box in canvas.objects if name in ("graphic", "title")]
    if printed and g.random() < 0.35:  # at a corner of an ornament or across a title
        x0, y0, x1, y1 = printed[int(g.integers(len(printed)))]
        x = float(g.choice([x0, x1, g.uniform(x0, x1)])) - art.shape[1] / 2
        y = float(g.choice([y0, y1, g.uniform(y0, y1)])) - art.shape[0] / 2
    canvas.place(art, max(0, x), max(0, y), "stamp")


def handwriting(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Write a shelf mark, an owner's name or a note by hand."""
    size = canvas.height * g.uniform(0.014, 0.03)
    colour = ((70, 55, 40), (40, 40, 50), (60, 60, 110))[int(g.integers(3))]
    style = Style(
        materials.face(g, "hand", "italic"), size, size * 1.2, colour, slant=float(g.uniform(0, 0.2))
    )
    writer = materials.writer(g, "french", "latin")
    y = canvas.height * float(g.choice([g.uniform(0.01, 0.05), g.uniform(0.9, 0.96), g.uniform(0.1, 0.9)]))
    for k in range(int(g.integers(1, 3))):
        text = f"{writer.name()} {writer.phrase(1, 2)} {g.integers(100, 9999)}"
        set_line(
            canvas, text, canvas.width * g.uniform(0.05, 0.6), y + k * style.leading, style, "margin_text"
        )

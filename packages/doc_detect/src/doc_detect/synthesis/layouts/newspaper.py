"""Newspapers and magazines from 1880 to 1980: narrow columns, photographs, cartoons, comic strips, advertisements.

An advertisement is no picture, however large its letters and its frame: the cut inside it is one. A comic strip is
one picture with all its panels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from doc_detect.synthesis.art import ornament, photographs
from doc_detect.synthesis.art.figures import chart_map
from doc_detect.synthesis.canvas import Box, Canvas
from doc_detect.synthesis.layouts import furniture, modern, plates, tables
from doc_detect.synthesis.layouts.decoration import framed
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.layouts.modern import Area, Design
from doc_detect.synthesis.text import Setting, Style, fitted, set_block, set_line

Generator = np.random.Generator
INK = (35, 35, 35)


@dataclass(frozen=True)
class Grid:
    """The columns of a page."""

    frame: Area
    columns: int
    gutter: float
    """Between columns, px."""

    @property
    def measure(self) -> float:
        """Width of a column, px."""
        return (self.frame[2] - self.gutter * (self.columns - 1)) / self.columns

    def span(self, first: int, count: int) -> tuple[float, float]:
        """Return the left edge and the width of ``count`` columns."""
        return self.frame[0] + first * (self.measure + self.gutter), count * (
            self.measure + self.gutter
        ) - self.gutter


@dataclass(frozen=True)
class Block:
    """A place on the grid that is no running text."""

    first: int
    count: int
    top: float
    bottom: float

    def meets(self, other: "Block", gap: float) -> bool:
        """Whether two blocks overlap or come closer than ``gap`` above each other."""
        across = self.first < other.first + other.count and other.first < self.first + self.count
        return across and self.top < other.bottom + gap and other.top < self.bottom + gap


Draw = Callable[[Canvas, Area, Design, Materials, Generator], None]


def page(height: int, materials: Materials, g: Generator) -> Canvas:
    """Return one page of a newspaper or a magazine."""
    drawn = g.random()
    magazine = drawn < 0.22
    width = int(height * g.uniform(0.64, 0.8))
    canvas = Canvas.blank(height, width)
    language = ("english", "french", "modern")[int(g.integers(3))]
    made = modern.design(height, materials, g, language, (55, 80) if magazine else (80, 130))
    made = replace(made, justify=g.random() < 0.9)
    mx = width * g.uniform(0.02, 0.08)
    top = height * g.uniform(0.03, 0.07)
    frame = (mx, top, width - 2 * mx, height - top - height * g.uniform(0.02, 0.06))
    if magazine:
        _magazine(canvas, frame, made, materials, g)
    elif drawn < 0.36:
        _advertisements(canvas, _headed(canvas, frame, made, g), made, materials, g)
    elif drawn < 0.45:
        _comics(canvas, _headed(canvas, frame, made, g), made, materials, g)
    elif drawn < 0.52:
        plates.packed(canvas, _headed(canvas, frame, made, g), made, materials, g)
    elif drawn < 0.72:
        _news(canvas, _masthead(canvas, frame, made, materials, g), made, materials, g)
    else:
        _news(canvas, _headed(canvas, frame, made, g), made, materials, g)
    if g.random() < 0.05:
        furniture.stamp(canvas, materials, g)
    return canvas


def spread(height: int, materials: Materials, g: Generator) -> tuple[Canvas, Canvas]:
    """Return two facing pages."""
    return page(height, materials, g), page(height, materials, g)


# --- heads


def _headed(canvas: Canvas, frame: Area, made: Design, g: Generator) -> Area:
    """Set a page's line with number, title and date between rules; return what is left of the frame."""
    x, y, width, height = frame
    set_line(canvas, str(g.integers(2, 60)), x, y, made.small, "page_number")
    set_line(canvas, made.writer.phrase(2, 4).upper(), x + width / 2, y, made.small, "running_title", 0.5)
    set_line(
        canvas,
        f"{made.writer.name()} {g.integers(1, 31)}, {g.integers(1880, 1981)}",
        x + width,
        y,
        made.small,
        "running_title",
        1.0,
    )
    below = furniture.rule(canvas, x, y + made.small.leading, width, g)
    return x, below, width, y + height - below


def _masthead(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> Area:
    """Set a paper's name, some with an emblem or boxed notices beside it, and the line with the date below."""
    x, y, width, height = frame
    tall = height * g.uniform(0.05, 0.1)
    face = materials.face(g, "blackletter", "blackletter", "roman", bold=None)
    style = Style(face, tall * 0.8, tall, INK)
    words = [made.writer.name(), made.writer.name()]
    text = f"{g.choice(['The', 'Le', 'Der', 'Daily', ''])} {words[0]} {g.choice(['Times', 'Courier', 'Tribune', 'Herald', words[1]])}"
    ears = g.random() < 0.4
    room = width * (0.68 if ears else 0.98)
    emblem = g.random() < 0.55
    size = tall * g.uniform(0.8, 1.2)
    if emblem and g.random() < 0.5:  # between two words
        first, second = text.strip().rsplit(" ", 1)
        middle, half = x + width / 2, (room - size * 1.3) / 2
        set_line(canvas, fitted(first, style, half), middle - size * 0.65, y, style, "title", 1.0)
        set_line(canvas, fitted(second, style, half), middle + size * 0.65, y, style, "title")
        art = _emblem(size, materials, g)
        canvas.place(art, middle - art.shape[1] / 2, y, "graphic")
    else:
        if emblem:
            art = _emblem(size * 0.8, materials, g)
            canvas.place(art, x + (width - art.shape[1]) / 2, y, "graphic")
            y += art.shape[0] + 2
        set_line(canvas, fitted(text.strip(), style, room), x + width / 2, y, style, "title", 0.5)
    if ears:
        for left in (x, x + width * 0.86):
            _notice(canvas, (left, y + tall * 0.1, width * 0.14, tall * 0.8), made, g)
    y = furniture.rule(canvas, x, y + max(tall, size) * 1.15, width, g)
    for at, align, text in (
        (x, 0.0, f"VOL. {g.integers(1, 90)}  No. {g.integers(1, 300)}"),
        (
            x + width / 2,
            0.5,
            f"{made.writer.name()}, {g.integers(1, 31)} {made.writer.name()} {g.integers(1880, 1981)}",
        ),
        (x + width, 1.0, f"PRICE {g.integers(1, 20)} CENTS"),
    ):
        set_line(canvas, text, at, y, made.small, "running_title", align)
    y = furniture.rule(canvas, x, y + made.small.leading * 1.1, width, g)
    return x, y, width, frame[1] + height - y


def _emblem(size: float, materials: Materials, g: Generator) -> np.ndarray:
    """Return the small cut in a masthead."""
    side = max(14, round(size))
    drawn = g.random()
    if drawn < 0.4:
        return materials.picture(side, side * g.uniform(0.9, 1.8), g, "woodcut", "engraving", "line")
    if drawn < 0.7:
        return photographs.line_cut(side, side, g)
    return ornament.any_motif(side, round(side * g.uniform(0.8, 1.4)), g)


def _notice(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Frame a few words, as the weather beside a paper's name; it is no picture."""
    x, y, width, height = area
    cv2.rectangle(canvas.ink, (round(x), round(y)), (round(x + width), round(y + height)), INK, 1)
    pad = made.small.size * 0.4
    inner = (x + pad, y + pad, width - 2 * pad, height - 2 * pad)
    text = set_block(canvas, inner, made.small, Setting(justify=False, centred=True), made.writer, g)
    canvas.add("main_text", [text] if text else [])


# --- news


def _news(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Fill a page with columns of articles round pictures, advertisements and headlines."""
    columns = int(g.integers(4, 9))
    grid = Grid(frame, columns, made.body.size * g.uniform(0.8, 1.6))
    blocks: list[Block] = []
    busy = g.uniform(0.4, 1.6)
    for name, (draw, counts, spans, shapes) in PARTS.items():
        for _ in range(int(round(float(g.choice(counts)) * (busy if name != "headline" else 1)))):
            count = min(columns, int(g.choice(spans)))
            _, width = grid.span(0, count)
            tall = max(5 * made.body.leading, width * g.uniform(*shapes))
            block = _placed(grid, blocks, count, min(tall, frame[3] * 0.5), name == "headline", made, g)
            if block is None:
                continue
            blocks.append(block)
            left, width = grid.span(block.first, count)
            draw(canvas, (left, block.top, width, block.bottom - block.top), made, materials, g)
    rules, capital = g.random() < 0.8, float(g.choice([0, 0.05, 0.4]))
    for column in range(columns):
        for top, bottom in _gaps(grid, blocks, column, made.body.leading):
            left, width = grid.span(column, 1)
            if rules and column and not any(_crossed(block, column, top, bottom) for block in blocks):
                at = round(left - grid.gutter / 2)
                cv2.line(canvas.ink, (at, round(top)), (at, round(bottom)), (70, 70, 70), 1)
            _articles(canvas, (left, top, width, bottom - top), capital, made, materials, g)


def _placed(
    grid: Grid, blocks: list[Block], count: int, tall: float, high: bool, made: Design, g: Generator
) -> Block | None:
    """Return a free place for a block, near the top if it is wanted ``high``; None if there is none."""
    _, y, _, height = grid.frame
    gap = made.body.leading * 1.2
    for _ in range(12):
        first = int(g.integers(0, grid.columns - count + 1))
        drawn = 0.0 if high and g.random() < 0.6 else float(g.choice([0, 1, g.random(), g.random()]))
        top = y + drawn * (height - tall)
        block = Block(first, count, top, top + tall)
        if not any(block.meets(other, gap) for other in blocks):
            return block
    return None


def _gaps(grid: Grid, blocks: list[Block], column: int, pad: float) -> list[tuple[float, float]]:
    """Return the free stretches of a column, from top to bottom."""
    _, y, _, height = grid.frame
    stretches, at = [], y
    for block in sorted(blocks, key=lambda b: b.top):
        if block.first <= column < block.first + block.count:
            if block.top - at > 3 * pad:
                stretches.append((at, block.top - pad * 0.5))
            at = max(at, block.bottom + pad * 0.5)
    return [*stretches, (at, y + height)] if y + height - at > 3 * pad else stretches


def _crossed(block: Block, column: int, top: float, bottom: float) -> bool:
    """Whether a block reaches over the rule left of a column between two heights."""
    return block.first < column < block.first + block.count and block.top < bottom and block.bottom > top


def _articles(
    canvas: Canvas, area: Area, capital: float, made: Design, materials: Materials, g: Generator
) -> None:
    """Fill a stretch of a column with articles under small headlines."""
    x, y, width, height = area
    bottom, leading = y + height, made.body.leading
    if g.random() < 0.4:  # the rest of an article above
        y = modern.paragraph(
            canvas, (x, y, width, min(height, leading * int(g.integers(3, 20)))), made.body, made, g
        )
    while bottom - y > 6 * leading:
        y = _headline(canvas, (x, y + leading * 0.3, width, bottom - y), made, g)
        start = modern.opening if g.random() < capital else None
        for number in range(int(g.integers(1, 5))):
            tall = min(bottom - y, leading * int(g.integers(3, 14)))
            if tall < leading:
                break
            if start and number == 0:
                y = start(canvas, (x, y, width, tall), made, materials, g)
            else:
                y = modern.paragraph(canvas, (x, y, width, tall), made.body, made, g)
        y += leading * 0.3
        if g.random() < 0.5 and bottom - y > 2 * leading:
            short = width * float(g.choice([0.2, 0.4, 1]))
            furniture.rule(canvas, x + (width - short) / 2, y, short, g)
        y += leading * 0.4


def _headline(canvas: Canvas, area: Area, made: Design, g: Generator) -> float:
    """Set one to four lines over an article; return the y below them."""
    x, y, width, height = area
    align = float(g.choice([0, 0.5]))
    boxes: list[Box] = []
    style = made.bold.scaled(g.uniform(0.95, 1.9))
    end = y + min(height, 5 * style.leading)
    for _ in range(int(g.integers(1, 5))):
        if y + style.leading > end:
            break
        text = made.writer.phrase(2, 5)
        text = fitted(text.upper() if g.random() < 0.4 else text.title(), style, width)
        box = set_line(canvas, text, x + align * width, y, style, None, align)
        boxes += [box] if box else []
        y += style.leading * 0.95
        if g.random() < 0.3:
            style = made.body
    canvas.add("title", boxes)
    return y + made.body.leading * 0.2


def _banner(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set large headlines over several columns."""
    x, y, width, height = area
    lines = 1 if g.random() < 0.5 else 2
    size = min(height / lines * 0.85, height)
    style = replace(made.bold, size=size * 0.8, leading=size)
    boxes = []
    for k in range(lines):
        text = made.writer.phrase(2, 7)
        text = fitted(text.upper() if g.random() < 0.5 else text.title(), style, width)
        boxes.append(set_line(canvas, text, x + width / 2, y + k * size, style, None, 0.5))
    canvas.add("title", [box for box in boxes if box])


# --- pictures


def _photo(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Print one photograph, or two that touch, over a caption."""
    x, y, width, height = area
    leading = made.small.leading
    lines = int(g.choice([0, 1, 1, 2, 3]))
    tall = height - lines * leading
    if tall < 20:
        return
    count = 2 if width > 3 * tall * 0.5 and g.random() < 0.2 else 1
    gap = float(g.choice([0, 1, 2, 4]))
    for left, top, wide, high in plates.divided((x, y, width, tall - 2), count, gap, g):
        art, mask = plates.shaped(high, wide, materials, g, 0.05, 0.08)
        if g.random() < 0.92:
            art = cv2.cvtColor(cv2.cvtColor(art, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        art = np.where(mask[..., None], art, 255).astype(np.uint8)
        canvas.place(art, left, top, "graphic")
    _caption(canvas, (x, y + tall + 1, width, lines * leading), made, g)


def _caption(canvas: Canvas, area: Area, made: Design, g: Generator) -> None:
    """Set a caption, centred or not, some in bold."""
    style = (
        replace(made.bold, size=made.small.size, leading=made.small.leading)
        if g.random() < 0.4
        else made.small
    )
    text = set_block(canvas, area, style, Setting(justify=False, centred=g.random() < 0.5), made.writer, g)
    canvas.add("caption", [text] if text else [])


def _cartoon(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Print a cartoon or a drawn picture, framed or not, over its words."""
    x, y, width, height = area
    lines = int(g.choice([0, 1, 2]))
    tall = height - (lines + 0.3) * made.small.leading
    if tall < 20:
        return
    art = materials.picture(tall, width, g, "line", "line", "engraving", "wash", "woodcut")
    art = cv2.cvtColor(cv2.cvtColor(art, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    art = framed(art, g) if g.random() < 0.6 else art
    for _ in range(int(g.choice([0, 0, 1, 2]))):
        _balloon(art, made, g)
    canvas.place(art, x, y, "graphic")
    _caption(canvas, (x, y + tall + made.small.leading * 0.3, width, lines * made.small.leading), made, g)


def _balloon(art: np.ndarray, made: Design, g: Generator) -> None:
    """Draw a balloon with words into the upper half of a picture, in place."""
    height, width = art.shape[:2]
    rx, ry = width * g.uniform(0.15, 0.35), height * g.uniform(0.08, 0.18)
    if min(rx, ry) < 5:
        return
    x, y = g.uniform(rx + 2, max(rx + 3, width - rx - 2)), ry + 2 + g.uniform(0, 0.1) * height
    centre, axes = (round(x), round(y)), (round(rx), round(ry))
    tail = np.array(
        [
            (x - rx * 0.2, y + ry * 0.8),
            (x + rx * 0.1, y + ry * 0.8),
            (x + g.normal(0, 0.5) * rx, y + ry * 1.8),
        ]
    )
    cv2.fillPoly(art, [tail.astype(np.int32)], (20, 20, 20))
    cv2.ellipse(art, centre, axes, 0, 0, 360, (252, 252, 252), -1)
    cv2.ellipse(art, centre, axes, 0, 0, 360, (20, 20, 20), 1, cv2.LINE_AA)
    size = max(4.0, min(made.small.size * 0.8, ry * 0.6))
    words = replace(made.small, size=size, leading=size * 1.1)
    box = (x - rx * 0.7, y - ry * 0.65, rx * 1.4, ry * 1.4)
    set_block(Canvas(art), box, words, Setting(justify=False, centred=True), made.writer, g)


def _strip(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Print a comic strip of two to six panels under its name; with all panels it is one picture."""
    x, y, width, height = area
    if g.random() < 0.5:
        style = made.bold.scaled(1.4)
        set_line(canvas, fitted(made.writer.phrase(2, 4).upper(), style, width), x, y, style, "title")
        y, height = y + style.leading, height - style.leading
    if min(height, width) < 24:
        return
    art = np.full((round(height), round(width), 3), 255, np.uint8)
    rows = max(1, round(height / width * g.uniform(2, 3.5)))
    columns = max(2 if rows == 1 else 1, round(width / height * rows * g.uniform(0.8, 1.3)))
    gap = float(g.choice([0, 2, 4, 6]))
    coloured = g.random() < 0.25
    styles = ("coloured", "painting", "wash") if coloured else ("line", "line", "woodcut")
    frames = g.random() < 0.85
    for left, top, wide, tall in plates.lattice((0, 0, width, height), rows, columns, gap):
        panel = materials.picture(tall, wide, g, *styles).copy()
        if g.random() < 0.75:
            _balloon(panel, made, g)
        panel = panel[: art.shape[0] - round(top), : art.shape[1] - round(left)]
        if frames:
            cv2.rectangle(panel, (0, 0), (panel.shape[1] - 1, panel.shape[0] - 1), (20, 20, 20), 1)
        art[round(top) : round(top) + panel.shape[0], round(left) : round(left) + panel.shape[1]] = panel
    canvas.place(art, x, y, "graphic")


def _map(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Print a map over a caption."""
    x, y, width, height = area
    tall = height - 1.2 * made.small.leading
    canvas.place(chart_map(round(tall), round(width), g, made.body.face), x, y, "graphic")
    _caption(canvas, (x, y + tall + 2, width, made.small.leading * 1.1), made, g)


def _table(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set the weather, the markets or results."""
    x, y, width, height = area
    y = _headline(canvas, (x, y, width, height * 0.2), made, g)
    tables.table(canvas, (x, y, width, max(0.0, area[1] + height - y)), made.small, made.writer, g)


# --- advertisements


def _advertisement(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set an advertisement: letters of many sizes in a frame; half have a cut, which alone is a picture."""
    x, y, width, height = area
    if g.random() < 0.75:
        _frame(canvas, area, g)
    pad = max(3.0, min(width, height) * 0.05)
    x, y, width, height = x + pad, y + pad, width - 2 * pad, height - 2 * pad
    if min(width, height) < 3 * made.small.leading:
        return
    if min(width, height) > canvas.height * 0.05 and g.random() < 0.55:
        x, y, width, height = _cut(canvas, (x, y, width, height), materials, g)
    elif g.random() < 0.15:
        y = _reversed(canvas, (x, y, width, height), made, materials, g)
        height = area[1] + area[3] - pad - y
    _display(canvas, (x, y, width, height), made, materials, g)


def _frame(canvas: Canvas, area: Area, g: Generator) -> None:
    """Rule a frame of one or two lines, thin or thick."""
    x, y, width, height = area
    thick = int(g.choice([1, 1, 2, 4]))
    cv2.rectangle(canvas.ink, (round(x), round(y)), (round(x + width), round(y + height)), INK, thick)
    if g.random() < 0.3 and min(width, height) > 30:
        inset = thick + 2
        corners = (round(x + inset), round(y + inset)), (round(x + width - inset), round(y + height - inset))
        cv2.rectangle(canvas.ink, *corners, INK, 1)


def _cut(canvas: Canvas, area: Area, materials: Materials, g: Generator) -> Area:
    """Print an advertisement's picture at one of its sides; return the room that is left."""
    x, y, width, height = area
    side, share = ("left", "right", "top", "top", "bottom")[int(g.integers(5))], g.uniform(0.25, 0.6)
    wide, tall = (width * share, height) if side in ("left", "right") else (width, height * share)
    high, across = plates.print_size(tall * g.uniform(0.7, 1), wide * g.uniform(0.6, 1))
    size = (max(14, round(high)), max(14, round(across)))
    drawn = g.random()
    if drawn < 0.55:
        art = photographs.line_cut(*size, g)
    elif drawn < 0.7:
        art = photographs.cut_out(*size, g)
    elif drawn < 0.85:
        art = cv2.cvtColor(
            cv2.cvtColor(materials.photograph(*size, g), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB
        )
    else:
        art = materials.picture(*size, g, "line", "engraving", "woodcut", "wash")
    left = x + width - art.shape[1] if side == "right" else x + (wide - art.shape[1]) / 2
    top = y + height - art.shape[0] if side == "bottom" else y + (tall - art.shape[0]) / 2
    canvas.place(art, left, top, "graphic")
    gap = 3.0
    if side in ("left", "right"):
        return (x + (wide + gap if side == "left" else 0), y, width - wide - gap, height)
    return (x, y + (tall + gap if side == "top" else 0), width, height - tall - gap)


def _reversed(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> float:
    """Print pale letters on a black bar, which is no picture; return the y below it."""
    x, y, width, height = area
    tall = round(max(made.bold.leading, min(height * g.uniform(0.15, 0.4), width * 0.3)))
    bar = Canvas.blank(tall, round(width))
    style = replace(made.bold, size=tall * 0.7, leading=tall)
    set_line(
        bar,
        fitted(made.writer.phrase(1, 2).upper(), style, width * 0.9),
        width / 2,
        tall * 0.08,
        style,
        None,
        0.5,
    )
    box = canvas.place(255 - bar.ink, x, y)
    canvas.add("title", [box] if box else [])
    return y + tall + 3


def _display(canvas: Canvas, area: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Fill an area with centred lines of many sizes, a large first letter here and there, and small text."""
    x, y, width, height = area
    bottom, boxes = y + height, []
    small, sizes = made.small, g.uniform(1.0, 5)
    while bottom - y > small.leading:
        drawn = g.random()
        room = min(bottom - y, small.leading * sizes * g.uniform(0.5, 1.3))
        if drawn < 0.35 and bottom - y > 3 * small.leading:
            tall = small.leading * int(g.integers(2, 6))
            box = set_block(canvas, (x, y, width, min(tall, bottom - y)), small, Setting(), made.writer, g)
            boxes += [box] if box else []
            y += min(tall, bottom - y) + small.leading * 0.2
            continue
        face = materials.face(g, "roman", "sans", "roman", "italic", bold=bool(g.random() < 0.7) or None)
        style = Style(face, room * 0.8, room, INK)
        text = made.writer.phrase(1, 3)
        if drawn > 0.9:  # a price, or one letter that stands alone
            text = str(
                g.choice([f"${g.integers(1, 99)}", f"{g.integers(1, 99)}c", "A", "S", "&", "B", "No. 1"])
            )
        text = fitted(text.upper() if g.random() < 0.5 else text.title(), style, width)
        boxes += _line(canvas, text, (x, y, width), style, drawn > 0.6 and drawn < 0.75, g)
        y += room * 1.02
    canvas.add("main_text", boxes)


def _line(
    canvas: Canvas, text: str, place: tuple[float, float, float], style: Style, large: bool, g: Generator
) -> list[Box]:
    """Set a line of an advertisement, with a larger first letter if wanted: it is no initial."""
    x, y, width = place
    if not large or len(text) < 4:
        box = set_line(canvas, text, x + width / 2, y, style, None, 0.5)
        return [box] if box else []
    first = set_line(canvas, text[0], x, y, style)
    rest = style.scaled(g.uniform(0.4, 0.7))
    left = first[2] + 1 if first else x
    second = set_line(canvas, fitted(text[1:], rest, x + width - left), left, y + style.size * 0.3, rest)
    return [box for box in (first, second) if box]


# --- whole pages


def _advertisements(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Fill a page, or all but a few columns of it, with advertisements."""
    x, y, width, height = frame
    count = int(g.choice([1, 3, 6, 12, 20, 30]))
    for area in plates.divided(frame, count, made.small.size * g.uniform(0.4, 1), g):
        if g.random() < 0.9 or count == 1:
            _advertisement(canvas, area, made, materials, g)
        else:
            _articles(canvas, area, 0.0, made, materials, g)


def _comics(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Fill a page with comic strips, one below the other or in two columns."""
    rows, columns = int(g.integers(2, 8)), int(g.choice([1, 1, 2]))
    for area in plates.lattice(frame, rows, columns, made.small.leading * g.uniform(0.4, 1.2)):
        if g.random() < 0.06:
            _advertisement(canvas, area, made, materials, g)
        else:
            _strip(canvas, area, made, materials, g)


def _magazine(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set an article of a magazine: a large title, a capital, two to four columns, pictures across them."""
    x, y, width, height = frame
    frame = (x + width * 0.03, y + height * 0.03, width * 0.94, height * 0.92)
    x, y, width, height = frame
    columns = int(g.integers(2, 5))
    blocks: list[Block] = []
    if g.random() < 0.7:
        tall = height * g.uniform(0.05, 0.16)
        _banner(canvas, (x, y, width, tall), made, materials, g)
        y, height = y + tall + made.body.leading, height - tall - made.body.leading
    grid = Grid((x, y, width, height), columns, made.body.size * g.uniform(1.2, 2))
    for _ in range(int(g.integers(0, 4))):
        count = int(g.integers(1, columns + 1))
        left, wide = grid.span(0, count)
        tall = min(height * 0.55, wide * g.uniform(0.4, 1.2))
        block = _placed(grid, blocks, count, tall, False, made, g)
        if block:
            blocks.append(block)
            left, wide = grid.span(block.first, count)
            draw = _photo if g.random() < 0.75 else _cartoon if g.random() < 0.6 else _advertisement
            draw(canvas, (left, block.top, wide, tall), made, materials, g)
    capital = g.random() < 0.75
    for column in range(columns):
        for top, bottom in _gaps(grid, blocks, column, made.body.leading):
            left, wide = grid.span(column, 1)
            at = top
            if capital:
                tall = min(bottom - top, made.body.leading * int(g.integers(5, 12)))
                at = modern.opening(canvas, (left, top, wide, tall), made, materials, g)
                capital = g.random() < 0.1
            modern.column(canvas, (left, at, wide, bottom - at), made, g, headings=0.05, lists=0)


PARTS: dict[str, tuple[Draw, tuple[int, ...], tuple[int, ...], tuple[float, float]]] = {
    "headline": (_banner, (0, 1, 2), (2, 3, 4, 8), (0.06, 0.16)),
    "photo": (_photo, (0, 1, 2, 3), (1, 1, 2, 2, 3, 4), (0.5, 1.3)),
    "strip": (_strip, (0, 0, 0, 1), (3, 4, 8), (0.2, 0.35)),
    "cartoon": (_cartoon, (0, 0, 1), (1, 2, 3), (0.6, 1.3)),
    "advertisement": (_advertisement, (0, 1, 3, 6), (1, 1, 2, 2, 3), (0.4, 1.6)),
    "map": (_map, (0, 0, 0, 1), (1, 2), (0.6, 1.2)),
    "table": (_table, (0, 0, 1), (1, 1, 2), (0.5, 1.5)),
}
"""What stands among articles: how it is drawn, how many there are, columns, and height over width."""

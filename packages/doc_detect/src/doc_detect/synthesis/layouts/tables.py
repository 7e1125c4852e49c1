"""Tables and forms as printed, typed and filled in from 1600 to 2020.

A recipe (:mod:`doc_detect.synthesis.layouts.table_recipes`) says what stands in a table, a look how it is set, and
one sheet of ink holds text and rules. The box of a table is the extent of that ink: row names, header and totals are
in it, title and notes are not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.fonts import load
from doc_detect.synthesis.layouts.table_recipes import MODERN, RECIPES, Content, Room, Row, cut
from doc_detect.synthesis.text import Style, tinted
from doc_detect.synthesis.words import Writer

Generator = np.random.Generator
Area = tuple[float, float, float, float]
Font = ImageFont.FreeTypeFont

# --- how it is set


@dataclass(frozen=True)
class Rules:
    """Which lines a table has; numbers are the strokes of a line, 0 for none."""

    top: int = 0
    head: int = 0
    bottom: int = 0
    rows: bool = False
    inner: bool = False
    sides: bool = False
    rounded: bool = False
    underlined: bool = False
    """Each heading has a line of its own below it."""
    typed: str = ""
    """The sign that lines are typed with; empty for drawn ones."""


RULES: Mapping[str, Rules] = {
    "none": Rules(),
    "booktabs": Rules(1, 1, 1),
    "head": Rules(head=1),
    "underlined": Rules(underlined=True),
    "grid": Rules(1, 1, 1, rows=True, inner=True, sides=True),
    "columns": Rules(inner=True),
    "columns and head": Rules(head=1, inner=True, sides=True),
    "rows": Rules(1, 1, 1, rows=True),
    "box": Rules(1, 1, 1, sides=True),
    "box and columns": Rules(1, 1, 1, inner=True, sides=True),
    "rounded": Rules(1, 1, 1, inner=True, sides=True, rounded=True),
    "open": Rules(2, 1, 1, inner=True),
    "double": Rules(2, 1, 2),
    "dashes": Rules(1, 1, 1, typed="-"),
    "typed": Rules(0, 1, 0, typed="="),
}
"""The usual ways to rule a table, by name."""

_RULED = {
    "none": 0.14, "underlined": 0.04, "booktabs": 0.24, "head": 0.08, "grid": 0.12, "columns": 0.04, "columns and head": 0.04,
    "rows": 0.06, "box": 0.04, "box and columns": 0.08, "rounded": 0.02, "open": 0.08, "double": 0.04,
}  # fmt: skip
_TYPED = {
    "none": 0.35,
    "underlined": 0.2,
    "dashes": 0.15,
    "typed": 0.1,
    "head": 0.1,
    "booktabs": 0.1,
    "grid": 0.05,
}
_NARROW = {"none": 0.75, "booktabs": 0.08, "head": 0.07, "box and columns": 0.1}
_OLD_RULED = {"box and columns": 0.35, "open": 0.2, "columns": 0.15, "double": 0.1, "grid": 0.1, "none": 0.1}
_RULED_AS: Mapping[str, Mapping[str, float]] = {
    "pairs": _NARROW,
    "prices": _NARROW,
    "almanac": _OLD_RULED,
    "doubled": {"box and columns": 0.4, "columns and head": 0.3, "grid": 0.15, "open": 0.15},
    "ledger": {"grid": 0.7, "rounded": 0.1, "open": 0.2},
}


@dataclass(frozen=True)
class Look:
    """How a table is set."""

    font: Font
    pitch: float
    """From row to row, px."""
    gap: float
    """Between columns, px."""
    rules: Rules
    heavy: int
    """Width of the outer rules, px."""
    shade: Literal["", "header", "rows", "reversed"]
    capitals: bool
    spread: bool
    """Whether the columns fill the width given."""


LEAST_LINES = 6
"""Height of the lowest table, in lines of its text."""


def draw_from(shares: Mapping[str, float], g: Generator) -> str:
    """Draw a name with these shares."""
    values = np.array(list(shares.values()))
    return list(shares)[int(g.choice(len(values), p=values / values.sum()))]


def _look(style: Style, recipe: str, typed: bool, g: Generator) -> Look:
    shares = _RULED_AS.get(recipe, _TYPED if typed else _RULED)
    rules = RULES[draw_from(shares, g)]
    shade: Literal["", "header", "rows", "reversed"] = ""
    if not typed and recipe not in ("prices", "almanac") and g.random() < 0.12:
        shade = ("header", "rows", "reversed")[int(g.integers(3))]
    size = style.size * (0.8 if recipe == "wide" else 1.0)
    roomy = {"words": 0.05, "pairs": 0.15, "prices": 0.15, "almanac": 0.1, "ledger": 0.9}.get(recipe, 0.7)
    return Look(
        load(style.face, round(size)),
        style.leading * g.uniform(0.95, 1.1 + roomy),
        size * g.uniform(0.7, 1.6),
        rules,
        int(g.choice([1, 1, 2])),
        shade,
        g.random() < 0.12,
        bool(rules.sides or g.random() < 0.6),
    )


@dataclass
class Sheet:
    """Ink of one colour in a field of the page."""

    width: float
    height: float
    margin: int = 3
    """What rules and swashes may reach over the field, px."""
    image: Image.Image = field(init=False)
    pen: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        """Take a sheet of the field's size."""
        edge = 2 * self.margin
        self.image = Image.new("L", (max(8, round(self.width) + edge), max(8, round(self.height) + edge)), 0)
        self.pen = ImageDraw.Draw(self.image)

    def text(
        self, text: str, x: float, baseline: float, font: Font, align: float = 0.0, fill: int = 255
    ) -> None:
        """Write a line at a baseline; ``align`` as in :func:`doc_detect.synthesis.text.set_line`."""
        if text:
            anchor = {0.0: "ls", 0.5: "ms", 1.0: "rs"}[align]
            self.pen.text(
                (x + self.margin, baseline + self.margin), text, font=font, fill=fill, anchor=anchor
            )

    def line(self, x0: float, y0: float, x1: float, y1: float, width: int = 1, fill: int = 225) -> None:
        """Draw a rule."""
        m = self.margin
        ends = [(round(x0) + m, round(y0) + m), (round(x1) + m, round(y1) + m)]
        self.pen.line(ends, fill=fill, width=width)

    def upright(self, text: str, x: float, bottom: float, font: Font) -> None:
        """Write a line that reads from the bottom upwards, centred on ``x``."""
        mask = Image.new("L", (max(1, round(font.getlength(text))), round(font.size * 1.3)), 0)
        ImageDraw.Draw(mask).text((0, font.size), text, font=font, fill=255, anchor="ls")
        turned = mask.transpose(Image.Transpose.ROTATE_90)
        place = (round(x - turned.width / 2) + self.margin, round(bottom - turned.height) + self.margin)
        self.image.paste(255, place, turned)

    def brace(self, x: float, top: float, bottom: float, width: float) -> None:
        """Draw a brace that opens to the right."""
        t = np.linspace(-1, 1, 41)
        bulge = np.abs(t) ** 0.25 * (np.abs(t) < 0.93) * 0.5 + (np.abs(t) >= 0.93) * 1.0
        m = self.margin
        across = x + m + width * bulge
        down = m + (top + bottom) / 2 + t * (bottom - top) / 2
        self.pen.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=235, width=1)

    def place(
        self, canvas: Canvas, x: float, y: float, style: Style
    ) -> tuple[float, float, float, float] | None:
        """Print the sheet with its field's corner at (x, y); return the extent of its ink."""
        return canvas.place(tinted(np.asarray(self.image), style.colour), x - self.margin, y - self.margin)


def table(
    canvas: Canvas,
    area: Area,
    style: Style,
    writer: Writer,
    g: Generator,
    recipe: str = "",
    entry: Style | None = None,
    typed: bool = False,
) -> float:
    """Print a table in the upper part of an area.

    Args:
        canvas: The page.
        area: x, y, width and the height at most, px.
        style: Of its text.
        writer: Of its words.
        g: Generator.
        recipe: A name of :data:`RECIPES`; one of :data:`MODERN` is drawn where it is empty.
        entry: The hand that fills it in; None for entries that are printed as the rest.
        typed: Whether a typewriter sets it.

    Returns:
        The y below it; the area's own where it is less than :data:`LEAST_LINES` high.
    """
    x, y, width, height = area
    recipe = recipe or draw_from(MODERN, g)
    look = _look(style, recipe, typed, g)
    if height < LEAST_LINES * style.leading or width < style.size * 4:
        return y
    look = replace(look, pitch=min(look.pitch, height / LEAST_LINES))
    lines = int(height / look.pitch) - 3
    content = RECIPES[recipe](Room(width, lines, look.font, writer), g)
    content, widths = _columns(content, look, width)
    content = replace(content, rows=_rows_that_fit(content, look, height))
    sheet = Sheet(sum(widths), _header_height(content, look) + _height(content.rows, look))
    hand = replace(sheet) if entry else sheet
    _Setter(content, look, widths, sheet, hand, entry, g).set()
    left = x + (width - sheet.width) * float(g.choice([0, 0, 0.5]))
    parts = [sheet.place(canvas, left, y, style)]
    if entry:
        parts.append(hand.place(canvas, left, y, entry))
    kept = [box for box in parts if box]
    canvas.add("table", kept)
    return max((box[3] for box in kept), default=y)


def _columns(content: Content, look: Look, width: float) -> tuple[Content, list[float]]:
    """Return the columns that the width holds, and their widths with half a gap at each side, px."""
    if content.widths:
        return content, list(content.widths)
    cells = [*[row.cells for row in content.rows], *([] if content.upright else content.heads)]
    natural = [
        max(look.font.getlength(line[k]) for line in cells) + look.gap for k in range(len(content.align))
    ]
    indent = max(row.indent for row in content.rows) * look.font.size
    wish = natural[0] + indent + (look.font.size * 3 if content.leaders else 0)
    natural[0] = min(wish, width * (0.7 if len(natural) < 4 else 0.45))
    natural = [max(w, look.font.size * 1.2 + look.gap) for w in natural]
    count = len(natural)
    while count > 2 and sum(natural[:count]) > width:
        count -= 1
    widths = natural[:count]
    if (spare := width - sum(widths)) < 0:
        widths[0] += spare
    elif look.spread:
        first = 0.92 if content.leaders else 1 / count
        widths = [w + spare * (first if k == 0 else (1 - first) / (count - 1)) for k, w in enumerate(widths)]
    return content.first_columns(count), [max(w, look.font.size) for w in widths]


def _height(rows: Sequence[Row], look: Look) -> float:
    return sum(look.pitch * (0.5 if row.role == "space" else 1) for row in rows) + look.pitch * 0.15


def _rows_that_fit(content: Content, look: Look, height: float) -> Sequence[Row]:
    rows, room = list(content.rows), height - _header_height(content, look)
    while len(rows) > 1 and _height(rows, look) > room:
        rows.pop(-2 if rows[-1].role == "total" else -1)
    return rows


def _header_height(content: Content, look: Look) -> float:
    if content.upright and content.heads:
        words = max(look.font.getlength(_joined(content, k)) for k in range(1, len(content.align)))
        head = words + look.pitch * 0.4
    else:
        head = len(content.heads) * look.font.size * 1.15
    spans = look.font.size * 1.5 if content.spans else 0.0
    above = 0.35 if look.rules.top else 0.0
    return head + spans + (look.font.size * (0.5 + above) if content.heads else 0.0)


def _joined(content: Content, column: int) -> str:
    return " ".join(line[column] for line in content.heads if line[column])


@dataclass(frozen=True)
class _Setter:
    """Sets one table's content on its sheets."""

    content: Content
    look: Look
    widths: Sequence[float]
    sheet: Sheet
    hand: Sheet
    entry: Style | None
    g: Generator

    def set(self) -> None:
        """Set shades, header, rows and rules."""
        head = _header_height(self.content, self.look)
        tops = self._tops(head)
        self._shades(head, tops)
        self._header(head)
        for row, top in zip(self.content.rows, tops, strict=False):
            self._row(row, top)
        self._rules(head, tops)

    def _edges(self) -> list[float]:
        return [0.0, *np.cumsum(self.widths).tolist()]

    def _tops(self, head: float) -> list[float]:
        steps = [self.look.pitch * (0.5 if row.role == "space" else 1) for row in self.content.rows]
        return [head, *(head + np.cumsum(steps)).tolist()]

    def _shades(self, head: float, tops: Sequence[float]) -> None:
        tone = int(self.g.integers(45, 100))
        far = self.sheet.width + self.sheet.margin
        m = self.sheet.margin
        if self.look.shade in ("header", "reversed") and head:
            fill = 235 if self.look.shade == "reversed" else tone
            self.sheet.pen.rectangle((m, m, far, m + head), fill=fill)
        elif self.look.shade == "rows":
            for k in range(0, len(tops) - 1, 2):
                self.sheet.pen.rectangle((m, m + tops[k], far, m + tops[k + 1]), fill=tone)

    def _place(self, column: int, align: float) -> float:
        edges, half = self._edges(), self.look.gap / 2
        left, right = edges[column] + half, edges[column + 1] - half
        return left + (right - left) * align

    def _header(self, head: float) -> None:
        look, content = self.look, self.content
        fill = 0 if look.shade == "reversed" else 255
        y = look.font.size * (1.05 + (0.35 if look.rules.top else 0.0))
        for first, last, text in content.spans:
            self._span(first, last, text, y, fill)
        y += look.font.size * 1.5 if content.spans else 0.0
        if content.upright:
            for k in range(1, len(content.align)):
                self.sheet.upright(
                    _joined(content, k), self._place(k, 0.5), head - look.pitch * 0.2, look.font
                )
            return
        centred = self.g.random() < 0.5
        for line in content.heads:
            for k, text in enumerate(line):
                align = content.align[k] if k == 0 or not centred else 0.5
                text = cut(
                    text.upper() if look.capitals else text, look.font, self.widths[k] - look.gap * 0.4
                )
                self.sheet.text(text, self._place(k, align), y, look.font, align, fill)
            y += look.font.size * 1.15

    def _span(self, first: int, last: int, text: str, y: float, fill: int) -> None:
        edges, look = self._edges(), self.look
        left, right = edges[first] + look.gap / 2, edges[last + 1] - look.gap / 2
        self.sheet.text(cut(text, look.font, right - left), (left + right) / 2, y, look.font, 0.5, fill)
        if look.rules.head and not look.rules.typed:
            self.sheet.line(left, y + look.font.size * 0.35, right, y + look.font.size * 0.35)

    def _row(self, row: Row, top: float) -> None:
        look = self.look
        y = top + look.pitch * 0.5 + look.font.size * 0.36
        for k, text in enumerate(row.cells):
            align = self.content.align[k]
            indent = row.indent * look.font.size if k == 0 else 0.0
            room = self.widths[k] - look.gap * 0.6 - indent
            if row.role == "group" and k == 0:
                room = self.sheet.width * 0.8
                if self.content.banded:
                    self.sheet.text(cut(text, look.font, room), self.sheet.width / 2, y, look.font, 0.5)
                    continue
            if self.entry and row.role == "item":
                self._write(text, k, y, room)
                continue
            text = cut(text, look.font, room)
            self.sheet.text(text, self._place(k, align) + indent, y, look.font, align)
            if k == 0 and text and self.content.leaders and row.role != "group" and any(row.cells[1:]):
                self._leaders(self._place(0, 0) + indent + look.font.getlength(text), y)
        if row.brace and len(self.widths) > 1:
            right = self._edges()[1]
            bottom = min(self.sheet.height, top + row.brace * look.pitch)
            self.sheet.brace(right - look.gap * 0.5, top + 1, bottom - 1, look.gap * 0.45)

    def _write(self, text: str, column: int, y: float, room: float) -> None:
        """Write an entry by hand: not quite on its line."""
        if not text or self.entry is None:
            return
        font = load(self.entry.face, round(self.entry.size))
        align = self.content.align[column]
        shift = self.g.normal(0, self.look.pitch * 0.06, 2)
        place = self._place(column, align) + float(shift[0])
        self.hand.text(cut(text, font, room), place, y + float(shift[1]), font, align)

    def _leaders(self, start: float, y: float) -> None:
        """Set dots from a name to the end of its column; they stand below each other from row to row."""
        look = self.look
        step = look.font.size * 0.55
        end = self._edges()[1] - look.gap * 0.3
        for k in range(int((end - start - step * 0.8) / step)):
            self.sheet.text(".", end - k * step, y, look.font, 1.0)

    def _rules(self, head: float, tops: Sequence[float]) -> None:
        rules, bottom = self.look.rules, tops[-1] + self.look.pitch * 0.1
        if rules.top and not rules.rounded:
            self._across(0, rules.top, self.look.heavy)
        if rules.head and head:
            self._across(head, rules.head, 1)
        if rules.underlined and self.content.heads:
            for left, right in zip(self._edges(), self._edges()[1:], strict=False):
                y, half = head - self.look.font.size * 0.15, self.look.gap * 0.4
                self.sheet.line(left + half, y, right - half, y)
        if rules.bottom and not rules.rounded:
            self._across(bottom, rules.bottom, self.look.heavy)
        for row, top in zip(self.content.rows[1:], tops[1:], strict=False):
            if rules.rows and row.starts:
                self._across(top, 1, 1)
            elif row.role == "total":
                self._sum(row, top)
        self._uprights(bottom)

    def _uprights(self, bottom: float) -> None:
        rules, heavy = self.look.rules, self.look.heavy
        start = self.look.font.size * 1.4 if self.content.spans and not rules.sides else 0.0
        for edge in self._edges()[1:-1] if rules.inner else ():
            self.sheet.line(edge, start, edge, bottom)
        if rules.rounded:
            m = self.sheet.margin
            frame = (m, m, m + self.sheet.width, m + bottom)
            self.sheet.pen.rounded_rectangle(frame, self.look.pitch * 0.5, outline=235, width=heavy)
        elif rules.sides:
            for edge in (0.0, self.sheet.width):
                self.sheet.line(edge, 0, edge, bottom, heavy)

    def _across(self, y: float, strokes: int, width: int) -> None:
        """Draw or type a line over the table's width."""
        if sign := self.look.rules.typed:
            count = int(self.sheet.width / self.look.font.getlength(sign))
            self.sheet.text(sign * count, 0, y + self.look.font.size * 0.3, self.look.font)
            return
        for k in range(strokes):
            at = y + k * (width + 2) * (-1 if y > self.sheet.height / 2 else 1)
            self.sheet.line(0, at, self.sheet.width, at, width)

    def _sum(self, row: Row, y: float) -> None:
        """Draw a line above each sum."""
        for k in range(1, len(self.widths)):
            left, right = self._place(k, 0.3), self._place(k, 1.0)
            for stroke in range(self.look.heavy if any(sign.isdigit() for sign in row.cells[k]) else 0):
                self.sheet.line(left, y - 2 * stroke, right, y - 2 * stroke)


# --- forms


def form(
    canvas: Canvas, area: Area, style: Style, writer: Writer, g: Generator, entry: Style | None
) -> float:
    """Print a form of boxes with small labels, empty or filled in; a form with a grid is a table.

    Args:
        canvas: The page.
        area: x, y, width and height, px.
        style: Of its labels.
        writer: Of its words.
        g: Generator.
        entry: How entries are written; None leaves it empty.

    Returns:
        The y below it.
    """
    x, y, width, height = area
    sheet, pitch = Sheet(width, height), style.leading * g.uniform(1.6, 3.0)
    hand = Sheet(width, height)
    rows = max(2, int(height / pitch))
    share = g.uniform(0.2, 0.9)
    font = load(style.face, round(style.size * 0.8))
    top = 0.0
    for _ in range(rows):
        tall = pitch * float(g.choice([1, 1, 1, 2]))
        if top + tall > height:
            break
        for left, right in _cells(width, g):
            free = _box(sheet, (left, top, right, top + tall), font, writer, g)
            if entry and free and g.random() < share:
                pen = load(entry.face, round(entry.size))
                text = cut(f"{writer.name()} {g.integers(1, 900)}", pen, (right - left) * 0.85)
                drop = tall * g.uniform(0.75, 0.9)
                hand.text(text, left + (right - left) * g.uniform(0.04, 0.12), top + drop, pen)
        top += tall
    parts = [sheet.place(canvas, x, y, style)]
    parts += [hand.place(canvas, x, y, entry)] if entry else []
    canvas.add("table", [box for box in parts if box])
    return y + top


def _cells(width: float, g: Generator) -> list[tuple[float, float]]:
    """Divide a row into one to six boxes; return their left and right edges."""
    steps = int(g.integers(1, 7))
    inner = sorted(round(float(v) * 12) / 12 for v in g.uniform(0.12, 0.9, steps - 1))
    edges = [0.0, *[v * width for v in inner if 0 < v < 1], width]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if b > a]


def _box(sheet: Sheet, box: Area, font: Font, writer: Writer, g: Generator) -> bool:
    """Draw a box with a label in its corner or with a square to tick; say whether there is room for an entry."""
    left, top, right, bottom = box
    m = sheet.margin
    sheet.pen.rectangle((left + m, top + m, right + m, bottom + m), outline=225)
    drawn, wide = g.random(), right - left
    text = writer.phrase(1, 4).capitalize()
    if drawn < 0.12 and wide > font.size * 4:
        side = font.size * 0.9
        x, y = left + font.size * 0.4 + m, (top + bottom - side) / 2 + m
        sheet.pen.rectangle((x, y, x + side, y + side), outline=235)
        label = cut(text, font, wide - side * 2.5)
        sheet.text(label, left + side * 2, (top + bottom) / 2 + font.size * 0.35, font)
        return False
    if drawn < 0.9:
        sheet.text(cut(text, font, wide * 0.9), left + font.size * 0.35, top + font.size * 1.1, font)
    return True

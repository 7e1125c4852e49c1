"""What stands in a table: statistics, prices, almanacs, ledgers, lists and tables of words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import ImageFont

from doc_detect.synthesis.words import Writer, roman

Generator = np.random.Generator
Font = ImageFont.FreeTypeFont
Cell = Callable[[], str]

_MONTHS = "January February March April May June July August September October November December".split()


@dataclass(frozen=True)
class Row:
    """One line of a table; a row of two lines is two of them."""

    cells: tuple[str, ...]
    role: Literal["item", "group", "total", "space"] = "item"
    indent: float = 0.0
    """Of the first cell, in ems."""
    starts: bool = True
    """False for a line that goes on with the row above: no rule stands between the two."""
    brace: int = 0
    """How many lines the brace after the first cell spans; 0 for no brace."""


@dataclass(frozen=True)
class Content:
    """The words and numbers of a table; every row has as many cells as ``align`` has numbers."""

    rows: Sequence[Row]
    align: tuple[float, ...]
    """Of each column: 0 left, 0.5 centred, 1 right."""
    heads: Sequence[tuple[str, ...]] = ()
    """Lines of the header."""
    spans: Sequence[tuple[int, int, str]] = ()
    """First and last column of a heading that stands over several, in a line of its own."""
    widths: tuple[float, ...] = ()
    """Widths of the columns, px; empty for as wide as their words."""
    leaders: bool = False
    """Dots lead from the first cell to the next."""
    upright: bool = False
    """The header's words stand on end."""
    banded: bool = False
    """Names of groups stand in the middle of the table."""

    def first_columns(self, count: int) -> "Content":
        """Return the table without the columns after the first ``count``."""
        return replace(
            self,
            rows=[replace(row, cells=row.cells[:count]) for row in self.rows],
            align=self.align[:count],
            heads=[line[:count] for line in self.heads],
            spans=[(a, min(b, count - 1), text) for a, b, text in self.spans if a < count],
            widths=self.widths[:count],
        )


@dataclass(frozen=True)
class Room:
    """What a recipe has to fill."""

    width: float
    lines: int
    font: Font
    writer: Writer

    def name(self, low: int = 1, high: int = 4) -> str:
        """Return a capitalised phrase."""
        return self.writer.phrase(low, high).capitalize()

    def wrapped(self, text: str, width: float, most: int = 9) -> list[str]:
        """Return a text as at most ``most`` lines of a width in px."""
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if self.font.getlength(longer) <= width or not lines[-1]:
                lines[-1] = longer
            elif len(lines) == most:
                break
            else:
                lines.append(word)
        return [cut(line, self.font, width) for line in lines]


def cut(text: str, font: Font, width: float) -> str:
    """Return the beginning of a text that is at most ``width`` px wide."""
    while len(text) > 1 and font.getlength(text) > width:
        text = text[: -1 - len(text) // 12]
    return text.strip()


def numbers(g: Generator) -> Cell:
    """Return what writes the numbers of one column: of like size and form."""
    high = int(10 ** g.uniform(1, 6))
    places = int(g.integers(1, 4))
    mark = str(g.choice([",", " ", ".", ""]))
    kinds: tuple[Cell, ...] = (
        lambda: f"{g.integers(0, high):,}".replace(",", mark),
        lambda: f"{g.integers(0, high):,}".replace(",", mark),
        lambda: f"{g.uniform(0, min(high, 1000)):.{places}f}",
        lambda: f"{g.normal(0, 20):+.{places}f}".replace("+", str(g.choice(["", "+"]))).replace("-", "–"),
        lambda: f"{g.uniform(0, 100):.1f}%",
        lambda: f"{g.uniform(0, 90):.1f} ({g.uniform(0, 9):.1f})",
        lambda: f"{g.uniform(0, 90):.1f} ± {g.uniform(0, 9):.1f}",
        lambda: f"{g.uniform(0, 9):.3f}{'*' * int(g.integers(0, 4))}",
        lambda: f"{g.integers(1, 40)}–{g.integers(40, 99)}",
        lambda: f"{g.integers(0, 360)} {g.integers(0, 60):02d}",
        lambda: f"${g.integers(1, 900)}.{g.integers(0, 100):02d}",
        lambda: f"{g.integers(1, 30)}/{g.integers(2, 20)}",
    )
    shares = np.array((5, 3, 5, 2, 1, 1, 1, 1, 1, 1, 1, 1), float)
    return kinds[int(g.choice(len(kinds), p=shares / shares.sum()))]


def _words(g: Generator, room: Room) -> Cell:
    few = [room.name(1, 1) for _ in range(5)] + ["Yes", "No", "do.", "x", "A", "II"]
    return lambda: few[int(g.integers(len(few)))]


def _names(g: Generator, room: Room) -> Cell:
    """Return what names the rows: phrases, years, months, places or numbers."""
    kind = int(g.choice(7, p=(0.4, 0.12, 0.1, 0.06, 0.12, 0.1, 0.1)))
    year = int(g.integers(1700, 1990))
    step = int(g.choice([1, 1, 5, 10]))
    count = iter(range(100_000))
    low, high = sorted(int(v) for v in g.integers(1, 8, 2))
    kinds: tuple[Cell, ...] = (
        lambda: room.name(low, high),
        lambda: str(year + step * next(count)),
        lambda: _MONTHS[next(count) % 12],
        lambda: f"{year + next(count)}–{(year + step) % 100:02d}",
        room.writer.name,
        lambda: f"{next(count) + 1}. {room.name(1, 3)}",
        lambda: f"{room.writer.name()}, {room.writer.name()[:1]}.",
    )
    return kinds[kind]


def statistics(room: Room, g: Generator, columns: tuple[int, int] = (1, 8)) -> Content:
    """Return row names and columns of numbers, with groups, totals, spanning headings and units or without."""
    count = int(g.integers(*columns))
    makers = [_words(g, room) if g.random() < 0.06 else numbers(g) for _ in range(count)]
    if g.random() < 0.35:
        makers = makers[:1] * count
    body = _body(room, g, makers, _names(g, room))
    align = (0.0, *[float(g.choice([1.0, 1.0, 0.5]))] * count)
    heads, spans = _header(room, g, count)
    return Content(
        body,
        align,
        heads,
        spans,
        leaders=g.random() < 0.3,
        upright=count > 4 and g.random() < 0.1,
        banded=g.random() < 0.3,
    )


def _body(room: Room, g: Generator, makers: Sequence[Cell], name: Cell) -> list[Row]:
    """Return rows that begin with a name; some have groups, a second line, gaps and totals."""
    wanted = room.lines if g.random() < 0.35 else min(room.lines, int(g.integers(2, 60)))
    grouped, two_lines = g.random() < 0.35, float(g.choice([0, 0, 0, 0.15, 0.3]))
    empty, nothing = float(g.choice([0, 0, 0.1, 0.35])), str(g.choice(["", "-", "..", "—", "0"]))
    every = int(g.choice([0, 0, 0, 3, 5, 10]))
    blank = ("",) * len(makers)

    def values() -> tuple[str, ...]:
        return tuple(nothing if g.random() < empty else make() for make in makers)

    rows: list[Row] = []
    while len(rows) < wanted:
        if grouped and (not rows or g.random() < 0.15):
            rows.append(Row((room.name(1, 4), *blank), "group"))
        indent = 1.2 if grouped else 0.0
        if g.random() < two_lines:
            rows.append(Row((room.name(2, 5), *blank), indent=indent))
            rows.append(Row((room.writer.phrase(1, 3), *values()), indent=indent + 1.0, starts=False))
        else:
            rows.append(Row((name(), *values()), indent=indent))
        if grouped and g.random() < 0.08:
            rows.append(Row(("Total", *values()), "total", 2.0))
        if every and len(rows) % every == 0:
            rows.append(Row(("", *blank), "space"))
    if g.random() < 0.35:
        word = str(g.choice(["Total", "TOTAL", "Grand total", "Totals", "Mean", "All", "Summa"]))
        rows.append(Row((word, *values()), "total", float(g.choice([0, 0, 2]))))
    return rows


def _header(room: Room, g: Generator, count: int) -> tuple[list[tuple[str, ...]], list[tuple[int, int, str]]]:
    """Return the header's lines and the headings that span columns."""
    if g.random() < 0.1:
        return [], []
    year, years = int(g.integers(1850, 2000)), g.random() < 0.25
    width = room.width * 0.6 / max(count, 3)
    most = int(g.choice([1, 1, 2, 3]))
    stub = str(g.choice(["", room.name(1, 2), room.name(1, 1), "Year", "No.", "Item"]))
    tops = [stub] + [str(year + k) if years else room.name(1, 1 + most) for k in range(count)]
    stacked = [room.wrapped(text, width, most) for text in tops]
    deep = max(len(lines) for lines in stacked)
    heads = [tuple(lines[k] if k < len(lines) else "" for lines in stacked) for k in range(deep)]
    if g.random() < 0.25:
        unit = str(g.choice(["(mm)", "%", "£", "$", "Number", "(n)", "per cent.", "Lbs.", "kg"]))
        heads.append(("", *[unit] * count))
    elif g.random() < 0.12:
        heads.append(tuple(f"({k + 1})" for k in range(count + 1)))
    spans, at = [], 1
    while count > 2 and g.random() < 0.5 and at < count:
        last = min(count, at + int(g.integers(1, 4)))
        spans.append((at, last, room.name(1, 3)))
        at = last + 1
    return heads, spans


def wide(room: Room, g: Generator) -> Content:
    """Return a table of nine to fifteen columns of short numbers."""
    made = statistics(room, g, (9, 15))
    short = [f"{g.integers(0, 10 ** int(g.integers(1, 4)))}" for _ in range(60)]

    def shortened(cells: tuple[str, ...]) -> tuple[str, ...]:
        return (cells[0], *[short[int(g.integers(60))] if cell else "" for cell in cells[1:]])

    rows = [replace(row, cells=shortened(row.cells)) for row in made.rows]
    return replace(made, rows=rows, upright=g.random() < 0.3)


def pairs(room: Room, g: Generator) -> Content:
    """Return a narrow list of names with one number or two each."""
    count = int(g.choice([1, 1, 1, 2]))
    makers = [numbers(g) for _ in range(count)]
    rows = [
        Row((room.name(1, 3), *[make() for make in makers]))
        for _ in range(min(room.lines, int(g.integers(3, 50))))
    ]
    heads = [(room.name(1, 1), *[room.name(1, 1) for _ in makers])] if g.random() < 0.4 else []
    return Content(rows, (0.0, *[1.0] * count), heads, leaders=g.random() < 0.6)


def doubled(room: Room, g: Generator) -> Content:
    """Return one table whose columns stand two to four times beside each other, as the rows were too many."""
    times, made = int(g.integers(2, 5)), pairs(room, g)
    width = len(made.align)
    rows = [
        Row(tuple(cell for part in range(times) for cell in made.rows[(k + part) % len(made.rows)].cells))
        for k in range(len(made.rows))
    ]
    head = made.heads[0] if made.heads else (room.name(1, 1), *[room.name(1, 1)] * (width - 1))
    return Content(rows, made.align * times, [head * times])


def words(room: Room, g: Generator) -> Content:
    """Return two to five columns of phrases that fill one to six lines each."""
    count = int(g.integers(2, 6))
    shares = g.uniform(0.6, 1.6, count)
    widths = tuple(float(v) for v in shares / shares.sum() * room.width)
    inner = [w - room.font.size * 0.8 for w in widths]
    longest = [int(v) for v in g.choice([2, 4, 9, 18], count)]
    wanted, rows = min(room.lines, int(g.integers(4, 70))), []
    while len(rows) < wanted:
        cells = [room.wrapped(room.name(1, longest[k]), inner[k], 6) for k in range(count)]
        for line in range(max(len(lines) for lines in cells)):
            row = tuple(lines[line] if line < len(lines) else "" for lines in cells)
            rows.append(Row(row, starts=line == 0))
    heads = [tuple(room.name(1, 1) for _ in range(count))] if g.random() < 0.85 else []
    centred = float(g.choice([0, 0, 0.5]))
    return Content(rows, (0.0, *[centred] * (count - 1)), heads, widths=widths)


def prices(room: Room, g: Generator) -> Content:
    """Return goods with prices in pounds, shillings and pence or livres, sols and deniers, as of 1700 to 1850."""
    makers: list[Cell] = [
        lambda: str(g.integers(0, 60)),
        lambda: str(g.integers(0, 20)),
        lambda: str(g.choice(["0", "3", "6", "9", "4½", "8"])),
    ]
    if g.random() < 0.4:
        makers.insert(0, lambda: str(g.choice(["per lb.", "ditto", "each", "the doz.", "le cent"])))
    rows = _body(room, g, makers, lambda: room.name(1, 5))
    signs = ("l.", "s.", "d.") if g.random() < 0.7 else ("livres.", "sols.", "den.")
    heads = [("",) * (len(makers) - 2) + signs] if g.random() < 0.8 else []
    return Content(rows, (0.0, *[1.0] * len(makers)), heads, leaders=g.random() < 0.7)


def almanac(room: Room, g: Generator) -> Content:
    """Return an almanac or an astronomer's table: narrow columns of small numbers, names joined by braces."""
    count = int(g.integers(5, 13))
    makers: list[Cell] = [lambda: str(g.integers(0, 60)) for _ in range(count)]
    if g.random() < 0.5:
        makers[-1] = _words(g, room)
    lines = min(room.lines, int(g.integers(10, 45)))
    braced, rows = g.random() < 0.4, []
    while len(rows) < lines:
        span = int(g.integers(2, 6)) if braced else 1
        for k in range(span):
            number = len(rows) + 1
            first = (room.name(1, 1) if k == span // 2 else "") if braced else str(number)
            brace = span if braced and k == 0 else 0
            rows.append(Row((first, *[make() for make in makers]), starts=k == 0, brace=brace))
    tops = [str(g.choice(["Deg.", "Min.", "H.", "M.", "Sec.", roman(k + 1)])) for k in range(count)]
    spans = [(k, k + 1, room.name(1, 1)) for k in range(1, count, 2)] if g.random() < 0.5 else []
    head = (str(g.choice(["Dies", "D.", "Iours", "Days", ""])), *tops)
    return Content(rows, (0.0 if braced else 1.0, *[1.0] * count), [head], spans)


def ledger(room: Room, g: Generator) -> Content:
    """Return a register with fixed columns, of which the last lines are still empty."""
    count = int(g.integers(3, 9))
    shares = np.array([g.uniform(1.5, 4), *g.uniform(0.5, 1.5, count)])
    makers = [_words(g, room) if g.random() < 0.35 else numbers(g) for _ in range(count)]
    filled, empty = g.uniform(0.2, 1.1), float(g.choice([0.05, 0.3, 0.6]))
    dated, rows = g.random() < 0.4, []
    for k in range(room.lines):
        used = k < room.lines * filled and g.random() > 0.05
        first = f"{g.integers(1, 31)} {_MONTHS[int(g.integers(12))][:3]}" if dated else room.name(1, 3)
        cells = ["" if not used or g.random() < empty else make() for make in makers]
        rows.append(Row((first if used else "", *cells)))
    heads, spans = _header(room, g, count)
    widths = tuple(float(v) for v in shares / shares.sum() * room.width)
    return Content(rows, (0.0, *[float(g.choice([0, 0.5, 1])) for _ in makers]), heads, spans, widths)


Recipe = Callable[[Room, Generator], Content]
RECIPES: Mapping[str, Recipe] = {
    "statistics": statistics,
    "wide": wide,
    "pairs": pairs,
    "doubled": doubled,
    "words": words,
    "prices": prices,
    "almanac": almanac,
    "ledger": ledger,
}
"""What a table may be, by name."""

MODERN = {"statistics": 0.58, "wide": 0.12, "pairs": 0.1, "doubled": 0.06, "words": 0.14}
"""Shares of the recipes after 1850."""
OLD = {"prices": 0.4, "almanac": 0.4, "statistics": 0.2}
"""Shares of the recipes before."""

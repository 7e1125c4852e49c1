"""A report as a PDF of one column, set by typst.

Everything reaches typst as data, never as markup, so that no text needs escaping. Columns of wide tables are dealt
out to several tables by the width of their longest words, so that none leaves the page.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seminar_common.errors import UserError
from seminar_common.reporting.markdown import plain
from seminar_common.reporting.screen import TEMPLATES, printable

_LONGEST = 26
"""Characters of a word that may stand unbroken."""
_BREAK = "\u200b"  # a place where a line may break, without width

PORTRAIT, TURNED = 170.0, 257.0
"""Width of the text of a page in mm."""


def render(page: dict[str, Any]) -> bytes:
    """Return the page of :mod:`seminar_common.reporting.paper` as a PDF.

    Raises:
        UserError: a picture in it is broken.
    """
    import matplotlib
    import typst

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        shutil.copy(TEMPLATES / "report.typ", folder)
        # The plots' font alone: its folder also has one of empty boxes for every character, which would stand
        # in for the system's fonts where DejaVu Sans lacks a character.
        (folder / "fonts").mkdir()
        shutil.copy(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", folder / "fonts")
        content = _breakable(_laid_out(printable(page), folder))
        try:
            return typst.compile(
                folder / "report.typ",
                format="pdf",
                font_paths=typst.Fonts(font_paths=[folder / "fonts"]),
                sys_inputs={"page": json.dumps(content)},
            )
        except typst.TypstError as error:
            if "decode" not in str(error):
                raise  # a mistake of ours
            raise UserError(
                f"a picture of the report can't be read: {error}; save it anew, or leave it out"
            ) from error


def _laid_out(page: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Deal out the columns of the page's tables, and write its pictures into ``folder``."""
    for blocks, width in _all_blocks(page):
        for block in blocks:
            if block["kind"] in ("table", "differences"):
                _lay_out(block, width, _SMALL if width == TURNED else _BODY)
            elif block["kind"] == "grid":
                block["shares"] = _shares(block)
            elif block["kind"] == "picture":
                file = folder / f"picture-{len(list(folder.glob('picture-*')))}.{block['format']}"
                file.write_bytes(block.pop("image"))
                block["file"] = file.name
    return page


def _shares(grid: Mapping[str, Any]) -> list[int]:
    """Return the share of each column in the width of a table of text."""
    lines = [line for line in (grid["head"], *grid["lines"]) if line]
    return [max(8, min(50, max(len(plain(line[n])) for line in lines))) for n in range(len(lines[0]))]


def _all_blocks(page: Mapping[str, Any]) -> Iterator[tuple[list[dict[str, Any]], float]]:
    yield page["abstract"], PORTRAIT
    for topic in page["topics"]:
        yield topic["lead"], PORTRAIT
        for part in topic["sections"]:
            yield part["blocks"], PORTRAIT
    for part in (*page["front"], *page["back"]):
        yield part["blocks"], PORTRAIT
    for part in page["appendix"]:
        yield part["blocks"], TURNED if part["turned"] else PORTRAIT


@dataclass(frozen=True)
class _Letters:
    """What a table's letters take, in mm."""

    width: float
    """Of a digit or a letter of text."""
    small: float
    """Of one of an interval."""
    gap: float
    """Around a cell."""


_BODY, _SMALL = _Letters(1.62, 1.25, 3.0), _Letters(1.27, 1.22, 2.4)


def _lay_out(table: dict[str, Any], width: float, letters: _Letters) -> None:
    """Say how wide a table's columns are, and deal them out to several tables if they don't fit beside each other.

    An interval stands beside its figure if all fit so, and else below it.
    """
    lines = [line for group in table["groups"] for line in group["lines"]]
    head = [table.get("heading", "Comparison"), *(line["model"] for line in lines)]
    traits = [
        _text_width([name, *(line["traits"][place] for line in lines)], letters, 22)
        for place, name in enumerate(table.get("traits", ()))
    ]
    counts = _text_width(["n", *(line["n"] for line in lines)], letters, 22)
    name = min(_text_width(head, letters, 40), max(width - sum(traits) - counts, 0) / 2)
    room = width - name - sum(traits) - counts
    beside, below = (
        [_figure_width(table, lines, n, letters, s) for n in range(len(table["metrics"]))] for s in (1, 0)
    )
    table["beside"] = sum(beside) <= room or letters is _SMALL
    columns = beside if table["beside"] else below
    table["chunks"] = _dealt(columns, room)
    table["widths"] = {"name": name, "traits": traits, "columns": columns, "n": counts}


def _text_width(texts: Sequence[str], letters: _Letters, longest: int) -> float:
    return min(max(map(len, texts), default=0), longest) * letters.width + letters.gap


def _figure_width(
    table: Mapping[str, Any], lines: Sequence[Any], column: int, letters: _Letters, beside: int
) -> float:
    """Return what a column of figures needs; its heading may break between words."""
    metric = table["metrics"][column]
    heading = max(len(word) + 1 for word in [*metric["name"].split(), f"{metric['unit']} ^"])
    widths = [heading * letters.width]
    for figure in (figure for line in lines for figure in line["cells"][column]):
        parts = (len(figure["text"]) + 2) * letters.width, len(figure["interval"]) * letters.small
        widths.append(sum(parts) if beside else max(parts))
    return max(widths) + letters.gap


def _dealt(widths: Sequence[float], room: float) -> list[list[int]]:
    """Deal out columns to as few tables as fit, about equally many to each."""
    for count in range(1, len(widths)):
        size = -(-len(widths) // count)
        parts = [list(range(n, min(n + size, len(widths)))) for n in range(0, len(widths), size)]
        if all(sum(widths[n] for n in part) <= room for part in parts):
            return parts
    return [[n] for n in range(len(widths))]


def _breakable(value: Any, key: str = "") -> Any:
    """Return ``value`` with places to break in words that no line would hold."""
    if isinstance(value, dict):
        return {name: _breakable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_breakable(item, key) for item in value]
    if isinstance(value, str) and key not in ("svg", "file", "target", "kind", "style", "title"):
        return " ".join(_broken(word) for word in value.split(" "))
    return value


def _broken(word: str) -> str:
    if len(word) <= _LONGEST:
        return word
    for mark in "/_=,.-":
        word = word.replace(mark, mark + _BREAK)
    pieces = word.split(_BREAK)
    return _BREAK.join(
        _BREAK.join(piece[n : n + _LONGEST] for n in range(0, len(piece), _LONGEST)) for piece in pieces
    )

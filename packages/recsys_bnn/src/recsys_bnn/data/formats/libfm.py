"""libFM's text format, for rows of one value in each of a fixed number of fields, such as Frappe's.

A line is ``label index:1 index:1 ...`` with spaces between (Rendle, "Factorization Machines with libFM", 2012,
section 4.1): the label is 1 or +1 for a click and -1 or 0 for none, and each index is a feature that is present.
The first index belongs to the first field and so on, so every line needs as many as the first one. Indices
are numbered across fields; each field gets ids of its own here.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys_bnn.compiled.rows import Cell
from recsys_bnn.data import chunks
from recsys_bnn.data.formats.bad_rows import BadRows, RowError
from recsys_bnn.data.formats.base import Format, RowReader
from recsys_bnn.data.formats.delimited import Column, Delimited
from recsys_bnn.data.formats.keys import IntegerKeys
from recsys_bnn.data.formats.text import (
    TO_SCORE,
    Lines,
    Source,
    all_blocks,
    check_text,
    parse_each,
    read_rows,
)
from recsys_bnn.data.parallel import OrderedMap
from seminar_common.errors import UserError

_LABELS = {"1": 1, "+1": 1, "-1": 0, "0": 0}
_FEATURE = re.compile(r"([0-9]{1,9}):1(?:\.0*)?", re.ASCII)


class LibFM(Format):
    """The format `libfm`.

    Args:
        paths: Files, read as one log in this order.

    Raises:
        UserError: the first file can't be read.
    """

    integer_names: tuple[str, ...] = ()

    def __init__(self, paths: Sequence[Path]):
        self.paths = paths
        fields = len(Source(paths[0]).first_line().split()) - 1
        if fields < 1:
            raise UserError(f"{paths[0]}, line 1: expected a label and index:1 for each field")
        self.categorical_names = field_names(fields)
        self.keys = (IntegerKeys(),) * fields
        self._parser = LineParser(fields, labelled=True)

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources`` in order; a value's key is its index."""
        parser = self._parser
        return read_rows(all_blocks(sources), parser.parse_text, parser.parse_lines, bad_rows, ordered_map)

    def default_name(self, rows: int) -> str:
        """Return the first file's name up to its first dot, such as ``frappe``."""
        return self.paths[0].name.split(".")[0] or "libfm"


class LibFMRows(RowReader):
    """Rows of a libFM file: a file whose first line begins with an index has no labels."""

    integer_names: tuple[str, ...] = ()
    label_column = chunks.LABEL

    def __init__(self, paths: Sequence[Path]):
        self.paths, self.decisions = paths, []
        self.categorical_names = field_names(sum(b":" in cell for cell in first_cells(paths[0], TO_SCORE)))
        self.kinds = (IntegerKeys.kind,) * len(self.categorical_names)

    def pieces(self, source: Source) -> Iterator[Lines]:
        """Yield the lines of ``source``."""
        labelled = b":" not in first_cells(source.path, source.prefer)[0]
        self.decisions.append(f"{source.path}: {'labels' if labelled else 'no labels'}")
        parser = LineParser(len(self.categorical_names), labelled=labelled)
        for block in source.blocks():
            yield Lines(block, parser.parse_text, parser.parse_lines)


def field_names(count: int) -> tuple[str, ...]:
    """Return the names of so many fields."""
    return tuple(f"field_{i}" for i in range(1, count + 1))


def first_cells(path: Path, prefer: Sequence[str]) -> list[bytes]:
    """Return the cells of the first line of ``path``.

    Raises:
        UserError: the file can't be read, or has no index in its first line.
    """
    cells = Source(path, prefer=prefer).first_line().split()
    if not any(b":" in cell for cell in cells):
        raise UserError(f"{path}, line 1: expected a label and index:1 for each field")
    return cells


class LineParser:
    """Reads lines of so many fields, with or without a label before them."""

    def __init__(self, fields: int, *, labelled: bool):
        label_column = (Column(chunks.LABEL, label, pa.uint8(), "label"),) if labelled else ()
        features = (
            Column(name, feature, pa.uint32(), "feature", cell=Cell.INDEX) for name in field_names(fields)
        )
        self._columns = (*label_column, *features)
        self._labelled = labelled
        self._fast = Delimited(self._columns, [column.name for column in self._columns], separator=" ")

    def parse_text(self, text: bytes) -> pa.RecordBatch | None:
        """Parse many whole lines at once; return None unless every line is certainly a row."""
        return self._fast.parse_text(text)

    def parse_lines(self, lines: list[bytes]) -> tuple[pa.RecordBatch, list[tuple[int, RowError]]]:
        """Parse ``lines`` one by one; return the rows, and the position and error of each line that is none."""
        return parse_each(lines, self.parse_line, self._fast.schema)

    def parse_line(self, line: bytes) -> list[Any]:
        """Return the label, if there is one, and the keys of one line; any white space may stand between them.

        Raises:
            RowError: the line is no row; its reason is ``blank``, ``nul``, ``utf-8``, ``columns``, ``label`` or
                ``feature``.
        """
        check_text(line.strip())
        cells = line.decode().split()
        if len(cells) != len(self._columns):
            raise RowError(
                "columns",
                f"{len(cells) - self._labelled} features{' after the label' * self._labelled}, expected "
                f"{len(self._columns) - self._labelled} as in the first line",
            )
        return [column.value(cell) for column, cell in zip(self._columns, cells, strict=True)]


def label(text: str) -> int:
    """Read a label as a click or none."""
    if text not in _LABELS:
        raise ValueError("1, +1, 0 or -1")
    return _LABELS[text]


def feature(text: str) -> int:
    """Read a feature that is present as its index."""
    match = _FEATURE.fullmatch(text)
    if not match:
        raise ValueError("an index of at most 9 digits and :1, as every field holds one category")
    return int(match[1])

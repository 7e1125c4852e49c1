"""Tables of delimited text, by column: each column has one function that reads a cell.

Many rows at once are read by calling that function on the distinct texts of a column alone, so there is one
specification of a cell and it is fast where values repeat, as they do in logs. C parts the cells, and reads numbers of
usual forms by itself; without a compiler Arrow's CSV reader parts them.
"""

import csv
import ctypes
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from recsys_bnn.compiled import rows as in_c
from recsys_bnn.compiled.rows import Cell, Numbers, Texts
from recsys_bnn.data.chunks import array, arrow, missing, numbers
from recsys_bnn.data.formats.bad_rows import BadRows, RowError
from recsys_bnn.data.formats.text import (
    BYTE_ORDER_MARK,
    TO_LEARN_FROM,
    Block,
    Lines,
    Source,
    check_text,
    parse_each,
    read_rows,
    shown,
)
from recsys_bnn.data.parallel import OrderedMap
from seminar_common.errors import UserError

_WHOLE = re.compile(r"(-?)0*([0-9]{1,10})", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{8}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Column:
    """One column to read."""

    name: str
    """Its name in the header, or what to call it in messages."""
    parse: Callable[[str], Any]
    """Returns the value of a cell, None if it is missing; raises ValueError(what was expected)."""
    type: pa.DataType
    reason: str
    """Kind of fault, in one word, that a bad cell counts as."""
    cell: Cell = field(default=Cell.TEXT, kw_only=True)
    """What C may take the cells for, in the place of ``parse``."""

    def convert(self, texts: pa.Array) -> pa.Array:
        """Return the values of a column of texts, a null being an empty cell.

        Raises:
            ValueError: a cell is bad.
        """
        encoded = texts.dictionary_encode()
        cells = encoded.dictionary.to_pylist()
        if not texts.null_count:
            return arrow([self.parse(text) for text in cells], self.type).take(encoded.indices)
        places = np.where(missing(encoded.indices), len(cells), numbers(encoded.indices))
        return arrow([self.parse(text) for text in [*cells, ""]], self.type).take(array(places))

    def read(self, cells: Texts | Numbers) -> pa.Array:
        """Return the values of cells that C has read.

        Raises:
            ValueError: a cell is bad.
        """
        if isinstance(cells, Texts):
            ends, letters = pa.py_buffer(cells.ends), pa.py_buffer(cells.letters)
            return self.convert(pa.StringArray.from_buffers(len(cells.ends) - 1, ends, letters))
        bitmap = None if cells.valid is None else pa.py_buffer(cells.valid)
        return pa.Array.from_buffers(self.type, len(cells.values), [bitmap, pa.py_buffer(cells.values)])

    def value(self, text: str) -> Any:
        """Return the value of one cell.

        Raises:
            RowError: it is bad.
        """
        try:
            return self.parse(text)
        except ValueError as error:
            raise RowError(self.reason, f"{self.name} is {shown(text)}, expected {error}") from error


@dataclass(frozen=True)
class TextColumn(Column):
    """A column of any texts, most of which differ; nothing is a missing value."""

    def convert(self, texts: pa.Array) -> pa.Array:
        """Return the texts, with nulls in the place of empty ones."""
        _, ends, letters = texts.buffers()
        bounds = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
        filled = np.diff(bounds) > 0
        bitmap = None if filled.all() else pa.py_buffer(np.packbits(filled, bitorder="little"))
        return pa.StringArray.from_buffers(len(texts), pa.py_buffer(bounds), letters, bitmap)


def label(text: str) -> int:
    """Read a click: 0 or 1."""
    if text not in ("0", "1"):
        raise ValueError("0 or 1")
    return int(text)


def whole(text: str) -> int | None:
    """Read a whole number of 32 bits; nothing is a missing value."""
    if not text:
        return None
    match = _WHOLE.fullmatch(text)
    value = int(match[1] + match[2]) if match else None
    if value is None or not -(2**31) <= value < 2**31:
        raise ValueError("a whole number of 32 bits or nothing")
    return value


def integer_key(text: str) -> int | None:
    """Read a whole number of 32 bits as the key that :class:`recsys_bnn.data.formats.keys.IntegerKeys` gives it."""
    value = whole(text)
    return None if value is None else value & 0xFFFFFFFF


def hex_key(text: str) -> int | None:
    """Read 8 lowercase hex digits as a number; nothing is a missing value."""
    if not text:
        return None
    if not _HEX.fullmatch(text):
        raise ValueError("8 hex digits (0-9, a-f) or nothing")
    return int(text, 16)


def or_none(parse: Callable[[str], Any], text: str) -> Any:
    """Return what ``parse`` reads, None where that is bad."""
    try:
        return parse(text)
    except ValueError:
        return None


def number(text: str) -> float:
    """Read a finite decimal number."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("a number")
    return float(text)


def text_or_missing(text: str) -> str | None:
    """Return any text; nothing is a missing value."""
    return text or None


class Delimited:
    """Reader of some columns of a table of text.

    Args:
        columns: Columns to read; those of one table have different names.
        present: Names of all columns of the file in order.
        separator: What stands between cells.
        quoted: Whether a cell may stand in double quotes, as in CSV; it can't hold a line end even so.
        header: Cells of the first line of each file; none if the rows begin there.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        present: Sequence[str],
        *,
        separator: str = ",",
        quoted: bool = False,
        header: Sequence[str] = (),
    ):
        self._columns, self._present = tuple(columns), tuple(present)
        self._at = [self._present.index(column.name) for column in columns]
        self._separator, self._quoted, self._header = separator, quoted, list(header)
        self.schema = pa.schema([(column.name, column.type) for column in columns])

    def read(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources`` in order; bad ones go to ``bad_rows``.

        Raises:
            UserError: a file can't be read or has another header, or a row is bad and is not to be skipped.
        """
        return read_rows(self._blocks(sources), self.parse_text, self.parse_lines, bad_rows, ordered_map)

    def pieces(
        self, source: Source, finish: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None
    ) -> Iterator[Lines]:
        """Yield the rows of ``source``, to be parsed later; ``finish`` turns a batch into what is wanted."""
        return (
            Lines(block, self.parse_text, self.parse_lines, finish)
            for block in self._blocks([source])
            if block.text
        )

    def _blocks(self, sources: Sequence[Source]) -> Iterator[Block]:
        for source in sources:
            blocks = source.blocks()
            if self._header:
                first = next(blocks, None)
                if first is None:
                    raise UserError(f"{source.path}: the file is empty; leave it out")
                end = first.text.index(b"\n")
                self._check_header(source.path, first.text[:end])
                yield first.part(end + 1)
            yield from blocks

    def _check_header(self, path: Path, line: bytes) -> None:
        if cells(line, path, self._separator, quoted=self._quoted) != self._header:
            raise UserError(
                f"{path}, line 1: the header is not {shown(self._separator.join(self._header))}; "
                "all files need the same columns in the same order"
            )

    def parse_text(self, text: bytes) -> pa.RecordBatch | None:
        """Parse many whole lines at once; return None unless every line is certainly a row."""
        library = in_c.calls()
        try:
            values = self._by_arrow(text) if library is None else self._by_c(library, text)
        except ValueError:
            return None
        return None if values is None else pa.RecordBatch.from_arrays(values, schema=self.schema)

    def _by_c(self, library: ctypes.CDLL, text: bytes) -> list[pa.Array] | None:
        plain, separator = self._one_letter(text)
        if plain is None:
            return None
        found = in_c.table(library, plain, self._cells, separator, quoted=self._quoted)
        if found is None:
            return None
        values = dict(zip(sorted(self._at), found, strict=True))
        return [column.read(values[at]) for column, at in zip(self._columns, self._at, strict=True)]

    @cached_property
    def _cells(self) -> list[Cell]:
        """What the cells of each column of the file are."""
        kinds = dict(zip(self._at, self._columns, strict=True))
        return [kinds[at].cell if at in kinds else Cell.SKIPPED for at in range(len(self._present))]

    def _one_letter(self, text: bytes) -> tuple[bytes | None, str]:
        """Return the text with a separator of one letter; None where it can't have one."""
        if len(self._separator) == 1:
            return text, self._separator
        return None if b"\t" in text else text.replace(self._separator.encode(), b"\t"), "\t"

    def _by_arrow(self, text: bytes) -> list[pa.Array] | None:
        columns = self._texts(text)
        return columns and [c.convert(texts) for c, texts in zip(self._columns, columns, strict=True)]

    def _texts(self, text: bytes) -> list[pa.Array] | None:
        """Return the cells of each column, or None where the lines are not plainly a table."""
        # The CSV reader takes a blank line for a row of empty cells, a lone carriage return for a line end, and a
        # byte order mark at the start of any block for nothing.
        odd = text.startswith((b"\n", b"\r\n", BYTE_ORDER_MARK)) or b"\n\n" in text or b"\n\r\n" in text
        if odd or b"\0" in text or text.count(b"\r") != text.count(b"\r\n"):
            return None
        if self._quoted and b'"' in text:
            return None
        plain, delimiter = self._one_letter(text)
        if plain is None:
            return None
        try:
            plain.decode()
            return self._read_csv(plain, delimiter)
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None

    def _read_csv(self, text: bytes, delimiter: str) -> list[pa.Array]:
        names = [str(number) for number in range(len(self._present))]
        wanted = [names[at] for at in self._at]
        table = arrow_csv.read_csv(
            pa.BufferReader(text),
            arrow_csv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False),
            arrow_csv.ParseOptions(
                delimiter=delimiter, quote_char=False, double_quote=False, ignore_empty_lines=False
            ),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted),
        )
        return [column.combine_chunks() for column in table.columns]

    def parse_lines(self, lines: list[bytes]) -> tuple[pa.RecordBatch, list[tuple[int, RowError]]]:
        """Parse ``lines`` one by one; return the rows, and the position and error of each line that is none."""
        return parse_each(lines, self._row, self.schema)

    def _row(self, line: bytes) -> list[Any]:
        line = line.removesuffix(b"\r")
        check_text(line)
        found = split_cells(line.decode(), self._separator, quoted=self._quoted)
        if len(found) != len(self._present):
            raise RowError("columns", f"{len(found)} columns, expected {len(self._present)}")
        return [column.value(found[at]) for column, at in zip(self._columns, self._at, strict=True)]


def split_cells(line: str, separator: str, *, quoted: bool) -> list[str]:
    """Split a line into cells.

    Raises:
        RowError: a quote is not closed, or followed by something else than a separator.
    """
    if not quoted or '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error as error:
        raise RowError("quote", f"quotes that don't match on this line ({error})") from error


def cells(line: bytes, path: Path, separator: str, *, quoted: bool = False) -> list[str]:
    """Return the cells of the header line of ``path``.

    Raises:
        UserError: the line is no text.
    """
    line = line.removesuffix(b"\r")
    try:
        check_text(line)
        return split_cells(line.decode(), separator, quoted=quoted)
    except RowError as error:
        raise UserError(f"{path}, line 1: {error}; expected a header that names the columns") from error


def header(
    path: Path, separator: str = ",", *, quoted: bool = False, prefer: Sequence[str] = TO_LEARN_FROM
) -> list[str]:
    """Return the cells of the first line of ``path``.

    Raises:
        UserError: the file can't be read, or its first line is no text.
    """
    line = Source(path, prefer=prefer).first_line()
    if not line:
        raise UserError(f"{path}: the file is empty; check the path")
    return cells(line, path, separator, quoted=quoted)


def present_columns(
    columns: Sequence[Column], path: Path, present: Sequence[str], decisions: list[str], *, fill: bool
) -> list[Column]:
    """Return the ``columns`` that are among ``present``, those of the file ``path``.

    Raises:
        UserError: one is there twice, or not there and not to be filled; with ``fill`` a line goes to ``decisions``.
    """
    for column in columns:
        if present.count(column.name) > 1:
            raise UserError(f"{path}: the column {column.name!r} is there twice; leave one out")
    absent = [column.name for column in columns if column.name not in present]
    if absent and not fill:
        raise UserError(
            f"{path}: the column {absent[0]!r} that the model reads is not there; the file has "
            f"{', '.join(map(repr, present[:20]))}{', ...' if len(present) > 20 else ''}; add it, or take such columns "
            "as missing values with --missing-columns fill"
        )
    if absent:
        decisions.append(f"{path}: no column {', '.join(absent)}, taken as missing values")
    return [column for column in columns if column.name in present]

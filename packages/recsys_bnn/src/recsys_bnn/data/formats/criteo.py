r"""Criteo's click logs as text: a label, 13 integers and 26 hashed categoricals, separated by tabs.

The layout of ``train.txt`` of the Display Advertising Challenge (Criteo Labs and Kaggle, 2014). A line is
``label \t I1 .. I13 \t C1 .. C26``: the label is 0 or 1; an integer is a decimal whole number of 32 bits,
negative or not, or empty; a categorical is 8 lowercase hex digits, or empty. Empty means missing. There is no
header. Lines end with a line feed, optionally after a carriage return; the last one may lack it.
:func:`parse_line` is the specification, :func:`parse_text` does the same for many rows at once.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from recsys_bnn.data import chunks
from recsys_bnn.data.formats.bad_rows import BadRows, RowError
from recsys_bnn.data.formats.base import Format, RowReader, counted_name
from recsys_bnn.data.formats.criteo_columns import parse_columns
from recsys_bnn.data.formats.keys import HexKeys
from recsys_bnn.data.formats.text import Lines, Source, all_blocks, check_text, parse_each, read_rows, shown
from recsys_bnn.data.parallel import OrderedMap

OFFICIAL_ROWS = 45_840_617
INTEGERS = tuple(f"I{i}" for i in range(1, 14))
CATEGORICALS = tuple(f"C{i}" for i in range(1, 27))
COLUMNS = 1 + len(INTEGERS) + len(CATEGORICALS)
SCHEMA = chunks.schema(INTEGERS, CATEGORICALS)

_INTEGER = re.compile(rb"(-?)0*([0-9]{1,10})")
_HEX = re.compile(rb"[0-9a-f]{8}")


class CriteoKaggle(Format):
    """The format `criteo-kaggle`."""

    integer_names = INTEGERS
    categorical_names = CATEGORICALS
    keys = (HexKeys(),) * len(CATEGORICALS)

    def __init__(self, paths: Sequence[Path]):
        self.paths = paths

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources`` in order; a categorical's key is its hexadecimal value."""
        return read_rows(all_blocks(sources), parse_text, parse_lines, bad_rows, ordered_map)

    def default_name(self, rows: int) -> str:
        """Return ``criteo-kaggle`` for the whole log, and a name such as ``criteo-10k`` for a part."""
        return "criteo-kaggle" if rows == OFFICIAL_ROWS else counted_name("criteo", rows)


class Row(NamedTuple):
    """One row; None is a missing value."""

    label: int
    integers: tuple[int | None, ...]
    categoricals: tuple[int | None, ...]


class CriteoRows(RowReader):
    """Rows of either of Criteo's logs, with a label as in ``train.txt`` or without one as in ``test.txt``.

    The first line of a file tells which: it has 40 columns or 39.
    """

    integer_names = INTEGERS
    categorical_names = CATEGORICALS
    kinds = ("hex",) * len(CATEGORICALS)
    label_column = chunks.LABEL

    def __init__(self, paths: Sequence[Path]):
        self.paths, self.decisions = paths, []

    def pieces(self, source: Source) -> Iterator[Lines]:
        """Yield the lines of ``source``."""
        labelled = None
        for block in source.blocks():
            if labelled is None:
                labelled = block.text[: block.text.index(b"\n")].count(b"\t") != COLUMNS - 2
                found = "40 columns, a label first" if labelled else "39 columns, no label"
                self.decisions.append(f"{source.path}: {found}")
            yield Lines(
                block,
                partial(parse_text, labelled=labelled),
                partial(parse_lines, labelled=labelled),
                None if labelled else _features,
            )


def _features(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.remove_column(0)


def parse_line(line: bytes, *, labelled: bool = True) -> Row:
    """Parse one line, with or without its line end; the label of a row without one is 0.

    Raises:
        RowError: the line is no row; its reason is ``blank``, ``nul``, ``utf-8``, ``columns``, ``label``,
            ``integer`` or ``categorical``.
    """
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    check_text(line)
    cells = line.split(b"\t")
    if len(cells) != COLUMNS - (not labelled):
        raise RowError(
            "columns",
            f"{len(cells)} columns, expected {COLUMNS - (not labelled)} with tabs between them "
            f"({'label, ' if labelled else ''}13 integers, 26 categoricals)",
        )
    cells = cells if labelled else [b"0", *cells]
    if cells[0] not in (b"0", b"1"):
        raise RowError("label", f"the label is {shown(cells[0].decode())}, expected 0 or 1")
    integers = tuple(map(_integer, INTEGERS, cells[1:14]))
    return Row(int(cells[0]), integers, tuple(map(_categorical, CATEGORICALS, cells[14:])))


def _integer(name: str, cell: bytes) -> int | None:
    if not cell:
        return None
    match = _INTEGER.fullmatch(cell)
    value = int(match[1] + match[2]) if match else None
    if value is None or not -(2**31) <= value < 2**31:
        raise RowError(
            "integer", f"{name} is {shown(cell.decode())}, expected a whole number of 32 bits or nothing"
        )
    return value


def _categorical(name: str, cell: bytes) -> int | None:
    if not cell:
        return None
    if not _HEX.fullmatch(cell):
        raise RowError(
            "categorical", f"{name} is {shown(cell.decode())}, expected 8 hex digits (0-9, a-f) or nothing"
        )
    return int(cell, 16)


def parse_lines(
    lines: list[bytes], *, labelled: bool = True
) -> tuple[pa.RecordBatch, list[tuple[int, RowError]]]:
    """Parse ``lines`` one by one; return the rows, and the position and error of each line that is none."""
    return parse_each(lines, partial(_cells, labelled=labelled), SCHEMA)


def _cells(line: bytes, labelled: bool) -> tuple[int | None, ...]:
    row = parse_line(line, labelled=labelled)
    return (row.label, *row.integers, *row.categoricals)


def parse_text(text: bytes, *, labelled: bool = True) -> pa.RecordBatch | None:
    """Parse many whole lines at once; return None unless every line is certainly a row."""
    columns = parse_columns(text, labelled=labelled)
    if columns is None:
        return None
    values = [*columns.integers, *columns.categoricals]
    features = [chunks.array(v, bitmap) for v, bitmap in zip(values, columns.valid, strict=True)]
    return pa.RecordBatch.from_arrays([chunks.array(columns.labels), *features], schema=SCHEMA)

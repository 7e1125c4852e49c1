"""Any table of rows with a label, as CSV (plain or gzip) or Parquet, by a schema in TOML.

Columns that :mod:`recsys_bnn.data.formats.table_schema` does not name are not read. A categorical value is any text; its
distinct values are held in memory. An empty cell or a null is a missing value. In CSV a cell may stand in double
quotes, but a line end in one is refused.
"""

import math
import re
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_bnn.data import chunks
from recsys_bnn.data.formats.bad_rows import BadRow, BadRows, RowError
from recsys_bnn.data.formats.base import Format, RowPiece, RowReader
from recsys_bnn.data.formats.delimited import (
    Column,
    Delimited,
    header,
    number,
    or_none,
    present_columns,
)
from recsys_bnn.data.formats.keys import ListKeys, TextKeys
from recsys_bnn.data.formats.sorting import sorted_by_time
from recsys_bnn.data.formats.table_schema import TableSchema, read_schema
from recsys_bnn.data.formats.text import TO_LEARN_FROM, Parsed, Source, batch_of
from recsys_bnn.data.formats.time_order import TimeOrder
from recsys_bnn.data.list_text import split_list
from recsys_bnn.data.lists import is_list, list_parts, lists_of, without_nulls
from recsys_bnn.data.parallel import OrderedMap
from seminar_common.errors import UserError
from seminar_common.files import check_file, check_utf8

PARQUET = (".parquet", ".pq")
NO_TEXT = frozenset(("", "\\N"))
"""What a missing category is written as: nothing, or as in dumps of MySQL and Hive."""
NO_NUMBER = NO_TEXT | {
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "NULL",
    "null",
    "None",
    "none",
    "nan",
    "NaN",
    "-nan",
    "<NA>",
}
"""What a missing number is written as; a category may well be called so."""
_TRUTH = {"True": 1, "true": 1, "TRUE": 1, "False": 0, "false": 0, "FALSE": 0}
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_WHOLE_DECIMAL = re.compile(r"-?[0-9]+\.0", re.ASCII)


class Table(Format):
    """The format `table`.

    Args:
        paths: Tables of the same columns, read as one log in this order; Parquet if the name ends so.
        schema: The TOML file.
        in_time_order: Whether to insist that a time column does not fall.
        scratch: Folder for temporary files, where the schema asks for sorted rows.

    Raises:
        UserError: a file can't be read, or the schema is wrong or does not fit a file.
    """

    def __init__(
        self, paths: Sequence[Path], schema: Path, *, in_time_order: bool = True, scratch: Path = Path()
    ):
        self.paths, self._schema = paths, read_schema(schema)
        self._in_time_order = in_time_order and self._schema.time is not None
        self._present = [names_in(path, self._schema) for path in paths]
        for path, present in zip(paths, self._present, strict=True):
            self._schema.check(path, present.known)
        self.integer_names, self.categorical_names = self._schema.numeric, self._schema.fields
        self.schema_text, self.longest = self._schema.text, self._schema.longest
        self.signed, self._scratch = len(self._schema.numbers), scratch
        self._texts = tuple(
            ListKeys() if n in self._schema.lists else TextKeys() for n in self._schema.fields
        )
        self.keys = self._texts
        self._columns = [
            Column(self._schema.label, _label(self._schema.threshold), pa.uint8(), "label"),
            *([Column(self._schema.time, time, pa.float64(), "time")] if self._schema.time else []),
            *feature_columns(self._schema),
        ]

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources`` in order.

        Raises:
            UserError: the time column falls, though the rows should be in time order.
        """
        numeric = (pa.int64(),) * len(self._schema.integers) + (pa.float64(),) * len(self._schema.numbers)
        lists = len(self._schema.lists)
        schema = chunks.schema(self.integer_names, self.categorical_names, numeric=numeric, lists=lists)
        first = 2 if self._schema.time else 1
        order = TimeOrder(
            self.paths[-1],
            self._schema.time or "",
            "sort the log by it, with `sort = true` in the schema, or split with --split random",
        )
        batches = self._batches(sources, bad_rows, ordered_map)
        for batch in sorted_by_time(batches, 1, self._scratch) if self._schema.sort else batches:
            if not batch.num_rows:
                continue
            if self._in_time_order:
                order.check(chunks.numbers(batch.column(1)))
            integers = batch.columns[first : first + len(self.integer_names)]
            texts = batch.columns[first + len(integers) :]
            keys = [field.column(text) for field, text in zip(self._texts, texts, strict=True)]
            yield pa.RecordBatch.from_arrays([batch.column(0), *integers, *keys], schema=schema)

    def _batches(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap
    ) -> Iterator[pa.RecordBatch]:
        for source, present in zip(sources, self._present, strict=True):
            if is_parquet(source.path):
                yield from _parquet_batches(source, self._columns, present, bad_rows, ordered_map)
            else:
                reader = _delimited(self._columns, present, self._schema)
                yield from reader.read([source], bad_rows, ordered_map)

    def default_name(self, rows: int) -> str:
        """Return the first file's name up to its first dot, or that of a folder of parts."""
        first = self.paths[0]
        if first.name.startswith("part-"):
            first = first.absolute().parent
        return first.name.split(".")[0] or "table"

    def settings(self) -> dict[str, Any]:
        """Return what the schema says of label and time."""
        schema = self._schema
        chosen = {"missing": schema.missing, "sort": schema.sort}
        given = {key: value for key, value in chosen.items() if value}
        return {"label": schema.label, "threshold": schema.threshold, "time": schema.time, **given}


class TableRows(RowReader):
    """Rows of tables with the features of a schema; its time is not read, and its label need not be there.

    Args:
        paths: Tables, Parquet if the name ends so.
        schema: What the columns are.
        fill: Take the features of a column that is not there as missing, instead of refusing the file.
    """

    def __init__(self, paths: Sequence[Path], schema: TableSchema, *, fill: bool = False):
        self.paths, self.decisions, self._schema, self._fill = paths, [], schema, fill
        self.integer_names, self.categorical_names = schema.numeric, schema.fields
        self.signed = len(schema.numbers)
        self.kinds = (TextKeys.kind,) * len(schema.categoricals) + (ListKeys.kind,) * len(schema.lists)
        self.label_column = schema.label

    def pieces(self, source: Source) -> Iterator[RowPiece]:
        """Yield the rows of ``source``."""
        present = names_in(source.path, self._schema, source.prefer)
        columns = present_columns(
            feature_columns(self._schema), source.path, present.known, self.decisions, fill=self._fill
        )
        label = self._schema.label
        self.decisions.append(f"{source.path}: {'a' if label in present.known else 'no'} column {label}")
        if present.known.count(label) == 1:
            columns.append(
                Column(label, partial(or_none, _label(self._schema.threshold)), pa.uint8(), "label")
            )
        if is_parquet(source.path):
            return parquet_pieces(source, columns, present)
        return _delimited(columns, present, self._schema).pieces(source)


def _delimited(columns: Sequence[Column], present: "Names", schema: TableSchema) -> Delimited:
    return Delimited(
        columns, present.known, separator=schema.separator, quoted=_quoted(schema), header=present.stored
    )


def feature_columns(schema: TableSchema) -> list[Column]:
    """Return what reads the features: integers, decimal numbers, categoricals as texts, then lists of texts."""
    numeric, texts = NO_NUMBER | set(schema.missing), NO_TEXT | set(schema.missing)
    return [
        *(Column(n, partial(integer, missing=numeric), pa.int64(), "integer") for n in schema.integers),
        *(NumberColumn(n, partial(decimal, missing=numeric), pa.float64(), "number") for n in schema.numbers),
        *(
            Column(n, partial(category, missing=texts), pa.string(), "categorical")
            for n in schema.categoricals
        ),
        *(list_column(n, separator, texts) for n, separator in schema.lists.items()),
    ]


def names_in(path: Path, schema: TableSchema, prefer: Sequence[str] = TO_LEARN_FROM) -> "Names":
    """Return the names of the columns of a table.

    Raises:
        UserError: it can't be read.
    """
    if is_parquet(path):
        with _opened(path) as file:
            return Names(schema.named(file.schema_arrow.names), file.schema_arrow.names)
    if schema.header:
        return Names(schema.header, ())
    found = header(path, schema.separator, quoted=_quoted(schema), prefer=prefer)
    return Names(schema.named(found), found)


class Names(NamedTuple):
    """Columns of one file, in order."""

    known: Sequence[str]
    """Their names, as the schema has them."""
    stored: Sequence[str]
    """Their names in the file; empty if it has no header."""


def _quoted(schema: TableSchema) -> bool:
    return len(schema.separator) == 1  # Python's reader of quotes takes no longer one


def is_parquet(path: Path) -> bool:
    """Say whether a file is Parquet, by its name or its first bytes."""
    if path.suffix in PARQUET or not path.is_file():
        return path.suffix in PARQUET
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


@dataclass(frozen=True)
class NumberColumn(Column):
    """A column of decimal numbers, most of which differ."""

    def convert(self, texts: pa.Array) -> pa.Array:
        """Return the values of a column of texts, or of one that holds numbers already.

        Raises:
            ValueError: a cell is bad.
        """
        try:
            filled = texts.cast(pa.float64())
        except pa.ArrowInvalid:
            return super().convert(texts)
        values = chunks.numbers(filled)[~chunks.missing(filled)]
        if np.isfinite(values).all():
            return filled
        return super().convert(as_texts(texts, self.name))


def list_column(name: str, separator: str, missing: Collection[str] = NO_TEXT) -> "ListColumn":
    """Return what reads a column of lists as lists of texts."""
    item = Column(name, partial(category, missing=missing), pa.string(), "list")
    parse = partial(_list, separator=separator, missing=missing)
    return ListColumn(name, parse, pa.list_(pa.string()), "list", item)


def _list(cell: str | Sequence[str | None], separator: str, missing: Collection[str]) -> list[str] | None:
    """Return the items of a list, or of the text of one, that are not missing; None if there are none."""
    if isinstance(cell, str):
        cell = [] if cell.strip() in missing else split_list(cell, separator)
    items = [category(item, missing) for item in cell if item is not None]
    return [item for item in items if item is not None] or None


@dataclass(frozen=True)
class ListColumn(Column):
    """A column of lists, or of texts that spell them."""

    item: Column
    """What reads the items."""

    def convert(self, texts: pa.Array) -> pa.Array:
        """Return the lists of a column of texts, or of one that holds lists of texts already."""
        if not is_list(texts.type):
            return super().convert(texts)
        lengths, items = list_parts(texts)
        return without_nulls(lengths, self.item.convert(items))


def integer(text: str, missing: Collection[str] = NO_NUMBER) -> int | None:
    """Read a whole number of 64 bits, which may be written as a decimal one or as True or False."""
    text = text.strip()
    if text in missing:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    value = int(text) if _WHOLE.fullmatch(text) else _whole_decimal(text)
    if value is None or not -(2**63) <= value < 2**63:
        raise ValueError(
            "a whole number of 64 bits or nothing; list the column under numbers if it holds decimal ones"
        )
    return value


def _whole_decimal(text: str) -> int | None:
    try:
        value = number(text)
    except ValueError:
        return None
    return int(value) if float(value).is_integer() else None


def decimal(text: str, missing: Collection[str] = NO_NUMBER) -> float | None:
    """Read a finite number, which may be True or False."""
    text = text.strip()
    if text in missing:
        return None
    if text in _TRUTH:
        return float(_TRUTH[text])
    try:
        value = number(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError("a finite number or nothing")
    return value


def category(text: str, missing: Collection[str] = NO_TEXT) -> str | None:
    """Return any text; a whole number that is written as 25.0 becomes 25, as missing values beside it make it so."""
    if text in missing:
        return None
    return text[:-2] if _WHOLE_DECIMAL.fullmatch(text) else text


def click(text: str) -> int:
    """Read a label: 1 or True for a click, 0, -1 or False for none, also as a decimal number."""
    found = _TRUTH.get(text.strip())
    if found is None:
        try:
            found = number(text.strip())
        except ValueError:
            found = None
    if found not in (0, 1, -1):
        raise ValueError("0 or 1")
    return int(found == 1)


def time(text: str) -> float:
    """Read a number, or an ISO 8601 date and time (UTC unless it says otherwise) as seconds since 1970."""
    try:
        return number(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("a number or an ISO 8601 date and time") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _label(threshold: float | None) -> Callable[[str], int]:
    return click if threshold is None else partial(_at_least, threshold)


def _at_least(threshold: float, text: str) -> int:
    return int(number(text.strip()) >= threshold)


def _opened(path: Path) -> pq.ParquetFile:
    check_file(path)
    check_utf8(path, "rename it")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a whole Parquet file; copy or fetch it again") from error


def _parquet_batches(
    source: Source, columns: Sequence[Column], present: Names, bad_rows: BadRows, ordered_map: OrderedMap
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, group by group; bad ones go to ``bad_rows``."""
    with _reading(source):
        for parsed in ordered_map(Cells.parse, parquet_pieces(source, columns, present)):
            for row in parsed.bad:
                bad_rows.add(row)
            yield from parsed.batches


def parquet_pieces(source: Source, columns: Sequence[Column], present: Names) -> "Iterator[Cells]":
    """Yield the cells of some columns of a Parquet file, group by group."""
    source.digest_all()
    stored = dict(zip(present.known, present.stored, strict=True))
    names = [stored[column.name] for column in columns]
    row = 1
    with _opened(source.path) as file, _reading(source):
        for batch in file.iter_batches(columns=names):
            texts = [_cells(batch.column(n), c, source.path) for n, c in zip(names, columns, strict=True)]
            yield Cells(source.path, row, texts, tuple(columns), batch.num_rows)
            row += batch.num_rows


def _cells(values: pa.Array, column: Column, path: Path) -> pa.Array:
    kind = values.type
    if isinstance(column, NumberColumn) and (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        found = values.cast(pa.float64(), safe=False)
        missing = chunks.missing(found) | np.isnan(chunks.numbers(found))
        return chunks.array(chunks.numbers(found), np.packbits(~missing, bitorder="little"))
    what = f"{path}: the column {column.name!r}"
    if isinstance(column, ListColumn) and is_list(kind):
        lengths, items = list_parts(values.cast(pa.list_(kind.value_type)))
        return lists_of(lengths, as_texts(items, what))
    return as_texts(values, what)


@contextmanager
def _reading(source: Source) -> Generator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source.path}: {error}; is the file damaged?") from error


@dataclass(frozen=True)
class Cells:
    """Consecutive rows of a Parquet file as texts, with the columns that read them."""

    path: Path
    first: int
    """Number of the first row in the file, from 1."""
    texts: Sequence[pa.Array]
    columns: tuple[Column, ...]
    rows: int

    def without(self, rows: int) -> "Cells":
        """Leave out the first ``rows`` rows."""
        texts = [text.slice(rows) for text in self.texts]
        return Cells(self.path, self.first + rows, texts, self.columns, self.rows - rows)

    def parse(self) -> Parsed:
        """Parse the rows."""
        batch, errors = _converted(self.texts, self.columns)
        bad = [BadRow(self.path, self.first + at, e.reason, str(e), "row") for at, e in errors]
        return Parsed([batch], bad)

    def __str__(self) -> str:
        return f"{self.path}, from row {self.first} on"


def as_texts(values: pa.Array, what: str) -> pa.Array:
    """Return a column of a Parquet file as it would stand in a CSV file."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_texts(values.dictionary_decode(), what)
    if pa.types.is_boolean(kind):
        return values.cast(pa.uint8()).cast(pa.string())
    if pa.types.is_floating(kind):
        return chunks.arrow([_float_text(value) for value in values.to_pylist()], pa.string())
    try:
        return values.cast(pa.string())
    except (pa.ArrowException, UnicodeDecodeError) as error:
        more = "; name a column of lists under lists in the schema" if is_list(kind) else ""
        raise UserError(
            f"{what} is of the type {kind}; expected numbers, text, booleans or times{more}"
        ) from error


def _float_text(value: float | None) -> str | None:
    """Spell a whole number as one, as tables often hold integers with missing values as floats."""
    if value is None or math.isnan(value):
        return None
    return str(int(value)) if float(value).is_integer() else repr(value)


def _converted(
    texts: Sequence[pa.Array], columns: Sequence[Column]
) -> tuple[pa.RecordBatch, list[tuple[int, RowError]]]:
    """Return the rows among columns of text, and the positions and errors of the others."""
    schema = pa.schema([(column.name, column.type) for column in columns])
    try:
        values = [column.convert(text) for column, text in zip(columns, texts, strict=True)]
        return pa.RecordBatch.from_arrays(values, schema=schema), []
    except ValueError:
        pass  # some cell is bad: find out which, row by row
    rows, errors = [], []
    spelled = ((text if is_list(text.type) else as_texts(text, "")).to_pylist() for text in texts)
    for position, cells in enumerate(zip(*spelled, strict=True)):
        try:
            rows.append([column.value(cell or "") for column, cell in zip(columns, cells, strict=True)])
        except RowError as error:
            errors.append((position, error))
    return batch_of(rows, schema), errors

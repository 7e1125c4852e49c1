"""Any table of rows with a label, as CSV (plain or gzip) or Parquet, by a schema in TOML.

Columns that :mod:`recsys_bnn.data.formats.table_schema` does not name are not read. A categorical value is any text; its
distinct values are held in memory. An empty cell or a null is a missing value. In CSV a cell may stand in double
quotes, but a line end in one is refused.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys_bnn.data import chunks
from recsys_bnn.data.formats.bad_rows import BadRow, BadRows, RowError
from recsys_bnn.data.formats.base import Format, RowPiece, RowReader
from recsys_bnn.data.formats.delimited import (
    Column,
    Delimited,
    header,
    label,
    number,
    or_none,
    present_columns,
    text_or_missing,
    whole,
)
from recsys_bnn.data.formats.keys import TextKeys
from recsys_bnn.data.formats.table_schema import TableSchema, read_schema
from recsys_bnn.data.formats.text import TO_LEARN_FROM, Parsed, Source, batch_of
from recsys_bnn.data.formats.time_order import TimeOrder
from recsys_bnn.data.parallel import OrderedMap
from seminar_common.errors import UserError
from seminar_common.files import check_file, check_utf8

PARQUET = (".parquet", ".pq")


class Table(Format):
    """The format `table`.

    Args:
        paths: Tables of the same columns, read as one log in this order; Parquet if the name ends so.
        schema: The TOML file.
        in_time_order: Whether to insist that a time column does not fall.

    Raises:
        UserError: a file can't be read, or the schema is wrong or does not fit a file.
    """

    def __init__(self, paths: Sequence[Path], schema: Path, *, in_time_order: bool = True):
        self.paths, self._schema = paths, read_schema(schema)
        self._in_time_order = in_time_order and self._schema.time is not None
        self._present = [names_in(path, self._schema) for path in paths]
        for path, present in zip(paths, self._present, strict=True):
            self._schema.check(path, present)
        self.integer_names, self.categorical_names = self._schema.integers, self._schema.categoricals
        self._texts = tuple(TextKeys() for _ in self.categorical_names)
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
        schema = chunks.schema(self.integer_names, self.categorical_names)
        first = 2 if self._schema.time else 1
        order = TimeOrder(
            self.paths[-1],
            self._schema.time or "",
            "sort the log by it, or split with --split random",
        )
        for batch in self._batches(sources, bad_rows, ordered_map):
            if not batch.num_rows:
                continue
            if self._in_time_order:
                order.check(batch.column(1).to_numpy())
            integers = batch.columns[first : first + len(self.integer_names)]
            texts = batch.columns[first + len(integers) :]
            keys = [field.column(text) for field, text in zip(self._texts, texts, strict=True)]
            yield pa.RecordBatch.from_arrays([batch.column(0), *integers, *keys], schema=schema)

    def _batches(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap
    ) -> Iterator[pa.RecordBatch]:
        for source, present in zip(sources, self._present, strict=True):
            if source.path.suffix in PARQUET:
                yield from _parquet_batches(source, self._columns, bad_rows, ordered_map)
            else:
                separator = self._schema.separator
                reader = Delimited(self._columns, present, separator=separator, quoted=True, header=present)
                yield from reader.read([source], bad_rows, ordered_map)

    def default_name(self, rows: int) -> str:
        """Return the first file's name up to its first dot."""
        return self.paths[0].name.split(".")[0] or "table"

    def settings(self) -> dict[str, Any]:
        """Return what the schema says of label and time."""
        schema = self._schema
        return {"label": schema.label, "threshold": schema.threshold, "time": schema.time}


class TableRows(RowReader):
    """Rows of tables with the features of a schema; its time is not read, and its label need not be there.

    Args:
        paths: Tables, Parquet if the name ends so.
        schema: What the columns are.
        fill: Take the features of a column that is not there as missing, instead of refusing the file.
    """

    def __init__(self, paths: Sequence[Path], schema: TableSchema, *, fill: bool = False):
        self.paths, self.decisions, self._schema, self._fill = paths, [], schema, fill
        self.integer_names, self.categorical_names = schema.integers, schema.categoricals
        self.kinds = (TextKeys.kind,) * len(schema.categoricals)
        self.label_column = schema.label

    def pieces(self, source: Source) -> Iterator[RowPiece]:
        """Yield the rows of ``source``."""
        present = names_in(source.path, self._schema, source.prefer)
        columns = present_columns(
            feature_columns(self._schema), source.path, present, self.decisions, fill=self._fill
        )
        label = self._schema.label
        self.decisions.append(f"{source.path}: {'a' if label in present else 'no'} column {label}")
        if present.count(label) == 1:
            columns.append(
                Column(label, partial(or_none, _label(self._schema.threshold)), pa.uint8(), "label")
            )
        if source.path.suffix in PARQUET:
            return parquet_pieces(source, columns)
        return Delimited(
            columns, present, separator=self._schema.separator, quoted=True, header=present
        ).pieces(source)


def feature_columns(schema: TableSchema) -> list[Column]:
    """Return what reads the features: integers, then categoricals as texts."""
    return [
        *(Column(name, whole, pa.int32(), "integer") for name in schema.integers),
        *(Column(name, text_or_missing, pa.string(), "categorical") for name in schema.categoricals),
    ]


def names_in(path: Path, schema: TableSchema, prefer: Sequence[str] = TO_LEARN_FROM) -> list[str]:
    """Return the names of the columns of a table.

    Raises:
        UserError: it can't be read.
    """
    if path.suffix not in PARQUET:
        return header(path, schema.separator, quoted=True, prefer=prefer)
    with _opened(path) as file:
        return file.schema_arrow.names


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
    if threshold is None:
        return label
    return partial(_at_least, threshold)


def _at_least(threshold: float, text: str) -> int:
    return int(number(text) >= threshold)


def _opened(path: Path) -> pq.ParquetFile:
    check_file(path)
    check_utf8(path, "rename it")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a whole Parquet file; copy or fetch it again") from error


def _parquet_batches(
    source: Source, columns: Sequence[Column], bad_rows: BadRows, ordered_map: OrderedMap
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, group by group; bad ones go to ``bad_rows``."""
    with _reading(source):
        for parsed in ordered_map(Cells.parse, parquet_pieces(source, columns)):
            for row in parsed.bad:
                bad_rows.add(row)
            yield from parsed.batches


def parquet_pieces(source: Source, columns: Sequence[Column]) -> "Iterator[Cells]":
    """Yield the cells of some columns of a Parquet file, group by group."""
    source.digest_all()
    names = [column.name for column in columns]
    row = 1
    with _opened(source.path) as file, _reading(source):
        for batch in file.iter_batches(columns=names):
            texts = [as_texts(batch.column(n), f"{source.path}: the column {n!r}") for n in names]
            yield Cells(source.path, row, texts, tuple(columns), batch.num_rows)
            row += batch.num_rows


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
        return pa.array([_float_text(value) for value in values.to_pylist()], pa.string())
    try:
        return values.cast(pa.string())
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{what} is of the type {kind}; expected numbers, text, booleans or times") from error


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
    for position, cells in enumerate(zip(*(text.to_pylist() for text in texts), strict=True)):
        try:
            rows.append([column.value(cell or "") for column, cell in zip(columns, cells, strict=True)])
        except RowError as error:
            errors.append((position, error))
    return batch_of(rows, schema), errors

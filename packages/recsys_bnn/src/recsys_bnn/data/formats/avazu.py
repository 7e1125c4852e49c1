"""Avazu's click log (Kaggle, 2014): CSV with a header, ten days in time order.

The column ``hour`` (YYMMDDHH) becomes the categorical features ``hour_of_day`` and ``weekday``; the date itself
is none, as a model can't learn anything about the days to come from it. The row's ``id`` is left out. All other
columns are categorical.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys_bnn.compiled.rows import Cell
from recsys_bnn.data import chunks
from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.base import Format, RowReader, counted_name
from recsys_bnn.data.formats.delimited import (
    Column,
    Delimited,
    TextColumn,
    header,
    hex_key,
    integer_key,
    label,
    or_none,
    present_columns,
    text_or_missing,
)
from recsys_bnn.data.formats.keys import HexKeys, IntegerKeys
from recsys_bnn.data.formats.text import Lines, Source
from recsys_bnn.data.formats.time_order import TimeOrder
from recsys_bnn.data.parallel import OrderedMap
from seminar_common.errors import UserError

OFFICIAL_ROWS = 40_428_967
_SITE_AND_APP = ("site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category")
_HEX = (*_SITE_AND_APP, "device_id", "device_ip", "device_model")
_FEATURES = ("C1", "banner_pos", *_HEX, "device_type", "device_conn_type", *(f"C{i}" for i in range(14, 22)))
HEADER = ("id", "click", "hour", *_FEATURES)
_EPOCH = datetime(2000, 1, 3)  # a Monday
_HOUR = re.compile(r"[0-9]{8}", re.ASCII)


def hour(text: str) -> int:
    """Read YYMMDDHH as hours since the first Monday of 2000."""
    try:
        if not _HOUR.fullmatch(text):
            raise ValueError
        return int((datetime.strptime(text, "%y%m%d%H") - _EPOCH) / timedelta(hours=1))
    except ValueError as error:
        raise ValueError("an hour as YYMMDDHH, such as 14102100") from error


_COLUMNS = (
    Column("click", label, pa.uint8(), "label"),
    Column("hour", hour, pa.int32(), "hour"),
    *(
        Column(n, hex_key, pa.uint32(), "categorical", cell=Cell.HEX)
        if n in _HEX
        else Column(n, integer_key, pa.uint32(), "categorical", cell=Cell.WHOLE)
        for n in _FEATURES
    ),
)


CATEGORICALS = ("hour_of_day", "weekday", *_FEATURES)


class Avazu(Format):
    """The format `avazu`.

    Args:
        paths: The training file, plain or compressed; the test file of the competition has no labels. The header names
            the columns, which may stand in any order, as other libraries write them; further ones are not read.
        in_time_order: Whether to insist that the hour does not fall.

    Raises:
        UserError: a file can't be read or lacks a column.
    """

    integer_names: tuple[str, ...] = ()
    categorical_names = CATEGORICALS
    keys = tuple(HexKeys() if name in _HEX else IntegerKeys() for name in CATEGORICALS)

    def __init__(self, paths: Sequence[Path], *, in_time_order: bool = True):
        self.paths, self._headers = paths, [header(path) for path in paths]
        self._in_time_order = in_time_order
        for path, found in zip(paths, self._headers, strict=True):
            _check_header(path, found, [column.name for column in _COLUMNS])
        self._days: dict[int, int] = {}

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources`` in order.

        Raises:
            UserError: the rows are not in time order, though they should be.
        """
        schema = chunks.schema((), self.categorical_names)
        order = TimeOrder(
            self.paths[-1],
            "hour",
            "give the files in time order, each sorted by its column hour, or split with --split random",
        )
        for batch in self._batches(sources, bad_rows, ordered_map):
            if not batch.num_rows:
                continue
            hours = chunks.numbers(batch.column("hour"))
            if self._in_time_order:
                order.check(hours)
            for day, count in zip(*np.unique(hours // 24, return_counts=True), strict=True):
                self._days[int(day)] = self._days.get(int(day), 0) + int(count)
            columns = [batch.column(0), *_times(batch.column("hour")), *batch.columns[2:]]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _batches(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap
    ) -> Iterator[pa.RecordBatch]:
        for source, found in zip(sources, self._headers, strict=True):
            yield from Delimited(_COLUMNS, found, header=found).read([source], bad_rows, ordered_map)

    def days(self) -> dict[str, int]:
        """Return the rows of each date; none where they may come in any order."""
        days = self._days.items() if self._in_time_order else ()
        return {f"{_EPOCH + timedelta(days=day):%Y-%m-%d}": rows for day, rows in days}

    def default_name(self, rows: int) -> str:
        """Return ``avazu`` for the whole log, and a name with the number of rows for a part."""
        return "avazu" if rows == OFFICIAL_ROWS else counted_name("avazu", rows)


class AvazuRows(RowReader):
    """Rows of Avazu's train or test file, which has no column ``click``.

    Args:
        paths: The files.
        fill: Take the features of a column that is not there as missing, instead of refusing the file.
    """

    integer_names: tuple[str, ...] = ()
    categorical_names = CATEGORICALS
    kinds = tuple(keys.kind for keys in Avazu.keys)
    label_column, id_column = "click", "id"

    def __init__(self, paths: Sequence[Path], *, fill: bool = False):
        self.paths, self.decisions, self._fill = paths, [], fill

    def pieces(self, source: Source) -> Iterator[Lines]:
        """Yield the lines of ``source`` after its header."""
        found = header(source.path, prefer=source.prefer)
        columns = present_columns(_COLUMNS[1:], source.path, found, self.decisions, fill=self._fill)
        self.decisions.append(f"{source.path}: {'a' if 'click' in found else 'no'} column click")
        columns += [column for column in _BESIDE if found.count(column.name) == 1]
        return Delimited(columns, found, header=found).pieces(source, _row_features)


_BESIDE = (
    Column("click", partial(or_none, label), pa.uint8(), "label"),
    TextColumn("id", text_or_missing, pa.string(), "id"),
)


def _row_features(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the features of rows, of which some columns may be absent."""
    if "hour" not in batch.schema.names:
        return batch
    names = [*CATEGORICALS[:2], *batch.schema.names[1:]]
    return pa.RecordBatch.from_arrays([*_times(batch.column(0)), *batch.columns[1:]], names)


def _times(hours: pa.Array) -> list[pa.Array]:
    """Return hour of the day and weekday of hours since the first Monday of 2000."""
    values = chunks.numbers(hours)
    return [chunks.array((v % n).astype(np.uint32)) for v, n in ((values, 24), (values // 24, 7))]


def _check_header(path: Path, found: list[str], needed: list[str]) -> None:
    for name in needed:
        if found.count(name) != 1:
            raise UserError(
                f"{path}, line 1: expected the header of Avazu's train file, {','.join(HEADER[:6])},..., in any order, "
                f"with {len(HEADER)} columns, found {','.join(found[:6])!r} with {len(found)}; the column {name} is "
                f"{'there twice' if name in found else 'not there'}"
            )

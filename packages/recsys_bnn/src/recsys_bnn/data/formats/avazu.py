"""Avazu's click log (Kaggle, 2014): CSV with a header, ten days in time order.

The column ``hour`` (YYMMDDHH) becomes the categorical features ``hour_of_day`` and ``weekday``; the date itself
is none, as a model can't learn anything about the days to come from it. The row's ``id`` is left out. All other
columns are categorical.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys_bnn.data import chunks
from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.base import Format, counted_name
from recsys_bnn.data.formats.delimited import Column, Delimited, header, hex_key, integer_key, label
from recsys_bnn.data.formats.keys import HexKeys, IntegerKeys
from recsys_bnn.data.formats.text import Source
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
    *(Column(n, hex_key if n in _HEX else integer_key, pa.uint32(), "categorical") for n in _FEATURES),
)


class Avazu(Format):
    """The format `avazu`.

    Args:
        paths: The training file, plain or gzip; the test file of the competition has no labels.

    Raises:
        UserError: a file can't be read or has another header.
    """

    integer_names: tuple[str, ...] = ()
    categorical_names = ("hour_of_day", "weekday", *_FEATURES)
    keys = (
        IntegerKeys(),
        IntegerKeys(),
        *(HexKeys() if name in _HEX else IntegerKeys() for name in _FEATURES),
    )

    def __init__(self, paths: Sequence[Path]):
        self.paths = paths
        for path in paths:
            found = header(path)
            if found != list(HEADER):
                raise UserError(
                    f"{path}, line 1: expected the header of Avazu's train file, {','.join(HEADER[:6])},..., "
                    f"with {len(HEADER)} columns, found {','.join(found[:6])!r} with {len(found)}"
                )
        self._days: dict[int, int] = {}

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources`` in order.

        Raises:
            UserError: the rows are not in time order.
        """
        schema = chunks.schema((), self.categorical_names)
        order = TimeOrder(
            self.paths[-1], "hour", "give the files in time order, each sorted by its column hour"
        )
        for batch in Delimited(_COLUMNS, HEADER, header=HEADER).read(sources, bad_rows, ordered_map):
            if not batch.num_rows:
                continue
            hours = batch.column("hour").to_numpy()
            order.check(hours)
            for day, count in zip(*np.unique(hours // 24, return_counts=True), strict=True):
                self._days[int(day)] = self._days.get(int(day), 0) + int(count)
            times = [pa.array((v % n).astype(np.uint32)) for v, n in ((hours, 24), (hours // 24, 7))]
            yield pa.RecordBatch.from_arrays([batch.column(0), *times, *batch.columns[2:]], schema=schema)

    def days(self) -> dict[str, int]:
        """Return the rows of each date."""
        return {f"{_EPOCH + timedelta(days=day):%Y-%m-%d}": rows for day, rows in self._days.items()}

    def default_name(self, rows: int) -> str:
        """Return ``avazu`` for the whole log, and a name with the number of rows for a part."""
        return "avazu" if rows == OFFICIAL_ROWS else counted_name("avazu", rows)

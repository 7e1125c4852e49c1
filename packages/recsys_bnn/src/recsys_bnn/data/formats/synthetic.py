"""The generated log of :mod:`recsys_bnn.data.generator` as a format that needs no input."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.data import chunks
from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.base import Format
from recsys_bnn.data.formats.criteo import CATEGORICALS, INTEGERS
from recsys_bnn.data.formats.keys import HexKeys
from recsys_bnn.data.formats.text import Source
from recsys_bnn.data.generator import (
    CHUNK_ROWS,
    DAYS,
    SyntheticChunk,
    SyntheticConfig,
    SyntheticLog,
    log_config,
)
from recsys_bnn.data.parallel import OrderedMap

SCHEMA = chunks.schema(INTEGERS, CATEGORICALS, probability=True)


class Synthetic(Format):
    """The format `synthetic`: every row comes with its true click probability."""

    paths: Sequence[Path] = ()
    integer_names = INTEGERS
    categorical_names = CATEGORICALS
    keys = (HexKeys(),) * len(CATEGORICALS)

    def __init__(self, config: SyntheticConfig):
        self._config = config

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the generated rows in time order."""
        log = SyntheticLog(self._config)
        numbers = range(-(-self._config.rows // CHUNK_ROWS))
        yield from ordered_map(partial(_batch_of, log), numbers)

    def days(self) -> dict[str, int]:
        """Return the rows of each of the seven days."""
        bounds = [-(-self._config.rows * day // DAYS) for day in range(DAYS + 1)]
        return {f"day_{day}": bounds[day + 1] - bounds[day] for day in range(DAYS)}

    def default_name(self, rows: int) -> str:
        """Return ``synthetic``, or ``synthetic-heavy-tail``."""
        heavy = self._config == log_config(self._config.rows, self._config.seed, "heavy")
        return "synthetic-heavy-tail" if heavy else "synthetic"

    def settings(self) -> dict[str, Any]:
        """Return what the rows were generated with."""
        return {"generator": dataclasses.asdict(self._config)}


def _batch_of(log: SyntheticLog, number: int) -> pa.RecordBatch:
    return batch(next(log.chunks(start=number)))


def batch(chunk: SyntheticChunk) -> pa.RecordBatch:
    """Return a generated chunk in the common form."""
    integers = [_column(chunk.integers[:, i], missing=-1) for i in range(len(INTEGERS))]
    categoricals = [_column(chunk.categoricals[:, f], missing=0) for f in range(len(CATEGORICALS))]
    columns = [pa.array(chunk.labels), *integers, *categoricals, pa.array(chunk.probabilities)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _column(values: np.ndarray, missing: int) -> pa.Array:
    return pa.array(values, mask=values == missing)

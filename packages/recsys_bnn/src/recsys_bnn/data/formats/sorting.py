"""A log of any length in the order of its times: sorted runs on disk, which are then merged (Knuth, vol. 3, 5.4)."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys_bnn.data.chunks import array, numbers

RUN_ROWS = 1 << 21
"""Rows that are sorted in memory at once."""
MERGED_ROWS = 1 << 14
"""Rows of each run that are in memory while the runs are merged."""


def sorted_by_time(batches: Iterable[pa.RecordBatch], column: int, scratch: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of ``batches`` in the order of column number ``column``, float64 without nulls.

    Rows of one time keep their order.

    Args:
        batches: The rows.
        column: The times.
        scratch: Folder in which a temporary one is made, as large as the rows.
    """
    with tempfile.TemporaryDirectory(prefix=".sorting-", dir=scratch) as folder:
        runs = []
        for rows in _runs(batches):
            runs.append(Path(folder) / f"{len(runs)}.arrow")
            _write(runs[-1], _in_order(rows, column))
        yield from _merged([_Run(path, column) for path in runs], column)


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= RUN_ROWS:
            yield held
            held, rows = [], 0
    if rows:
        yield held


def _in_order(batches: list[pa.RecordBatch], column: int) -> pa.RecordBatch:
    rows = pa.concat_batches(batches)
    times = numbers(rows.column(column))
    if (times[1:] >= times[:-1]).all():
        return rows
    return rows.take(array(np.argsort(times, kind="stable")))


def _write(path: Path, rows: pa.RecordBatch) -> None:
    with pa.ipc.new_file(path, rows.schema) as writer:
        for start in range(0, rows.num_rows, MERGED_ROWS):
            writer.write_batch(rows.slice(start, MERGED_ROWS))


class _Run:
    """One sorted run: the rows that are in memory, and what is left on the disk."""

    def __init__(self, path: Path, column: int):
        self._reader = pa.ipc.open_file(pa.OSFile(str(path)))
        self._column, self._next = column, 0
        self.rows: list[pa.RecordBatch] = []

    def fill(self) -> bool:
        """Read on where no row is in memory; say whether one is there."""
        if not self.rows and self._next < self._reader.num_record_batches:
            self.rows = [self._reader.get_batch(self._next)]
            self._next += 1
        return bool(self.rows)

    @property
    def times(self) -> np.ndarray:
        return numbers(self.rows[0].column(self._column))

    def taken(self, count: int) -> pa.RecordBatch:
        """Take the first ``count`` rows out of memory."""
        rows = self.rows[0]
        self.rows = [rows.slice(count)] if count < rows.num_rows else []
        return rows.slice(0, count)


def _merged(runs: list[_Run], column: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all runs in order; those of one time in the order of the runs."""
    while runs := [run for run in runs if run.fill()]:
        # The run whose rows in memory end first: all rows up to there are in memory.
        lasts = [run.times[-1] for run in runs]
        first = int(np.argmin(lasts))
        counts = [
            int(np.searchsorted(run.times, lasts[first], "right" if number <= first else "left"))
            for number, run in enumerate(runs)
        ]
        yield _in_order([run.taken(count) for run, count in zip(runs, counts, strict=True) if count], column)

"""Rows between a format and the encoder: Arrow record batches of one common form, in memory or staged on disk.

A chunk has the columns ``label`` (uint8, 0 or 1), one column per integer feature (int32, in a table int64, or float64
for decimal numbers) and one uint32 column of keys per categorical feature (of lists of them for each of the last ones
that are lists), and optionally ``probability`` (float64, the true click probability of
generated rows). A null is a missing value. A key stands for one value of its field; its format knows which.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.data.parallel import on_shared_disk

LABEL, PROBABILITY = "label", "probability"
STAGED_ROWS = 131_072
"""Rows of a staged batch: a work item of the later passes."""
STAGED_CELLS = 1 << 23
"""Values of a staged batch at most, so that thousands of features take no more memory than a few: some 40 MB."""


def staged_rows(columns: int) -> int:
    """Return the rows of a staged batch of so many columns."""
    return max(1, min(STAGED_ROWS, STAGED_CELLS // columns))


def schema(
    integers: Sequence[str],
    categoricals: Sequence[str],
    *,
    numeric: Sequence[pa.DataType] | None = None,
    probability: bool = False,
    lists: int = 0,
) -> pa.Schema:
    """Return the schema of chunks with these integer and categorical features.

    Args:
        integers: Names of the former.
        categoricals: Names of the latter.
        numeric: Types of the integers.
        probability: Whether true click probabilities are known.
        lists: So many of the last categoricals are lists.
    """
    keys = [pa.uint32()] * (len(categoricals) - lists) + [pa.list_(pa.uint32())] * lists
    fields = [
        (LABEL, pa.uint8()),
        *zip(integers, numeric or [pa.int32()] * len(integers), strict=True),
        *zip(categoricals, keys, strict=True),
    ]
    return pa.schema([*fields, (PROBABILITY, pa.float64())] if probability else fields)


def array(values: np.ndarray, valid: np.ndarray | None = None) -> pa.Array:
    """Return numbers [N] as an Arrow array that shares their memory.

    Args:
        values: Numbers without a gap in memory.
        valid: Bitmap of the values that are not missing, uint8 [ceil(N / 8)], least significant bit first; all by
            default.
    """
    # pa.array would import pandas, where it is installed, to see whether the values come from there.
    bitmap = None if valid is None else pa.py_buffer(valid)
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(values.dtype), len(values), [bitmap, pa.py_buffer(values)]
    )


_NUMBERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bool".split()
_NUMPY = {pa.from_numpy_dtype(name): np.dtype(name) for name in _NUMBERS}


def numpy_dtype(kind: pa.DataType) -> np.dtype:
    """Return NumPy's type of a type of numbers; that of pyarrow, in older versions, needs pandas.

    Raises:
        KeyError: no type of numbers.
    """
    return _NUMPY[kind]


def arrow(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return Python values, None for a missing one, as an Arrow array; as :func:`array` it needs no pandas.

    Raises:
        OverflowError: a number does not fit.
    """
    missing = np.fromiter((value is None for value in values), bool, len(values))
    valid = np.packbits(~missing, bitorder="little") if missing.any() else None
    if pa.types.is_string(kind):
        texts = [b"" if value is None else value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        if ends[-1] < 1 << 31:
            buffers = [None if valid is None else pa.py_buffer(valid), pa.py_buffer(ends.astype(np.int32))]
            return pa.Array.from_buffers(kind, len(texts), [*buffers, pa.py_buffer(b"".join(texts))])
        return pa.array(values, kind)
    if pa.types.is_list(kind):
        lists = [value or () for value in values]
        ends = np.cumsum([0, *map(len, lists)], dtype=np.int32)
        items = arrow([*itertools.chain(*lists)], kind.value_type)
        bitmap = None if valid is None else pa.py_buffer(valid)
        return pa.Array.from_buffers(kind, len(lists), [bitmap, pa.py_buffer(ends)], children=[items])
    numbers = np.array([0 if value is None else value for value in values], numpy_dtype(kind))
    return array(numbers, valid)


def cells(column: pa.Array) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the numbers of a column, [N], with any number where one is missing, and their validity.

    The validity is a bitmap, uint8, least significant bit first, and the position in it of the first number; it is
    empty where no number is missing.
    """
    bitmap, data = column.buffers()
    values = np.frombuffer(
        data, numpy_dtype(column.type), len(column), column.offset * column.type.byte_width
    )
    valid = np.frombuffer(bitmap, np.uint8) if column.null_count else np.empty(0, np.uint8)
    return values, valid, column.offset


def numbers(column: pa.Array) -> np.ndarray:
    """Return the numbers of a column, [N]; any number where one is missing. As :func:`array` it needs no pandas."""
    return cells(column)[0]


def missing(column: pa.Array) -> np.ndarray:
    """Return which cells of a column have no value, bool [N]."""
    if not column.null_count:
        return np.zeros(len(column), bool)
    valid, offset = np.frombuffer(column.buffers()[0], np.uint8), column.offset
    return np.unpackbits(valid, count=offset + len(column), bitorder="little")[offset:] == 0


def rechunk(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of ``rows`` each; the last one may be smaller."""
    held: list[pa.RecordBatch] = []
    missing = rows
    for batch in batches:
        while batch.num_rows >= missing:
            yield _joined([*held, batch.slice(0, missing)])
            batch = batch.slice(missing)
            held, missing = [], rows
        if batch.num_rows:
            held.append(batch)
            missing -= batch.num_rows
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def stage(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write chunks to the file ``path`` for repeated reading; without rows there is no file."""
    writer = None
    try:
        first, batches = _peeked(batches)
        for batch in rechunk(batches, staged_rows(first)):
            writer = writer or pa.ipc.new_file(path, batch.schema)
            writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()


def _peeked(batches: Iterable[pa.RecordBatch]) -> tuple[int, Iterable[pa.RecordBatch]]:
    """Return the number of columns, 1 where no batch is there, and the batches."""
    rest = iter(batches)
    first = list(itertools.islice(rest, 1))
    return (first[0].num_columns if first else 1), itertools.chain(first, rest)


def rows_at_once(path: Path) -> int:
    """Return the rows of each batch of a staged file but the last."""
    with pa.OSFile(str(path)) as file:
        return staged_rows(len(pa.ipc.open_file(file).schema))


@dataclass(frozen=True)
class StagedRows:
    """Some rows of a staged file; they are read where they are worked on."""

    path: Path
    rows: "range | np.ndarray"
    """Numbers of the rows, rising; at least one."""
    step: int
    """Rows of each batch of the file."""

    def read(self) -> pa.RecordBatch:
        """Read the rows; the file is not mapped, so that memory does not grow with its size."""
        first, last = (int(self.rows[at]) // self.step for at in (0, -1))
        with on_shared_disk(self.path), pa.OSFile(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            parts = [self._part(reader.get_batch(index), index) for index in range(first, last + 1)]
        return _joined([part for part in parts if part.num_rows])

    def _part(self, batch: pa.RecordBatch, index: int) -> pa.RecordBatch:
        """Return the rows that are in batch number ``index``."""
        start = index * self.step
        if isinstance(self.rows, range):
            first = max(self.rows.start - start, 0)
            return batch.slice(first, min(self.rows.stop - start, batch.num_rows) - first)
        low, high = np.searchsorted(self.rows, (start, start + self.step))
        return batch.take(array(self.rows[low:high] - start))

    def __str__(self) -> str:
        return f"rows {self.rows[0]:,} to {self.rows[-1]:,} of the log"

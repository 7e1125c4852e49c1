"""Columns of values to rows of what a model reads, in C where it runs and there are many."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from recsys_bnn.compiled import rows as in_c
from recsys_bnn.compiled.rows import Kind, Values
from recsys_bnn.data.chunks import cells
from recsys_bnn.data.id_table import WORTH_TABLE
from recsys_bnn.data.lists import FieldIds, ListIds, encode_fields
from recsys_bnn.data.vocabulary import FieldVocabulary

_TILE = 2048


def id_rows(
    fields: Sequence[FieldIds | ListIds], columns: Sequence[pa.Array | None], rows: int
) -> np.ndarray:
    """Return the ids of all fields, int32 [rows, C]; arguments as in :func:`recsys_bnn.data.lists.encode_fields`."""
    library = in_c.calls() if rows >= WORTH_TABLE else None
    if library is None:
        return transposed(encode_fields(fields, columns, rows))
    values = [
        each for field, column in zip(fields, columns, strict=True) for each in _values(field, column, rows)
    ]
    out = np.empty((rows, len(values)), np.int32)
    in_c.encode(library, values, out)
    return out


def _values(field: FieldIds | ListIds, column: pa.Array | None, rows: int) -> Iterator[Values]:
    slots = field.slots if isinstance(field, FieldVocabulary) else None
    if slots is not None and column is not None:
        yield Values(Kind.KEYS, *cells(column), slots)
    else:
        yield from map(ready, encode_fields([field], [column], rows))


def ready(values: np.ndarray) -> Values:
    """Return float32 or int32 values [N] that are as a model reads them."""
    return Values(Kind.READY, values, np.empty(0, np.uint8))


def transposed(columns: np.ndarray) -> np.ndarray:
    """Return columns [C, N] as rows [N, C], copied in pieces that stay in the cache."""
    rows = np.empty(columns.shape[::-1], columns.dtype)
    for start in range(0, len(rows), _TILE):
        rows[start : start + _TILE] = columns[:, start : start + _TILE].T
    return rows

"""Columns of lists: several values in one cell, such as the genres of a film.

A list field fills as many columns of a row's ids as its ``width``: the ids of its first items in their order, then
``NO_ITEM``. A list without an item is a missing value, whose first id says so. Models read the mean of the items' rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from recsys_bnn.data.chunks import missing, numbers
from recsys_bnn.data.id_table import MISSING

NO_ITEM = -1
"""Stands behind the last item of a list."""
USUAL_WIDTH = 64
"""Items of a list that are read at most where nothing else is asked for."""


class FieldIds(Protocol):
    """Ids of one categorical field."""

    def encode(self, column: pa.Array, ids: np.ndarray) -> None:
        """Write the id of each value of a column, keys (uint32) or texts, to ``ids``, int32 [N]."""
        ...


def is_list(kind: pa.DataType) -> bool:
    """Say whether a column of a type holds lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def list_parts(column: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Return the items in each list of a column, int64 [N], and all items one after the other."""
    counts = column.value_lengths()
    lengths = np.where(missing(counts), 0, numbers(counts)).astype(np.int64)
    return lengths, column.flatten()


def lists_of(lengths: np.ndarray, items: pa.Array) -> pa.Array:
    """Return a column of lists from what :func:`list_parts` returns; an empty list becomes a null."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    empty = lengths == 0
    valid = pa.py_buffer(np.packbits(~empty, bitorder="little")) if empty.any() else None
    return pa.Array.from_buffers(
        pa.list_(items.type), len(lengths), [valid, pa.py_buffer(ends)], children=[items]
    )


def without_nulls(lengths: np.ndarray, items: pa.Array) -> pa.Array:
    """Return a column of lists that leave out the nulls among ``items``."""
    if items.null_count:
        kept = np.repeat(np.arange(len(lengths)), lengths)[~missing(items)]
        lengths, items = np.bincount(kept, minlength=len(lengths)), items.drop_null()
    return lists_of(lengths, items)


@dataclass(frozen=True)
class ListIds:
    """Ids of a field of lists."""

    items: FieldIds
    """Ids of the items."""
    width: int
    """So many items of a list are read, the first ones."""

    def encode(self, column: pa.Array, ids: np.ndarray) -> None:
        """Write the ids of each list to ``ids``, int32 [width, N]."""
        lengths, items = list_parts(column)
        found = np.empty(len(items), np.int32)
        self.items.encode(items, found)
        starts = np.cumsum(lengths) - lengths
        nothing_in(ids)
        for place, to in enumerate(ids):
            there = np.flatnonzero(lengths > place)
            to[there] = found[starts[there] + place]


def nothing_in(ids: np.ndarray) -> None:
    """Make each list of ``ids``, int32 [width, N], a missing value."""
    ids[:1], ids[1:] = MISSING, NO_ITEM


def width_of(field: FieldIds | ListIds) -> int:
    """Return the columns of a row's ids that a field fills."""
    return field.width if isinstance(field, ListIds) else 1


def encode_fields(
    fields: Sequence[FieldIds | ListIds], columns: Sequence[pa.Array | None], rows: int
) -> np.ndarray:
    """Return the ids of all fields, int32 [sum of widths, rows]; a column that is None is missing throughout."""
    ids = np.empty((sum(map(width_of, fields)), rows), np.int32)
    at = 0
    for field, column in zip(fields, columns, strict=True):
        to = ids[at : at + width_of(field)]
        if column is None:
            nothing_in(to)
        else:
            field.encode(column, to if isinstance(field, ListIds) else to[0])
        at += len(to)
    return ids


def rows_with(id: int, ids: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """Return the rows in which each field has an id or an item with it, int64 [F]; arguments as in :func:`by_field`."""
    there = ids == id
    if widths:
        plain = ids.shape[1] - sum(widths)
        starts = [*range(plain), *(plain + np.cumsum(widths) - widths).tolist()]
        there = np.logical_or.reduceat(there, starts, axis=1)
    return np.count_nonzero(there, axis=0)


def by_field(ids: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    """Return the columns of each field among ids [N, C], each [N, 1] or, of the last ``len(widths)`` ones, [N, width]."""
    fields = ids.shape[1] - sum(widths) + len(widths)
    every = [1] * (fields - len(widths)) + list(widths)
    return np.split(ids, np.cumsum(every)[:-1], axis=1)

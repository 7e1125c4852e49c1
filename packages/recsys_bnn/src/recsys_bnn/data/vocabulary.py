"""Ids of categorical values, fitted to training rows: frequent values first, rare ones share an id.

Within each field id 0 is out of vocabulary (values that are rare or absent in the training rows), id 1 is a
missing value, and ids from 2 on are the other values by falling training count, ties by rising key. A higher
frequency threshold is therefore a cutoff on ids.

A field may be hashed instead: id 2 + h(value) mod N, for any value that is not missing, seen in training or not.
Several values then share an id, and id 0 stays unused.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_bnn.data.chunks import array, arrow, cells, missing, numbers
from recsys_bnn.data.formats.keys import Keys
from recsys_bnn.data.id_table import FIRST_VALUE, MISSING, IdTable
from recsys_bnn.data.lists import ListIds, is_list, list_parts

FILE = "vocabulary.parquet"
_ROWS = 1 << 20  # vocabulary rows that are spelled out at once
_MERGE = 1 << 18  # distinct values that are worth a merge


@dataclass(frozen=True)
class Counts:
    """How often each value of a field occurs in some rows."""

    keys: np.ndarray
    """Distinct keys, uint32 [U], in any order."""
    counts: np.ndarray
    """Their counts, int64 [U]."""
    missing: int
    """Rows without a value."""
    longest: int = 1
    """Values of the row with most of them."""

    @classmethod
    def of(cls, column: pa.Array) -> "Counts":
        """Count the keys in one column of a chunk, those of lists as often as they stand there."""
        longest, values = 1, column
        if is_list(column.type):
            lengths, values = list_parts(column)
            longest = int(lengths.max(initial=1))
        counted = values.drop_null().value_counts()
        return cls(numbers(counted.field(0)), numbers(counted.field(1)), column.null_count, longest)


class Counter:
    """Sums the counts of one field over chunks, in memory that grows with its distinct values alone."""

    def __init__(self) -> None:
        self.missing, self.longest = 0, 1
        self._parts = [(np.empty(0, np.uint32), np.empty(0, np.int64))]
        self._unmerged = 0

    def add(self, counts: Counts) -> None:
        """Add the counts of one chunk."""
        self.missing += counts.missing
        self.longest = max(self.longest, counts.longest)
        self._parts.append((counts.keys, counts.counts))
        self._unmerged += len(counts.keys)
        # Waiting until the parts outgrow what is merged keeps the total cost of merging at n log n.
        if self._unmerged > max(_MERGE, len(self._parts[0][0])):
            self.merged()

    def merged(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct keys, uint32 [U], rising, and their counts, int64 [U]."""
        keys, counts = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        order = np.argsort(keys)
        keys, counts = keys[order], counts[order]
        first = np.flatnonzero(np.diff(keys, prepend=keys[:1] ^ 1))
        self._parts = [(keys[first], np.add.reduceat(counts, first) if len(first) else counts)]
        self._unmerged = 0
        return self._parts[0]


@dataclass(frozen=True)
class FieldVocabulary:
    """Ids of one field."""

    keys: np.ndarray
    """Keys of the values that have an id of their own, uint32 [V], rising."""
    ids: np.ndarray
    """Their ids, int32 [V]."""
    counts: np.ndarray
    """Training rows by id, int64 [2 + V]; entry 0 sums the rare values."""

    @classmethod
    def fit(cls, counter: Counter, min_count: int) -> "FieldVocabulary":
        """Give an id to each value that was counted at least ``min_count`` times."""
        keys, counts = counter.merged()
        kept = counts >= min_count
        rare = int(counts[~kept].sum())
        keys, counts = keys[kept], counts[kept]
        order = np.argsort(-counts, kind="stable")
        return cls(keys, _inverse(order), np.concatenate([[rare, counter.missing], counts[order]]))

    def encode(self, column: pa.Array, ids: np.ndarray) -> None:
        """Write the id of each key in a column of a chunk to ``ids``, int32 [N]."""
        self._table.lookup(*cells(column), ids)

    @property
    def slots(self) -> np.ndarray | None:
        """The ids as a hash table for C; None where no C runs."""
        return self._table.slots

    def make_table(self) -> None:
        """Make the hash table now, so that few rows are looked up in it, too."""
        self._table.make()

    @cached_property
    def _table(self) -> IdTable:
        return IdTable(self.keys, self.ids)

    def facts(self, spelling: Keys) -> dict[str, Any]:
        """Return what the id of a text depends on, as JSON values."""
        return {"texts": _digest(self.texts(spelling))}

    def texts(self, spelling: Keys) -> Iterator[pa.Array]:
        """Yield the texts of the ids from ``FIRST_VALUE`` on, in parts."""
        keys = np.empty_like(self.keys)
        keys[self.ids - FIRST_VALUE] = self.keys
        for start in range(0, len(keys), _ROWS):
            yield spelling.texts(keys[start : start + _ROWS])


@dataclass(frozen=True)
class HashedVocabulary:
    """Ids of one field that is hashed."""

    spelling: Keys
    """What hashes the values."""
    counts: np.ndarray
    """Training rows by id, int64 [2 + N]; entry 0 is 0."""

    @classmethod
    def fit(cls, counter: Counter, spelling: Keys, buckets: int) -> "HashedVocabulary":
        """Count the training rows of each of ``buckets`` ids."""
        keys, counts = counter.merged()
        field = cls(spelling, np.zeros(FIRST_VALUE + buckets, np.int64))
        np.add.at(field.counts, field._ids(keys), counts)
        field.counts[MISSING] = counter.missing
        return field

    @property
    def buckets(self) -> int:
        """N, the number of ids that values are hashed to."""
        return len(self.counts) - FIRST_VALUE

    def encode(self, column: pa.Array, ids: np.ndarray) -> None:
        """Write the id of each key in a column of a chunk to ``ids``, int32 [N]."""
        there = ~missing(column)
        ids[there] = self._ids(numbers(column)[there])
        ids[~there] = MISSING

    def facts(self, spelling: Keys) -> dict[str, Any]:
        """Return what the id of a text depends on, as JSON values."""
        return {"buckets": self.buckets}

    def texts(self, spelling: Keys) -> Iterator[pa.Array]:
        """Yield nulls for the ids from ``FIRST_VALUE`` on, in parts, as no text stands for one."""
        for start in range(0, self.buckets, _ROWS):
            yield pa.nulls(min(_ROWS, self.buckets - start), pa.string())

    def collision_rate(self, keys: np.ndarray) -> float:
        """Return the share of distinct ``keys`` (uint32 [U]) that share their id with another one."""
        ids = self._ids(keys)
        return float(np.mean(np.bincount(ids)[ids] > 1)) if len(ids) else 0.0

    def _ids(self, keys: np.ndarray) -> np.ndarray:
        return (FIRST_VALUE + self.spelling.hashes(keys) % np.uint64(self.buckets)).astype(np.int32)


Field = FieldVocabulary | HashedVocabulary


def _digest(parts: Iterable[pa.Array]) -> str:
    """Return a digest of texts in their order, however they are parted."""
    lengths, letters = (hashlib.blake2b(digest_size=16) for _ in range(2))
    for part in parts:
        _, ends, data = part.buffers()
        bounds = np.frombuffer(ends, np.int32)[part.offset : part.offset + len(part) + 1]
        lengths.update(np.diff(bounds).tobytes())
        letters.update(memoryview(data)[bounds[0] : bounds[-1]])
    return lengths.hexdigest() + letters.hexdigest()


def _inverse(order: np.ndarray) -> np.ndarray:
    """Return for each position in ``order`` the id that its place there gives it."""
    ids = np.empty(len(order), np.int32)
    ids[order] = np.arange(FIRST_VALUE, FIRST_VALUE + len(order), dtype=np.int32)
    return ids


@dataclass(frozen=True)
class Vocabulary:
    """Ids of all categorical fields."""

    names: tuple[str, ...]
    """Names of the fields."""
    fields: tuple[Field, ...]
    widths: tuple[int, ...] = ()
    """Items of a list that are read, for each of the last fields, which hold lists."""

    def ids(self) -> list[Field | ListIds]:
        """Return what gives the ids of each field."""
        plain = len(self.fields) - len(self.widths)
        lists = zip(self.fields[plain:], self.widths, strict=True)
        return [*self.fields[:plain], *(ListIds(items, width) for items, width in lists)]

    @property
    def columns(self) -> int:
        """Number of ids of a row, C: one for each field of one value, and the widths of the lists."""
        return len(self.fields) - len(self.widths) + sum(self.widths)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of ids of each field, the two special ones included."""
        return tuple(len(field.counts) for field in self.fields)


# A row for every id. The value is null for out of vocabulary and for ids that values are hashed to, and empty for
# missing; else it is as in the source.
_SCHEMA = {"field": pa.string(), "value": pa.string(), "id": pa.int32(), "count": pa.int64()}


def write_vocabulary(
    path: Path, vocabulary: Vocabulary, spelling: Sequence[Keys], metadata: dict[str, str]
) -> None:
    """Write the Parquet file ``path`` with a row (field, value, id, count) for each id, in order."""
    schema = pa.schema(list(_SCHEMA.items()), metadata)
    # Values and ids occur once in a field: to look for repeats in them takes as long as to write them.
    with pq.ParquetWriter(path, schema, use_dictionary=["field"]) as writer:
        for name, field, keys in zip(vocabulary.names, vocabulary.fields, spelling, strict=True):
            first = 0
            special = arrow([None, ""], pa.string())
            for values in itertools.chain([special], field.texts(keys)):
                ids = np.arange(first, first + len(values), dtype=np.int32)
                names = arrow([name], pa.string()).take(array(np.zeros(len(values), np.int32)))
                columns = [names, values, array(ids), array(field.counts[ids])]
                writer.write_table(pa.table(columns, schema=schema))
                first += len(values)


def read_vocabulary(
    path: Path, names: Sequence[str], spelling: Sequence[Keys], widths: Sequence[int] = ()
) -> Vocabulary:
    """Read what :func:`write_vocabulary` wrote, to encode new rows whose keys ``spelling`` gives."""
    fields = []
    for name, keys in zip(names, spelling, strict=True):
        table = pq.read_table(path, columns=["value", "count"], filters=[("field", "==", name)])
        fields.append(
            _read_field(table["value"].combine_chunks(), numbers(table["count"].combine_chunks()), keys)
        )
    return Vocabulary(tuple(names), tuple(fields), tuple(widths))


def _read_field(values: pa.Array, counts: np.ndarray, spelling: Keys) -> Field:
    texts = values.slice(FIRST_VALUE)
    if texts.null_count:
        return HashedVocabulary(spelling, counts)
    keys = spelling.keys(texts)
    order = np.argsort(keys)
    return FieldVocabulary(keys[order], (order + FIRST_VALUE).astype(np.int32), counts)


def read_counts(path: Path, name: str) -> np.ndarray:
    """Return the training counts by id, int64, of the field ``name`` from a written vocabulary."""
    table = pq.read_table(path, columns=["count"], filters=[("field", "==", name)])
    return numbers(table["count"].combine_chunks())

"""The encoding section of a packed model: from raw values to the numbers and ids that it reads.

Few rows are encoded by a binary search, which starts at once and holds one sorted copy of the keys. Many rows, and
the readers of `score` and `serve`, use the hash tables of :mod:`recsys_bnn.data.raw_rows`, made when they are first
asked for.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_bnn.runtime import values
from recsys_bnn.runtime.values import HEX, INTEGER, LIST, TEXT, Reader
from seminar_common.errors import UserError
from seminar_common.splitmix import splitmix64

if TYPE_CHECKING:
    import pyarrow as pa

    from recsys_bnn.data.raw_rows import RowEncoder

OUT_OF_VOCABULARY, MISSING, FIRST_VALUE = 0, 1, 2
"""The special ids, as in :mod:`recsys_bnn.data.id_table`, whose import takes a second."""
NO_ITEM = -1
"""What stands behind the last item of a list, as in :mod:`recsys_bnn.data.lists`."""
_FEW = 256
"""Up to so many rows are encoded without the hash tables."""


class Encoder:
    """Turns raw values into numbers and ids.

    Args:
        facts: What the manifest says of the encoding.
        arrays: Arrays of the section: ``keys`` (uint32), the keys of fields of hex digits and whole numbers in the
            order of their ids; ``letters`` (uint8) and ``lengths`` (int32), the texts of the other fields.
    """

    def __init__(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        self.integer_names: tuple[str, ...] = tuple(facts["integer_names"])
        self.categorical_names: tuple[str, ...] = tuple(facts["categorical_names"])
        self.kinds: tuple[str, ...] = tuple(facts["kinds"])
        self._fields, self._arrays = facts["fields"], arrays
        self._normalisation = facts["normalisation"]
        self._mean = np.array(self._normalisation["mean"], np.float64)
        self._std = np.array(self._normalisation["std"], np.float64)
        signed = self._normalisation.get("signed", 0)
        self._whole = len(self.integer_names) - signed
        numbers, texts = frozenset(facts["missing_numbers"]), frozenset(facts["missing_texts"])
        read_text = values.text(texts, whole_decimals=facts["whole_decimals"])
        self._widths: tuple[int, ...] = tuple(facts.get("list_widths", ()))
        self._item = read_text
        kinds = {HEX: values.hex_key, INTEGER: values.integer_key, TEXT: read_text}
        plain = self.kinds[: len(self.kinds) - len(self._widths)]
        self._readers: list[Reader] = [
            *(values.whole(numbers) for _ in range(self._whole)),
            *(values.decimal(numbers) for _ in range(signed)),
            *(kinds[kind] for kind in plain),
            *(values.items(read_text, separator, texts) for separator in facts.get("separators", ())),
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all features: integers, then categorical fields."""
        return self.integer_names + self.categorical_names

    def encode(self, columns: Sequence[Sequence[Any]], rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return integers, float32 [rows, I] with NaN for a missing one, and ids, int32 [rows, C].

        Args:
            columns: ``rows`` raw values of each feature, in the order of ``names``.
            rows: Number of rows.

        Raises:
            UserError: a value is not what its feature takes.
        """
        if rows > _FEW and (arrays := _as_arrow(columns)) is not None:
            return self.encode_arrow(arrays, rows)
        return self._finished([self._read(index, column) for index, column in enumerate(columns)], rows)

    def encode_row(self, row: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return what :meth:`encode` does for one row of values, sooner."""
        try:
            read = [read(value) for read, value in zip(self._readers, row, strict=True)]
        except (ValueError, TypeError):
            return self.encode([[value] for value in row], 1)  # which names the value
        count = len(self.integer_names)
        integers = self._normalised(np.array(read[:count], np.float64)[None])
        keys = read[count:]
        few = bool(self._text_ids or self._widths)
        return integers, self._few_ids([[key] for key in keys], 1) if few else self._row_ids(keys)

    def _row_ids(self, keys: list[int | None]) -> np.ndarray:
        absent = [f for f, key in enumerate(keys) if key is None]
        for f in absent:
            keys[f] = 0
        ids = self._search(np.array(keys, np.uint64)[:, None]).reshape(1, -1)
        if absent:
            ids[0, absent] = MISSING
        return ids

    def _finished(self, read: list[list[Any]], rows: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(self.integer_names)
        ids = self._few_ids(read[count:], rows) if rows <= _FEW else self._many_ids(read[count:], rows)
        return self._integers(read[:count], rows), ids

    def encode_arrow(self, columns: "Sequence[pa.Array]", rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what :meth:`encode` does, for columns of Arrow, whose distinct values are read once each."""
        import pyarrow as pa

        count, features = len(self.integer_names), {}
        for index, (name, column) in enumerate(zip(self.names, columns, strict=True)):
            if index >= len(self.names) - len(self._widths):
                features[name] = self._lists(index, name, column)
                continue
            encoded = _by_distinct(name, column)
            found = self._read(index, encoded.dictionary.to_pylist())
            if index < count:
                kind = pa.int64() if index < self._whole else pa.float64()
            else:
                kind = pa.string() if self.kinds[index - count] == TEXT else pa.uint32()
            features[name] = pa.array(found, kind).take(encoded.indices)
        return self.rows.encode(features, rows)

    def _lists(self, index: int, name: str, column: "pa.Array") -> "pa.Array":
        """Return a column of lists, or of texts that spell them, as lists of texts."""
        import pyarrow as pa

        from recsys_bnn.data.lists import is_list, list_parts, without_nulls

        if not is_list(column.type):
            encoded = _by_distinct(name, column)
            found = pa.array(self._read(index, encoded.dictionary.to_pylist()), pa.list_(pa.string()))
            return found.take(encoded.indices)
        lengths, items = list_parts(column.cast(pa.list_(column.type.value_type)))
        encoded = _by_distinct(name, items)
        found = pa.array([self._item(value) for value in encoded.dictionary.to_pylist()], pa.string())
        return without_nulls(lengths, found.take(encoded.indices))

    def _read(self, index: int, column: Sequence[Any]) -> list[Any]:
        """Return what a feature's reader makes of a column, each distinct value read once where there are many."""
        read = self._readers[index]
        try:
            if len(column) <= _FEW or index >= len(self.names) - len(self._widths):
                return [read(value) for value in column]
            known = {value: read(value) for value in set(column)}
            return [known[value] for value in column]
        except (ValueError, TypeError) as error:
            raise self._refusal(index, column, read) from error

    def _refusal(self, index: int, column: Sequence[Any], read: Reader) -> UserError:
        for row, value in enumerate(column):
            try:
                read(value)
            except (ValueError, TypeError) as error:
                where = f", row {row}" if len(column) > 1 else ""
                return UserError(f"{self.names[index]}{where}: {str(value)[:40]!r}, expected {error}")
        return UserError(f"{self.names[index]}: values that can't be compared")

    def _integers(self, numbers: list[list[Any]], rows: int) -> np.ndarray:
        return self._normalised(np.array(numbers, np.float64).reshape(len(numbers), rows).T)

    def _normalised(self, found: np.ndarray) -> np.ndarray:
        """Return numbers, float64 [rows, I], in which None became NaN, as the model reads them."""
        whole, decimals = found[:, : self._whole], found[:, self._whole :]
        np.log1p(np.maximum(whole, 0), out=whole)
        if decimals.size:
            decimals[:] = np.copysign(np.log1p(np.abs(decimals)), decimals)
        return np.ascontiguousarray((found - self._mean) / self._std, np.float32)

    def _few_ids(self, keys: list[list[Any]], rows: int) -> np.ndarray:
        ids = np.empty((len(keys) - len(self._widths) + sum(self._widths), rows), np.int32)
        for f, of_text in self._text_ids.items():
            ids[f] = [MISSING if key is None else of_text(key) for key in keys[f]]
        at = len(keys) - len(self._widths)
        for of_text, width, lists in zip(self._item_ids, self._widths, keys[at:], strict=True):
            ids[at : at + width] = _padded(of_text, width, lists)
            at += width
        searched = self._searched
        if len(searched):
            wanted = [keys[f] for f in searched] if len(searched) < len(keys) else keys
            absent = [[key is None for key in column] for column in wanted] if _any_missing(wanted) else None
            if absent is not None:
                wanted = [[0 if key is None else key for key in column] for column in wanted]
            found = self._search(np.array(wanted, np.uint64))
            ids[searched] = found if absent is None else np.where(absent, MISSING, found)
        return np.ascontiguousarray(ids.T)

    def _search(self, wanted: np.ndarray) -> np.ndarray:
        """Return the ids of keys of the searched fields, [searched, rows]."""
        sorted_keys, sorted_ids = self._index
        named = wanted | self._prefixes
        if len(sorted_keys):
            places = np.minimum(np.searchsorted(sorted_keys, named), len(sorted_keys) - 1)
            found = np.where(sorted_keys[places] == named, sorted_ids[places], OUT_OF_VOCABULARY)
        else:
            found = np.zeros(named.shape, np.int32)
        for row, buckets in self._hashed_rows:
            found[row] = FIRST_VALUE + splitmix64(wanted[row].astype(np.uint32)) % np.uint64(buckets)
        return found

    @cached_property
    def _searched(self) -> list[int]:
        """Numbers of the fields whose values have keys, all but those of texts and of lists of them."""
        return [f for f, kind in enumerate(self.kinds) if kind not in (TEXT, LIST)]

    @cached_property
    def _prefixes(self) -> np.ndarray:
        """The number of each searched field above the 32 bits of a key, uint64 [searched, 1]."""
        return np.array(self._searched, np.uint64)[:, None] << np.uint64(32)

    @cached_property
    def _hashed_rows(self) -> list[tuple[int, int]]:
        """Places among the searched fields of those that are hashed, and their buckets."""
        fields = [self._fields[f] for f in self._searched]
        return [(row, field["buckets"]) for row, field in enumerate(fields) if "buckets" in field]

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """All keys with their field above them, uint64, rising, and their ids, int32."""
        counts = [field.get("keys", 0) for field in self._fields]
        ids = np.concatenate([np.empty(0, np.int32), *(np.arange(c, dtype=np.int32) for c in counts)])
        keys, at = self._arrays["keys"].astype(np.uint64), 0
        for field, count in enumerate(counts):  # by slices, as np.repeat lets no other thread run
            keys[at : at + count] |= np.uint64(field << 32)
            at += count
        order = np.argsort(keys)
        return keys[order], ids[order] + np.int32(FIRST_VALUE)

    @cached_property
    def _text_ids(self) -> dict[int, Any]:
        """By number of a field of texts, what returns the id of a text."""
        return {f: self._ids_of_texts(f) for f, kind in enumerate(self.kinds) if kind == TEXT}

    @cached_property
    def _item_ids(self) -> list[Any]:
        """What returns the id of an item of each field of lists."""
        return [self._ids_of_texts(f) for f, kind in enumerate(self.kinds) if kind == LIST]

    def _ids_of_texts(self, field: int) -> Any:
        buckets = self._fields[field].get("buckets")
        if buckets is not None:
            return lambda text: FIRST_VALUE + values.text_hash(text) % buckets
        ids = {text: id for id, text in enumerate(self._texts(field), FIRST_VALUE)}
        return lambda text: ids.get(text, OUT_OF_VOCABULARY)

    def _texts(self, field: int) -> list[str]:
        """Return the texts of a field in the order of their ids."""
        counts = [described.get("texts", 0) for described in self._fields]
        first = sum(counts[:field])
        ends = np.concatenate([[0], np.cumsum(self._arrays["lengths"], dtype=np.int64)])
        bounds = ends[first : first + counts[field] + 1].tolist()
        letters = self._arrays["letters"][bounds[0] : bounds[-1]].tobytes()
        return [
            letters[a - bounds[0] : b - bounds[0]].decode() for a, b in zip(bounds, bounds[1:], strict=False)
        ]

    def _many_ids(self, keys: list[list[Any]], rows: int) -> np.ndarray:
        import pyarrow as pa

        from recsys_bnn.data.lists import encode_fields

        types = {TEXT: pa.string(), LIST: pa.list_(pa.string())}
        columns = [pa.array(keys[f], types.get(kind, pa.uint32())) for f, kind in enumerate(self.kinds)]
        return np.ascontiguousarray(encode_fields(self.rows.fields, columns, rows).T)

    @cached_property
    def rows(self) -> "RowEncoder":
        """What encodes columns of Arrow, many rows at once."""
        from recsys_bnn.data.encoding import Normalisation
        from recsys_bnn.data.lists import ListIds
        from recsys_bnn.data.raw_rows import RowEncoder

        stored = self._normalisation
        normalisation = Normalisation(
            tuple(stored["mean"]), tuple(stored["std"]), stored["kind"], stored.get("signed", 0)
        )
        fields = [self._field_ids(f) for f in range(len(self.kinds))]
        plain = len(fields) - len(self._widths)
        fields[plain:] = [ListIds(*items) for items in zip(fields[plain:], self._widths, strict=True)]
        return RowEncoder(
            self.integer_names, self.categorical_names, self.kinds, tuple(fields), normalisation
        )

    def _field_ids(self, field: int) -> Any:
        from recsys_bnn.data.raw_rows import TextIds, field_ids
        from recsys_bnn.data.vocabulary import FieldVocabulary

        described = self._fields[field]
        if "buckets" in described:
            return field_ids(self.kinds[field], None, described["buckets"])
        if self.kinds[field] in (TEXT, LIST):
            return TextIds(self._texts(field))
        first = sum(other.get("keys", 0) for other in self._fields[:field])
        keys, ids = (part[first : first + described["keys"]] for part in self._index)
        keys = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        return FieldVocabulary(keys, ids, np.broadcast_to(np.int64(0), FIRST_VALUE + len(keys)))


def _padded(of_item: Any, width: int, lists: list[Any]) -> np.ndarray:
    """Return the ids of the first items of lists, int32 [width, rows]; None is a missing list."""
    ids = np.full((width, len(lists)), NO_ITEM, np.int32)
    for row, items in enumerate(lists):
        found = [MISSING] if items is None else [of_item(item) for item in items[:width]]
        ids[: len(found), row] = found
    return ids


def _by_distinct(name: str, column: "pa.Array") -> "pa.DictionaryArray":
    """Return a column as its distinct values and where they stand.

    Raises:
        UserError: it holds lists or the like.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return column
    try:
        views = pa.types.is_string_view(column.type)  # as polars gives texts
        return (column.cast(pa.string()) if views else column).dictionary_encode()
    except pa.ArrowNotImplementedError as error:
        raise UserError(
            f"{name}: a column of the type {column.type}; expected numbers, texts or booleans"
        ) from error


def _as_arrow(columns: Sequence[Sequence[Any]]) -> "list[pa.Array] | None":
    """Return columns of Arrow, or None where one holds values of several types."""
    import pyarrow as pa

    try:
        return [pa.array(column, from_pandas=True) for column in columns]
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _any_missing(columns: list[list[Any]]) -> bool:
    return any(None in column for column in columns)

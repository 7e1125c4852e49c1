"""Raw rows of any format, labelled or not, as a model reads them: streamed in order, in constant memory.

`prepare` reads a log to learn from it: it sorts, checks the order of time and drops bad rows. Here each row stands for
itself, keeps its number, and is encoded with a vocabulary and a normalisation that were fitted before::

    encoder = dataset_encoder(folder)
    with parallel_map(WorkConfig()) as ordered_map:
        for rows in RawRows("criteo-kaggle", [path], encoder).read(ordered_map):
            scores = rows.spread(model(rows.integers, rows.ids))  # NaN where a row is bad

A file need not hold labels. What was decided is told in ``RawRows.decisions``.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_bnn.data.as_rows import id_rows
from recsys_bnn.data.chunks import missing, numbers
from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.data.encoding import Normalisation
from recsys_bnn.data.formats import OF_FOLDERS, ROW_READERS, RowSource
from recsys_bnn.data.formats.bad_rows import BadRow, BadRows
from recsys_bnn.data.formats.base import RowPiece
from recsys_bnn.data.formats.compression import parted
from recsys_bnn.data.formats.inputs import listed
from recsys_bnn.data.formats.keys import HexKeys, IntegerKeys, Keys, ListKeys, TextKeys
from recsys_bnn.data.formats.table_schema import TableSchema
from recsys_bnn.data.formats.text import TO_SCORE, Source
from recsys_bnn.data.id_table import FIRST_VALUE, MISSING, OUT_OF_VOCABULARY
from recsys_bnn.data.lists import FieldIds, ListIds
from recsys_bnn.data.parallel import OrderedMap
from recsys_bnn.data.vocabulary import FILE, FieldVocabulary, HashedVocabulary
from seminar_common.errors import UserError, choices
from seminar_common.files import check_file

Answer = TypeVar("Answer")
_OF_TEXTS = (TextKeys.kind, ListKeys.kind)
_SPELLING: dict[str, Keys] = {HexKeys.kind: HexKeys(), IntegerKeys.kind: IntegerKeys()}


# ------------------------------------------------------------------------------------------------ from values to ids


class TextIds:
    """Ids of texts that each have one of their own."""

    def __init__(self, texts: Sequence[str]):
        self._ids = {text: id for id, text in enumerate(texts, FIRST_VALUE)}

    def encode(self, column: pa.Array, ids: np.ndarray) -> None:
        """Write the id of each text, ``OUT_OF_VOCABULARY`` where it has none."""
        _by_distinct(column, lambda texts: [self._ids.get(text, OUT_OF_VOCABULARY) for text in texts], ids)


class HashedTextIds:
    """Ids of texts that are hashed to ``buckets``, as :class:`HashedVocabulary` does it."""

    def __init__(self, buckets: int):
        self._buckets = buckets

    def encode(self, column: pa.Array, ids: np.ndarray) -> None:
        """Write the id of each text."""
        _by_distinct(column, lambda texts: [FIRST_VALUE + text_hash(t) % self._buckets for t in texts], ids)


def _by_distinct(column: pa.Array, of: Callable[[list[str]], list[int]], ids: np.ndarray) -> None:
    encoded = column.dictionary_encode()
    known = np.array([*of(encoded.dictionary.to_pylist()), MISSING], np.int32)
    places = np.where(missing(encoded.indices), len(known) - 1, numbers(encoded.indices))
    ids[:] = known[places]


def text_hash(text: str) -> int:
    """Return what :meth:`TextKeys.hashes` gives for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def field_ids(kind: str, texts: pa.Array | None, buckets: int | None = None) -> FieldIds:
    """Return the ids of a field.

    Args:
        kind: Kind of its :class:`Keys`: ``hex``, ``integer`` or ``text``; ``list`` is that of its items.
        texts: The values of the ids from 2 on, as in the source; None if the field is hashed.
        buckets: Number of ids that a hashed field has from 2 on.
    """
    if texts is None:
        assert buckets is not None
        counts = np.zeros(FIRST_VALUE + buckets, np.int64)
        return HashedTextIds(buckets) if kind in _OF_TEXTS else HashedVocabulary(_SPELLING[kind], counts)
    if kind in _OF_TEXTS:
        return TextIds(texts.to_pylist())
    keys = _SPELLING[kind].keys(texts)
    order = np.argsort(keys)
    counts = np.zeros(FIRST_VALUE + len(keys), np.int64)
    return FieldVocabulary(keys[order], (order + FIRST_VALUE).astype(np.int32), counts)


@dataclass(frozen=True)
class RowEncoder:
    """All that turns the values of raw rows into what a model reads."""

    integer_names: tuple[str, ...]
    categorical_names: tuple[str, ...]
    kinds: tuple[str, ...]
    """Kind of each categorical field."""
    fields: tuple[FieldIds | ListIds, ...]
    normalisation: Normalisation

    @property
    def list_widths(self) -> tuple[int, ...]:
        """Items of a list that are read, for each of the last fields, which hold lists."""
        return tuple(field.width for field in self.fields if isinstance(field, ListIds))

    def encode(self, features: Mapping[str, pa.Array], rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return integers, float32 [rows, I] with NaN for a missing value, and ids, int32 [rows, C].

        Args:
            features: Columns by name: whole numbers, keys (uint32), texts or lists of texts. One that is absent is
                missing throughout.
            rows: Number of rows.
        """
        integers, ids = map(features.get, self.integer_names), map(features.get, self.categorical_names)
        return self.normalisation.encode_rows([*integers], rows), id_rows(self.fields, [*ids], rows)

    def make_tables(self) -> None:
        """Make the hash tables of keys now, so that few rows are looked up in them, too."""
        for field in self.fields:
            items = field.items if isinstance(field, ListIds) else field
            if isinstance(items, FieldVocabulary):
                items.make_table()


def dataset_encoder(folder: Path) -> RowEncoder:
    """Return what encoded the data set in ``folder``.

    Raises:
        UserError: there is no such data set, or its vocabulary is damaged.
    """
    data = open_dataset(folder)
    kinds, hashed = data.description["kinds"], data.description["hashed"]
    fields = [
        _stored_field(folder / FILE, name, kind, name in hashed)
        for name, kind in zip(data.categorical_names, kinds, strict=True)
    ]
    plain = len(fields) - len(data.list_widths)
    lists = [ListIds(*items) for items in zip(fields[plain:], data.list_widths, strict=True)]
    fields = [*fields[:plain], *lists]
    normalisation = Normalisation(**data.description["normalisation"])
    return RowEncoder(data.integer_names, data.categorical_names, tuple(kinds), tuple(fields), normalisation)


def _stored_field(path: Path, name: str, kind: str, hashed: bool) -> FieldIds:
    values = pq.read_table(path, columns=["value"], filters=[("field", "==", name)])["value"]
    texts = values.combine_chunks().slice(FIRST_VALUE)
    return field_ids(kind, None, len(texts)) if hashed else field_ids(kind, texts)


# --------------------------------------------------------------------------------------------------------- the rows


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """Consecutive rows of the input as a model reads them."""

    path: Path
    """The file that they stand in."""
    start: int
    """Number of the first row, from 0, in the count of all files' rows, bad ones included."""
    rows: int
    """Number of rows, bad ones included."""
    good: np.ndarray | None
    """Places of the rows that were read, int64 [N], rising, from 0; None where all were."""
    integers: np.ndarray
    """float32 [N, I]; NaN where a value is missing."""
    ids: np.ndarray
    """int32 [N, C]; -1 behind the last item of a list."""
    bad: list[BadRow]
    """The other rows, if bad rows are skipped."""
    labels: pa.Array | None
    """Labels, uint8 [N] with a null where one can't be read; None if the file has none."""
    names: pa.Array | None
    """A text that names each row, [N]; None if the file has none."""

    def spread(self, scores: np.ndarray) -> np.ndarray:
        """Return one score for each row, [rows], NaN for a bad one, from those of the good rows, [N]."""
        if self.good is None:
            return scores
        spread = np.full(self.rows, np.nan, scores.dtype)
        spread[self.good] = scores
        return spread


def _itself(rows: EncodedRows) -> EncodedRows:
    return rows


class RawRows:
    """Raw rows of some files, to be encoded.

    Args:
        format_name: Layout of the files, as for `prepare`; ``synthetic`` is read as ``criteo-kaggle``.
        paths: Files, patterns, or folders of parts; ``movielens`` and ``criteo-1tb`` look into a folder themselves.
        encoder: What encodes them.
        schema: What the columns are; for ``table`` only.
        on_error: ``fail`` stops at the first bad row, ``skip`` leaves a gap in its place.
        missing_columns: ``fail`` refuses a file without a column that the model reads, ``fill`` takes its values as
            missing.
        advance: Called with the number of bytes after each read, for a progress bar.

    Raises:
        UserError: the format is unknown, or the files have other features than the encoder.
    """

    def __init__(
        self,
        format_name: str,
        paths: Sequence[Path],
        encoder: RowEncoder,
        *,
        schema: TableSchema | None = None,
        on_error: Literal["fail", "skip"] = "fail",
        missing_columns: Literal["fail", "fill"] = "fail",
        advance: Callable[[int], None] = lambda count: None,
    ):
        if format_name not in ROW_READERS:
            raise UserError(
                f"rows of the format {format_name} can't be scored; those of {choices(ROW_READERS)} can"
            )
        paths = listed(paths, folders=format_name not in OF_FOLDERS)
        for path in paths:
            if not path.is_dir():
                check_file(parted(path)[0])
        self.encoder, self.bad_rows, self._advance = encoder, BadRows(on_error), advance
        self._reader = ROW_READERS[format_name](
            RowSource(paths, schema, missing_columns == "fill", encoder.categorical_names)
        )
        self._check_features(format_name)

    @property
    def paths(self) -> Sequence[Path]:
        """The files, in the order in which they are read."""
        return self._reader.paths

    @property
    def decisions(self) -> list[str]:
        """What a look at the files decided, a line each, such as whether they hold labels; filled as they are read."""
        return self._reader.decisions

    def read(
        self,
        ordered_map: OrderedMap = map,
        then: Callable[[EncodedRows], Any] = _itself,
        *,
        start: int = 0,
    ) -> Iterator[Any]:
        """Yield ``then`` of the rows in order, part by part; by default the rows themselves.

        Args:
            ordered_map: Maps parsing, encoding and ``then`` over the parts, as
                :func:`recsys_bnn.data.parallel.parallel_map` does.
            then: What to do with rows where they were encoded.
            start: Rows to leave out at the beginning, without parsing them.

        Raises:
            UserError: a file can't be read, or a row is bad and bad rows are not to be skipped.
        """
        for bad, answer in ordered_map(
            partial(_encoded, encoder=self.encoder, beside=self._beside, then=then), self._parts(start)
        ):
            for row in bad:
                self.bad_rows.add(row)
            yield answer

    @property
    def _beside(self) -> tuple[str | None, str | None]:
        return self._reader.label_column, self._reader.id_column

    def _parts(self, start: int) -> Iterator["_Part"]:
        at = 0
        for path in self.paths:
            for piece in self._reader.pieces(Source(path, self._advance, prefer=TO_SCORE, digested=False)):
                before, at = at, at + piece.rows
                if at > start:
                    skipped = max(start - before, 0)
                    yield _Part(piece.without(skipped) if skipped else piece, before + skipped)

    def _check_features(self, format_name: str) -> None:
        encoder, reader = self.encoder, self._reader
        signed = encoder.normalisation.signed
        wanted = encoder.integer_names, signed, encoder.categorical_names, encoder.kinds
        found = reader.integer_names, reader.signed, reader.categorical_names, reader.kinds
        if found != wanted:
            raise UserError(
                f"{self.paths[0]}: rows of the format {format_name} with the features {_listed(*found)}; the model "
                f"reads {_listed(*wanted)}"
            )


def _listed(integers: Sequence[str], signed: int, categoricals: Sequence[str], kinds: Sequence[str]) -> str:
    whole = len(integers) - signed
    names = [
        *integers[:whole],
        *(f"{name} (decimal)" for name in integers[whole:]),
        *(f"{name} ({kind})" for name, kind in zip(categoricals, kinds, strict=True)),
    ]
    return ", ".join([*names[:12], f"and {len(names) - 12} more"] if len(names) > 12 else names)


@dataclass(frozen=True)
class _Part:
    piece: RowPiece
    start: int

    def __str__(self) -> str:
        return str(self.piece)


def _encoded(
    part: _Part,
    encoder: RowEncoder,
    beside: tuple[str | None, str | None],
    then: Callable[[EncodedRows], Answer],
) -> tuple[list[BadRow], Answer]:
    piece, parsed = part.piece, part.piece.parse()
    rows = sum(batch.num_rows for batch in parsed.batches) + len(parsed.bad)
    good = None
    if parsed.bad:
        good = np.delete(np.arange(rows), [row.line - piece.first for row in parsed.bad])
    encoded = [
        encoder.encode(dict(zip(batch.schema.names, batch.columns, strict=True)), batch.num_rows)
        for batch in parsed.batches
    ]
    integers, ids = encoded[0] if len(encoded) == 1 else map(np.concatenate, zip(*encoded, strict=True))
    labels, names = (_column(parsed.batches, name) for name in beside)
    found = EncodedRows(piece.path, part.start, rows, good, integers, ids, parsed.bad, labels, names)
    return parsed.bad, then(found)


def _column(batches: Sequence[pa.RecordBatch], name: str | None) -> pa.Array | None:
    if name is None or name not in batches[0].schema.names:
        return None
    columns = [batch.column(name) for batch in batches]
    return columns[0] if len(columns) == 1 else pa.concat_arrays(columns)

"""Prepared rows on disk: opened without loading them, read in batches, shuffled or in order.

A prepared folder holds:

- ``dataset.json``: names, sizes and rates (by split, field and period), normalisation, hashed fields, settings,
  sources, sizes and checksums of the other files, the vocabulary's digest, the fingerprint, and its own digest;
- ``train.arrow``, ``val.arrow``, ``test.arrow``: Arrow IPC files in record batches of 65,536 rows, with the
  columns ``label`` (uint8), ``integers`` (I float32 values, NaN for a missing one), ``categoricals`` (C int32 ids,
  each within its field) and, for generated rows, ``probability`` (float64). C is the number of fields, F, but for the
  last ones that are lists: those fill as many columns as their entry of ``list_widths`` in ``dataset.json`` says, with
  -1 behind their last item (:mod:`recsys_bnn.data.lists`);
- ``vocabulary.parquet``: value and training count of each id (see :mod:`recsys_bnn.data.vocabulary`);
- ``report.html``: the data card (:mod:`recsys_bnn.data.data_card`);
- ``skipped.csv``, if bad rows were left out.

Every file but the last two carries the fingerprint, so files of different data sets can't be mixed.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_bnn.data.chunks import LABEL, PROBABILITY, numpy_dtype
from recsys_bnn.data.vocabulary import FILE, read_counts
from seminar_common.errors import UserError, choices
from seminar_common.files import check_utf8, read_json
from seminar_common.identity import digest
from seminar_common.progress import say

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 2
SPLITS = ("train", "val", "test")
DESCRIPTION, FINGERPRINT, VOCABULARY, CARD = "dataset.json", "fingerprint", "vocabulary", "report.html"
_SEAL = "digest"
"""Key in ``dataset.json``: the digest of everything else that stands there."""
BLOCK_ROWS = 65_536
"""Rows of a record batch, the unit of shuffling."""
WINDOW_BLOCKS = 16
"""Blocks that are shuffled together: about a million rows, 160 MB of Criteo."""
WINDOW_BYTES = 1 << 30
"""Bytes of the blocks that are shuffled together, if more than one is: fewer blocks where features are many."""
LATEST_BLOCKS = 4
"""The same where the windows follow time: the fewer, the more the last rows of a pass are the latest ones."""
_UNREADABLE = (pa.ArrowException, OSError, ValueError)
"""What reading a damaged file raises: a name that is no UTF-8 is a ValueError."""
_AGAIN = "make the data set again with `recsys-bnn prepare`"


def arrow_schema(integers: int, categoricals: int, probability: bool, metadata: dict[str, str]) -> pa.Schema:
    """Return the schema of a split file with I integers and C ids."""
    fields = [
        (LABEL, pa.uint8()),
        ("integers", pa.list_(pa.float32(), integers)),
        ("categoricals", pa.list_(pa.int32(), categoricals)),
    ]
    return pa.schema([*fields, (PROBABILITY, pa.float64())] if probability else fields, metadata)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows as tensors of their own memory."""

    labels: "Tensor"
    """float32 [B], 0 or 1."""
    integers: "Tensor"
    """Normalised integer features, float32 [B, I]; NaN where missing."""
    categoricals: "Tensor"
    """Ids within each field, int32 [B, C]; -1 behind the last item of a list."""


class Columns(NamedTuple):
    """Some rows as arrays."""

    labels: np.ndarray
    """uint8 [N], 0 or 1."""
    integers: np.ndarray
    """Normalised integer features, float32 [N, I]; NaN where missing."""
    categoricals: np.ndarray
    """Ids within each field, int32 [N, C]; -1 behind the last item of a list."""

    def take(self, rows: np.ndarray | slice) -> "Columns":
        """Return some of the rows."""
        return Columns(*(column[rows] for column in self))

    def batch(self) -> Batch:
        """Return the rows as tensors."""
        import torch

        # A slice of the mapped file is read-only, which a tensor can't be; a shuffled batch is not copied again.
        integers, categoricals = (torch.from_numpy(np.require(a, requirements=["C", "W"])) for a in self[1:])
        return Batch(torch.from_numpy(self.labels.astype(np.float32)), integers, categoricals)


def _concatenated(parts: Sequence[Columns]) -> Columns:
    return parts[0] if len(parts) == 1 else Columns(*map(np.concatenate, zip(*parts, strict=True)))


class _Split:
    """One mapped split file."""

    def __init__(self, path: Path, rows: int):
        self.path, self.rows = path, rows
        self.blocks = -(-rows // BLOCK_ROWS)

    @cached_property
    def reader(self) -> pa.RecordBatchFileReader:
        """The open file.

        Raises:
            UserError: it is missing, cut short or no Arrow file.
        """
        try:
            return pa.ipc.open_file(pa.memory_map(str(self.path)))
        except FileNotFoundError as error:
            raise UserError(f"{self.path}: no such file; {_AGAIN}") from error
        except _UNREADABLE as error:
            raise UserError(f"{self.path}: not a whole Arrow file, perhaps cut short; {_AGAIN}") from error

    def check(self, fingerprint: str, integers: int, categoricals: int) -> None:
        """Raise a UserError unless the file has this fingerprint, so many integers and ids and all its rows."""
        try:
            self._check(fingerprint, integers, categoricals)
        except _UNREADABLE as error:
            raise UserError(f"{self.path}: not a whole Arrow file, perhaps changed; {_AGAIN}") from error

    def _check(self, fingerprint: str, integers: int, categoricals: int) -> None:
        reader = self.reader
        if (reader.schema.metadata or {}).get(FINGERPRINT.encode()) != fingerprint.encode():
            raise UserError(
                f"{self.path}: belongs to another data set than {DESCRIPTION} beside it; {_AGAIN}"
            )
        known = PROBABILITY in reader.schema.names
        expected = arrow_schema(integers, categoricals, known, {FINGERPRINT: fingerprint})
        if not reader.schema.equals(expected):
            raise UserError(f"{self.path}: its columns are not those that {DESCRIPTION} names; {_AGAIN}")
        last = self.rows - BLOCK_ROWS * (self.blocks - 1)
        found = reader.num_record_batches
        if found != self.blocks or (found and reader.get_batch(found - 1).num_rows != last):
            raise UserError(
                f"{self.path}: does not hold the {self.rows} rows that {DESCRIPTION} tells of; {_AGAIN}"
            )

    def block(self, index: int) -> Columns:
        """Return views of record batch ``index`` in the mapped file."""
        batch = self.reader.get_batch(index)
        lists = (batch.column("integers"), batch.column("categoricals"))
        matrices = (c.flatten().to_numpy().reshape(batch.num_rows, c.type.list_size) for c in lists)
        return Columns(batch.column(LABEL).to_numpy(), *matrices)

    def column(self, name: str) -> np.ndarray:
        """Return a plain column in memory."""
        batches = (self.reader.get_batch(i).column(name) for i in range(self.blocks))
        empty = np.empty(0, numpy_dtype(self.reader.schema.field(name).type))
        return np.concatenate([empty, *(column.to_numpy() for column in batches)])


class _Window(NamedTuple):
    """Blocks that are read together."""

    blocks: Sequence[tuple[_Split, int]]
    rows: int
    seed: int | None
    """Seed of the order of the window's rows; None keeps them in order."""

    def load(self) -> Columns:
        return _concatenated([split.block(index) for split, index in self.blocks])

    def order(self) -> np.ndarray | range:
        return (
            range(self.rows) if self.seed is None else np.random.default_rng(self.seed).permutation(self.rows)
        )


class Rows:
    """Rows of one or more splits, one after the other."""

    def __init__(self, splits: Sequence[_Split]):
        self._splits = splits

    def __len__(self) -> int:
        return sum(split.rows for split in self._splits)

    @property
    def fields(self) -> int:
        """Number of ids of a row, C: that of the categorical fields, where none is a list."""
        return self._splits[0].reader.schema.field("categoricals").type.list_size

    def labels(self) -> np.ndarray:
        """Return all labels in order, uint8 [len(self)]."""
        return np.concatenate([split.column(LABEL) for split in self._splits])

    def probabilities(self) -> np.ndarray | None:
        """Return the true click probabilities in order, float64 [len(self)], or None where they are not known."""
        if any(PROBABILITY not in split.reader.schema.names for split in self._splits):
            return None
        return np.concatenate([split.column(PROBABILITY) for split in self._splits])

    def columns(self) -> Columns:
        """Return all rows in order and in memory; this needs no PyTorch."""
        blocks = [split.block(i) for split in self._splits for i in range(split.blocks)]
        return _concatenated(blocks) if blocks else self._no_rows()

    def _no_rows(self) -> Columns:
        schema = self._splits[0].reader.schema
        integers, categoricals = (schema.field(name).type.list_size for name in ("integers", "categoricals"))
        return Columns(
            np.empty(0, np.uint8), np.empty((0, integers), np.float32), np.empty((0, categoricals), np.int32)
        )

    def batches(
        self,
        batch_size: int,
        *,
        generator: np.random.Generator | None = None,
        in_time: bool = False,
        drop_last: bool = False,
        start: int = 0,
    ) -> Iterator[Batch]:
        """Yield the rows once, in batches of ``batch_size``; only the last one may be smaller.

        With a generator the blocks of the file are put in random order and the rows of each
        ``WINDOW_BLOCKS`` of them shuffled, so memory stays bounded; rows that fit in one window are shuffled
        exactly. The order depends on the generator's state at this call alone. With ``in_time``, too, the blocks
        stay in order and the rows of each ``LATEST_BLOCKS`` of them are shuffled.

        Args:
            batch_size: Rows of a batch.
            generator: Source of the order; None keeps the order of the file.
            in_time: With a generator, shuffle close rows only.
            drop_last: Leave out a last batch that is not full.
            start: Number of batches to leave out at the beginning, without reading them; the others are
                those of an iteration from the beginning.
        """
        if batch_size < 1:
            raise ValueError(f"a batch of {batch_size} rows")
        return _batches(self._windows(generator, in_time), batch_size, drop_last, start * batch_size)

    def _windows(self, generator: np.random.Generator | None, in_time: bool) -> list[_Window]:
        blocks = [(split, index) for split in self._splits for index in range(split.blocks)]
        if generator is None:
            return [_Window([block], _rows([block]), None) for block in blocks]
        order = np.arange(len(blocks)) if in_time else generator.permutation(len(blocks))
        size = self._window_blocks(LATEST_BLOCKS if in_time else WINDOW_BLOCKS)
        groups = [order[i : i + size] for i in range(0, len(order), size)]
        # A seed for each window, drawn now, lets a resumed epoch leave windows out without shuffling them.
        seeds = generator.integers(2**63, size=len(groups)).tolist()
        chosen = [[blocks[i] for i in group] for group in groups]
        return [_Window(group, _rows(group), seed) for group, seed in zip(chosen, seeds, strict=True)]

    def _window_blocks(self, most: int) -> int:
        """Return ``most`` blocks, or fewer where rows are so wide that they would take over ``WINDOW_BYTES``."""
        schema = self._splits[0].reader.schema
        row_bytes = 1 + 4 * sum(schema.field(n).type.list_size for n in ("integers", "categoricals"))
        return max(1, min(most, WINDOW_BYTES // (BLOCK_ROWS * row_bytes)))


def _rows(blocks: Sequence[tuple[_Split, int]]) -> int:
    return sum(min(BLOCK_ROWS, split.rows - index * BLOCK_ROWS) for split, index in blocks)


def _batches(windows: Sequence[_Window], size: int, drop_last: bool, skip: int) -> Iterator[Batch]:
    held: list[Columns] = []  # rows of earlier windows that did not fill a batch
    need = size
    for window in windows:
        if skip >= window.rows:
            skip -= window.rows
            continue
        columns, order = window.load(), window.order()
        at, skip = skip, 0
        while at < window.rows:
            part = order[at : at + need]
            rows = slice(part.start, part.stop) if isinstance(part, range) else part
            held.append(columns.take(rows))
            at, need = at + len(part), need - len(part)
            if not need:
                yield _concatenated(held).batch()
                held, need = [], size
    if held and not drop_last:
        yield _concatenated(held).batch()


@dataclass(frozen=True, eq=False)
class Dataset:
    """An open data set; :func:`open_dataset` makes it."""

    folder: Path
    name: str
    """Name in results, e.g. ``criteo-10k``."""
    fingerprint: str
    """Digest of sources, settings, vocabulary and normalisation, which together determine the rows."""
    vocabulary: str
    """Digest of what turns a raw value into an id or number; a model reads data of the vocabulary it learned from."""
    integer_names: tuple[str, ...]
    categorical_names: tuple[str, ...]
    cardinalities: tuple[int, ...]
    """Number of ids of each categorical field; id 0 is out of vocabulary, id 1 missing."""
    description: dict[str, Any]
    """The content of ``dataset.json``."""
    _splits: dict[str, _Split] = field(repr=False)

    @property
    def list_widths(self) -> tuple[int, ...]:
        """Items of a list that are read, for each of the last fields, which hold lists."""
        return tuple(self.description.get("list_widths", ()))

    @property
    def columns(self) -> int:
        """Number of ids of a row, C."""
        return len(self.categorical_names) - len(self.list_widths) + sum(self.list_widths)

    def verify(self, *splits: str) -> None:
        """Read the files of ``splits``, or all that have a checksum, once and compare them with what `prepare` wrote.

        Opening a data set checks sizes and fingerprints alone, which a value changed in place leaves as they were.

        Raises:
            UserError: a file was changed.
        """
        if _SEAL not in self.description:
            say(
                f"{self.folder}: an earlier version prepared it and stored no digest of {DESCRIPTION} and {FILE}, so "
                "that a change in them can't be noticed; prepare it again to have them checked"
            )
        files = self.description.get("files", {})
        for name in [f"{split}.arrow" for split in splits] or files:
            if name in files and checksum(self.folder / name) != files[name]["crc32"]:
                raise UserError(f"{self.folder / name}: was changed after it was written; {_AGAIN}")

    def require_both_classes(self, *splits: str) -> None:
        """Raise a UserError unless clicks and non-clicks are among the rows of ``splits``, without which none learns."""
        labels = self.rows(*splits).labels()
        if not 0 < labels.sum() < len(labels):
            raise UserError(
                f"{self.folder}: all {len(labels):,} rows to learn from have the label {int(labels.any())}, which "
                "teaches nothing; prepare a log with clicks and non-clicks among its training rows"
            )

    def rows(self, *splits: str) -> Rows:
        """Return the rows of ``train``, ``val`` or ``test``, or of several one after the other."""
        unknown = [name for name in splits if name not in self._splits]
        if unknown or not splits:
            raise ValueError(f"no split {unknown}; choose {choices(SPLITS)}")
        return Rows([self._splits[name] for name in splits])

    def counts(self, field: int) -> np.ndarray:
        """Return the rows of each id of categorical field number ``field``, int64 [cardinalities[field]].

        They are the training rows that the vocabulary was fitted to.
        """
        return read_counts(self.folder / FILE, self.categorical_names[field])


def sealed(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``dataset.json`` with its own digest, which :func:`open_dataset` checks."""
    return {**description, _SEAL: digest(description)}


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file: enough against accidents, and as quick as the file can be read."""
    value = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            value = zlib.crc32(data, value)
    return value


def open_dataset(folder: Path) -> Dataset:
    """Open a folder that `prepare` made; no rows are read.

    Raises:
        UserError: it is no such folder, of another schema, or its files are missing, cut short or mixed up.
    """
    description = _description(folder)
    check_utf8(folder, "rename it")
    try:
        splits = {name: _Split(folder / f"{name}.arrow", int(description["rows"][name])) for name in SPLITS}
        dataset = Dataset(
            folder,
            description["name"],
            description[FINGERPRINT],
            description[VOCABULARY],
            tuple(description["integer_names"]),
            tuple(description["categorical_names"]),
            tuple(description["cardinalities"]),
            description,
            splits,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / DESCRIPTION}: damaged ({error!r}); {_AGAIN}") from error
    _check(dataset)
    return dataset


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(
            f"{folder}: not a prepared data set (it has no {DESCRIPTION}); make one with `recsys-bnn prepare`"
        )
    description = read_json(path)
    found = description.get("schema") if isinstance(description, dict) else None
    if found != SCHEMA:
        raise UserError(f"{path}: of schema {found}, but this version reads schema {SCHEMA}; {_AGAIN}")
    written = description.get(_SEAL)
    if written is not None and sealed({k: v for k, v in description.items() if k != _SEAL})[_SEAL] != written:
        raise UserError(f"{path}: was changed after it was written; {_AGAIN}")
    return description


def _check(dataset: Dataset) -> None:
    for split in dataset._splits.values():
        split.check(dataset.fingerprint, len(dataset.integer_names), dataset.columns)
    path = dataset.folder / FILE
    try:
        vocabulary = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; {_AGAIN}") from error
    except _UNREADABLE as error:
        raise UserError(f"{path}: not a whole Parquet file, perhaps cut short; {_AGAIN}") from error
    with vocabulary:
        stored = (vocabulary.schema_arrow.metadata or {}).get(FINGERPRINT.encode())
        if stored != dataset.fingerprint.encode() or vocabulary.metadata.num_rows != sum(
            dataset.cardinalities
        ):
            raise UserError(f"{path}: does not belong to {DESCRIPTION} beside it; {_AGAIN}")
    for name, facts in dataset.description.get("files", {}).items():
        if (dataset.folder / name).stat().st_size != facts["bytes"]:
            raise UserError(f"{dataset.folder / name}: has another size than when it was written; {_AGAIN}")

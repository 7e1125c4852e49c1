"""Files of scores: the parts of a run that is not finished, and the table that they become."""

import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

from recsys_bnn.data.chunks import array, rechunk
from seminar_common import files, journal
from seminar_common.errors import UserError
from seminar_common.identity import Facts, digest
from seminar_common.progress import say

BATCH_ROWS = 131_072
"""Rows of a batch, or of a row group, of the table."""
ROW, NAME, PROBABILITY, CLICK = "row", "id", "probability", "click"
_JOURNAL, _PARTS = "journal.jsonl", "parts.arrows"


@dataclass(frozen=True)
class Part:
    """Scores of consecutive rows."""

    batch: pa.RecordBatch
    """Columns ``id``, where rows have one, ``probability``, float64 with a null for a bad row, and ``click``, uint8 with
    a null where there is no label."""
    facts: dict[str, Any]
    """What else is to be kept of it, as JSON values."""


class Parts:
    """The parts of a run so far, on disk.

    Args:
        folder: Where they stand: a journal with a line for each part, and the parts one after the other.
        records: The journal, open.
        facts: What the parts depend on; parts that depended on something else are dropped.
    """

    def __init__(self, folder: Path, records: journal.Journal, facts: Facts):
        self._journal, identity = records, digest(facts)
        stored = [record for _, record in records.records()]
        if stored and stored[0].get("of") != identity:
            say(f"{folder}: an unfinished run on other input or with another model; beginning anew")
            os.truncate(records.path, 0)
            stored = []
        if not stored:
            records.append({"of": identity})
        self.facts: list[dict[str, Any]] = stored[1:]
        self._file = (folder / _PARTS).open("ab+")
        # A kill may have come between a part and its line.
        self._file.truncate(sum(record["bytes"] for record in self.facts))

    @property
    def rows(self) -> int:
        """Rows that are done."""
        return sum(record["rows"] for record in self.facts)

    def add(self, part: Part) -> None:
        """Keep a part for good."""
        start = self._file.seek(0, os.SEEK_END)
        with pa.ipc.new_stream(self._file, part.batch.schema) as writer:
            writer.write_batch(part.batch)
        self._file.flush()
        record = {"rows": part.batch.num_rows, "bytes": self._file.tell() - start, **part.facts}
        self._journal.append(record)
        self.facts.append(record)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the parts in order."""
        at = 0
        for record in self.facts:
            self._file.seek(at)
            at += record["bytes"]
            with pa.ipc.open_stream(self._file) as reader:
                yield reader.read_next_batch()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def unfinished(out: Path, facts: Facts) -> Generator[Parts]:
    """Yield what there is of a run that writes ``out``.

    It stays if the process is killed or stopped, or the disk is full, so that the same command goes on with it. It is
    removed if the block succeeds, and after an error that the same command would meet again.

    Raises:
        UserError: another process writes ``out``, or it can't be made there.
    """
    folder = out.with_name(f".{out.name}.unfinished")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if files.is_disk_full(error):
            raise
        raise UserError(f"{out}: can't be made ({error.strerror}: {folder}); choose another --out") from error
    with journal.open_journal(folder / _JOURNAL) as records:
        parts = Parts(folder, records, facts)
        try:
            yield parts
        except Exception as error:
            if not files.is_disk_full(error):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            parts.close()
        shutil.rmtree(folder, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------- the table


def write_table(out: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write the file ``out`` atomically, with a column ``row`` from 1; its suffix decides the format."""
    write = {".parquet": _parquet, ".pq": _parquet, ".arrow": _arrow, ".feather": _arrow}.get(
        out.suffix, _csv_file
    )
    with files.atomic_path(out) as path:
        write(path, numbered(batches))


def numbered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches of ``BATCH_ROWS``, each with its number and without its click."""
    first = 1
    for batch in rechunk(batches, BATCH_ROWS):
        yield _numbered(batch, first)
        first += batch.num_rows


def print_csv(batches: Iterable[pa.RecordBatch]) -> None:
    """Write rows to standard output as they come."""
    sink, first = CsvWriter(sys.stdout.buffer), 1
    for batch in batches:
        sink.write(_numbered(batch, first))
        sys.stdout.buffer.flush()
        first += batch.num_rows


def _numbered(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    rows = array(np.arange(first, first + batch.num_rows, dtype=np.int64))
    columns = [rows, *(batch.column(name) for name in batch.schema.names if name != CLICK)]
    return pa.RecordBatch.from_arrays(columns, [ROW, *(n for n in batch.schema.names if n != CLICK)])


class CsvWriter:
    """Writes batches as CSV with a header."""

    def __init__(self, file: BinaryIO):
        self._file, self._begun = file, False

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch."""
        if not self._begun:
            self._file.write(",".join(batch.schema.names).encode() + b"\n")
            self._begun = True
        options = csv.WriteOptions(include_header=False, quoting_style="needed")
        csv.write_csv(batch, self._file, options)


def _csv_file(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    with path.open("wb") as file:
        writer = CsvWriter(file)
        for batch in batches:
            writer.write(batch)


def _parquet(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    _written(path, batches, lambda file, schema: pq.ParquetWriter(file, schema))


def _arrow(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    _written(path, batches, pa.ipc.new_file)


def _written(path: Path, batches: Iterator[pa.RecordBatch], make: Callable[[str, pa.Schema], Any]) -> None:
    first = next(batches)
    with make(str(path), first.schema) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)

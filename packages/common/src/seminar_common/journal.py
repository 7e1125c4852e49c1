"""Journals: files of JSON lines that a killed run goes on from.

A journal grows by one line for each thing that is done. The first line says what the journal is of: facts that are
compared when it is opened again (see :mod:`seminar_common.identity`). A journal opened without facts has no such
line and is plain JSON lines.

What survives: each line is handed to the system before :meth:`Journal.append` returns, so that it outlives a kill of
the process. It is forced to the disk (fsync) when the journal is closed and by :meth:`Journal.sync`, not line by line:
after a power cut the last seconds may be missing, and what they said is done again. A last line without its line feed is cut off.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.files import jsonable
from seminar_common.identity import Facts, require_same

_HEAD = "journal_of"
WAY_OUT = "give the same again to go on with it, or choose another --out"


@dataclass
class Journal:
    """A journal that is open for writing."""

    path: Path
    _file: FileIO

    def append(self, record: Any) -> int:
        """Write a record, JSON values with NumPy numbers and paths allowed; return its position for :func:`read_at`.

        Raises:
            ValueError: a number is NaN or infinite.
            OSError: the disk is full; the journal stands as before.
        """
        line = memoryview(json.dumps(record, default=jsonable, allow_nan=False).encode() + b"\n")
        position = self._file.seek(0, os.SEEK_END)
        try:
            while line:  # a disk that is nearly full takes a part
                line = line[self._file.write(line) :]
        except OSError:
            self._file.truncate(position)
            raise
        return position

    def sync(self) -> None:
        """Force to the disk what was appended, so that it outlives a power cut, too."""
        os.fsync(self._file.fileno())

    def records(self) -> Iterator[tuple[int, Any]]:
        """Yield position and content of each record so far."""
        return records(self.path)


@contextmanager
def open_journal(path: Path, facts: Facts | None = None, way_out: str = WAY_OUT) -> Generator[Journal]:
    """Open a journal to write into, going on with what is there; no one else can write into it meanwhile.

    Args:
        path: The file.
        facts: What the records depend on; None for plain JSON lines.
        way_out: What to do where ``facts`` differ from those of the journal, as the end of a message.

    Raises:
        UserError: the journal is of something else, or another process is writing into it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        _lock(file, path)
        _drop_unfinished_line(file)
        journal = Journal(path, file)
        if facts is not None and not file.tell():
            journal.append({_HEAD: dict(facts)})
        elif facts is not None:
            require_same(stored_facts(path), facts, path, way_out)
        try:
            yield journal
        finally:
            os.fsync(file.fileno())


def _lock(file: FileIO, path: Path) -> None:
    """Keep other processes from writing; Windows has no such lock and goes without."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UserError(
            f"{path}: another run is writing to it; wait for it, or choose another --out"
        ) from error


def _drop_unfinished_line(file: FileIO, block: int = 1 << 16) -> None:
    """Cut what a killed run left of its last line; leave the file at its end."""
    keep = file.seek(0, os.SEEK_END)
    while keep:
        start = max(0, keep - block)
        file.seek(start)
        if (at := file.read(keep - start).rfind(b"\n")) >= 0:
            keep = start + at + 1
            break
        keep = start
    file.truncate(keep)
    file.seek(keep)


def records(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield position and content of each record of a journal, without its facts; none if there is no file.

    A last line that is being written, or that a killed run left unfinished, is left out. Memory stays flat.

    Raises:
        UserError: a line is damaged.
    """
    for number, (position, line) in enumerate(_lines(path), 1):
        record = _parsed(line, f"{path}, line {number}")
        if number > 1 or not _is_head(record):
            yield position, record


def read_at(path: Path, positions: Iterator[int]) -> Iterator[Any]:
    """Yield the records that stand at ``positions``, in their order."""
    with path.open("rb") as file:
        for position in positions:
            file.seek(position)
            yield _parsed(file.readline(), f"{path}, byte {position}")


def stored_facts(path: Path) -> Facts | None:
    """Return what a journal says it is of, None if it does not say."""
    _, line = next(_lines(path), (0, b"null"))
    head = _parsed(line, f"{path}, line 1")
    return head[_HEAD] if _is_head(head) else None


def keep_records(path: Path, wanted: Callable[[Any], bool]) -> None:
    """Drop the records that are not ``wanted``, as when a run goes on from a checkpoint before them."""
    with files.atomic_path(path) as temporary, temporary.open("wb") as file:
        for number, (_, line) in enumerate(_lines(path), 1):
            record = _parsed(line, f"{path}, line {number}")
            if (number == 1 and _is_head(record)) or wanted(record):
                file.write(line)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield position and bytes of each whole line."""
    if not path.exists():
        return
    with path.open("rb") as file:
        position = 0
        for line in file:
            if line.endswith(b"\n"):
                yield position, line
            position += len(line)


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise UserError(
            f"{where}: damaged ({error}); cut the file off before it, and the rest is done again"
        ) from error


def _is_head(record: Any) -> bool:
    return isinstance(record, dict) and record.keys() == {_HEAD}

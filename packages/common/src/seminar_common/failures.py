"""``failures.csv``: what could not be used, one row each with the reason, while the rest goes on.

Columns: ``file``; what is numbered in it, under its own name (``page`` or ``line``), empty for a whole file;
``reason``.
"""

import csv
import io
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seminar_common import files
from seminar_common.errors import UserError

FILE = "failures.csv"


@dataclass(frozen=True)
class Failure:
    """A file, or a page or line of one, that was left out."""

    file: str
    reason: str
    number: int | None = None
    """Number of the page or line, from 1; None for the whole file."""


@contextmanager
def writing(path: Path, unit: str = "page") -> Generator[Callable[[Failure], None]]:
    """Yield what adds a failure to a new table; the table stands at ``path`` when the block has ended.

    Rows go to the disk as they come, so that memory does not grow with their number.

    Args:
        path: The table; one that is there is replaced.
        unit: What ``Failure.number`` counts.
    """
    with (
        files.atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file", unit, "reason"])
        yield lambda failure: rows.writerow([failure.file, failure.number, failure.reason])


def add(path: Path, failures: Iterable[Failure]) -> None:
    """Write ``failures`` into the table at ``path``, beside those in it; of two for one thing the later one stays."""
    unit, known = _read(path)
    latest = {(one.file, one.number): one for one in (*known, *failures)}
    with writing(path, unit) as write:
        for one in latest.values():
            write(one)


def read(path: Path) -> list[Failure]:
    """Return the failures in a table, none if there is no table.

    Raises:
        UserError: it is no table of failures.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[str, list[Failure]]:
    """Return what is numbered in a table, and its failures."""
    if not path.exists():
        return "page", []
    (head, *rows) = csv.reader(io.StringIO(files.read_text(path), newline=""))
    try:
        file, unit, reason = head
        if (file, reason) != ("file", "reason"):
            raise ValueError(f"the columns are {', '.join(head)}")
        return unit, [Failure(name, why, int(number) if number else None) for name, number, why in rows]
    except ValueError as error:
        raise UserError(
            f"{path}: not a table of file, page or line, and reason ({error}); remove it"
        ) from error

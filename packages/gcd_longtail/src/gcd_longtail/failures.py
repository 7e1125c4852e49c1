"""Images that could not be used, recorded in ``failures.csv`` while the rest goes on."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seminar_common import files

FILE = "failures.csv"


@dataclass(frozen=True)
class Failure:
    """An image that was left out."""

    key: str
    reason: str


def write_failures(folder: Path, failures: Iterable[Failure]) -> None:
    """Write or extend ``folder/failures.csv``; an image stands in it once."""
    found = {one.key: one for one in (*read_failures(folder), *failures)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "reason"])
    writer.writerows((one.key, one.reason) for one in found.values())
    files.write_text(folder / FILE, text.getvalue())


def read_failures(folder: Path) -> list[Failure]:
    """Return the recorded failures, none if there is no file."""
    file = folder / FILE
    if not file.exists():
        return []
    rows = list(csv.reader(io.StringIO(files.read_text(file))))
    return [Failure(row[0], row[1]) for row in rows[1:]]

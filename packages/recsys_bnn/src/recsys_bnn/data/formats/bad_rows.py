"""Rows that can't be read: what is wrong with one, and what to do about it."""

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from seminar_common.errors import UserError

KEPT = 1000
"""Skipped rows that are remembered one by one; the rest is only counted."""
NAMED = 10
"""Skipped rows that the data set's description names."""


class RowError(Exception):
    """A line that is no row of its format.

    Attributes:
        reason: What kind of fault it is, in one word for counting, e.g. ``label``.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class BadRow:
    """One bad row and where it stands."""

    path: Path
    line: int
    """Number of the line in its file, from 1."""
    reason: str
    message: str
    unit: str = "line"
    """What is numbered: a line, or a row where the file is no text."""


@dataclass
class BadRows:
    """Stop at the first bad row, or count bad rows by reason and go on."""

    on_error: Literal["fail", "skip"]
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[BadRow] = field(default_factory=list)

    def add(self, row: BadRow) -> None:
        """Record ``row``.

        Raises:
            UserError: bad rows are not to be skipped.
        """
        if self.on_error == "fail":
            raise UserError(
                f"{row.path}, {row.unit} {row.line}: {row.message}; mend it, or leave out such rows with --on-error skip"
            )
        self.reasons[row.reason] += 1
        if len(self.first) < KEPT:
            self.first.append(row)

    def summary(self) -> dict[str, Any]:
        """Return the counts and the first few rows as JSON values."""
        named = [
            {"file": row.path.name, "line": row.line, "reason": row.reason, "message": row.message}
            for row in self.first[:NAMED]
        ]
        return {
            "rows": self.reasons.total(),
            "reasons": dict(sorted(self.reasons.items())),
            "first": named,
        }

    def write_csv(self, path: Path) -> None:
        """Write the remembered rows as a table with file, line, reason and message."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "line", "reason", "message"])
            writer.writerows([row.path, row.line, row.reason, row.message] for row in self.first)

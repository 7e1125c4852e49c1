"""The file of decisions of a run while people decide: appended to line by line, each on the disk before it is answered."""

import json
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gcd_longtail.reviewing.decisions import check, decision, head, parsed, read_decisions
from seminar_common.errors import UserError
from seminar_common.journal import Journal, open_journal, records


class Ledger:
    """The decisions about a run, in the order of its file; several threads may use it."""

    def __init__(
        self, journal: Journal, lines: list[dict[str, Any]], names: Sequence[str], keys: Iterable[str]
    ):
        """Go on with a journal that holds ``lines`` about a run with the classes ``names`` and the images ``keys``."""
        self._journal, self._lines, self._names, self._keys = journal, lines, tuple(names), frozenset(keys)
        self._ids = {line["id"] for line in lines}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._lines)

    def exchange(self, after: int, lines: Sequence[Any]) -> list[dict[str, Any]]:
        """Store the ``lines`` that are not there yet, all or none; return every line from number ``after`` on.

        Raises:
            UserError: one is no decision, or is about a class or an image that is not there; nothing is stored then.
        """
        with self._lock:
            fresh = [
                line for line in lines if not isinstance(line, Mapping) or line.get("id") not in self._ids
            ]
            self._check(fresh)
            for line in fresh:
                self._journal.append(line)
            if fresh:
                self._journal.sync()
            self._lines += fresh
            self._ids |= {line["id"] for line in fresh}
            return self._lines[max(0, after) :]

    def _check(self, lines: Sequence[Any]) -> None:
        if not lines:
            return
        for line in lines:
            if not isinstance(line, Mapping):
                raise UserError(f"a decision must be a JSON object, not {type(line).__name__}")
            parsed(line, "the decision")
        ids = [line["id"] for line in lines]
        if len(set(ids)) < len(ids):
            raise UserError("two decisions have one id")
        known = self._ids.union(ids)
        lost = next(
            (line["of"] for line in lines if line["action"] == "undo" and line["of"] not in known), None
        )
        if lost is not None:
            raise UserError(f"takes back {lost!r}, which is not there")
        check([decision(line) for line in (*self._lines, *lines)], self._names, self._keys)


@contextmanager
def open_ledger(path: Path, run: str, names: Sequence[str], keys: Sequence[str]) -> Generator[Ledger]:
    """Open the decisions in ``path`` to go on with them, or begin a file.

    Args:
        path: the file.
        run: digest of the run.
        names: its classes.
        keys: its images.

    Raises:
        UserError: the file is of another run or damaged, or another process has it open.
    """
    if path.exists() and path.stat().st_size:
        _end_last_line(path)
        check(read_decisions(path, run), names, frozenset(keys))
    with _opened(path) as journal:
        if not path.stat().st_size:
            journal.append(head(run, len(keys)))
        lines = [line for _, line in records(path) if line["action"] != "run"]
        yield Ledger(journal, lines, names, keys)


@contextmanager
def _opened(path: Path) -> Generator[Journal]:
    with ExitStack() as stack:
        try:
            journal = stack.enter_context(open_journal(path))
        except UserError as error:
            raise UserError(
                f"{path}: another `gcd-longtail review` is deciding about this run; use its page, or stop it"
            ) from error
        yield journal


def _end_last_line(path: Path) -> None:
    """Write the line feed that an editor left out, lest the last decision counts as unfinished."""
    data = path.read_bytes()
    if data.endswith(b"\n"):
        return
    try:
        json.loads(data.rpartition(b"\n")[2])
    except ValueError:
        return
    with path.open("ab") as file:
        file.write(b"\n")

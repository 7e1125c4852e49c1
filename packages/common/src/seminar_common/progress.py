"""What a command says while it works: single lines, a bar on a terminal, and lines in a log file.

Only the first process of several speaks, and always to standard error, so that standard output stays clean for pipes.
"""

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[..., None]

FIRST_LINE = 1.5
"""Seconds after which a command that has said nothing yet says what it is doing."""
BETWEEN_LINES = 20.0
"""Seconds between two lines of a bar that has no terminal."""
MOST_SILENCE = 28.0
"""Seconds without a line after which a command that shows no bar says that it still works."""

_silences, _lock = 0, threading.Lock()
"""How many blocks of :func:`silent` are running."""
_said_at: float | None = None
"""When this process last said something, by the monotonic clock."""


@functools.cache  # bars on one console stack: on two they would write over each other
def console() -> "Console":
    """Return the console on standard error, so that standard output stays clean for pipes."""
    from rich.console import Console

    return Console(stderr=True, quiet=not is_first_process())


def is_first_process() -> bool:
    """Say whether this is the only process or the first one under ``torchrun``."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def silent() -> Generator[None]:
    """Say nothing while the block runs, in any thread of this process: for calls from a user's own Python."""
    global _silences
    with _lock:
        _silences += 1
    try:
        yield
    finally:
        with _lock:
            _silences -= 1


def say(message: str) -> None:
    """Print one line to standard error, from the first process only."""
    global _said_at
    if is_first_process() and not _silences:
        _said_at = time.monotonic()
        print(message, file=sys.stderr, flush=True)


@contextmanager
def heartbeat(line: Callable[[], str], silence: float, first: float | None = None) -> Generator[None]:
    """Say ``line()`` while the block runs: after ``first`` seconds, then whenever nothing was said for ``silence``.

    A thread speaks, so a step that takes minutes doesn't hold the line back.
    """
    beat, stop = Beat(line, silence, FIRST_LINE if first is None else first), threading.Event()

    def run() -> None:
        while not stop.wait(max(0.05, beat.due() - time.monotonic())):
            beat.speak_if_due()

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Beat:
    """Knows when the next line is due."""

    def __init__(
        self,
        line: Callable[[], str],
        silence: float,
        first: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Start the clock; ``first`` and ``silence`` are in seconds."""
        self._line, self._silence, self._first, self._clock = line, silence, first, clock
        self._started = clock()
        self._spoken_at: float | None = None

    def due(self) -> float:
        """Return the time at which the next line is due: any line that was said puts it off."""
        said = max((at for at in (_said_at, self._spoken_at) if at is not None), default=0.0)
        return self._started + self._first if said < self._started else said + self._silence

    def speak_if_due(self) -> None:
        """Say the line unless it is too early."""
        if self._clock() >= self.due():
            self._spoken_at = self._clock()
            say(self._line())


class _Count:
    """How far a piece of work is, as one line for a log file."""

    def __init__(self, description: str, total: float | None, unit: str, clock: Callable[[], float]):
        self.description, self.total, self.unit, self.note = description, total, unit, ""
        self.done, self.lines = 0.0, 0
        self._clock = clock
        self._since: tuple[float, float] | None = None

    def line(self) -> str:
        """Return what is done, the note, the rate and the time left."""
        self.lines += 1
        return ", ".join(part for part in (self.amount(), self.note, *self._speed()) if part)

    def amount(self) -> str:
        """Return what is done, of how much."""
        of = "" if self.total is None else f" of {self._amount(self.total)}"
        return f"{self.description}: {self._amount(self.done)}{of}"

    def _speed(self) -> list[str]:
        # From the first line on: what a resumed run had done before, and loading, would make a wrong rate.
        now = self._clock()
        if self._since is None:
            self._since = (now, self.done)
            return []
        seconds, done = now - self._since[0], self.done - self._since[1]
        if seconds <= 0 or done <= 0:
            return []
        rate = done / seconds
        left = [] if self.total is None else [f"{duration((self.total - self.done) / rate)} left"]
        return [f"{self._rate(rate)}", *left]

    def _rate(self, rate: float) -> str:
        if rate < 1 and self.unit != "B":
            return f"{1 / rate:.1f} s each"
        return f"{self._amount(rate) if self.unit == 'B' or rate >= 100 else f'{rate:.1f}'}/s"

    def _amount(self, value: float) -> str:
        if self.unit != "B":
            return f"{value:,.0f}"
        return f"{value / 1e6:,.1f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} kB"


def duration(seconds: float) -> str:
    """Return seconds as a person says them: ``40 s``, ``12 min`` or ``3 h 05 min``."""
    if seconds < 100:
        return f"{max(0, seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def progress(description: str, total: float | None, unit: str = "") -> Generator[Advance]:
    """Show how far the block is; yield ``advance(amount=1, note="")``.

    Args:
        description: What is being done, e.g. ``"reading"``.
        total: The amount of work, or None if it isn't known.
        unit: ``"B"`` shows bytes in a readable form; anything else counts items.

    A terminal gets a bar. A log file or a pipe gets a line after some seconds and then one every 20 s or so, with
    what is done, the note, the rate and the time left; work that takes no time leaves no line.
    """
    if is_first_process() and sys.stderr.isatty() and not _silences:
        with _bar(description, total, unit) as advance:
            yield advance
        return
    count = _Count(description, total, unit, time.monotonic)

    def advance(amount: float = 1, note: str | None = None) -> None:
        count.done += amount
        count.note = count.note if note is None else note

    started = time.monotonic()
    with heartbeat(count.line, BETWEEN_LINES):
        yield advance
    if count.lines:
        say(f"{count.amount()} in {duration(time.monotonic() - started)}")


@contextmanager
def _bar(description: str, total: float | None, unit: str) -> Generator[Advance]:
    from rich import progress as rich

    amount: rich.ProgressColumn = rich.DownloadColumn() if unit == "B" else rich.MofNCompleteColumn()
    bar = rich.Progress(
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        amount,
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[note]}"),
        console=console(),
    )
    with bar:
        task = bar.add_task(description, total=total, note="")

        def advance(amount: float = 1, note: str | None = None) -> None:
            bar.update(task, advance=amount)
            if note is not None:
                bar.update(task, note=note)

        yield advance

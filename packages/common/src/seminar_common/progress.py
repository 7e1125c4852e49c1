"""Progress bars with an ETA, on the terminal of the first process only."""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[..., None]


def console() -> Console:
    """Return a console on standard error, so that standard output stays clean for pipes."""
    return Console(stderr=True, quiet=not is_first_process())


def is_first_process() -> bool:
    """Say whether this is the only process or the first one under ``torchrun``."""
    return int(os.environ.get("RANK", "0")) == 0


def say(message: str) -> None:
    """Print one line to standard error, from the first process only."""
    if is_first_process():
        print(message, file=sys.stderr, flush=True)


@contextmanager
def progress(description: str, total: float | None, unit: str = "") -> Generator[Advance]:
    """Show a bar while the block runs; yield ``advance(amount=1, note="")``.

    Args:
        description: What is being done, e.g. ``"reading"``.
        total: The amount of work, or None if it isn't known.
        unit: ``"B"`` shows bytes in a readable form; anything else counts items.

    The bar needs a terminal: in a log file or a pipe nothing is drawn.
    """
    amount: ProgressColumn = DownloadColumn() if unit == "B" else MofNCompleteColumn()
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console(),
        disable=not (is_first_process() and sys.stderr.isatty()),
    )
    with bar:
        task = bar.add_task(description, total=total, note="")

        def advance(amount: float = 1, note: str | None = None) -> None:
            bar.update(task, advance=amount)
            if note is not None:
                bar.update(task, note=note)

        yield advance

"""Ends this process when something takes too long, be it C code that never comes back and holds Python's lock."""

import faulthandler
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

_lock = threading.Lock()
_deadlines: dict[object, float] = {}
"""When each block that is under way must have ended, by the monotonic clock; threads may have one each."""


@contextmanager
def ends_process_after(seconds: float) -> Generator[None]:
    """End the process, at once and with status 1, if the block takes longer than ``seconds``.

    The clock is a thread of faulthandler's that needs nothing of Python. What it would print goes nowhere.
    """
    block = object()
    _set(block, time.monotonic() + seconds)
    try:
        yield
    finally:
        _set(block, None)


def _set(block: object, deadline: float | None) -> None:
    with _lock:
        faulthandler.cancel_dump_traceback_later()
        _deadlines.pop(block, None)
        if deadline is not None:
            _deadlines[block] = deadline
        if _deadlines:
            left = max(0.001, min(_deadlines.values()) - time.monotonic())
            faulthandler.dump_traceback_later(left, exit=True, file=_sink())


@cache
def _sink() -> int:
    """Return a descriptor that takes what faulthandler writes."""
    return os.open(os.devnull, os.O_WRONLY)

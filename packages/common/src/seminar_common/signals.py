"""A clean end on SIGTERM, as a scheduler or `timeout` sends it: what is half-written is removed, workers end."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

GRACE = 5.0
"""Seconds that worker processes have to finish what they are writing."""


class Terminated(SystemExit):
    """Raised in the main thread by SIGTERM, so that every ``finally`` runs."""


@contextmanager
def terminable() -> Generator[None]:
    """Turn SIGTERM into :class:`Terminated` while the block runs; leave no worker process behind.

    What else is raised after the signal is :class:`Terminated`, too: where a scheduler ends a whole process group, workers may
    be gone first, and the library that they belong to complains. Only the main thread of the main interpreter can do so;
    elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, _handler(os.getpid(), received))
    try:
        yield
    except BaseException as error:
        if not received:
            raise
        end_workers()
        if isinstance(error, Terminated):
            raise
        raise Terminated(128 + received[0]) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _handler(owner: int, received: list[int]) -> Callable[[int, FrameType | None], None]:
    """Return a handler that notes its signal in ``received`` and raises, in the process ``owner``."""

    def terminate(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker: it ends at once, its work is not kept
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        # A second signal, as one to a whole process group brings, must not stop the tidying.
        signal.signal(number, signal.SIG_IGN)
        received.append(number)
        patience = threading.Timer(GRACE, end_workers)
        patience.daemon = True
        patience.start()
        raise Terminated(128 + number)

    return terminate


def end_workers() -> None:
    """Send SIGTERM to the worker processes that are still there."""
    for worker in multiprocessing.active_children():
        worker.terminate()

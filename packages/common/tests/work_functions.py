"""What the tests of work and of fresh processes run in other processes, which can't import a test module."""

import ctypes
import functools
import os
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from seminar_common.errors import UserError


@dataclass(frozen=True)
class Squares:
    """Squares numbers, and leaves a file in ``folder`` for each time that it has begun one."""

    folder: Path
    kills: int | None = None
    """The piece that kills its worker ..."""
    times: int = 1
    """... as often as this."""

    def __call__(self, number: int) -> int:
        begun = len(list(self.folder.glob(f"{number}-*")))
        (self.folder / f"{number}-{uuid.uuid4().hex}").touch()
        time.sleep(0.02)
        if number == self.kills and begun < self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    def begun(self, number: int) -> int:
        return len(list(self.folder.glob(f"{number}-*")))


def never_ends_at_3(number: int) -> int:
    """Return the number; for 3 stay in C code that holds Python's lock."""
    if number == 3:
        ctypes.PyDLL(None).pause()
    return number


def is_interrupt_blocked(piece: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@dataclass(frozen=True)
class Loaded:
    """Loads something once in each worker."""

    @functools.cached_property
    def model(self) -> str:
        return uuid.uuid4().hex

    def __call__(self, number: int) -> tuple[int, str]:
        return os.getpid(), self.model


def fails(number: int) -> int:
    if number == 3:
        raise UserError("page 3 is not there")
    return number


def settings_of_threads(number: int) -> tuple[str | None, str | None]:
    return os.environ.get("OMP_NUM_THREADS"), os.environ.get("OMP_WAIT_POLICY")


def sleep(folder: str) -> None:
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(60)


def allocate(megabytes: int) -> int:
    return len(bytearray(b"x") * (megabytes * 10**6))


def spin(seconds: float) -> str | None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    print("chatter on standard output")
    return os.environ.get("OMP_NUM_THREADS")


def shout() -> None:
    raise RuntimeError("the engine is missing")


def refuse(path: str) -> None:
    raise UserError(f"{path}: not a model")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

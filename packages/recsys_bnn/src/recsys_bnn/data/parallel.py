"""Work on consecutive pieces of a log, in threads here or on a Dask cluster, with the results in the order of the log.

Arrow, NumPy and the compiled kernels hold no lock, so on one machine threads use all cores and share what is in memory.
On a cluster a piece says where its rows stand, in the input or in the staged file, and the worker reads them there.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from seminar_common.device import usable_cores
from seminar_common.errors import UserError
from seminar_common.work import Failed, WorkConfig, executor, results_in_order

MOST_AHEAD = 16
"""Pieces under way at once: one process reads the log and writes the rows, and keeps no more workers busy than that."""

Piece = TypeVar("Piece")
Answer = TypeVar("Answer")


class OrderedMap(Protocol):
    """Applies a function to pieces and gives the results in order, as the built-in ``map`` does."""

    def __call__(self, function: Callable[[Piece], Answer], pieces: Iterable[Piece], /) -> Iterable[Answer]:
        """Yield ``function`` of each piece."""
        ...


@contextmanager
def parallel_map(config: WorkConfig) -> Generator[OrderedMap]:
    """Yield a ``map`` that works in threads or on a cluster, and takes pieces as it needs them.

    Raises:
        UserError: there is no such cluster, or no worker survives a piece.
    """
    # Which cores are free is not asked: the system gives threads those, and to look takes as long as 200,000 rows.
    config = replace(config, workers=config.workers or usable_cores())
    with executor(config, "threads") as workers:

        def ordered_map(function: Callable[[Piece], Answer], pieces: Iterable[Piece], /) -> Iterable[Answer]:
            window = min(workers.capacity, MOST_AHEAD)
            for piece, answer in results_in_order(workers, function, pieces, window):
                if isinstance(answer, Failed):
                    raise UserError(f"{piece}: {answer.reason}; start workers with more memory")
                yield answer

        yield ordered_map


@contextmanager
def on_shared_disk(path: Path) -> Generator[None]:
    """Make what keeps a worker from reading ``path`` a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: a worker can't read it ({error.strerror or error}); a cluster needs input and --out on a disk that "
            "all its machines see at the same path"
        ) from error

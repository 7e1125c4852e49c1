"""Independent pieces of work: in this process, in several on this machine, or on a Dask cluster; the results are equal.

::

    with executor(settings.work) as workers:
        for page, found in results_as_completed(workers, Finder(settings), pages):
            if isinstance(found, Failed):  # the page kills its worker whenever it is tried
                ...

The function and the pieces are pickled for other processes, so the function stands in a module or is an instance of a
class that does. It is unpickled once in each worker: an instance keeps there what it has loaded, for instance by
``functools.cached_property``. A Dask worker may call it in several threads at once. On a cluster the workers have the
same packages installed and see the same files at the same paths.

A worker that dies is replaced, and its piece is done again: what a piece writes must be the same each time and must be
written atomically. A piece that takes longer than the executor's limit ends its worker, too, and is not tried again
here; a cluster tries it as often as any that kills its worker. Where this process ends, by whatever signal, its workers end with it; a cluster's workers end the
pieces that they have begun and take no others.
"""

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent import futures
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from multiprocessing import connection, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from seminar_common.device import environment_set, free_cores, thread_variables
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.watchdog import ends_process_after

if TYPE_CHECKING:
    from distributed import Client

Piece = TypeVar("Piece")
Answer = TypeVar("Answer")

ATTEMPTS = 3
"""So often a piece may kill its worker before it counts as failed."""
AHEAD = 2
"""Pieces handed out for each worker, so that none idles while a result is dealt with."""
CONNECT_S = 10.0
"""How long a cluster's scheduler has to answer."""
DESERTED_S = 60.0
"""How long a cluster may be without any worker, at the start and in the middle of the work."""
_CHECK_S = 5.0


@dataclass(frozen=True)
class WorkConfig:
    """Where independent pieces of work run."""

    workers: int = 0
    """Pieces worked on at once on this machine; 0 takes all free cores."""
    cluster: str | None = None
    """Work on a Dask cluster instead: its scheduler's address (tcp://host:8786) or scheduler file."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UserError(f"--workers {self.workers}: must be 0 (all free cores) or more")


@dataclass(frozen=True)
class Failed:
    """What stands in place of the answer to a piece that no worker survives."""

    reason: str


class WorkerDied(Exception):
    """A piece has killed each worker that tried it."""


class Workers(Executor):
    """An executor that tells how much work to hand out, and which errors mean that a worker has died."""

    died: tuple[type[Exception], ...] = (WorkerDied,)
    distant = False
    """Whether handing out a piece takes milliseconds."""
    limit_s = 0.0
    """Seconds that a piece may take; 0 for no limit."""

    @property
    def capacity(self) -> int:
        """Pieces to hand out at once."""
        return 1

    def ship(self, function: Callable[[Piece], Answer]) -> Callable[[Piece], Answer]:
        """Return what to submit in place of ``function``."""
        return function

    def check(self) -> None:
        """Raise a UserError if the results that are waited for can't come any more."""

    def abandon(self) -> None:
        """Stop working at once, as after an error or an interrupt; :meth:`shutdown` comes after."""


@contextmanager
def executor(
    config: WorkConfig, local: Literal["processes", "threads"] = "processes", limit_s: float = 0.0
) -> Generator[Workers]:
    """Yield the workers that ``config`` names; they end with the block.

    Args:
        config: One worker here is this process itself, without any pickling, unless there is a limit.
        local: What several workers here are. Threads are for functions that leave Python for most of their time and
            share something large; they have no limit.
        limit_s: Seconds that a piece may take, be it in C code that never comes back; 0 for no limit.

    Raises:
        UserError: the cluster can't be reached or has no workers, or the extra for clusters is not installed.
    """
    workers = _open(config, local, limit_s)
    try:
        yield workers
    except BaseException:
        workers.abandon()
        raise
    finally:
        workers.shutdown(cancel_futures=True)


def _open(config: WorkConfig, local: str, limit_s: float) -> Workers:
    if config.cluster is not None:
        return _Cluster(config.cluster, limit_s)
    count = config.workers or free_cores()
    if local == "processes" and (count > 1 or limit_s):
        return _Processes(count, limit_s)
    return _Threads(count) if count > 1 else _Inline()


# ----------------------------------------------------------------------------------------------------- results


def results_in_order(
    workers: Workers, function: Callable[[Piece], Answer], pieces: Iterable[Piece], window: int | None = None
) -> Iterator[tuple[Piece, Answer | Failed]]:
    """Yield each piece with ``function`` of it, in the order of ``pieces``.

    Pieces are taken as they are needed, ``window`` of them ahead (by default :attr:`Workers.capacity`), so that
    memory does not grow with their number. An exception that ``function`` raises is raised here.
    """
    watched = _watched(workers, function)
    return _results(workers, watched, pieces, window, lambda under_way: [next(iter(under_way))])


def results_as_completed(
    workers: Workers,
    function: Callable[[Piece], Answer],
    pieces: Iterable[Piece],
    window: int | None = None,
    batch: int = 1,
) -> Iterator[tuple[Piece, Answer | Failed]]:
    """Yield each piece with ``function`` of it as it is done; apart from the order as :func:`results_in_order`.

    Args:
        workers: They do the work.
        function: Of one piece.
        pieces: Taken as they are needed.
        window: Pieces, or batches, handed out at once.
        batch: Pieces that a cluster's worker takes at once, so that the 4 to 10 ms that Dask needs to hand something
            out don't count. Of a batch that no worker survives, each piece is tried again by itself.
    """
    watched = _watched(workers, function)
    if batch == 1 or not workers.distant:
        return _results(workers, watched, pieces, window, list)
    return _batched_results(workers, watched, pieces, window, batch)


def _watched(workers: Workers, function: Callable[[Piece], Answer]) -> Callable[[Piece], Answer]:
    return _Watched(function, workers.limit_s) if workers.limit_s else function


@dataclass(frozen=True)
class _Watched:
    """A function of one piece, which ends its process where it takes too long."""

    function: Callable[[Any], Any]
    limit_s: float

    def __call__(self, piece: Any) -> Any:
        with ends_process_after(self.limit_s):
            return self.function(piece)


def _batched_results(
    workers: Workers,
    function: Callable[[Piece], Answer],
    pieces: Iterable[Piece],
    window: int | None,
    size: int,
) -> Iterator[tuple[Piece, Answer | Failed]]:
    left, suspects = iter(pieces), []
    batches = iter(lambda: tuple(islice(left, size)), ())
    for batch, answers in _results(workers, _Batch(function), batches, window, list):
        if isinstance(answers, Failed):
            suspects += batch
        else:
            yield from zip(batch, answers, strict=True)
    yield from _results(workers, function, suspects, window, list)


@dataclass(frozen=True)
class _Batch:
    """A function of one piece, made one of several."""

    function: Callable[[Any], Any]

    def __call__(self, pieces: tuple[Any, ...]) -> list[Any]:
        return [self.function(piece) for piece in pieces]


def _results(
    workers: Workers,
    function: Callable[[Piece], Answer],
    pieces: Iterable[Piece],
    window: int | None,
    awaited: Callable[[Iterable[Future[Answer]]], list[Future[Answer]]],
) -> Iterator[tuple[Piece, Answer | Failed]]:
    """Keep the window full, and yield of the ``awaited`` pieces those that are done."""
    shipped, source = workers.ship(function), iter(pieces)
    under_way: dict[Future[Answer], Piece] = {}

    def hand_out() -> None:
        room = (window or workers.capacity) - len(under_way)
        for piece in islice(source, max(0, room)):
            under_way[workers.submit(shipped, piece)] = piece

    try:
        hand_out()
        while under_way:
            for future in _done(workers, awaited(under_way)):
                piece = under_way.pop(future)
                yield piece, _answer(workers, future, shipped, piece, under_way)
                hand_out()
    finally:
        for future in under_way:
            future.cancel()


def _done(workers: Workers, some: Iterable[Future[Answer]]) -> Iterable[Future[Answer]]:
    """Wait until one of ``some`` is done; return those that are."""
    while True:
        done, _ = futures.wait(some, _CHECK_S, futures.FIRST_COMPLETED)
        if done:
            return done
        workers.check()


def _answer(
    workers: Workers,
    future: Future[Answer],
    shipped: Callable[[Piece], Answer],
    piece: Piece,
    others: Mapping[Future[Answer], Piece],
) -> Answer | Failed:
    try:
        return future.result()
    except WorkerDied as error:
        return Failed(str(error))
    except workers.died:
        return _alone(workers, shipped, piece, others)
    except futures.CancelledError:  # not by us: what we cancel is not asked for
        workers.check()
        raise


def _alone(
    workers: Workers,
    shipped: Callable[[Piece], Answer],
    piece: Piece,
    others: Mapping[Future[Answer], Piece],
) -> Answer | Failed:
    """Try a piece once more with nothing beside it: Dask blames all that a dead worker had, not only what killed it."""
    for other in others:
        _done(workers, [other])
    (future,) = _done(workers, [workers.submit(shipped, piece)])
    try:
        return future.result()
    except workers.died as error:
        overtime = f" or took longer than {workers.limit_s:g} s" if workers.limit_s else ""
        return Failed(f"each worker that tried it died{overtime}: {error}")


# ------------------------------------------------------------------------------------------------ on this machine


class _Inline(Workers):
    """Work done in this thread, when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _Threads(ThreadPoolExecutor, Workers):
    def __init__(self, count: int):
        super().__init__(count, thread_name_prefix="worker")
        self.count = count

    @property
    def capacity(self) -> int:
        return AHEAD * self.count


_starting = threading.Lock()


class _Processes(_Threads):
    """Threads that each keep one process at work.

    A pool of one process each, in place of one for all, tells which piece killed its worker, and leaves the other
    workers as they are: Python's pool ends them all with the first.
    """

    def __init__(self, count: int, limit_s: float):
        super().__init__(count)
        self.limit_s = limit_s
        self._own = threading.local()
        self._pools: set[ProcessPoolExecutor] = set()
        self._abandoned = False
        # Only this process holds the other end: when it closes it, or is gone, the workers read the end of the pipe.
        self._lifeline, self._held = get_context("spawn").Pipe(duplex=False)

    def ship(self, function: Callable[[Piece], Answer]) -> Callable[[Piece], Answer]:
        return _Shipped(pickle.dumps(function))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(self._supervise, fn, *args, **kwargs)

    def _supervise(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for _ in range(ATTEMPTS):
            pool, began = self._pool(), time.monotonic()
            try:
                return pool.submit(function, *args, **kwargs).result()
            except BrokenProcessPool:
                self._pools.discard(pool)
                pool.shutdown()
                del self._own.pool
                if self._abandoned:
                    raise
                if self.limit_s and time.monotonic() - began >= self.limit_s:
                    raise WorkerDied(f"took longer than {self.limit_s:g} s") from None
        raise WorkerDied(
            f"its worker process died {ATTEMPTS} times; too little memory, or a fault in a library"
        )

    def _pool(self) -> ProcessPoolExecutor:
        """Return this thread's pool, which has a process that runs."""
        if not hasattr(self._own, "pool"):
            pool = ProcessPoolExecutor(1, get_context("spawn"), _start_worker, (self._lifeline,))
            self._pools.add(pool)
            try:
                with _starting, environment_set(thread_variables(1)), _interrupts_blocked():
                    started = pool.submit(os.getpid)
                started.result()
            except BrokenProcessPool as error:
                raise UserError("a worker process can't be started here; use --workers 1") from error
            self._own.pool = pool
        return self._own.pool

    def abandon(self) -> None:
        self._abandoned = True
        self._held.close()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        for pool in self._pools:
            pool.shutdown(wait)
        self._held.close()
        self._lifeline.close()


@contextmanager
def _interrupts_blocked() -> Generator[None]:
    """Keep SIGINT from this thread and from the processes that it starts.

    Ctrl-C reaches the whole group, and the first process answers it. A worker that still imports would end in a
    traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(lifeline: connection.Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: connection.Connection) -> None:
    connection.wait([lifeline])
    os._exit(1)


@dataclass(frozen=True)
class _Shipped:
    """A function as it is sent to a worker."""

    pickled: bytes = field(repr=False)

    def __call__(self, piece: Any) -> Any:
        return _unpickled(self.pickled)(piece)


@lru_cache(maxsize=4)
def _unpickled(data: bytes) -> Callable[[Any], Any]:
    return pickle.loads(data)


# ---------------------------------------------------------------------------------------------------- on a cluster


class _Cluster(Workers):
    """The workers of a Dask cluster. Dask tries a piece again by itself, and gives up with ``KilledWorker``."""

    distant = True

    def __init__(self, address: str, limit_s: float):
        self.address, self.limit_s = address, limit_s
        self._client = _connect(address)
        from distributed import KilledWorker

        self.died = (KilledWorker,)
        self._executor = self._client.get_executor(pure=False)
        self._asked, self._threads = 0.0, 1
        self._staffed = time.monotonic()
        say(f"cluster {address}: {self.capacity // AHEAD} threads of workers")

    @property
    def capacity(self) -> int:
        """Pieces to hand out at once; it follows workers that join or leave."""
        if time.monotonic() - self._asked > _CHECK_S:
            self.check()
        return AHEAD * self._threads

    def ship(self, function: Callable[[Piece], Answer]) -> Callable[[Piece], Answer]:
        return _Shipped(pickle.dumps(function))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._executor.submit(fn, *args, **kwargs)

    def check(self) -> None:
        now = time.monotonic()
        try:
            threads = sum(self._client.nthreads().values())
        except (OSError, ValueError, TypeError) as error:
            raise UserError(self._lost()) from error
        self._asked, self._threads = now, max(1, threads)
        self._staffed = now if threads else self._staffed
        if now - self._staffed > DESERTED_S:
            raise UserError(
                f"--cluster {self.address}: has lost all its workers; start some and run this again"
            )

    def _lost(self) -> str:
        return (
            f"--cluster {self.address}: the scheduler does not answer any more; start it and run this again"
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()


def _connect(address: str) -> "Client":
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError("--cluster needs Dask; install the extra `seminar-common[cluster]`") from error
    where: dict[str, Any] = {"address": address}
    if address.endswith(".json"):
        if not Path(address).is_file():  # Dask would wait for it
            raise UserError(
                f"--cluster {address}: no such scheduler file; start `dask scheduler` with it first"
            )
        where = {"scheduler_file": address}
    try:
        client = Client(**where, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--cluster {address}: no Dask scheduler answers there within {CONNECT_S:g} s; start it, or mend the address"
        ) from error
    try:
        client.wait_for_workers(1, timeout=DESERTED_S)
    except OSError as error:
        client.close()
        raise UserError(
            f"--cluster {address}: no worker has joined it within {DESERTED_S:g} s; start some with `dask worker`"
        ) from error
    return client

"""The process that runs one model: it opens it, scores, and keeps the time.

Each model has a process of its own, so that threads, memory and a crash stay its own; the caller lets them take turns.
"""

import os
from collections.abc import Sequence
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np

from recsys_bnn.benchmarks.runners import RUNNERS, Call, Runner

_LEAST_CALLS = 3
_MOST_BATCHES = 20_000
_READ_ROWS, _READ_BATCH = 16_384, 512


class Pool:
    """Rows to score: ``integers.npy``, float32 [N, I], and ``ids.npy``, int32 [N, F], in a folder."""

    def __init__(self, folder: Path):
        self.integers, self.ids = (np.load(folder / f"{name}.npy") for name in ("integers", "ids"))

    def batches(self, runner: Runner, size: int) -> list[tuple[Any, ...]]:
        """Return the inputs of one call after another, each of ``size`` rows."""
        given = runner.inputs(self.integers, self.ids)
        starts = range(0, len(self.ids) - size + 1, size)[:_MOST_BATCHES]
        return [tuple(each[start : start + size] for each in given) for start in starts]


class Session:
    """A runner with a model that is open."""

    def __init__(self, runner: Runner):
        self.runner = runner
        self._score: Call | None = None
        self._calls: dict[int, list[tuple[Any, ...]]] = {}

    def open(self, folder: str, pool: str, threads: int) -> None:
        """Open the model in ``folder`` in place of another, and take rows from ``pool``."""
        self._score = None
        self._calls.clear()
        self.pool = Pool(Path(pool))
        self._score = self.runner.open(Path(folder), threads)

    def probabilities(self, rows: int, batch: int = 2048) -> list[float]:
        """Return those of the first ``rows`` of the pool."""
        assert self._score is not None
        given = self.runner.inputs(self.pool.integers[:rows], self.pool.ids[:rows])
        parts = [
            np.asarray(self._score(*(each[start : start + batch] for each in given)), np.float64)
            for start in range(0, len(given[0]), batch)
        ]
        return (1 / (1 + np.exp(-np.concatenate(parts)))).tolist()

    def time(self, batch: int, seconds: float) -> dict[str, float]:
        """Return what a call of ``batch`` rows takes, over so many ``seconds``.

        Median and 99th percentile in microseconds, rows a second, and the number of calls; of an engine that can keep
        the time itself, also ``inside``, the median without what Python adds.
        """
        assert self._score is not None
        if batch not in self._calls:
            self._calls[batch] = self.pool.batches(self.runner, batch)
        took = timed(self._score, self._calls[batch], seconds)
        found = {
            "p50": float(np.median(took)) / 1e3,
            "p99": float(np.percentile(took, 99)) / 1e3,
            "rows_per_s": batch * len(took) / took.sum() * 1e9,
            "calls": len(took),
        }
        engine = getattr(self._score, "__self__", None)
        if hasattr(engine, "call_times"):
            inside = engine.call_times(self.pool.integers, self.pool.ids, batch, seconds / 5)
            found["inside"] = float(np.median(inside)) / 1e3
        return found

    def choices(self) -> list[str]:
        """Return which kernel runs what, by an engine that chooses."""
        engine = getattr(self._score, "__self__", None)
        found = engine.choices() if hasattr(engine, "choices") else []
        return [f"{each.part}, {each.rows}: {each.kernel}" for each in found]


def timed(score: Call, calls: Sequence[tuple[Any, ...]], seconds: float) -> np.ndarray:
    """Return the nanoseconds of calls, int64 [n], for so many ``seconds`` and at least three times.

    What the processor had in its caches belongs to whoever had the turn before: a tenth of the time is not counted.
    """
    took: list[int] = []
    started = perf_counter()
    warm = started + seconds / 10
    for number in count():
        given = calls[number % len(calls)]
        before = perf_counter_ns()
        score(*given)
        after = perf_counter_ns()
        now = perf_counter()
        if now >= warm and number:
            took.append(after - before)
        if now - started >= seconds and len(took) >= _LEAST_CALLS:
            return np.array(took)
    raise AssertionError


def stay_on_cores(count: int) -> None:
    """Keep this process to so many of the cores that it may use, the last ones: those of all subjects alike.

    A virtual machine's cores may differ by a third in what others leave of them, and a process tends to stay on one.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-count:])


def work(connection: Connection, runner: str, threads: int) -> None:
    """Answer the requests that come, each the name of a method of :class:`Session` with its arguments."""
    stay_on_cores(threads)
    session = Session(RUNNERS[runner])
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("ok", getattr(session, method)(**arguments)))
        except Exception as error:  # whatever a rival raises is its reason for not being in the table
            connection.send(("failed", " ".join(f"{type(error).__name__}: {error}".split())[:300]))


def first_score(runner: str, folder: str, pool: str, threads: int) -> dict[str, float]:
    """Return what a process takes that starts to score: seconds to the first score, and memory in MB.

    ``libraries_mb`` is what the imports add to Python with NumPy, ``model_rss_mb`` what opening the model and scoring add to
    those: what is mapped of a file counts as far as it was read.
    """
    found, rows = RUNNERS[runner], Pool(Path(pool))
    bare, started = resident_mb(), perf_counter()
    code = found.code
    libraries = resident_mb()
    score = found.open(Path(folder), threads)
    score(*code.inputs(rows.integers[:1], rows.ids[:1]))
    seconds = perf_counter() - started
    for start in range(0, min(_READ_ROWS, len(rows.ids)), _READ_BATCH):
        part = slice(start, start + _READ_BATCH)
        score(*code.inputs(rows.integers[part], rows.ids[part]))
    return {
        "cold_start_s": seconds,
        "libraries_mb": libraries - bare,
        "model_rss_mb": resident_mb() - libraries,
    }


def resident_mb() -> float:
    """Return the memory of this process that is in RAM, in MB of 10^6 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

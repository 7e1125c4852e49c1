"""What handing out a piece of work costs, by where it is done: wall time of pieces that do nothing.

``python tools/work_overhead.py --out DIR`` writes ``DIR/results.json`` and a report. It starts a Dask cluster of two
worker processes on this machine; the network between machines adds to what it measures.
"""

import operator
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from seminar_common import cli
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row
from seminar_common.runs import command_line, environment
from seminar_common.work import WorkConfig, executor, results_in_order

Local = Literal["processes", "threads"]
NOTE = (
    "Wall time a piece with two pieces a worker under way. What the pieces or their results weigh is not in it, "
    "nor is the network between machines."
)


@dataclass(frozen=True)
class WorkOverheadSettings:
    """Measure what a piece of work costs beside the work itself."""

    out: Path
    """Folder to write results.json, environment.json and report.html to."""
    pieces: int = 500
    """Pieces of one measurement."""
    repeats: int = 5
    """Measurements, each with new workers; the median counts."""

    def __post_init__(self) -> None:
        if self.pieces < 1 or self.repeats < 1:
            raise UserError("--pieces and --repeats: must be at least 1")


def main(settings: WorkOverheadSettings) -> None:
    """Measure each way to work, and publish the figures."""
    rows = [
        *_rows("this process", WorkConfig(1), "processes", settings),
        *_rows("2 threads", WorkConfig(2), "threads", settings),
        *_rows("2 processes", WorkConfig(2), "processes", settings),
    ]
    with _cluster() as address:
        rows += _rows("Dask, 2 worker processes", WorkConfig(cluster=address), "processes", settings)
    results = Results(f"python tools/{command_line()}", tuple(rows), notes=(NOTE,))
    section = Section("Overhead of a piece of work", results, None, environment(1), lines="Workers")
    publish(settings.out, "Overhead of a piece of work", section)


@contextmanager
def _cluster() -> Generator[str]:
    """Yield the address of a Dask scheduler that has two workers of one thread each."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def _rows(workers: str, config: WorkConfig, local: Local, settings: WorkOverheadSettings) -> Iterator[Row]:
    say(f"measuring: {workers}")
    measured = [_measure(config, local, settings.pieces) for _ in range(settings.repeats)]
    starts, overheads = zip(*measured, strict=True)
    for metric, values, unit in (("first_piece", starts, "s"), ("each_piece", overheads, "ms")):
        yield Row(workers, "pieces without work", "", metric, median(values), unit=unit, n=settings.repeats)


def _measure(config: WorkConfig, local: Local, pieces: int) -> tuple[float, float]:
    """Return the seconds until the first result, starts included, and then the milliseconds a piece."""
    started = time.perf_counter()
    with executor(config, local) as workers:
        list(results_in_order(workers, operator.neg, [0]))
        first = time.perf_counter()
        list(results_in_order(workers, operator.neg, range(pieces)))
        return first - started, (time.perf_counter() - first) / pieces * 1000


if __name__ == "__main__":
    command = cli.Command(WorkOverheadSettings, f"{__name__}:main")
    cli.main("python tools/work_overhead.py", "What handing out a piece of work costs.", {"measure": command})

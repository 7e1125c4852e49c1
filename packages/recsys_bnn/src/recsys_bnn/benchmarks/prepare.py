"""How fast and in how much memory raw logs become training rows, beside the script of the reference DLRM.

Rows are counted by the second and by the second of processor time, which other jobs on the machine change little.

The peer is ``getCriteoAdData`` of ``data_utils.py`` of https://github.com/facebookresearch/dlrm, which BITorch's
example uses too: it parses the text, builds dictionaries and writes shuffled rows as compressed NumPy files. Both
read the same generated log in Criteo's text form, each in a process of its own that has read a thousand rows before,
so that imports and compilation count for neither. Ours reads the log several times, and the median counts; the peer,
which takes some eighty seconds for a million rows, once.
"""

import contextlib
import io
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.bench import BenchSettings
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.cost import peak_rss_mb
from seminar_common.device import usable_cores
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.results import Row

OURS, PEER = "prepare", "dlrm-data-utils"
DATASET = "synthetic"
WARM_ROWS = 1000
_MODULE = "data_utils"
_KEYS = 2**31 - 1
"""The script's own option to take hash values modulo this; without it NumPy 2 refuses those that don't fit int32."""

_RATIOS = ("throughput_ratio", "throughput_per_core_ratio")

Read = Callable[[Path, Path], None]


def prepare_speed(settings: BenchSettings) -> Iterator[Row]:
    """Yield rows a second and peak memory of `prepare`, and of the peer if its folder is given.

    Raises:
        UserError: the peer's folder holds no ``data_utils.py``.
    """
    if settings.peer is not None and not (settings.peer / f"{_MODULE}.py").is_file():
        raise UserError(
            f"--peer {settings.peer}: holds no {_MODULE}.py; give a clone of facebookresearch/dlrm"
        )
    with tempfile.TemporaryDirectory(
        prefix="recsys-bnn-bench-", dir=settings.out.absolute().parent
    ) as folder:
        log, warm = Path(folder) / "log.txt", Path(folder) / "warm.txt"
        write_log(log, SyntheticConfig(settings.rows, settings.seed))
        with log.open() as source:
            warm.write_text("".join(islice(source, WARM_ROWS)))
        ours = yield from _measured(
            OURS, usable_cores(), settings.rows, _prepare, log, warm, settings.repeats
        )
        if settings.peer is None:
            return
        theirs = yield from _measured(PEER, 1, settings.rows, _Peer(settings.peer), log, warm, 1)
        for metric, mine, other in zip(_RATIOS, ours, theirs, strict=True):
            yield Row(OURS, DATASET, "", metric, mine / other, n=settings.rows, baseline=PEER)


def _measured(
    name: str, threads: int, rows: int, read: Read, log: Path, warm: Path, repeats: int
) -> Generator[Row, None, tuple[float, float]]:
    """Yield the figures of one reader; return its rows a second, and a second of processor time."""
    say(f"timing {name} on {rows:,} rows")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        seconds, processor, memory = pool.submit(_timed, read, log, warm, repeats).result()
    processor = max(processor, 1e-6)  # the clock may not have ticked for a few rows
    facts: dict[str, Any] = {"n": rows, "threads": threads}
    yield Row(name, DATASET, "", "throughput_per_s", rows / seconds, unit="rows/s", **facts)
    yield Row(name, DATASET, "", "throughput_per_core_s", rows / processor, unit="rows/s", **facts)
    yield Row(name, DATASET, "", "peak_rss_mb", memory, unit="MB", **facts)
    return rows / seconds, rows / processor


def _timed(read: Read, log: Path, warm: Path, repeats: int) -> tuple[float, float, float]:
    """Return what a reader takes for ``log`` after ``warm``: seconds, of processor time, too, and peak memory in MB."""
    taken = []
    for path in (warm, *[log] * repeats):
        folder = path.with_suffix("")
        started, used = perf_counter(), _processor_seconds()
        read(path, folder)
        taken.append((perf_counter() - started, _processor_seconds() - used))
        shutil.rmtree(folder, ignore_errors=True)
    seconds, processor = zip(*taken[1:], strict=True)
    return median(seconds), median(processor), peak_rss_mb()


def _processor_seconds() -> float:
    """Return the processor time of this process, all its threads and the children that have ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _prepare(log: Path, folder: Path) -> None:
    prepare(PrepareConfig("criteo-kaggle", out=folder, input=(log,)))


class _Peer:
    """Runs the reference's script with its defaults for the Criteo Kaggle log, one process; its chatter is dropped."""

    def __init__(self, home: Path):
        self.home = home.absolute()

    def __call__(self, log: Path, folder: Path) -> None:
        """Turn ``log`` into the script's files in ``folder``."""
        sys.path.insert(0, os.fspath(self.home))
        module = __import__(_MODULE)
        folder.mkdir()
        copy = folder / log.name  # it writes beside its input
        copy.hardlink_to(log)
        with contextlib.redirect_stdout(io.StringIO()):
            module.getCriteoAdData(os.fspath(copy), "processed", max_ind_range=_KEYS)

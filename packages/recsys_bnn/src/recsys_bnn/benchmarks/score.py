"""From raw rows to scores: `score` with packed models, beside what PyTorch needs for the same.

The latter is two commands: `prepare` with the vocabulary of the float run, then the predictions of that run. Every
command is a whole process, imports included, with the files in the page cache. Models learned from a part of the log
for one pass, as their speed does not depend on what they know.
"""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.pack import pack
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.bench import BenchSettings
from recsys_bnn.settings.pack import PackSettings
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import medium
from recsys_bnn.study_models.variants import FLOAT, VARIANTS
from recsys_bnn.train import train
from seminar_common.device import thread_variables
from seminar_common.errors import UserError
from seminar_common.progress import progress
from seminar_common.results import Row

DATASET = "synthetic"
MODELS = (FLOAT, "binary-a4", "mixed-e1-b8-w1-a4", "binary")
RIVAL = "float@torch"
LEARNED_ROWS = 100_000
"""Rows at the start of the log that the models learn from."""


class _Seconds(NamedTuple):
    """What a command took."""

    wall: float
    processor: float


def score_speed(settings: BenchSettings) -> Iterator[Row]:
    """Yield the rows that are scored a second, and a second of processor time, and the ratios to PyTorch's.

    Raises:
        UserError: a command failed.
    """
    with tempfile.TemporaryDirectory(
        prefix="recsys-bnn-bench-", dir=settings.out.absolute().parent
    ) as folder:
        scene = _Scene(Path(folder), settings)
        scene.build()
        counts = settings.inference.thread_counts
        with progress("scoring", len(counts) * settings.repeats * (1 + len(MODELS))) as advance:
            for threads in counts:
                taken: dict[str, list[_Seconds]] = {}
                for _ in range(settings.repeats):
                    for name in (RIVAL, *MODELS):
                        taken.setdefault(name, []).append(scene.timed(name, threads))
                        advance(1, f"{name}, {threads} threads")
                yield from _rows(taken, settings.rows, threads)


def _rows(taken: dict[str, list[_Seconds]], rows: int, threads: int) -> Iterator[Row]:
    facts: dict[str, Any] = {"n": rows, "threads": threads}
    medians = {name: _Seconds(*map(median, zip(*each, strict=True))) for name, each in taken.items()}
    for name, seconds in medians.items():
        for metric, took in zip(("throughput_per_s", "throughput_per_core_s"), seconds, strict=True):
            yield Row(name, DATASET, "", metric, rows / took, unit="rows/s", **facts)
    for name in MODELS:
        ratios = (theirs / ours for theirs, ours in zip(medians[RIVAL], medians[name], strict=True))
        for metric, ratio in zip(("throughput_ratio", "throughput_per_core_ratio"), ratios, strict=True):
            yield Row(name, DATASET, "", metric, ratio, baseline=RIVAL, **facts)


class _Scene:
    """A log, and models that learned from its start."""

    def __init__(self, folder: Path, settings: BenchSettings):
        self.folder, self.settings = folder, settings
        self.log = folder / "log.txt"

    def build(self) -> None:
        """Write the log, train and pack the models, and score once: what is compiled at first use is then there."""
        settings, start = self.settings, self.folder / "start.txt"
        write_log(self.log, SyntheticConfig(settings.rows, settings.seed))
        with self.log.open("rb") as source, start.open("wb") as to:
            to.writelines(islice(source, LEARNED_ROWS))
        data = prepare(PrepareConfig("criteo-kaggle", input=(start,), out=self.folder / "data"))
        preset = medium()
        once = dataclasses.replace(preset.optimization, epochs=1, choose_passes="no")
        base = dataclasses.replace(
            preset, data=data, optimization=once, seed=settings.seed, device=settings.device
        )
        for name in MODELS:
            run = train(dataclasses.replace(VARIANTS[name].change(base), out=self.folder / name))
            pack(PackSettings(run=run.folder, out=self._packed(name), check_rows=0))
            self.timed(name, 1)

    def _packed(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def timed(self, name: str, threads: int) -> _Seconds:
        """Return the seconds from raw rows to scores."""
        return self._by_torch(threads) if name == RIVAL else self._by_score(name, threads)

    def _by_score(self, name: str, threads: int) -> _Seconds:
        out = self.folder / "scores.csv"
        out.unlink(missing_ok=True)
        command = ["score", "--model", self._packed(name), "--input", self.log, "--out", out]
        return _took(["recsys_bnn.cli", *command, "--workers", threads], 1)

    def _by_torch(self, threads: int) -> _Seconds:
        prepared, run = self.folder / "prepared", self.folder / FLOAT
        shutil.rmtree(prepared, ignore_errors=True)
        command = ["prepare", "criteo-kaggle", "--input", self.log, "--vocabulary", run, "--out", prepared]
        first = _took(["recsys_bnn.cli", *command, "--workers", threads], threads)
        out = self.folder / "scores.npy"
        then = _took(["recsys_bnn.benchmarks.torch_scores", run, prepared, out, threads], threads)
        return _Seconds(first.wall + then.wall, first.processor + then.processor)


def _took(command: list[Any], threads: int) -> _Seconds:
    """Return what a module's command takes as a process; its libraries have so many threads."""
    environment = {**os.environ, **thread_variables(threads)}
    started = perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read().decode(errors="replace").strip()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise UserError(
            f"{' '.join(map(str, command[:2]))} failed: {said.splitlines()[-1] if said else status}"
        )
    return _Seconds(perf_counter() - started, used.ru_utime + used.ru_stime)

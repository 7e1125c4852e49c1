"""How fast packed models score beside PyTorch and ONNX Runtime: the part `inference` of `bench`.

All rivals are made from the weights of the float model, and must give its probabilities before any clock runs. Each
subject, a model in an engine, has a process of its own. They take turns at each point, a number of rows a call and of
threads, so that noise falls on all alike, and the median over turns counts.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from recsys_bnn.benchmarks.float_model import float_table
from recsys_bnn.benchmarks.inference_plots import figures
from recsys_bnn.benchmarks.machine import Demand, Limits, available_bytes, card, demand
from recsys_bnn.benchmarks.runners import RUNNERS
from recsys_bnn.benchmarks.scenes import Pool, Scene, scenes
from recsys_bnn.benchmarks.turns import Lost, Subject, Turns
from recsys_bnn.runtime.engines import ENGINES
from recsys_bnn.runtime.spec import ModelSpec
from recsys_bnn.settings.bench import BenchSettings
from seminar_common import fresh_process, metrics
from seminar_common.errors import UserError, choices
from seminar_common.progress import Advance, progress, say
from seminar_common.results import Row

FLOAT = "float"
INT8 = ("mixed-e8-b8-w8-a8", "8-bit")
"""Models of 8 bits throughout; the first that is there is a baseline."""
_BEST = "native"
_OTHERS_MODELS = (FLOAT, "binary-a4")
"""What our other engines run, which are there for machines where the best one can't be had."""
_CHECKED_ROWS, _LABELLED_ROWS = 2048, 200_000
_SHOWN = ("roc_auc", "file_mb", "model_rss_mb", "libraries_mb", "cold_start_s")
_START = "recsys_bnn.benchmarks.inference_process:first_score"


class Inference:
    """The whole part: figures, and what there is to say of them.

    Args:
        settings: What to time, and how long.
    """

    def __init__(self, settings: BenchSettings):
        self.settings, self.config = settings, settings.inference
        self.limits = Limits()
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {"machine": card(), "engine_choices": {}}

    def rows(self) -> Iterator[Row]:
        """Yield the figures as they are measured.

        Raises:
            UserError: there is nothing to time, or a rival doesn't give the probabilities of the float model.
        """
        self.note(_machine_note(self.facts["machine"]))
        home = self.settings.out.absolute().parent
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="recsys-bnn-bench-", dir=home) as folder:
            every = [
                _Measured(self, scene, self._subjects(scene), Path(folder) / str(number))
                for number, scene in enumerate(scenes(self.settings))
            ]
            for measured in every:
                yield from measured.write()
            for threads in self.config.thread_counts:
                yield from self._with_threads(every, threads)
            for measured in every:
                yield from measured.starts()

    def _with_threads(self, every: Sequence["_Measured"], threads: int) -> Iterator[Row]:
        subjects = list(dict.fromkeys(subject for measured in every for subject in measured.subjects))
        calls = sum(len(each.subjects) * len(each.subsets) for each in every) * len(self.config.batches)
        with (
            Turns(subjects, threads) as turns,
            progress(f"timing calls with {threads} thread{'s' * (threads > 1)}", calls) as advance,
        ):
            for measured in every:
                yield from measured.speeds(threads, turns, advance)

    def _subjects(self, scene: Scene) -> list[Subject]:
        models = scene.models()
        every = [Subject(runner.model, name) for name, runner in RUNNERS.items() if not runner.ours]
        if FLOAT not in models:
            self.note(f"{scene.dataset} has no model {FLOAT}, so no rival was made of it.")
            every = []
        for engine in ENGINES:
            chosen = models if engine == _BEST else [name for name in _OTHERS_MODELS if name in models]
            every += [Subject(model, engine) for model in chosen]
        labels = [subject.label for subject in every]
        if unknown := sorted({*self.config.subjects} - {*labels}):
            raise UserError(f"--subjects {unknown[0]}: no such subject; choose {choices(labels)}")
        chosen = [each for each in every if not self.config.subjects or each.label in self.config.subjects]
        return [subject for subject in chosen if self._is_here(subject)]

    def _is_here(self, subject: Subject) -> bool:
        runner = RUNNERS[subject.runner]
        if missing := runner.missing():
            reason = f"{missing[0]} is not installed; pip install '{runner.install}'"
            self.note(f"Not run: {subject.label}, as {reason}.")
        return not missing

    def note(self, text: str) -> None:
        """Keep a remark for the report, and say it."""
        if text not in self.notes:
            self.notes.append(text)
            say(text)

    def shown(self) -> list[str]:
        """Return the metrics that a terminal has room for, in a table with a line for each subject."""
        return [*_SHOWN, *(f"call_us_{batch}" for batch in self.config.batches)]

    def figures(self, rows: Sequence[Row]) -> list[tuple[str, str, Any]]:
        """Return the plots of ``rows``: data set, caption and figure of each."""
        return figures(rows)


def _machine_note(machine: Mapping[str, Any]) -> str:
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    has, lacks = (
        ", ".join(machine[key]) or "none" for key in ("instruction_sets", "instruction_sets_absent")
    )
    return (
        f"{machine['processor']}; caches {caches}; instruction sets {has}; could not be tried here: {lacks}."
    )


class _Measured:
    """The figures of one scene.

    Args:
        whole: What it belongs to.
        scene: Its models and rows.
        subjects: Who takes part.
        place: Folder to make for the files.
    """

    def __init__(self, whole: Inference, scene: Scene, subjects: Sequence[Subject], place: Path):
        self.whole, self.scene, self.place, self.config = whole, scene, place, whole.config
        self.subjects, self.subsets = list(subjects), list[str]()
        self._needs: dict[Subject, Demand] = {}
        self._labels: dict[str, np.ndarray] = {}

    def write(self) -> Iterator[Row]:
        """Write the files of all subjects and the rows to score; yield the sizes."""
        say(f"{self.scene.dataset}: writing the models")
        self.place.mkdir()
        for name, spec in self.scene.specs():
            users = [subject for subject in self.subjects if _source(subject) == name]
            if users:
                self._write_users(users, spec)
        for pool in self.scene.pools():
            self._write_pool(pool)
        for subject in self.subjects:
            if RUNNERS[subject.runner].tolerance is not None:
                size = sum(file.stat().st_size for file in self._folder(subject).iterdir())
                yield self._row(subject, "file_mb", size / 1e6, "MB")

    def _write_users(self, users: Sequence[Subject], spec: ModelSpec) -> None:
        table = self.place / "table.npy"
        if any(not subject.ours for subject in users):
            rows = float_table(spec)
            self._require_memory(rows.nbytes, sum(RUNNERS[subject.runner].table_share for subject in users))
            np.save(table, rows)
        for subject in users:
            folder = self._folder(subject)
            folder.mkdir()
            self._needs[subject] = demand(spec)
            try:
                RUNNERS[subject.runner].export(spec, folder, table)
            except Exception as error:  # whatever a rival raises is its reason for not being in the table
                self._lose(subject, f"{type(error).__name__}: {error}")

    def _require_memory(self, table: int, copies: float) -> None:
        needed, free = (
            int(table * (copies + 1)),
            available_bytes(),
        )  # one more, as a model is read before it runs
        if needed > free:
            raise UserError(
                f"{self.scene.dataset}: the rivals' float tables need {needed / 1e9:.1f} GB of memory, but "
                f"{free / 1e9:.1f} are free; give fewer --table-rows or --subjects"
            )

    def _folder(self, subject: Subject) -> Path:
        return self.place / subject.label

    def _write_pool(self, pool: Pool) -> None:
        folder = self.place / f"pool {pool.subset}"
        folder.mkdir()
        np.save(folder / "integers.npy", pool.integers)
        np.save(folder / "ids.npy", pool.ids)
        if pool.labels is not None:
            self._labels[pool.subset] = pool.labels[:_LABELLED_ROWS]
        self.subsets.append(pool.subset)

    # ------------------------------------------------------------------------------------------------------- speed

    def speeds(self, threads: int, turns: Turns, advance: Advance) -> Iterator[Row]:
        """Yield latencies, rates and ratios at every point with so many threads."""
        for subset in self.subsets:
            yield from self._open(subset, threads, turns)
            where = {"split": "test"} if subset in self._labels else {"subset": subset}
            for batch in self.config.batches:
                found = self._time(batch, turns, advance)
                yield from self._point(found, {"batch": batch, "threads": threads, **where})
                if threads == self.config.thread_counts[0]:
                    yield from self._once_more(found, batch, where)

    def _once_more(
        self, found: Mapping[Subject, Mapping[str, float]], batch: int, where: Mapping[str, str]
    ) -> Iterator[Row]:
        """Yield the medians under a name of each batch, for a table with one line for each subject."""
        for subject, each in found.items():
            yield self._row(subject, f"call_us_{batch}", each["p50"], "us", **where)

    def _open(self, subset: str, threads: int, turns: Turns) -> Iterator[Row]:
        """Open every model; refuse one that doesn't give the float model's probabilities; yield the AUC of labelled rows."""
        expected: np.ndarray | None = None
        labels = self._labels.get(subset)
        for subject in list(self.subjects):
            folder, pool = str(self._folder(subject)), str(self.place / f"pool {subset}")
            try:
                turns.ask(subject, "open", folder=folder, pool=pool, threads=threads)
                self._keep_choices(subject, turns)
                if RUNNERS[subject.runner].tolerance is None:  # its weights are its own
                    continue
                count = _CHECKED_ROWS if labels is None else max(len(labels), _CHECKED_ROWS)
                given = np.array(turns.ask(subject, "probabilities", rows=count))
            except Lost as lost:
                self._lose(subject, str(lost))
                continue
            if _source(subject) == FLOAT:
                expected = given if expected is None else expected
                if remark := check(subject, given, expected):
                    self.whole.note(remark)
            if labels is not None and threads == self.config.thread_counts[0]:
                auc = metrics.roc_auc(labels, given[: len(labels)])
                yield self._row(subject, "roc_auc", auc, split="test", n=len(labels))

    def _keep_choices(self, subject: Subject, turns: Turns) -> None:
        if subject.runner == _BEST:
            chosen = turns.ask(subject, "choices")
            self.whole.facts["engine_choices"][f"{subject.model} on {self.scene.dataset}"] = chosen

    def _lose(self, subject: Subject, reason: str) -> None:
        self.subjects.remove(subject)
        self.whole.note(f"Not run: {subject.label} on {self.scene.dataset}: {reason}.")

    def _time(self, batch: int, turns: Turns, advance: Advance) -> dict[Subject, dict[str, float]]:
        """Return the medians over turns."""
        count = self.whole.settings.repeats
        taken: dict[Subject, list[dict[str, float]]] = {subject: [] for subject in self.subjects}
        for _ in range(count):
            for subject in list(self.subjects):
                try:
                    seconds = self.config.seconds / count
                    taken[subject].append(turns.ask(subject, "time", batch=batch, seconds=seconds))
                except Lost as lost:
                    self._lose(subject, str(lost))
                    del taken[subject]
                advance(1 / count, subject.label)
        return {subject: _medians(each) for subject, each in taken.items()}

    def _point(self, found: Mapping[Subject, Mapping[str, float]], point: Mapping[str, Any]) -> Iterator[Row]:
        times = {subject: each["p50"] for subject, each in found.items()}
        for subject, each in found.items():
            facts: dict[str, Any] = {**point, "n": int(each["calls"])}
            for key, (metric, unit) in _SPEEDS.items():
                if key in each:
                    yield self._row(subject, metric, each[key], unit, **facts)
            yield from self._ratios(subject, times, point)
            if subject.runner == _BEST and point["batch"] == max(self.config.batches):
                yield from self._bound(subject, times[subject], point)

    def _ratios(
        self, subject: Subject, times: Mapping[Subject, float], point: Mapping[str, Any]
    ) -> Iterator[Row]:
        rivals = {each: time for each, time in times.items() if not each.ours}
        if rivals and subject.ours:
            best = min(rivals, key=rivals.__getitem__)
            ratio = rivals[best] / times[subject]
            yield self._row(subject, "speedup_over_rivals", ratio, baseline=best.label, **point)
        for metric, models in (("speedup_over_float", (FLOAT,)), ("speedup_over_int8", INT8)):
            baseline = next((each for each in times if each.runner == _BEST and each.model in models), None)
            if subject.runner == _BEST and baseline not in (None, subject):
                yield self._row(subject, metric, times[baseline] / times[subject], **point)

    def _bound(self, subject: Subject, microseconds: float, point: Mapping[str, Any]) -> Iterator[Row]:
        least, bound = self.whole.limits.least_us(self._needs[subject], point["batch"], point["threads"])
        yield self._row(subject, "roofline_us", least, "us", **point)
        yield self._row(subject, "roofline_share", least / microseconds, **point)
        yield self._row(subject, "memory_bound", float(bound == "memory"), **point)

    # -------------------------------------------------------------------------------------------- start and memory

    def starts(self) -> Iterator[Row]:
        """Yield seconds to the first score and memory, each subject alone in a fresh process."""
        if not self.scene.starts:
            return
        pool = self.place / f"pool {self.subsets[0]}"
        with progress(f"starting models of {self.scene.dataset}", len(self.subjects)) as advance:
            for subject in list(self.subjects):
                arguments = {
                    "runner": subject.runner,
                    "folder": self._folder(subject),
                    "pool": pool,
                    "threads": 1,
                }
                try:
                    found = fresh_process.call(_START, arguments).result
                except UserError as error:
                    self._lose(subject, str(error))
                    continue
                for metric, value in found.items():
                    yield self._row(subject, metric, value, metric.rpartition("_")[2].replace("mb", "MB"))
                advance(1, subject.label)

    def _row(
        self, subject: Subject, metric: str, value: float, unit: str = "", split: str = "", **more: Any
    ) -> Row:
        engine, ours = RUNNERS[subject.runner].engine, True if subject.ours else None
        return Row(
            subject.model,
            self.scene.dataset,
            split,
            metric,
            value,
            unit=unit,
            engine=engine,
            ours=ours,
            **more,
        )


_SPEEDS = {
    "p50": ("latency_us_p50", "us"),
    "p99": ("latency_us_p99", "us"),
    "rows_per_s": ("throughput_per_s", "rows/s"),
    "inside": ("latency_us_inside", "us"),
}


def _source(subject: Subject) -> str:
    """Return the model whose weights a subject has."""
    return subject.model if subject.ours else FLOAT


def _medians(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: median(turn[key] for turn in turns) for key in turns[0]} | {
        "calls": sum(turn["calls"] for turn in turns)
    }


def check(subject: Subject, given: np.ndarray, expected: np.ndarray) -> str:
    """Return a remark on probabilities, [n], of a rival that rounds, where they are far from the float model's; else nothing.

    Raises:
        UserError: an exact rival doesn't give those of the float model.
    """
    runner = RUNNERS[subject.runner]
    assert runner.tolerance is not None
    distances = np.abs(given - expected)
    apart = float(distances.mean() if runner.rough else distances.max())
    if apart <= runner.tolerance:
        return ""
    far = f"{subject.label}: probabilities are {apart:.2g} from those of the float model, more than {runner.tolerance:g}"
    if runner.rough:
        return f"{far} on average; rounding costs it that."
    raise UserError(f"{far}, so its speed means nothing")

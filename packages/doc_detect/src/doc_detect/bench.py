"""Speed and memory beside quality, on the same pages in one run: the command ``bench``."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from doc_detect.benchmarks.formats import write_formats
from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, CocoSet, read_coco
from doc_detect.detectors.onnx import default_model
from doc_detect.settings.job import BenchSettings
from seminar_common import files, fresh_process, runs
from seminar_common.bootstrap import cluster_weights, percentile_interval
from seminar_common.errors import UserError
from seminar_common.progress import progress, say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row
from seminar_common.settings import to_dict
from seminar_common.training import WEIGHTS

if TYPE_CHECKING:
    from doc_detect.benchmarks.worker import Answer

_RESAMPLES = 1000
_PAGES_FOR_MEMORY = 4


@dataclass(frozen=True)
class Engine:
    """Something to measure."""

    name: str
    """As the worker knows it."""
    source: str
    """Its file or run folder."""
    row: Row
    """How its rows begin."""
    size_mb: float | None = None
    """Of its weights' file."""


def bench(settings: BenchSettings) -> Results:
    """Measure every engine; write ``results.json`` and ``report.html`` into ``settings.out``.

    Raises:
        UserError: the folder holds something, or pages, model or run are unusable.
    """
    files.refuse_existing(settings.out)
    engines = _engines(settings)
    pages = _pages(settings)
    paths = tuple(str(pages.image_path(page)) for page in pages.pages)
    sources = {engine.name: engine.source for engine in engines}
    rows: list[Row] = []
    steps = len(settings.threads) + len(engines) + bool(settings.a4_pages)
    with progress("measuring", steps) as advance:
        for number, threads in enumerate(settings.threads):
            answer: Answer = _measure(sources, paths, threads, settings.repeats).result
            rows += speed_rows(engines, answer, threads, _name(pages), settings.seed)
            if number == 0:
                rows += _quality_rows(engines, answer, pages, settings.seed)
            advance(1)
        for engine in engines:
            rows += _memory_rows(engine, pages, paths[:_PAGES_FOR_MEMORY])
            advance(1)
        if settings.a4_pages:
            rows += _format_rows(engines, sources, settings)
            advance(1)
    facts = runs.environment(max(settings.threads), pages=len(paths))
    results = Results(runs.command_line(), tuple(rows))
    section = Section("Speed, memory and quality", results, to_dict(settings), facts)
    return publish(settings.out, "Document object detection: speed beside quality", section)


def _engines(settings: BenchSettings) -> list[Engine]:
    model = settings.model or default_model()
    files.check_file(model, "give an ONNX file made by `doc-detect export`")
    row = Row("source-only", "", "", "", 0.0, engine="onnxruntime")
    engines = [Engine("onnx", str(model), row, model.stat().st_size / 1e6)]
    if settings.run is not None:
        engines.append(_torch_engine(settings.run))
    if "rapid-layout" in settings.peer:
        if find_spec("rapid_layout") is None:
            say(
                "rapid-layout is not installed and is left out; `uv sync --package doc-detect --group bench` installs it"
            )
        else:
            engines.append(Engine("rapid-layout", "", dataclasses.replace(row, model="rapid-layout")))
    return engines


def _torch_engine(folder: Path) -> Engine:
    from doc_detect.detectors.trained import trained_as

    run = runs.open_run(folder)
    weights = run.checkpoints / WEIGHTS
    files.check_file(weights, "give a run whose training has ended")
    stored = trained_as(run)
    row = Row(
        stored.name, "", "", "", 0.0, engine=stored.model.engine, facts={"backbone": stored.model.backbone}
    )
    return Engine("torch", str(folder), row, weights.stat().st_size / 1e6)


def _pages(settings: BenchSettings) -> CocoSet:
    """Return the labelled pages to measure on, spread evenly over the file."""
    coco = read_coco(settings.data) if settings.data else _made_pages(settings)
    if len(coco.pages) < 2:
        raise UserError(f"{coco.path}: lists {len(coco.pages)} pages; at least 2 are needed")
    count = min(settings.pages, len(coco.pages))
    return dataclasses.replace(
        coco, pages=tuple(coco.pages[i * len(coco.pages) // count] for i in range(count))
    )


def _made_pages(settings: BenchSettings) -> CocoSet:
    from doc_detect.settings.synth import SynthSettings
    from doc_detect.synth import synth

    folder = settings.out / "pages"
    synth(SynthSettings(out=folder, pages=settings.pages, world="all", seed=settings.seed))
    return read_coco(folder / "train.json")


def _name(pages: CocoSet) -> str:
    return pages.name.replace("_", "-")


def _measure(
    sources: Mapping[str, str], files: Sequence[str], threads: int, repeats: int
) -> fresh_process.Measured:
    """Measure in a process of its own, with as many threads in every library as asked for."""
    asked = {"engines": sources, "files": files, "threads": threads, "repeats": repeats}
    return fresh_process.call("doc_detect.benchmarks.worker:measure", asked, threads=threads)


def speed_rows(
    engines: Sequence[Engine], answer: "Answer", threads: int, dataset: str, seed: int
) -> list[Row]:
    """Return pages a second, CPU seconds a page, and their ratio to rapid-layout's, with intervals over pages."""
    rows = []
    draws = page_draws(len(next(iter(answer["wall"].values()))), seed)
    for engine in engines:
        wall, cpu = (
            draws @ np.array(answer["wall"][engine.name]),
            draws @ np.array(answer["cpu"][engine.name]),
        )
        facts: dict[str, Any] = {"dataset": dataset, "threads": threads, "batch": 1, "n": draws.shape[1]}
        base = dataclasses.replace(engine.row, **facts)
        rows.append(_interval(base, "throughput_per_s", 1 / wall, "1/s"))
        rows.append(_interval(base, "cpu_s_per_page", cpu, "s"))
        if "rapid-layout" in answer["cpu"] and engine.name != "rapid-layout":
            ratio = cpu / (draws @ np.array(answer["cpu"]["rapid-layout"]))
            rows.append(dataclasses.replace(_interval(base, "cpu_ratio", ratio, ""), baseline="rapid-layout"))
    return rows


def _format_rows(engines: Sequence[Engine], sources: Mapping[str, str], settings: BenchSettings) -> list[Row]:
    """Return the speed on A4 pages of 300 dpi in each format, with the first number of threads."""
    threads, rows = settings.threads[0], []
    for name, paths in write_formats(settings.out / "a4", settings.a4_pages, settings.seed).items():
        answer: Answer = _measure(sources, [str(path) for path in paths], threads, settings.repeats).result
        rows += [
            dataclasses.replace(row, facts={**row.facts, "format": name})
            for row in speed_rows(engines, answer, threads, "synthetic A4, 300 dpi", settings.seed)
        ]
    return rows


def page_draws(pages: int, seed: int) -> np.ndarray:
    """Return weights of pages that sum to 1: equal ones, then those of bootstrap resamples; [1 + R, pages]."""
    return cluster_weights(range(pages), _RESAMPLES, seed, "bench") / pages


def _memory_rows(engine: Engine, pages: CocoSet, files: Sequence[str]) -> list[Row]:
    """Return the peak memory of an engine alone, and the size of its weights where it has a file of them."""
    alone = _measure({engine.name: engine.source}, files, 1, 1)
    rows = [_with(engine, pages, metric="peak_rss_mb", value=alone.peak_rss_mb, unit="MB", threads=1)]
    if engine.size_mb is not None:
        rows.append(_with(engine, pages, metric="size_mb", value=engine.size_mb, unit="MB"))
    return rows


def _interval(row: Row, metric: str, values: np.ndarray, unit: str) -> Row:
    """Return a figure, the first of ``values``, with the interval of the others, its resamples."""
    low, high = percentile_interval(values[1:])
    return dataclasses.replace(
        row, metric=metric, value=float(values[0]), ci_low=low, ci_high=high, unit=unit
    )


def _with(engine: Engine, pages: CocoSet, **facts: Any) -> Row:
    return dataclasses.replace(engine.row, dataset=_name(pages), **facts)


def _quality_rows(engines: Sequence[Engine], answer: "Answer", pages: CocoSet, seed: int) -> list[Row]:
    """Return AP50 of every class that an engine knows and that is on the pages."""
    from doc_detect.figures.findings import measured_labels
    from doc_detect.figures.measured import EVERY, Measured

    rows = []
    for engine in engines:
        found = [
            _as_page(page, item) for page, item in zip(pages.pages, answer["found"][engine.name], strict=True)
        ]
        known = _known(engine)
        measured = Measured(pages.pages, found, _with(engine, pages), 200, seed)
        every = measured.rows(measured_labels(pages.pages, pages, known))
        rows += [row for row in every if row.metric == "ap50" and row.subset in (None, EVERY)]
    return rows


def _known(engine: Engine) -> tuple[str, ...]:
    if engine.name == "rapid-layout":
        from doc_detect.detectors.peers import RapidLayoutDetector

        return RapidLayoutDetector.labels
    if engine.name == "torch":
        from doc_detect.detectors.trained import trained_as

        return trained_as(runs.open_run(Path(engine.source))).model.labels
    from doc_detect.detectors.onnx import OnnxDetector

    return OnnxDetector(Path(engine.source)).labels


def _as_page(page: CocoPage, found: dict[str, Any]) -> CocoPage:
    boxes = np.array(found["boxes"], np.float64).reshape(-1, 4)
    labels = np.array([class_index(label) for label in found["labels"]], np.int64)
    return dataclasses.replace(page, boxes=boxes, labels=labels, scores=np.array(found["scores"], np.float64))

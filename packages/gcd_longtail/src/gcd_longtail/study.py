"""``study``: methods x splits x number of classes, on unlabelled and on test images, in one table.

What a method found on a split is stored as soon as it is there, under the split's hash, so a study that was
stopped goes on where it was, and one with more methods, splits or seeds adds to its folder.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gcd_longtail import study_plots
from gcd_longtail.backbones import caveat
from gcd_longtail.discovery_metrics import Scored, intervals, k_error, score
from gcd_longtail.estimate_k import estimate
from gcd_longtail.evaluate import PROTOCOL
from gcd_longtail.features import Data, load
from gcd_longtail.methods import make_method
from gcd_longtail.methods_config import StudySettings
from gcd_longtail.problem import Problem
from gcd_longtail.split_file import SPLIT_FILE
from seminar_common import bootstrap, files, runs
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.report import Section, write_report
from seminar_common.results import Results, Row, write_results

SPLITS = ("transductive", "test")
OURS = frozenset({"ward", "simgcd-ward"})


@dataclass(frozen=True)
class Case:
    """One method on one split with one number of classes."""

    method: str
    k: str
    data: Data

    def file(self, out: Path) -> Path:
        """Return where what it found is stored."""
        return out / "found" / self.data.split.hash / f"{self.k}-{self.method}.npz"


def study(settings: StudySettings) -> Results:
    """Run what is missing, compare everything, write ``results.json`` and ``report.html``.

    Raises:
        UserError: an unknown method, no split in the folder, or a split without features.
    """
    for name in settings.methods:
        make_method(name)
    device = str(launch(settings.device).device)
    datasets: dict[str, list[Data]] = {}
    for data in _splits(settings.data):
        datasets.setdefault(data.split.name, []).append(data)
        _run_missing(data, settings, device)
    rows = [row for splits in datasets.values() for row in _rows(splits, settings)]
    sample = next(iter(datasets.values()))[0]
    notes = (PROTOCOL, caveat(sample.config.backbone))
    results = Results(runs.command_line(), tuple(rows), notes=notes)
    write_results(settings.out / "results.json", results)
    _write_report(results, datasets, settings)
    say(f"wrote {settings.out / 'results.json'} and report.html")
    return results


def _splits(folder: Path) -> Iterator[Data]:
    found = sorted(file.parent for file in folder.rglob(SPLIT_FILE)) if folder.is_dir() else []
    if not found:
        raise UserError(f"{folder}: holds no split; make one with `gcd-longtail split`")
    for split in found:
        yield load(split)


# --------------------------------------------------------------------------------------------------- the runs


def _run_missing(data: Data, settings: StudySettings, device: str) -> None:
    cases = [Case(method, k, data) for k, method in itertools.product(settings.k, settings.methods)]
    missing = [case for case in cases if not case.file(settings.out).exists()]
    if not missing:
        return
    problem = dataclasses.replace(data.problem, device=device)
    for number, case in enumerate(missing, 1):
        say(f"{data.folder}: {case.method}, {case.k} K ({number} of {len(missing)})")
        _run(case, problem, settings.out)


def _run(case: Case, problem: Problem, out: Path) -> None:
    data, seed = case.data, seed_of(case.data)
    k = len(data.split.classes) if case.k == "true" else int(estimated(data, problem, out)["k"])
    found = make_method(case.method).fit(problem, k, seed)
    test = found.predict(data.test) if len(data.test_labels) else np.empty(0, np.int64)
    with files.atomic_path(case.file(out)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, k=k, transductive=found.assignments, test=test)


def seed_of(data: Data) -> int:
    """Return the seed of a split, which is that of the methods on it too."""
    return int(data.split.choices["seed"])


def estimated(data: Data, problem: Problem, out: Path) -> dict[str, Any]:
    """Return the estimate of a split's number of classes; it is made once and stored."""
    file = out / "found" / data.split.hash / "k.json"
    if not file.exists():
        files.write_json(file, dataclasses.asdict(estimate(problem, seed=seed_of(data))))
    return files.read_json(file)


def scored(case: Case, out: Path) -> dict[str, Scored]:
    """Return the scored images of a case by split."""
    data = case.data
    with np.load(case.file(out)) as found:
        clusters = {name: found[name] for name in SPLITS}
        k = int(found["k"])
    truth = {"transductive": data.unlabelled_labels, "test": data.test_labels}
    return {
        name: score(truth[name], clusters[name], data.split.known, data.split.frequencies, k)
        for name in SPLITS
        if len(truth[name])
    }


# --------------------------------------------------------------------------------------------------- the table


def _rows(splits: list[Data], settings: StudySettings) -> Iterator[Row]:
    say(f"measuring {splits[0].split.name}")
    for k, method in itertools.product(settings.k, settings.methods):
        every = [scored(Case(method, k, data), settings.out) for data in splits]
        for split in every[0]:
            found = intervals([one[split] for one in every], resamples=settings.resamples)
            for metric, interval in found.items():
                yield _row(method, k, split, metric, interval, splits)
    if "estimated" in settings.k:
        yield from _estimate_rows(splits, settings)


def _row(
    method: str, k: str, split: str, metric: str, interval: bootstrap.Interval, splits: list[Data]
) -> Row:
    return Row(
        method,
        splits[0].split.name,
        split,
        metric,
        interval.value,
        interval.low,
        interval.high,
        n=interval.n,
        seeds=tuple(seed_of(data) for data in splits),
        k=k,
        ours=True if method in OURS else None,
        **_traits(splits),
    )


def _traits(splits: list[Data]) -> dict[str, Any]:
    return {
        "backbone": splits[0].config.backbone,
        "labels": round(float(np.mean([len(data.problem.labels) for data in splits]))),
        "imbalance": round(float(np.mean([data.split.imbalance for data in splits])), 1),
    }


def _estimate_rows(splits: list[Data], settings: StudySettings) -> Iterator[Row]:
    """Yield the estimated K and its error, of our estimator and of other rules, over the splits."""
    stored = [estimated(data, data.problem, settings.out) for data in splits]
    true = len(splits[0].split.classes)
    rules: Mapping[str, list[int]] = {
        "hidden-classes": [one["k"] for one in stored],
        **{rule: [one["criteria"][rule] for one in stored] for rule in stored[0]["criteria"]},
    }
    seeds = tuple(seed_of(data) for data in splits)
    for rule, values in rules.items():
        errors = [abs(k_error(value, true)) for value in values]
        for metric, figures in (("k_estimated", values), ("k_absolute_error", errors)):
            low, high = _over_seeds(figures)
            yield Row(
                f"k by {rule}",
                splits[0].split.name,
                "",
                metric,
                float(np.mean(figures)),
                low,
                high,
                seeds=seeds,
            )


def _over_seeds(values: list[int] | list[float]) -> tuple[float | None, float | None]:
    """Return Student's interval over the splits, or nothing where there is a single one."""
    if len(values) < 2:
        return None, None
    interval = bootstrap.seed_interval(values)
    return interval.low, interval.high


def _write_report(results: Results, datasets: Mapping[str, list[Data]], settings: StudySettings) -> None:
    figures = []
    for name, splits in datasets.items():
        for k in settings.k:
            runs_by_method = {
                method: [scored(Case(method, k, data), settings.out) for data in splits]
                for method in settings.methods
            }
            figures += [
                (name, caption, figure)
                for caption, figure in study_plots.of_dataset(runs_by_method, splits, k)
            ]
    facts = runs.environment(
        torch.get_num_threads(), data={d.folder.name: d.split.hash for s in datasets.values() for d in s}
    )
    section = Section("Discovery methods", results, None, facts, figures)
    write_report([section], settings.out / "report.html", "Generalized category discovery on long tails")

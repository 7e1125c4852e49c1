"""``study``: methods x splits x number of classes, on unlabelled and on test images, in one table.

What a method found on a split is stored as soon as it is there, under a digest of all that it depends on. So a study
that was stopped goes on where it was, one with more methods, splits or seeds adds to its folder, and one on other
features computes what these need.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gcd_longtail.backbones.backbones import caveat
from gcd_longtail.discovery.methods import make_method
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.evaluate import PROTOCOL
from gcd_longtail.figures import study_plots
from gcd_longtail.figures.k_rows import (
    check_stored,
    estimated,
    facts_of,
    k_rows,
    seed_of,
    splits_below,
    stored_as,
    traits,
)
from gcd_longtail.figures.metrics import Scored, intervals, score
from gcd_longtail.protocol.data import Data
from gcd_longtail.settings.methods import StudySettings
from seminar_common import bootstrap, files, runs
from seminar_common.device import launch
from seminar_common.progress import say
from seminar_common.report import Section, write_report
from seminar_common.results import Results, Row, write_results
from seminar_common.settings import to_dict

SPLITS = ("transductive", "test")
OURS = frozenset({"ward", "simgcd-ward"})


@dataclass(frozen=True)
class Case:
    """One method on one split with one number of classes."""

    method: str
    k: str
    data: Data

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What it depends on."""
        return facts_of(self.data, method=self.method, settings=settings_of(self.method), k=self.k)

    def file(self, out: Path) -> Path:
        """Return where what it found is stored."""
        return stored_as(out, f"{self.k}-{self.method}", self.facts, ".npz")


def settings_of(method: str) -> dict[str, Any]:
    """Return the settings of a method by its name in the registry; a function among them stands for its name."""
    made = make_method(method)
    values = to_dict(made) if dataclasses.is_dataclass(made) else vars(made)
    return {name: getattr(value, "__qualname__", value) for name, value in values.items()}


def study(settings: StudySettings) -> Results:
    """Run what is missing, compare everything, write ``results.json`` and ``report.html``.

    Raises:
        UserError: an unknown method, no split in the folder, or a split without features.
    """
    for name in settings.methods:
        make_method(name)
    device = str(launch(settings.device).device)
    datasets: dict[str, list[Data]] = {}
    for data in splits_below(settings.data):
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
        facts = json.dumps(case.facts, default=files.jsonable)
        np.savez_compressed(file, k=k, transductive=found.assignments, test=test, facts=facts)


def scored(case: Case, out: Path) -> dict[str, Scored]:
    """Return the scored images of a case by split.

    Raises:
        UserError: the stored file is not what its name says.
    """
    data, file = case.data, case.file(out)
    with np.load(file) as found:
        stored = json.loads(str(found["facts"])) if "facts" in found else None
        check_stored(stored, case.facts, file)
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
        stored = [estimated(data, data.problem, settings.out) for data in splits]
        yield from k_rows(splits, stored)


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
        ours=True if method in OURS else None,
        facts={"k": k, **traits(splits)},
    )


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

"""``study``: methods x splits x number of classes, on unlabelled and on test images, in one table.

What a method found on a split is stored as soon as it is there, under a digest of all that it depends on. So a study
that was stopped goes on where it was, one with more methods, splits or seeds adds to its folder, and one on other
features computes what these need.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gcd_longtail.discovery.methods import ABLATIONS, FULL, make_method
from gcd_longtail.figures import bacon_figures, study_plots
from gcd_longtail.figures.discovery_rows import (
    HEADLINES,
    Identity,
    clusters_of,
    gain_rows,
    interval_rows,
    notes,
    score_clusters,
)
from gcd_longtail.figures.k_rows import (
    check_stored,
    estimated,
    facts_of,
    k_rows,
    seed_of,
    splits_below,
    stored_as,
)
from gcd_longtail.figures.metrics import Scored
from gcd_longtail.figures.trust_rows import trust_of, trust_rows
from gcd_longtail.protocol.data import Data
from gcd_longtail.settings.methods import Protocol, StudySettings
from seminar_common import files, runs
from seminar_common.device import launch
from seminar_common.progress import progress, say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row
from seminar_common.settings import to_dict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPLITS = ("transductive", "test")
OURS = frozenset({"ward", "simgcd-ward", "shift-merge-mix"})


def methods_of(settings: StudySettings) -> tuple[str, ...]:
    """Return the methods of a study."""
    return (*settings.methods, *(ABLATIONS if settings.ablation else ()))


@dataclass(frozen=True)
class Case:
    """One method on one split with one number of classes."""

    method: str
    k: str
    data: Data
    protocol: Protocol = "own"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What it depends on."""
        more = {} if self.protocol == "own" else {"protocol": self.protocol}
        return facts_of(self.data, method=self.method, settings=settings_of(self.method), k=self.k, **more)

    def file(self, out: Path) -> Path:
        """Return where what it found is stored."""
        return stored_as(out, f"{self.k}-{self.method}", self.facts, ".npz")


def settings_of(method: str) -> dict[str, Any]:
    """Return the settings of a method by its name in the registry; a function among them stands for its name."""
    made = make_method(method)
    values = to_dict(made) if dataclasses.is_dataclass(made) else vars(made)
    return {name: getattr(value, "__qualname__", value) for name, value in values.items()}


@files.one_at_a_time
def study(settings: StudySettings) -> Results:
    """Run what is missing, compare everything, write ``results.json`` and ``report.html``.

    Raises:
        UserError: an unknown method, no split in the folder, or a split without features.
    """
    for name in settings.methods:
        make_method(name, "--methods")
    device = str(launch(settings.device).device)
    every = list(splits_below(settings.data))
    _run_missing(every, settings, device)
    names = dict.fromkeys(data.split.name for data in every)
    measured = [_Measured([data for data in every if data.split.name == name], settings) for name in names]
    # Of each number of classes the methods and what ours leads by, then the estimates.
    parts = len(settings.k) * (len(methods_of(settings)) + 1) + ("estimated" in settings.k)
    with progress("measuring", len(measured) * parts) as advance:
        rows = []
        for one in measured:
            for some in one.rows():
                rows += some
                advance()
    figures = [figure for one in measured for figure in one.figures()]
    facts = runs.environment(torch.get_num_threads(), data={d.folder.name: d.split.hash for d in every})
    more = (bacon_figures.NOTE,) if settings.protocol == "bacon" else ()
    results = Results(runs.command_line(), tuple(rows), notes=(*notes(every[0]), *more))
    section = Section("Discovery methods", results, None, facts, figures)
    shown = ("k_estimated", "k_absolute_error", *HEADLINES, *bacon_figures.HEADLINES)
    return publish(settings.out, "Generalized category discovery on long tails", section, shown=shown)


# --------------------------------------------------------------------------------------------------- the runs


def _run_missing(every: Sequence[Data], settings: StudySettings, device: str) -> None:
    choices = [*itertools.product(settings.k, methods_of(settings))]
    cases = [Case(method, k, data, settings.protocol) for data in every for k, method in choices]
    missing = [case for case in cases if not case.file(settings.out).exists()]
    with progress("fitting", len(missing)) as advance:
        for number, case in enumerate(missing, 1):
            say(f"{case.data.folder}: {case.method}, {case.k} K ({number} of {len(missing)})")
            _run(case, device, settings.out)
            advance()


def _run(case: Case, device: str, out: Path) -> None:
    data, problem = case.data, dataclasses.replace(case.data.problem, device=device)
    k = len(data.split.classes) if case.k == "true" else int(estimated(data, problem, out)["k"])
    found = make_method(case.method).fit(problem, k, seed_of(data))
    facts = np.array(json.dumps(case.facts, default=files.jsonable))
    clusters = clusters_of(found, data)
    if case.protocol == "bacon":
        clusters |= bacon_figures.clusters(found, data, seed_of(data))
    files.write_arrays(case.file(out), k=k, facts=facts, **clusters, **trust_of(found, data))


def scored(case: Case, out: Path, protocol: Protocol = "own") -> dict[str, Scored]:
    """Return the scored images of a case by split, for the figures of ``protocol``.

    Raises:
        UserError: the stored file is not what its name says.
    """
    file = case.file(out)
    with np.load(file) as found:
        stored = json.loads(str(found["facts"])) if "facts" in found else None
        check_stored(stored, case.facts, file)
        if protocol == "bacon":
            return bacon_figures.score(found, int(found["k"]), case.data)
        return score_clusters({name: found[name] for name in SPLITS}, int(found["k"]), case.data)


# --------------------------------------------------------------------------------------------------- the table


class _Measured:
    """The scored runs of every method on the splits of one data set."""

    def __init__(self, splits: Sequence[Data], settings: StudySettings):
        self.splits, self.settings = splits, settings
        self.by_k: dict[str, dict[str, list[dict[str, Scored]]]] = {
            k: {method: self._scored(method, k) for method in methods_of(settings)} for k in settings.k
        }

    def _scored(self, method: str, k: str, protocol: Protocol = "own") -> list[dict[str, Scored]]:
        """Return the scored images of each split by one method."""
        cases = [Case(method, k, data, self.settings.protocol) for data in self.splits]
        return [scored(case, self.settings.out, protocol) for case in cases]

    def _stored(self, method: str, k: str) -> list[dict[str, np.ndarray]]:
        """Return what was stored of each split by one method."""
        files_of = [
            Case(method, k, data, self.settings.protocol).file(self.settings.out) for data in self.splits
        ]
        return [dict(np.load(file)) for file in files_of]

    def rows(self) -> Iterator[list[Row]]:
        """Yield the rows of one method after the other, then those of the number of classes."""
        seeds = tuple(map(seed_of, self.splits))
        for k, methods in self.by_k.items():
            for method, every in methods.items():
                identity = Identity(method, k, seeds, ours=method.partition(",")[0] in OURS or None)
                rows = [row for split in every[0] for row in self._of_split(every, split, identity)]
                rows += trust_rows(self._stored(method, k), every, self.splits, identity)
                if self.settings.protocol == "bacon":
                    theirs = self._scored(method, k, "bacon")
                    rows += bacon_figures.rows(theirs, self.splits, identity, self.settings.resamples)
                yield rows
            yield [*gain_rows(methods, self.splits, Identity(FULL, k, seeds, ours=True))]
        if "estimated" in self.by_k:
            stored = [estimated(data, data.problem, self.settings.out) for data in self.splits]
            yield list(k_rows(self.splits, stored))

    def _of_split(self, every: Sequence[dict[str, Scored]], split: str, identity: Identity) -> Iterator[Row]:
        some = [one[split] for one in every]
        return interval_rows(some, split, self.splits, identity, self.settings.resamples)

    def figures(self) -> Iterator[tuple[str, str, "Figure"]]:
        """Yield data set, caption and plot, for each choice of K."""
        for k, methods in self.by_k.items():
            for caption, figure in study_plots.of_dataset(methods, self.splits, k):
                yield self.splits[0].split.name, caption, figure

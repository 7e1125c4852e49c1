"""``loop``: what decisions about discovered classes are worth, against as many labels of single images.

Every case, a split and what is asked on it, is stored as soon as it is there, under a digest of all that it depends
on. So a loop that was stopped goes on where it was.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gcd_longtail.discovery.methods import make_method
from gcd_longtail.figures.discovery_rows import notes
from gcd_longtail.figures.k_rows import check_stored, facts_of, seed_of, splits_below, stored_as
from gcd_longtail.figures.loop_plots import of_dataset
from gcd_longtail.protocol.data import Data
from gcd_longtail.reviewing.loop_rows import NOTE, SHOWN, loop_rows
from gcd_longtail.reviewing.rounds import DECISIONS, Pile, Step, run_loop
from gcd_longtail.settings.methods import LoopSettings
from gcd_longtail.study import settings_of
from seminar_common import files, runs
from seminar_common.device import launch
from seminar_common.identity import code_digest
from seminar_common.progress import progress, say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results

LOOP_CODE = (
    "gcd_longtail.reviewing.decisions",
    "gcd_longtail.reviewing.learning",
    "gcd_longtail.reviewing.rounds",
    "gcd_longtail.reviewing.simulated",
    "gcd_longtail.figures.likeness",
)
"""What decides which images are shown and what is learned from an answer."""


@dataclass(frozen=True)
class Case:
    """One way of asking on one split."""

    data: Data
    settings: LoopSettings
    asked: Any  # decisions, or what they are compared with
    draw: int = 0
    images: tuple[int, ...] = ()
    """Of random labels: how many at each budget, if not as many as decisions."""

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What its figures depend on."""
        chosen = self.settings
        return facts_of(
            self.data,
            method=chosen.method,
            settings=settings_of(chosen.method),
            asked=self.asked,
            draw=self.draw,
            budgets=chosen.budgets,
            every=chosen.every,
            images=self.images,
            loop=code_digest(*LOOP_CODE),
        )

    @property
    def file(self) -> Path:
        """Where its steps are stored."""
        name = f"{self.settings.method}-{self.asked}-{self.draw}"
        return stored_as(self.settings.out, name, self.facts, ".npz")

    def run(self, device: str) -> None:
        """Compute and store its steps, unless they are there."""
        if self.file.exists():
            return
        say(f"{self.data.folder}: {self.asked}" + (f", draw {self.draw}" if self.draw else ""))
        steps = run_loop(
            Pile.of(self.data, device),
            make_method(self.settings.method),
            asked=self.asked,
            budgets=self.settings.budgets,
            every=self.settings.every,
            seed=seed_of(self.data),
            draw=self.draw,
            images=self.images,
        )
        write_steps(self.file, list(steps), self.facts)

    @cached_property
    def steps(self) -> list[Step]:
        """Its steps as they are stored."""
        return read_steps(self.file, self.facts)


@files.one_at_a_time
def loop(settings: LoopSettings) -> Results:
    """Run what is missing, compare what was asked, write ``results.json`` and ``report.html``.

    Raises:
        UserError: an unknown method, no split in the folder, or a split without features.
    """
    make_method(settings.method)
    device = str(launch(settings.device).device)
    every = list(splits_below(settings.data))
    cases: dict[str, list[dict[str, list[list[Step]]]]] = {}
    cases_of_split = 1 + sum(settings.draws if one.startswith("random") else 1 for one in settings.compared)
    with progress("asking", len(every) * cases_of_split) as advance:
        for data in every:
            asked: dict[str, list[list[Step]]] = {}
            for case in _cases(data, settings, asked):
                case.run(device)
                asked.setdefault(case.asked, []).append(case.steps)
                advance()
            cases.setdefault(data.split.name, []).append(asked)
    rows, figures = [], []
    for name, asked_by_split in cases.items():
        splits = [data for data in every if data.split.name == name]
        some = list(loop_rows(settings.method, splits, asked_by_split))
        rows += some
        figures += [(name, caption, figure) for caption, figure in of_dataset(some, len(splits))]
    facts = runs.environment(torch.get_num_threads(), data={d.folder.name: d.split.hash for d in every})
    results = Results(runs.command_line(), tuple(rows), notes=(NOTE, *notes(every[0])))
    section = Section("Decisions about discovered classes", results, None, facts, figures)
    return publish(settings.out, "What decisions about discovered classes are worth", section, shown=SHOWN)


def _cases(data: Data, settings: LoopSettings, done: Mapping[str, Sequence[Sequence[Step]]]) -> Any:
    """Yield the cases of a split; what the decisions labelled is known when random images are to be as many."""
    for asked in (DECISIONS, *settings.compared):
        draws = settings.draws if asked.startswith("random") else 1
        for draw in range(draws):
            images: tuple[int, ...] = ()
            if asked == "random-per-image":
                images = tuple(step.answered for step in done[DECISIONS][0][1:])
            yield Case(data, settings, asked, draw, images)


def write_steps(file: Path, steps: Sequence[Step], facts: Mapping[str, Any]) -> None:
    """Store the steps of a case with what they depend on."""
    arrays: dict[str, Any] = {
        "facts": np.array(json.dumps(facts, default=files.jsonable)),
        "decisions": np.array([step.decisions for step in steps]),
        "answered": np.array([step.answered for step in steps]),
        "splits": np.array(list(steps[0].counts)),
    }
    for number, step in enumerate(steps):
        arrays[f"named-{number}"] = step.named
        arrays |= {f"{name}-{number}": counts for name, counts in step.counts.items()}
    files.write_arrays(file, **arrays)


def read_steps(file: Path, facts: Mapping[str, Any]) -> list[Step]:
    """Return the steps in a file.

    Raises:
        UserError: they are not of what its name says.
    """
    with np.load(file) as stored:
        check_stored(
            json.loads(str(stored["facts"])), json.loads(json.dumps(facts, default=files.jsonable)), file
        )
        numbered = zip(
            itertools.count(), stored["decisions"].tolist(), stored["answered"].tolist(), strict=False
        )
        return [
            Step(
                decisions,
                answered,
                stored[f"named-{number}"],
                {str(name): stored[f"{name}-{number}"] for name in stored["splits"]},
            )
            for number, decisions, answered in numbered
        ]

"""Going on from a run of `discover` with what people decided about it."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.discovery.run import TOPIC, load_found
from gcd_longtail.images.labels_file import KnownLabels
from gcd_longtail.reviewing.decisions import Decision, read_decisions, run_identity
from gcd_longtail.reviewing.learning import Before, Lesson, learn
from gcd_longtail.settings.commands import DiscoverSettings
from seminar_common import files, runs
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.identity import digest
from seminar_common.settings import from_dict

ASSIGNMENTS = "assignments.csv"
LEARNED = "learned.json"
"""What a run keeps of the decisions that it learned from, besides the labels in its table."""
LEARNED_DECISIONS = "decisions-learned.jsonl"
"""A copy of the decisions that a run learned from."""
REJECTED, NO_CLASS = "rejected", -1
"""Name and number in the table of the images of rejected classes."""
_GIVEN = ("out", "cache", "k", "labels", "decisions", "run", "extraction")
"""Options that a run does not hand on to the one that continues it."""


@dataclass(frozen=True)
class Continued:
    """A run that is gone on from."""

    settings: DiscoverSettings
    """Those of the run, with what was given anew."""
    decisions: tuple[Decision, ...]
    lesson: Lesson
    k: int
    """Number of classes of the run."""
    identity: str
    """Digest of the run, by which decisions name it."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the new run depends on besides its labels."""
        lesson = self.lesson
        learned = (sorted(lesson.left_out), lesson.forbidden, lesson.apart, lesson.k, sorted(lesson.settled))
        return {"learned": digest({"learned": learned})}

    @property
    def remark(self) -> str:
        """A sentence about the number of classes."""
        changed = "" if self.lesson.k == self.k else f"; they were {self.k} before"
        return (
            f"{self.lesson.k} classes, {len(self.lesson.classes)} of them labelled and {len(self.lesson.settled)} of these "
            f"settled by decisions about {self.settings.run}{changed}."
        )

    def known(self, keys: Sequence[str], unreadable: Sequence[str]) -> KnownLabels:
        """Return the labels of the images ``keys``; a class whose labelled images are all gone is left out.

        Raises:
            UserError: none of them is there.
        """
        present = set(keys)
        there = {key: number for key, number in self.lesson.labels.items() if key in present}
        if not there:
            raise UserError(
                f"{self.settings.images}: none of the {len(self.lesson.labels)} labelled images of "
                f"{self.settings.run} is there; check --images"
            )
        kept = sorted(set(there.values()))
        numbers = {old: new for new, old in enumerate(kept)}
        lost = [
            Failure(
                key, "has a label, but " + ("can't be read" if key in unreadable else "is not in the folder")
            )
            for key in sorted(self.lesson.labels.keys() - there.keys())
        ]
        labels = np.array([numbers[there[key]] if key in there else -1 for key in keys])
        return KnownLabels(tuple(self.lesson.classes[old] for old in kept), labels, tuple(lost))


def continued(settings: DiscoverSettings) -> Continued:
    """Return the run that ``settings`` continue, and what the decisions about it teach.

    Options that have their default are taken from the run, but for those that say where to write, where to work and
    how many classes there are.

    Raises:
        UserError: there is no such run of `discover`, or the decisions are damaged or about another run.
    """
    assert settings.decisions is not None
    folder = settings.run or settings.decisions.parent
    if not (folder / runs.MARKER).is_file():
        raise UserError(
            f"{folder}: not a run of `discover`; say with --from which run {settings.decisions} is about"
        )
    config, before, k = read_before(folder)
    identity = run_identity(config)
    decisions = read_decisions(settings.decisions, identity)
    stored = from_dict(DiscoverSettings, config["settings"], folder / runs.MARKER)
    cache = settings.cache or stored.cache or folder.absolute().parent / "features"
    merged = dataclasses.replace(_merged(settings, stored), cache=cache, labels=None, run=folder)
    return Continued(merged, decisions, learn(before, decisions), k, identity)


def _merged(given: Any, stored: Any) -> Any:
    """Return dataclass ``given``, in which values that are the default are those of ``stored``; groups as well."""
    changes = {}
    for one in dataclasses.fields(given):
        value, old = getattr(given, one.name), getattr(stored, one.name)
        if one.name in _GIVEN:
            continue
        default = one.default if one.default is not dataclasses.MISSING else None
        if one.default_factory is not dataclasses.MISSING:
            default = one.default_factory()
        if dataclasses.is_dataclass(value):
            changes[one.name] = _merged(value, old)
        elif value == default:
            changes[one.name] = old
    return dataclasses.replace(given, **changes)


def read_before(folder: Path) -> tuple[dict[str, Any], Before, int]:
    """Return the ``config.json`` of a run of `discover`, what the run says of its images, and its number of classes.

    Raises:
        UserError: it is no such run, or its table is damaged.
    """
    run, found = load_found(folder)
    config = runs.stored_config(run, TOPIC, "discover")
    rows = read_assignments(folder)
    learned = files.read_json(folder / LEARNED) if (folder / LEARNED).exists() else {"forbidden": []}
    inside = [row for row in rows if int(row["class"]) != NO_CLASS]
    before = Before(
        names=found.names,
        known=found.names[: found.known],
        classes={row["image"]: row["name"] for row in inside},
        labelled=frozenset(row["image"] for row in inside if row["labelled"] == "yes"),
        central={row["image"]: float(row["centrality"]) for row in inside},
        settled=frozenset(row["name"] for row in inside if row.get("settled") == "yes"),
        rejected=frozenset(row["image"] for row in rows if int(row["class"]) == NO_CLASS),
        forbidden=tuple((key, name) for key, name in learned["forbidden"]),
    )
    return config, before, len(found.names)


def read_assignments(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's table.

    Raises:
        UserError: it is missing, or no such table.
    """
    file = folder / ASSIGNMENTS
    rows = list(csv.DictReader(io.StringIO(files.read_text(file), newline="")))
    wanted = {"image", "class", "name", "labelled", "centrality"}
    if not rows or not wanted <= rows[0].keys() or any(None in row.values() for row in rows):
        raise UserError(f"{file}: not the table that `discover` wrote; make the run again")
    return rows


def write_learned(folder: Path, before: Continued, forbidden: Sequence[tuple[str, str]]) -> None:
    """Write what a new run in ``folder`` keeps of the decisions that it learned from."""
    assert before.settings.decisions is not None
    files.write_text(folder / LEARNED_DECISIONS, files.read_text(before.settings.decisions))
    document = {"from": before.identity, "decisions": len(before.decisions), "forbidden": forbidden}
    files.write_json(folder / LEARNED, document)

"""The figures of a loop as rows of a table: accuracy by name and by the best assignment, and paired differences."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gcd_longtail.figures.discovery_rows import traits
from gcd_longtail.figures.k_rows import seed_of
from gcd_longtail.figures.metrics import Scored, figures
from gcd_longtail.protocol.data import Data
from gcd_longtail.reviewing.rounds import DECISIONS, Step
from seminar_common import bootstrap
from seminar_common.results import Row

NOTE = (
    "A simulated person answers from the true labels and sees three images of a class. Every line of the file of "
    "decisions counts as one decision: naming a class, or moving one image of it that is something else. Named accuracy "
    "counts an image as right if its class has the name of its true class, so a category that nobody named counts as "
    "wrong; transductive figures count images that were answered as answered. The method is fitted again with what was "
    "shown as labels. Random and doubtful labels are given to the same method in the same way. Intervals are Student's "
    "over the splits."
)
SHOWN = ("named_macro_all", "named_macro_novel", "macro_all", "images_answered", "named_macro_all_difference")
LABELS = {
    DECISIONS: "decisions",
    "random": "random labels",
    "random-per-image": "random labels, one an image",
    "doubtful": "doubtful labels",
}
"""What is added to the method's name in a table."""
NAMED_PARTS = ("all", "known", "novel", "novel_few")
PLAIN = ("macro_all", "macro_novel")


def measured(step: Step, split: str, data: Data) -> dict[str, float]:
    """Return the figures of a step on the images of ``transductive`` or ``test``; accuracies are fractions."""
    scored = Scored(step.counts[split], data.split.known, data.split.frequencies)
    hits = np.zeros(len(data.split.classes))
    rows = np.flatnonzero(step.named >= 0)
    np.add.at(hits, step.named[rows], scored.counts[rows, step.named[rows]])
    there = scored.totals > 0
    accuracy = hits / np.maximum(scored.totals, 1)
    found = {
        f"named_macro_{part}": float(accuracy[mask & there].mean())
        for part, mask in scored.masks.items()
        if part in NAMED_PARTS and (mask & there).any()
    }
    plain = figures(scored)
    return found | {name: plain[name] for name in PLAIN if name in plain}


def loop_rows(
    method: str, splits: Sequence[Data], steps: Sequence[Mapping[str, Sequence[Sequence[Step]]]]
) -> Iterator[Row]:
    """Yield the figures of one data set, each with Student's interval over its splits.

    Args:
        method: that learned.
        splits: each is a seed.
        steps: for each split by what was asked the steps of each draw.
    """
    common: dict[str, Any] = {"seeds": tuple(map(seed_of, splits)), "n": len(splits)}
    facts = {"k": "true", **traits(splits)}
    first = steps[0][DECISIONS][0]
    for split in ("transductive", "test"):
        if not all(split in one[DECISIONS][0][0].counts for one in steps):
            continue
        where = (method, splits[0].split.name, split)
        for decisions in [step.decisions for step in first]:
            told = {**common, "facts": {**facts, "decisions": decisions}}
            means = {asked: _means(asked, decisions, split, splits, steps) for asked in steps[0]}
            if not decisions:
                yield from _rows(where, means[DECISIONS], told)
                continue
            for asked, values in means.items():
                yield from _rows((f"{method}, {LABELS[asked]}", *where[1:]), values, told)
            yield from _differences(where, means, told)
    for decisions, asked in itertools.product([step.decisions for step in first[1:]], steps[0]):
        told = {**common, "facts": {**facts, "decisions": decisions}}
        at = [_at(one[asked], decisions) for one in steps]
        answered = [float(np.mean([step.answered for step in some])) for some in at]
        names = [float(np.mean([len(set(step.named[step.named >= 0])) for step in some])) for some in at]
        where = (f"{method}, {LABELS[asked]}", splits[0].split.name, "")
        yield _row(where, "images_answered", answered, told)
        yield _row(where, "classes_named", names, told)


def _at(draws: Sequence[Sequence[Step]], decisions: int) -> list[Step]:
    """Return the step of each draw after so many decisions."""
    return [step for draw in draws for step in draw if step.decisions == decisions]


def _means(
    asked: str,
    decisions: int,
    split: str,
    splits: Sequence[Data],
    steps: Sequence[Mapping[str, Sequence[Sequence[Step]]]],
) -> list[dict[str, float]]:
    """Return for each split its figures after so many decisions, their mean over the draws; none where nobody asked."""
    found = []
    for one, data in zip(steps, splits, strict=True):
        draws = [measured(step, split, data) for step in _at(one[asked], decisions)]
        found += (
            [{name: float(np.mean([values[name] for values in draws])) for name in draws[0]}] if draws else []
        )
    return found


def _rows(
    where: tuple[str, str, str], values: Sequence[Mapping[str, float]], told: Mapping[str, Any]
) -> Iterator[Row]:
    for metric in values[0]:
        if all(metric in one for one in values):
            yield _row(where, metric, [one[metric] for one in values], told)


def _differences(
    where: tuple[str, str, str], means: Mapping[str, Sequence[Mapping[str, float]]], told: Mapping[str, Any]
) -> Iterator[Row]:
    """Yield by how much the decisions are ahead of the others, split by split."""
    ours = means[DECISIONS]
    for asked, others in means.items():
        if asked == DECISIONS:
            continue
        for metric in ("named_macro_all", "macro_all"):
            values = [one[metric] - other[metric] for one, other in zip(ours, others, strict=True)]
            names = (f"{where[0]}, {LABELS[DECISIONS]}", *where[1:])
            yield _row(names, f"{metric}_difference", values, told, baseline=f"{where[0]}, {LABELS[asked]}")


def _row(
    where: tuple[str, str, str], metric: str, values: Sequence[float], told: Mapping[str, Any], **more: Any
) -> Row:
    low = high = None
    if len(values) > 1:
        interval = bootstrap.seed_interval(values)
        low, high = interval.low, interval.high
    return Row(*where, metric, float(np.mean(values)), low, high, **told, **more)

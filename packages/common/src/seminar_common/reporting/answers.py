"""Words for figures: what the questions of topics make their sentences of.

Every sentence of a comparison comes from a row of a paired difference and its interval, by the same verdict as in the
tables.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from seminar_common.display import DIFFERENCE, Metric, metric_named
from seminar_common.results import Results, Row
from seminar_common.tables import is_paired, verdict


def all_rows(runs: Iterable[Results]) -> list[Row]:
    """Return the rows of all runs; of the same thing that several have measured, what the first of them has."""
    found: dict[Any, Row] = {}
    for row in (row for run in runs for row in run.rows):
        found.setdefault(_same(row), row)
    return list(found.values())


def _same(row: Row) -> Any:
    """Return what two measurements of the same thing have in common."""
    plain = dataclasses.replace(row, value=0.0, ci_low=None, ci_high=None, n=None, seeds=None, facts={})
    return plain, tuple(sorted(row.facts.items()))


def where(rows: Iterable[Row], **conditions: Any) -> list[Row]:
    """Return the rows whose fields and facts equal ``conditions``; of a tuple any value will do."""
    return [row for row in rows if all(_fits(row.get(key), value) for key, value in conditions.items())]


def _fits(found: Any, wanted: Any) -> bool:
    return found in wanted if isinstance(wanted, tuple) else found == wanted


def first(rows: Iterable[Row], **conditions: Any) -> Row | None:
    """Return the first row that fits, None if there is none."""
    return next(iter(where(rows, **conditions)), None)


def names(rows: Iterable[Row], key: str = "dataset") -> list[Any]:
    """Return the values that rows have under ``key``, once each, in order."""
    return list(dict.fromkeys(row.get(key) for row in rows if row.get(key) not in (None, "")))


def figure(row: Row) -> str:
    """Return a figure for print with its unit and interval: ``"0.8113 [0.8096, 0.8126]"``."""
    metric = _metric(row)
    return " ".join(filter(None, [metric.text(row.value), metric.interval(row)]))


def value(row: Row) -> str:
    """Return a figure for print with its unit, without its interval."""
    return _metric(row).text(row.value)


def without_sign(row: Row) -> str:
    """Return a paired difference that is a loss as the size of the loss: ``"0.0018 [0.0015, 0.0021]"``."""
    ends = [None if end is None else -end for end in (row.ci_high, row.ci_low)]
    metric = dataclasses.replace(_metric(row), signed=False)
    turned = dataclasses.replace(row, value=-row.value, ci_low=ends[0], ci_high=ends[1])
    lower = metric.better == "higher"
    row = turned if lower else row
    return " ".join(filter(None, [metric.text(row.value), metric.interval(row)]))


def _metric(row: Row) -> Metric:
    metric = metric_named(row.metric, row.unit)
    return dataclasses.replace(metric, unit="points") if metric.signed and metric.unit == "%" else metric


def quality_name(row: Row) -> str:
    """Return the name of what a row measures, of a difference without the word."""
    return metric_named(row.metric.removesuffix(DIFFERENCE)).name


def is_no_loss(row: Row, margin: float) -> bool:
    """Say whether the interval of a paired difference leaves no room for a loss of more than ``margin``.

    Args:
        row: a paired difference.
        margin: the smallest loss that matters, as in the file; an interval that merely holds zero says nothing.
    """
    if row.ci_low is None or row.ci_high is None:
        return False
    worst = row.ci_low if metric_named(row.metric).better == "higher" else -row.ci_high
    return worst >= -margin


def cost(row: Row, margin: float) -> str:
    """Return what a paired difference says of the price that was paid, to follow "at" or "with"."""
    name, tone = quality_name(row), verdict(row)["tone"]
    if is_no_loss(row, margin):
        return f"no loss of {name} ({figure(row)})"
    if tone == "worse":
        return f"a loss of {without_sign(row)} {name}"
    if tone == "better":
        return f"a gain of {figure(row)} {name}"
    return f"a difference in {name} that {_examples(row)} cannot tell from zero ({figure(row)})"


def compared(row: Row) -> str:
    """Return how a model does beside its baseline: "better by ...", "worse by ..." or "not told apart"."""
    tone = verdict(row)["tone"]
    if tone in ("better", "worse"):
        size = without_sign(row) if tone == "worse" else figure(row)
        return f"{tone} by {size} {quality_name(row)}"
    told = "not told apart" if tone == "level" else "of an unknown interval"
    return f"{told} in {quality_name(row)} ({figure(row)})"


def _examples(row: Row) -> str:
    return "the data" if row.n is None else f"{row.n:,} examples"


def tally(rows: Sequence[Row]) -> str:
    """Count the verdicts of paired differences as the tables print them: "1 better, 0 worse, 2 not told apart"."""
    tones = [verdict(row)["tone"] for row in rows]
    text = (
        f"{tones.count('better')} better, {tones.count('worse')} worse, {tones.count('level')} not told apart"
    )
    return text + (f", {tones.count('open')} without an interval" if "open" in tones else "")


def overlap(one: Row, other: Row) -> bool | None:
    """Say whether the intervals of two figures that are not paired have a value in common; None without both."""
    ends = (one.ci_low, one.ci_high, other.ci_low, other.ci_high)
    if any(end is None for end in ends):
        return None
    return ends[0] <= ends[3] and ends[2] <= ends[1]  # ty: ignore[unsupported-operator]


def beside(rows: Sequence[Row]) -> list[Row]:
    """Return paired differences as rows that stand in the line of their model, in a column of their own."""
    return [dataclasses.replace(row, baseline=None) if is_paired(row) else row for row in rows]


def listed(texts: Sequence[str]) -> str:
    """Return texts as a list in a sentence: "a, b and c"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def number_of(count: int, what: str) -> str:
    """Return a count with its noun: "1 data set", "3 data sets"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def times(ratio: float) -> str:
    """Return a ratio for print: two significant digits below ten, whole above."""
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"

"""How each metric is printed: its heading, unit and decimals, and which way is better.

A topic brings its own by entry points: a mapping from a metric's name to its :class:`Metric` in the group
``seminar.metrics``, and a mapping from a key of its rows to its form in print (``"{} k"``) in the group
``seminar.conditions``. The modules that hold them import nothing heavy.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from seminar_common.results import Row


@dataclass(frozen=True)
class Metric:
    """How one metric is named and printed."""

    name: str
    """Heading of its column."""
    long_name: str
    """What it is, for whoever doesn't know the heading."""
    better: str = ""
    """``higher``, ``lower``, or empty where neither is."""
    decimals: int | None = None
    """Decimals in print; three significant digits if left out."""
    scale: float = 1.0
    """Factor from the file to print: 100 for percent."""
    unit: str = ""
    quality: bool = False
    """True if it says how good a model is, rather than what it costs."""
    signed: bool = False
    """True for a difference: its sign is always printed."""
    chance: float | None = None
    """What a model that learned nothing has, as in the file; None where that depends on the data."""

    def format(self, value: float) -> str:
        """Return ``value`` (as in the file) for print, without its unit."""
        value = self.scale * value
        text = _significant(value, 3) if self.decimals is None else f"{value:,.{self.decimals}f}"
        negative = text.startswith("-")
        text = text.removeprefix("-")
        if not text.strip("0.,"):  # neither -0.0000 nor +0.0000
            return text
        return ("\u2212" if negative else "+" if self.signed else "") + text

    def text(self, value: float) -> str:
        """Return ``value`` for print with its unit."""
        gap = "" if self.unit in ("%", "") else "\u00a0"
        return f"{self.format(value)}{gap}{self.unit}"

    def interval(self, row: Row) -> str:
        """Return the row's 95% interval for print, empty if it has none."""
        if row.ci_low is None or row.ci_high is None:
            return ""
        return f"[{self.format(row.ci_low)}, {self.format(row.ci_high)}]"

    @property
    def axis(self) -> str:
        """Its name with its unit, for an axis or a heading."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def _significant(value: float, digits: int) -> str:
    """Return ``value`` rounded to ``digits`` significant digits, in plain notation down to a millionth."""
    if value == 0 or not 1e-6 <= abs(value) < 1e15:
        return f"{value:.{digits - 1}e}" if value else "0"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])  # after rounding: 9.999 has the exponent of 10
    decimals = digits - 1 - exponent
    return f"{round(value, decimals):,.{max(0, decimals)}f}"


def quality(name: str, long_name: str, decimals: int, better: str = "higher") -> Metric:
    """Return a metric that says how good a model is, printed as in the file."""
    return Metric(name, long_name, better, decimals, quality=True)


def percent(name: str, long_name: str, decimals: int = 1) -> Metric:
    """Return a metric that says how good a model is, a fraction in the file and percent in print."""
    return Metric(name, long_name, "higher", decimals, scale=100, unit="%", quality=True)


# What this package measures itself (`metrics`, `cost`); each topic brings its own metrics.
_SHARED: Mapping[str, Metric] = {
    "roc_auc": dataclasses.replace(
        quality("ROC AUC", "Area under the receiver operating characteristic", 4), chance=0.5
    ),
    "accuracy": percent("Accuracy", "Share of examples classified correctly", 2),
    "log_loss": quality("Log loss", "Mean negative log-likelihood of the labels", 4, "lower"),
    "normalized_entropy": quality("Norm. entropy", "Log loss over that of the mean label", 4, "lower"),
    "calibration_error": quality("Calib. error", "Expected calibration error", 4, "lower"),
    "size_mb": Metric("Size", "Size of the model at its true bit widths", "lower", unit="MB"),
    "mflops_per_sample": Metric("MFLOPs", "Million multiply-adds a sample, times bits / 32", "lower"),
    "latency_us_p50": Metric("Latency p50", "Median time of a call", "lower", unit="\u00b5s"),
    "latency_us_p99": Metric("Latency p99", "99th percentile of the time of a call", "lower", unit="\u00b5s"),
    "throughput_per_s": Metric("Throughput", "Samples a second", "higher", unit="1/s"),
    "peak_rss_mb": Metric("Peak memory", "Peak resident memory of the process", "lower", unit="MB"),
}

_SHARED_CONDITIONS = {"dataset": "{}", "split": "{}", "label": "class {}", "subset": "{}"}
_TIMED_CONDITIONS = {"batch": "batch {:,}", "threads": "threads {}"}

METRICS_GROUP, CONDITIONS_GROUP = "seminar.metrics", "seminar.conditions"


@cache
def metrics() -> Mapping[str, Metric]:
    """Return every known metric in the order of columns: those of quality first, and the shared before a topic's.

    The first quality that a table has leads its summary and its plots.
    """
    known = _with_topics(_SHARED, METRICS_GROUP)
    return dict(sorted(known.items(), key=lambda item: not item[1].quality))


@cache
def conditions() -> Mapping[str, str]:
    """Return by key of a row how it says what a figure was measured on; only equal conditions compare."""
    return {**_with_topics(_SHARED_CONDITIONS, CONDITIONS_GROUP), **_TIMED_CONDITIONS}


def _with_topics(shared: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return ``shared`` and what the entry points of ``group`` name, mappings of the installed topics.

    Raises:
        ValueError: a topic gives another meaning to a name that is taken.
    """
    known = dict(shared)
    for entry in sorted(entry_points(group=group), key=lambda e: e.name):
        for name, meaning in entry.load().items():
            if known.setdefault(name, meaning) != meaning:
                raise ValueError(f"{entry.name}: {name} means something else already; choose another name")
    return known


DIFFERENCE = "_difference"  # ends the name of a metric that is a paired difference of another


def metric_named(name: str, unit: str = "") -> Metric:
    """Return how ``name`` prints: by :func:`metrics`, as a difference of one of those, or plainly in ``unit``."""
    if name in metrics():
        return metrics()[name]
    if name.endswith(DIFFERENCE):
        metric = metric_named(name.removesuffix(DIFFERENCE))
        unit = "points" if metric.unit == "%" else metric.unit or unit
        name = f"{metric.name} difference"
        return dataclasses.replace(metric, name=name, unit=unit, signed=True, quality=False, chance=None)
    plain = name.replace("_", " ")
    return Metric(plain[:1].upper() + plain[1:], plain, unit=unit)


def at_chance(row: Row) -> bool:
    """Say whether the row's interval holds what a model has that learned nothing, such as a ROC AUC of 0.5."""
    chance = metric_named(row.metric).chance
    if chance is None or row.ci_low is None or row.ci_high is None:
        return False
    return row.ci_low <= chance <= row.ci_high


def in_column_order(names: Iterable[str]) -> list[str]:
    """Return metric names once each: known ones in the order of columns, then the others as they came."""
    order = {name: place for place, name in enumerate(metrics())}
    return sorted(dict.fromkeys(names), key=lambda name: order.get(name, len(order)))

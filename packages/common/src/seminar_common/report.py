"""Reports: one self-contained HTML page or PDF from result tables, and Markdown tables for the documentation.

A report is made of rows and curves alone (see :mod:`seminar_common.results`). They are arranged once, as
plain dictionaries and lists, which the templates for HTML and PDF both read; neither computes anything.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from seminar_common import files, plots
from seminar_common.errors import UserError, choices
from seminar_common.results import Results, Row, read_results

_TEMPLATES = Path(__file__).parent / "templates"

# ------------------------------------------------------------------------------------------ how figures print


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


def _quality(name: str, long_name: str, decimals: int, better: str = "higher") -> Metric:
    return Metric(name, long_name, better, decimals, quality=True)


def _percent(name: str, long_name: str, decimals: int = 1) -> Metric:
    return Metric(name, long_name, "higher", decimals, scale=100, unit="%", quality=True)


METRICS: Mapping[
    str, Metric
] = {  # in the order of columns; the first quality there is leads summary and plots
    "roc_auc": _quality("ROC AUC", "Area under the receiver operating characteristic", 4),
    "accuracy": _percent("Accuracy", "Share of examples classified correctly", 2),
    "log_loss": _quality("Log loss", "Mean negative log-likelihood of the labels", 4, "lower"),
    "normalized_entropy": _quality("Norm. entropy", "Log loss over that of the mean label", 4, "lower"),
    "calibration_error": _quality("Calib. error", "Expected calibration error", 4, "lower"),
    "ap": _percent("AP", "Average precision over IoU 0.50 to 0.95"),
    "ap50": _percent("AP50", "Average precision at IoU 0.50"),
    "page_ap": _percent("Page AP", "Average precision of finding the pages that hold the class"),
    "page_f1": _percent("Page F1", "F1 of finding the pages that hold the class"),
    "acc_all": _percent("Acc. all", "Clustering accuracy over all classes"),
    "acc_known": _percent("Acc. known", "Clustering accuracy over known classes"),
    "acc_novel": _percent("Acc. novel", "Clustering accuracy over novel classes"),
    "macro_all": _percent("Macro acc. all", "Mean of the accuracies of all classes"),
    "macro_known": _percent("Macro acc. known", "Mean of the accuracies of known classes"),
    "macro_novel": _percent("Macro acc. novel", "Mean of the accuracies of novel classes"),
    "macro_novel_many": _percent(
        "Macro acc. novel, many", "Mean of the accuracies of novel classes with many images"
    ),
    "macro_novel_medium": _percent(
        "Macro acc. novel, medium", "Mean of the accuracies of novel classes of medium size"
    ),
    "macro_novel_few": _percent(
        "Macro acc. novel, few", "Mean of the accuracies of novel classes with few images"
    ),
    "nmi": _quality("NMI", "Normalized mutual information", 3),
    "ari": _quality("ARI", "Adjusted Rand index", 3),
    "k_estimated": Metric("Estimated k", "Estimated number of classes", decimals=0),
    "size_mb": Metric("Size", "Size of the model at its true bit widths", "lower", unit="MB"),
    "mflops_per_sample": Metric("MFLOPs", "Million multiply-adds a sample, times bits / 32", "lower"),
    "latency_us_p50": Metric("Latency p50", "Median time of a call", "lower", unit="\u00b5s"),
    "latency_us_p99": Metric("Latency p99", "99th percentile of the time of a call", "lower", unit="\u00b5s"),
    "throughput_per_s": Metric("Throughput", "Samples a second", "higher", unit="1/s"),
    "peak_rss_mb": Metric("Peak memory", "Peak resident memory of the process", "lower", unit="MB"),
}

_DIFFERENCE = "_difference"


def metric_named(name: str, unit: str = "") -> Metric:
    """Return how ``name`` prints: by :data:`METRICS`, as a difference of one of those, or plainly in ``unit``."""
    if name in METRICS:
        return METRICS[name]
    if name.endswith(_DIFFERENCE):
        metric = metric_named(name.removesuffix(_DIFFERENCE))
        unit = "points" if metric.unit == "%" else metric.unit or unit
        name = f"{metric.name} difference"
        return dataclasses.replace(metric, name=name, unit=unit, signed=True, quality=False)
    plain = name.replace("_", " ")
    return Metric(plain[:1].upper() + plain[1:], plain, unit=unit)


def _in_order(names: Iterable[str]) -> list[str]:
    """Return metric names once each: known ones in the order of columns, then the others as they came."""
    order = list(METRICS)
    return sorted(dict.fromkeys(names), key=lambda name: order.index(name) if name in METRICS else len(order))


# ----------------------------------------------------------------------------------------- rows become lines

_CONDITIONS = {  # what a figure was measured on: only lines that agree in all of these compare
    "dataset": "{}",
    "split": "{}",
    "label": "class {}",
    "subset": "{}",
    "setting": "{} source",
    "labels": "{:,} labelled",
    "k": "{} k",
    "imbalance": "imbalance {:g}",
    "batch": "batch {:,}",
    "threads": "{} threads",
}
_TRAITS = ("bits", "engine", "backbone", "ablation", "baseline", "seeds")  # which model it was measured on


@dataclass(frozen=True)
class _Line:
    """The figures of one model under the same conditions: a line of a table."""

    key: Mapping[str, Any]
    cells: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """By metric; several rows only if the results hold several figures of exactly the same thing."""

    @property
    def model(self) -> str:
        return self.key["model"]

    @property
    def condition(self) -> tuple[Any, ...]:
        return tuple(self.key.get(name) for name in _CONDITIONS)

    @property
    def ours(self) -> bool:
        return any(row.ours for rows in self.cells.values() for row in rows)


def _key(row: Row) -> dict[str, Any]:
    """Return what tells the row from others of its metric, without what is not set."""
    key = {name: getattr(row, name) for name in ("model", *_CONDITIONS, *_TRAITS)}
    key["seeds"] = None if row.seeds is None else tuple(row.seeds)
    return {name: value for name, value in key.items() if value not in (None, "")}


def _lines(rows: Sequence[Row]) -> list[_Line]:
    """Arrange rows as lines.

    A row that names fewer conditions than another of the same model belongs to all lines that agree with what
    it says: a size has no split and so stands in the line of ``test`` and in that of ``val``.
    """
    keys = [_key(row) for row in rows]
    distinct = list({tuple(key.items()): key for key in keys}.values())
    models = {
        model: [key for key in distinct if key["model"] == model] for model in {k["model"] for k in distinct}
    }
    members = [[other for other in models[key["model"]] if _belongs(other, key)] for key in distinct]
    # Of two that contradict each other, such as the sizes under two engines, neither belongs to the line.
    members = [[key for key in some if all(_agree(key, other) for other in some)] for some in members]
    lines = []
    for key, some in zip(distinct, members, strict=True):
        if any(key in others for other, others in zip(distinct, members, strict=True) if other is not key):
            continue
        cells: dict[str, list[Row]] = {}
        for row, own in zip(rows, keys, strict=True):
            if own in some:
                cells.setdefault(row.metric, []).append(row)
        lines.append(_Line({name: value for member in some for name, value in member.items()}, cells))
    return lines


def _belongs(key: Mapping[str, Any], line: Mapping[str, Any]) -> bool:
    """Say whether a row with ``key`` has a place in the line of another row, ``line``."""
    if all((key.get(name) is None) == (line.get(name) is None) for name in _CONDITIONS):
        return key.items() <= line.items()
    return all(name in line for name in _CONDITIONS if name in key) and _agree(key, line)


def _agree(key: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(other[name] == value for name, value in key.items() if name in other)


def _groups(lines: Iterable[_Line]) -> list[list[_Line]]:
    """Return the lines in groups that compare, in order of appearance."""
    groups: dict[tuple[Any, ...], list[_Line]] = {}
    for line in lines:
        groups.setdefault(line.condition, []).append(line)
    return list(groups.values())


def _condition_text(key: Mapping[str, Any]) -> str:
    return ", ".join(form.format(key[name]) for name, form in _CONDITIONS.items() if name in key)


def _trait_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def _varying(lines: Sequence[_Line]) -> list[str]:
    return [name for name in _TRAITS if len({line.key.get(name) for line in lines}) > 1]


def _labels(lines: Sequence[_Line]) -> list[str]:
    """Return a name for each line: its model, and its traits where the model alone is not unique."""
    models = [line.model for line in lines]
    varying = _varying(lines)
    names = []
    for line in lines:
        traits = [_trait_text(line.key.get(name)) for name in varying] if models.count(line.model) > 1 else []
        names.append(", ".join([line.model, *filter(None, traits)]))
    return names


# ---------------------------------------------------------------------------------------------------- tables


def _tables(rows: Sequence[Row], metrics: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the tables of quality and size, of single classes and of speed, those that have rows."""
    parts: dict[str, list[Row]] = {"Results": [], "By class": [], "Speed": []}
    for row in rows:
        if not _is_paired(row) and (metrics is None or row.metric in metrics):
            timed = row.batch is not None or row.threads is not None
            parts["Speed" if timed else "By class" if row.label else "Results"].append(row)
    return [_table(title, part, metrics) for title, part in parts.items() if part]


def _is_paired(row: Row) -> bool:
    return row.metric.endswith(_DIFFERENCE) and row.baseline is not None


def _table(title: str, rows: Sequence[Row], metrics: Sequence[str] | None = None) -> dict[str, Any]:
    lines = _lines(rows)
    names = (
        [m for m in metrics if any(r.metric == m for r in rows)]
        if metrics
        else _in_order(r.metric for r in rows)
    )
    units = {row.metric: row.unit for row in rows}
    traits = _varying(lines)
    same = [name for name in _TRAITS if name in lines[0].key and name not in traits]
    return {
        "title": title,
        "note": ", ".join(f"{name} {_trait_text(lines[0].key[name])}" for name in same),
        "traits": [trait.capitalize() for trait in traits],
        "metrics": [dataclasses.asdict(metric_named(name, units[name])) for name in names],
        "counted": any(row.n is not None for row in rows),
        "groups": [
            {
                "name": _condition_text(group[0].key),
                "lines": [_table_line(line, group, names, traits) for line in group],
            }
            for group in _groups(lines)
        ],
    }


def _table_line(
    line: _Line, group: Sequence[_Line], metrics: Sequence[str], traits: Sequence[str]
) -> dict[str, Any]:
    counts = sorted({row.n for rows in line.cells.values() for row in rows if row.n is not None})
    return {
        "model": line.model,
        "ours": line.ours,
        "traits": [_trait_text(line.key.get(trait)) for trait in traits],
        "cells": [_cell(name, line, group) for name in metrics],
        "n": "\u2013".join(f"{n:,}" for n in dict.fromkeys([counts[0], counts[-1]])) if counts else "",
    }


def _cell(name: str, line: _Line, group: Sequence[_Line]) -> list[dict[str, Any]]:
    metric = metric_named(name)
    best = _best(name, group)
    return [
        {
            "text": metric.format(row.value),
            "interval": metric.interval(row),
            "best": metric.format(row.value) == best,
            "value": float(row.value),
        }
        for row in line.cells.get(name, ())
    ]


def _best(name: str, group: Sequence[_Line]) -> str | None:
    """Return the best figure as printed, so that equal print is marked alike; None if nothing stands out."""
    metric = metric_named(name)
    values = [row.value for line in group for row in line.cells.get(name, ())]
    if not metric.better or len({metric.format(value) for value in values}) < 2:
        return None
    return metric.format(max(values) if metric.better == "higher" else min(values))


def _differences(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the lines of the table of paired differences."""
    paired = [row for row in rows if _is_paired(row)]
    lines = [_Line(_key(row), {row.metric: [row]}) for row in paired]
    varying = [name for name in _varying(lines) if name not in ("baseline", "bits")]
    found = []
    for row, line in zip(paired, lines, strict=True):
        metric = metric_named(row.metric)
        traits = [_trait_text(line.key.get(name)) for name in varying]
        found.append(
            {
                "model": ", ".join([row.model, *filter(None, traits)]),
                "baseline": row.baseline,
                "where": _condition_text(line.key),
                "metric": metric_named(row.metric.removesuffix(_DIFFERENCE)).name,
                "unit": metric.unit,
                "text": metric.format(row.value),
                "interval": metric.interval(row),
                "n": "" if row.n is None else f"{row.n:,}",
                **_verdict(row),
            }
        )
    return found


def _verdict(row: Row) -> dict[str, str]:
    """Say whether the interval of a paired difference excludes zero, and if so for better or worse."""
    if row.ci_low is None or row.ci_high is None:
        return {"tone": "open", "verdict": "no interval"}
    if row.ci_low <= 0 <= row.ci_high:
        return {"tone": "level", "verdict": "includes zero"}
    better = metric_named(row.metric).better
    if not better:
        return {"tone": "open", "verdict": "excludes zero"}
    tone = "better" if (row.value > 0) == (better == "higher") else "worse"
    return {"tone": tone, "verdict": f"excludes zero: {tone}"}


def markdown_table(results: Results, metrics: Sequence[str] | None = None) -> str:
    """Return the figures of ``results`` as a Markdown table, the best of each column in bold.

    Args:
        results: the table to print; paired differences stand below it in a table of their own.
        metrics: the columns, in order; all of them if left out. A difference is named with its
            ``_difference`` at the end.

    Raises:
        ValueError: ``results`` has none of the metrics.
    """
    rows = [row for row in results.rows if metrics is None or row.metric in metrics]
    if not rows:
        raise ValueError(f"the results of {results.command!r} hold none of the metrics {metrics}")
    parts = [_markdown_figures(table) for table in _tables(rows, metrics)]
    if differences := _differences(rows):
        parts.append(_markdown_differences(differences))
    return "\n".join(parts)


def _markdown_figures(table: dict[str, Any]) -> str:
    head = ["Data", "Model", *table["traits"], *(_markdown_heading(m) for m in table["metrics"]), "n"]
    body = []
    for group in table["groups"]:
        for line in group["lines"]:
            cells = ["<br>".join(map(_markdown_cell, cell)) for cell in line["cells"]]
            body.append([*map(_markdown, (group["name"], line["model"], *line["traits"])), *cells, line["n"]])
    return _markdown_lines(head, body, right=len(table["metrics"]) + 1)


def _markdown_heading(metric: dict[str, Any]) -> str:
    arrow = {"higher": " \u2191", "lower": " \u2193"}.get(metric["better"], "")
    return _markdown(metric["name"] + (f" ({metric['unit']})" if metric["unit"] else "")) + arrow


def _markdown_cell(figure: dict[str, Any]) -> str:
    text = f"**{figure['text']}**" if figure["best"] else figure["text"]
    return f"{text} {figure['interval']}".strip()


def _markdown_differences(differences: Sequence[dict[str, Any]]) -> str:
    head = ["Data", "Difference", "Metric", "95% interval", "n", "Zero"]
    body = []
    for one in differences:
        names = map(_markdown, (one["where"], f"{one['model']} \u2212 {one['baseline']}", one["metric"]))
        body.append([*names, f"{one['text']} {one['unit']} {one['interval']}", one["n"], one["verdict"]])
    return _markdown_lines(head, body, right=0)


def _markdown_lines(head: Sequence[str], body: Sequence[Sequence[str]], right: int) -> str:
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return "".join(
        f"| {' | '.join(' '.join(cell.split()) for cell in line)} |\n" for line in (head, rule, *body)
    )


def _markdown(text: str) -> str:
    """Escape what Markdown would read as a cell border, emphasis, code or HTML."""
    text = plots.printable(text)
    for character in "\\|*_`<[":
        text = text.replace(character, "\\" + character)
    return text


# --------------------------------------------------------------------------------------------------- summary

_SPLITS = ("test", "transductive", "val")  # the most telling first


def _headlines(rows: Sequence[Row]) -> list[list[_Line]]:
    """Return the groups of each data set's most telling split, without single classes and timings."""
    lines = _lines([r for r in rows if not (_is_paired(r) or r.label or r.batch or r.threads)])
    best: dict[str, int] = {}
    for line in lines:
        dataset = line.key.get("dataset", "")
        best[dataset] = min(_rank(line), best.get(dataset, len(_SPLITS)))
    return [g for g in _groups(lines) if _rank(g[0]) == best[g[0].key.get("dataset", "")]]


def _rank(line: _Line) -> int:
    split = line.key.get("split")
    return _SPLITS.index(split) if split in _SPLITS else len(_SPLITS)


def _leading_metric(group: Sequence[_Line]) -> str | None:
    """Return the first metric of quality that the group has."""
    present = _in_order(name for line in group for name in line.cells)
    return next((name for name in present if metric_named(name).quality), None)


def _summary(rows: Sequence[Row]) -> list[str]:
    """Return a few sentences: the best model of each data set, and how others differ from their baseline."""
    sentences = []
    for group in _headlines(rows):
        if (name := _leading_metric(group)) is None:
            continue
        sentences.append(_best_sentence(name, group))
        where = _condition_text(group[0].key)
        paired = [r for r in rows if r.metric == name + _DIFFERENCE and _is_paired(r)]
        paired = [row for row in paired if _condition_text(_key(row)) == where]
        if paired:
            sentences.append(_paired_sentence(paired, group))
    return sentences


def _best_sentence(name: str, group: Sequence[_Line]) -> str:
    metric = metric_named(name)
    measured = [
        (row, label)
        for line, label in zip(group, _labels(group), strict=True)
        for row in line.cells.get(name, ())
    ]
    sign = 1 if metric.better == "higher" else -1
    row, label = max(measured, key=lambda item: sign * item[0].value)
    figure = " ".join(filter(None, [metric.text(row.value), metric.interval(row)]))
    n = "" if row.n is None else f", n\u00a0=\u00a0{row.n:,}"
    where = _condition_text(group[0].key)
    if len(measured) == 1:
        return f"{where}: {label} reaches {metric.name} {figure}{n}."
    among = f" of {len(measured)} models" if len(measured) > 2 else ""
    return (
        f"{where}: {label} has the {'highest' if sign > 0 else 'lowest'} {metric.name}{among}: {figure}{n}."
    )


def _paired_sentence(paired: Sequence[Row], group: Sequence[_Line]) -> str:
    if len(paired) > 1:
        tones = [_verdict(row)["tone"] for row in paired]
        counts = f"{tones.count('better')} better, {tones.count('worse')} worse"
        baselines = choices({str(row.baseline) for row in paired})
        return f"Paired with {baselines}: {counts}, {tones.count('level')} not told apart at 95%."
    row = paired[0]
    metric, plain = metric_named(row.metric), metric_named(row.metric.removesuffix(_DIFFERENCE))
    interval = (
        f" {metric.interval(row)}, which {_verdict(row)['verdict'].split(':')[0]}"
        if row.ci_low is not None
        else ""
    )
    difference = f"{row.model} differs from {row.baseline} by {metric.text(row.value)} {plain.name}{interval}"
    return f"{difference}{_size_clause(row, group)}."


def _size_clause(row: Row, group: Sequence[_Line]) -> str:
    """Say how much smaller the model is than its baseline, where both sizes are known."""
    sizes = {line.model: line.cells["size_mb"][0].value for line in group if "size_mb" in line.cells}
    if row.baseline not in sizes or not sizes.get(row.model) or sizes[row.model] >= sizes[row.baseline]:
        return ""
    ratio = sizes[row.baseline] / sizes[row.model]
    small, large = (METRICS["size_mb"].text(sizes[model]) for model in (row.model, row.baseline))
    return f", at {small} instead of {large}, {ratio:.1f} times smaller"


# ----------------------------------------------------------------------------------------------------- plots


def _figures(results: Results, prefix: str) -> list[dict[str, Any]]:
    """Return the plots by data set, each as SVG with a caption; ``prefix`` keeps their ids apart."""
    models = list(dict.fromkeys(item.model for item in (*results.rows, *results.curves)))
    drawn: dict[str, list[dict[str, Any]]] = {}
    for dataset, caption, figure in (*_comparisons(results, models), *_curves(results, models)):
        number = sum(map(len, drawn.values()))
        wide = bool(figure.get_figwidth() > plots.SIZE[0])
        picture = plots.svg(figure, f"{prefix}-{number}")
        drawn.setdefault(dataset, []).append({"caption": caption, "svg": picture, "wide": wide})
    return [{"dataset": dataset, "plots": pictures} for dataset, pictures in drawn.items()]


def _comparisons(results: Results, models: Sequence[str]) -> list[tuple[str, str, Any]]:
    """Draw quality against size for each group where two models have both, and else quality alone."""
    found = []
    for group in _headlines(results.rows):
        name = _leading_metric(group)
        measured = [line for line in group if name in line.cells]
        if name is None or len(measured) < 2:
            continue
        metric, dataset = metric_named(name), group[0].key.get("dataset", "")
        where = ", ".join(
            filter(None, [_condition_text({k: v for k, v in group[0].key.items() if k != "dataset"})])
        )
        points = _points(measured, name)
        if len(points) > 1:
            figure = plots.pareto(points, METRICS["size_mb"].axis, metric.axis, metric.better == "higher")
            caption = (
                f"{metric.name} against size, {where}. Filled: no other model is both smaller and better."
            )
        else:
            rows = [line.cells[name][0] for line in measured]
            figure = plots.bars(rows, metric.axis, metric.scale, models)
            caption = f"{metric.name}, {where}."
        found.append((dataset, f"{caption} Lines: 95% intervals.", figure))
    return found


def _points(lines: Sequence[_Line], name: str) -> list[plots.Point]:
    """Return the lines that have a size as points of a Pareto plot."""
    scale = metric_named(name).scale
    points = []
    for line, label in zip(lines, _labels(lines), strict=True):
        row, size = line.cells[name][0], line.cells.get("size_mb", (None,))[0]
        if size is not None and size.value > 0:
            interval = [None if end is None else scale * end for end in (row.ci_low, row.ci_high)]
            points.append(plots.Point(label, size.value, scale * row.value, *interval))
    return points


def _curves(results: Results, models: Sequence[str]) -> list[tuple[str, str, Any]]:
    kinds = {  # kind: what separates one plot from the next, how it is drawn, its caption
        "learning": ("y_label", plots.learning_curve, "Learning curves: {}."),
        "roc": ("split", plots.roc, "Receiver operating characteristic, {}."),
        "calibration": (
            "split",
            plots.calibration,
            "Calibration, {}: on the dashed line, probabilities come true.",
        ),
    }
    found = []
    for kind, (separator, draw, caption) in kinds.items():
        parts: dict[tuple[str, str], list[Any]] = {}
        for curve in results.curves:
            if curve.kind == kind:
                parts.setdefault((curve.dataset, getattr(curve, separator)), []).append(curve)
        found += [
            (dataset, caption.format(part), draw(curves, models)) for (dataset, part), curves in parts.items()
        ]
    return found


# ------------------------------------------------------------------------------------------------- documents


class Section(NamedTuple):
    """One part of a report: a result table and, where known, what it was made with."""

    title: str
    results: Results
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None


def write_report(sections: Sequence[Section | tuple[Any, ...]], out: Path, title: str) -> None:
    """Write a report of ``sections`` to ``out``, whose suffix decides the form; an older one is replaced.

    ``.html`` is one page that opens offline; ``.pdf`` is typeset in one column.

    Args:
        sections: in order; a plain tuple of a section's fields does as well.
        out: the file to write.
        title: heading of the report.

    Raises:
        UserError: another suffix, or ``out`` is a folder.
    """
    _check_out(out)
    page = _page([Section(*section) for section in sections], title)
    data = _html(page).encode() if out.suffix.lower() == ".html" else _pdf(page)
    with files.atomic_path(out) as temporary:
        temporary.write_bytes(data)


@dataclass(frozen=True)
class ReportSettings:
    """Write one report of several runs, with their tables, plots and settings."""

    runs: tuple[Path, ...]
    """Run folders, each with the results.json that `evaluate` or `study` makes."""
    out: Path
    """The file to write: .html opens in any browser, also offline; .pdf is for print."""


def main(settings: ReportSettings) -> None:
    """Write the report that ``settings`` describe; the function behind ``seminar report``."""
    from seminar_common.progress import say

    report(settings.runs, settings.out)
    say(f"wrote {settings.out}")


def report(runs: Sequence[Path], out: Path) -> None:
    """Write a report of run folders, a section for each.

    Reads each folder's ``results.json`` and, where they are, ``config.json`` and ``environment.json``.

    Raises:
        UserError: no run, a folder without results, a broken file, or a suffix other than .html and .pdf.
    """
    _check_out(out)
    if not runs:
        raise UserError("a report needs at least one run folder: name it after --runs")
    sections = [_read_section(run) for run in runs]
    title = f"Report of {sections[0].title}" if len(sections) == 1 else f"Report of {len(sections)} runs"
    write_report(sections, out, title)


def _check_out(out: Path) -> None:
    if out.suffix.lower() not in (".html", ".pdf"):
        raise UserError(f"{out}: a report is either .html or .pdf; end the name of --out with one of them")
    if out.is_dir():
        raise UserError(f"{out}: is a folder, but a report is a file; choose another --out")


def _read_section(run: Path) -> Section:
    if not run.is_dir():
        raise UserError(f"{run}: no such run folder; give the --out of a `train`, `study` or `bench` command")
    if not (run / "results.json").is_file():
        raise UserError(f"{run}: has no results.json yet; make it with `evaluate --run {run}`")
    config, environment = (_read_settings(run / name) for name in ("config.json", "environment.json"))
    return Section(run.resolve().name, read_results(run), config, environment)


def _read_settings(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    settings = files.read_json(path)
    if not isinstance(settings, dict):
        raise UserError(
            f"{path}: expected a JSON object, found a {type(settings).__name__}; make the file again"
        )
    return settings


def _page(sections: Sequence[Section], title: str) -> dict[str, Any]:
    """Return the whole content of a report, as JSON knows it."""
    parts = []
    for number, section in enumerate(sections, start=1):
        parts.append(
            {
                "id": f"section-{number}",
                "title": section.title,
                "summary": _summary(section.results.rows),
                "tables": _tables(section.results.rows),
                "differences": _differences(section.results.rows),
                "figures": _figures(section.results, f"plot-{number}"),
                "command": section.results.command,
                "details": [
                    {"title": name, "items": _flat(settings)}
                    for name, settings in (("Settings", section.config), ("Environment", section.environment))
                    if settings
                ],
            }
        )
    return _printable({"title": title, "sections": parts})


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as pairs of a dotted name and its value in print."""
    items: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            items += _flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            items.append((f"{prefix}{key}", text))
    return items


def _printable(value: Any) -> Any:
    """Return ``value`` with every text in it fit for UTF-8."""
    if isinstance(value, str):
        return plots.printable(value)
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, (list, tuple)) else value


def _html(page: dict[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html").render(page)


def _pdf(page: dict[str, Any]) -> bytes:
    """Typeset ``page``. It reaches typst as data, never as markup, so none of its text needs escaping."""
    import shutil
    import tempfile

    import matplotlib
    import typst

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as fonts:
        # The plots' font alone: its folder also has one of empty boxes for every character, which would stand
        # in for the system's fonts where DejaVu Sans lacks a character.
        shutil.copy(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", fonts)
        return typst.compile(
            _TEMPLATES / "report.typ",
            format="pdf",
            font_paths=typst.Fonts(font_paths=[fonts]),
            sys_inputs={"page": json.dumps(page)},
        )

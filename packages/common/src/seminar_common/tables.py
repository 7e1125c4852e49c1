"""Tables made of result rows: the lines that compare, paired differences, a summary in words, and Markdown.

Rows of the same model under the same conditions share a line; lines measured under the same conditions are a
group, the only place where figures compare. What comes out is plain dictionaries, lists and strings, as the
templates of :mod:`seminar_common.report` read them.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seminar_common import plots
from seminar_common.display import DIFFERENCE, at_chance, conditions, in_column_order, metric_named
from seminar_common.errors import choices
from seminar_common.results import Results, Row

# ----------------------------------------------------------------------------------------- rows become lines

_TRAITS_BEFORE, _TRAITS_AFTER = ("bits", "engine"), ("ablation", "baseline", "seeds")
"""What tells which model was measured; facts of a topic that are no conditions stand between."""


@dataclass(frozen=True)
class Line:
    """The figures of one model under the same conditions: a line of a table."""

    key: Mapping[str, Any]
    cells: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """By metric; several rows only if the results hold several figures of exactly the same thing."""

    @property
    def model(self) -> str:
        """The model that was measured."""
        return self.key["model"]

    @property
    def condition(self) -> tuple[Any, ...]:
        """What its figures were measured on; only lines with equal conditions compare."""
        return tuple(self.key.get(name) for name in conditions())

    @property
    def learned(self) -> bool:
        """False if an interval of its figures holds what chance alone gives: it is no rival to others."""
        return not any(at_chance(row) for rows in self.cells.values() for row in rows)

    @property
    def ours(self) -> bool:
        """True if any of its figures is of a method that this project adds."""
        return any(row.ours for rows in self.cells.values() for row in rows)


def _key(row: Row) -> dict[str, Any]:
    """Return what tells the row from others of its metric, without what is not set."""
    own = [name for name in sorted(row.facts) if name not in conditions()]
    names = ("model", *conditions(), *_TRAITS_BEFORE, *own, *_TRAITS_AFTER)
    key = {name: row.get(name) for name in names}
    return {name: value for name, value in key.items() if value not in (None, "")}


def _lines(rows: Sequence[Row]) -> list[Line]:
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
        lines.append(Line({name: value for member in some for name, value in member.items()}, cells))
    return lines


def _belongs(key: Mapping[str, Any], line: Mapping[str, Any]) -> bool:
    """Say whether a row with ``key`` has a place in the line of another row, ``line``."""
    if all((key.get(name) is None) == (line.get(name) is None) for name in conditions()):
        return key.items() <= line.items()
    return all(name in line for name in conditions() if name in key) and _agree(key, line)


def _agree(key: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(other[name] == value for name, value in key.items() if name in other)


def _groups(lines: Iterable[Line]) -> list[list[Line]]:
    """Return the lines in groups that compare, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(line.condition, []).append(line)
    return list(groups.values())


def condition_text(key: Mapping[str, Any]) -> str:
    """Return the conditions in a line's ``key`` for print, e.g. ``"criteo-10k, test"``."""
    return ", ".join(form.format(key[name]) for name, form in conditions().items() if name in key)


def _trait_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def _traits(lines: Sequence[Line]) -> list[str]:
    """Return the traits that any of the lines has, in the order of columns."""
    own = {name for line in lines for name in line.key} - {"model", *conditions()}
    between = sorted(own - {*_TRAITS_BEFORE, *_TRAITS_AFTER})
    return [name for name in (*_TRAITS_BEFORE, *between, *_TRAITS_AFTER) if name in own]


def _varying(lines: Sequence[Line]) -> list[str]:
    return [name for name in _traits(lines) if len({line.key.get(name) for line in lines}) > 1]


def line_names(lines: Sequence[Line]) -> list[str]:
    """Return a name for each line: its model, and its traits where the model alone is not unique."""
    models = [line.model for line in lines]
    varying = _varying(lines)
    names = []
    for line in lines:
        traits = [_trait_text(line.key.get(name)) for name in varying] if models.count(line.model) > 1 else []
        names.append(", ".join([line.model, *filter(None, traits)]))
    return names


# ---------------------------------------------------------------------------------------------------- tables


def figure_tables(rows: Sequence[Row], metrics: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the tables of quality and size, of single classes and of speed, those that have rows.

    Args:
        rows: what to print; paired differences are left to :func:`paired_differences`.
        metrics: the columns, in order; all of them if left out.
    """
    parts: dict[str, list[Row]] = {"Results": [], "By class": [], "Speed": []}
    for row in rows:
        if not is_paired(row) and (metrics is None or row.metric in metrics):
            timed = row.batch is not None or row.threads is not None
            parts["Speed" if timed else "By class" if row.label else "Results"].append(row)
    return [_table(title, part, metrics) for title, part in parts.items() if part]


def is_paired(row: Row) -> bool:
    """Say whether a row is a paired difference: its metric is one, and it names what was subtracted."""
    return row.metric.endswith(DIFFERENCE) and row.baseline is not None


def _table(title: str, rows: Sequence[Row], metrics: Sequence[str] | None = None) -> dict[str, Any]:
    lines = _lines(rows)
    names = (
        [m for m in metrics if any(r.metric == m for r in rows)]
        if metrics
        else in_column_order(r.metric for r in rows)
    )
    units = {row.metric: row.unit for row in rows}
    traits = _varying(lines)
    same = [name for name in _traits(lines) if name not in traits]
    shared = {k: v for k, v in lines[0].key.items() if all(line.key.get(k) == v for line in lines)}
    return {
        "title": title,
        "where": condition_text(shared),
        "note": ", ".join(f"{name} {_trait_text(lines[0].key[name])}" for name in same),
        "traits": [trait.capitalize() for trait in traits],
        "metrics": [dataclasses.asdict(metric_named(name, units[name])) for name in names],
        "counted": any(row.n is not None for row in rows),
        "groups": [
            {
                "name": condition_text(group[0].key),
                "part": condition_text({k: v for k, v in group[0].key.items() if k not in shared}),
                "lines": [_table_line(line, group, names, traits) for line in group],
            }
            for group in _groups(lines)
        ],
    }


def _table_line(
    line: Line, group: Sequence[Line], metrics: Sequence[str], traits: Sequence[str]
) -> dict[str, Any]:
    counts = sorted({row.n for rows in line.cells.values() for row in rows if row.n is not None})
    return {
        "model": line.model,
        "ours": line.ours,
        "traits": [_trait_text(line.key.get(trait)) for trait in traits],
        "cells": [_cell(name, line, group) for name in metrics],
        "n": "\u2013".join(f"{n:,}" for n in dict.fromkeys([counts[0], counts[-1]])) if counts else "",
    }


def _cell(name: str, line: Line, group: Sequence[Line]) -> list[dict[str, Any]]:
    metric = metric_named(name)
    best = _best(name, group)
    return [
        {
            "text": metric.format(row.value),
            "interval": metric.interval(row),
            "best": line.learned and metric.format(row.value) == best,
            "value": float(row.value),
        }
        for row in line.cells.get(name, ())
    ]


def _best(name: str, group: Sequence[Line]) -> str | None:
    """Return the best figure as printed, so that equal print is marked alike; None if nothing stands out.

    Models that learned nothing are out of the comparison: the smallest of them would be the best in bytes.
    """
    metric = metric_named(name)
    values = [row.value for line in group if line.learned for row in line.cells.get(name, ())]
    if not metric.better or len({metric.format(value) for value in values}) < 2:
        return None
    return metric.format(max(values) if metric.better == "higher" else min(values))


def paired_differences(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the lines of the table of paired differences, each with its figure, interval and verdict."""
    paired = [row for row in rows if is_paired(row)]
    lines = [Line(_key(row), {row.metric: [row]}) for row in paired]
    varying = [name for name in _varying(lines) if name not in ("baseline", "bits")]
    plain = [
        (row.model, row.baseline, row.metric, condition_text(line.key))
        for row, line in zip(paired, lines, strict=True)
    ]
    found = []
    for row, line, name in zip(paired, lines, plain, strict=True):
        metric = metric_named(row.metric)
        # Traits are named only where two lines would read the same without them.
        traits = [_trait_text(line.key.get(trait)) for trait in varying] if plain.count(name) > 1 else []
        found.append(
            {
                "model": ", ".join([row.model, *filter(None, traits)]),
                "baseline": row.baseline,
                "where": condition_text(line.key),
                "metric": metric_named(row.metric.removesuffix(DIFFERENCE)).name,
                "unit": metric.unit,
                "text": metric.format(row.value),
                "interval": metric.interval(row),
                "n": "" if row.n is None else f"{row.n:,}",
                **verdict(row),
            }
        )
    return found


def difference_table(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Return the paired differences as one table: a line for each comparison, a column for each metric.

    Every row of a paired difference has one cell, so that what is counted of the rows can be counted here. None if
    there is no such row.
    """
    paired = [row for row in rows if is_paired(row)]
    if not paired:
        return None
    names = in_column_order(row.metric for row in paired)
    units = {row.metric: metric_named(row.metric, row.unit).unit for row in paired}
    groups: dict[str, dict[str, dict[str, list[Row]]]] = {}
    for row, comparison in zip(paired, _comparisons(paired), strict=True):
        lines = groups.setdefault(condition_text(_key(row)), {})
        lines.setdefault(comparison, {}).setdefault(row.metric, []).append(row)
    return {
        "metrics": [
            {"name": metric_named(name.removesuffix(DIFFERENCE)).name, "unit": units[name]} for name in names
        ],
        "groups": [
            {"name": where, "lines": [_difference_line(name, cells, names) for name, cells in lines.items()]}
            for where, lines in groups.items()
        ],
    }


def _comparisons(paired: Sequence[Row]) -> list[str]:
    """Return for each row what was compared, with the traits that tell it from others on the same data."""
    keys = [_key(row) for row in paired]
    varying = [n for n in _varying([Line(key) for key in keys]) if n not in ("baseline", "bits", "ablation")]
    plain = [f"{', '.join(filter(None, [row.model, row.ablation]))} \u2212 {row.baseline}" for row in paired]
    places = [
        (name, row.metric, condition_text(key)) for name, row, key in zip(plain, paired, keys, strict=True)
    ]
    found = []
    for name, key, place in zip(plain, keys, places, strict=True):
        traits = [f"{_trait_text(key[trait])}" for trait in varying if trait in key]
        found.append(f"{name} ({', '.join(traits)})" if places.count(place) > 1 and traits else name)
    return found


def _difference_line(name: str, cells: Mapping[str, Sequence[Row]], metrics: Sequence[str]) -> dict[str, Any]:
    counts = sorted({row.n for rows in cells.values() for row in rows if row.n is not None})
    return {
        "model": name,
        "n": "\u2013".join(f"{n:,}" for n in dict.fromkeys([counts[0], counts[-1]])) if counts else "",
        "cells": [
            [
                {
                    "text": metric_named(metric).format(row.value),
                    "interval": metric_named(metric).interval(row),
                    "value": float(row.value),
                    **verdict(row),
                }
                for row in cells.get(metric, ())
            ]
            for metric in metrics
        ],
    }


def verdict(row: Row) -> dict[str, str]:
    """Say whether the interval of a paired difference excludes zero, and if so for better or worse."""
    if row.ci_low is None or row.ci_high is None:
        return {"tone": "open", "verdict": "no interval"}
    if row.ci_low <= 0 <= row.ci_high:
        return {"tone": "level", "verdict": "includes zero"}
    metric = metric_named(row.metric)
    if not any(digit in "123456789" for end in (row.ci_low, row.ci_high) for digit in metric.format(end)):
        return {"tone": "level", "verdict": "below the last digit"}
    better = metric.better
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
    parts = [_markdown_figures(table) for table in figure_tables(rows, metrics)]
    if differences := paired_differences(rows):
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
    head = ["Data", "Comparison", "Metric", "Difference", "95% interval", "n"]
    body = []
    for one in differences:
        names = map(_markdown, (one["where"], f"{one['model']} \u2212 {one['baseline']}", one["metric"]))
        figure, interval = f"{one['text']} {one['unit']}", f"{one['interval']} {one['verdict']}"
        body.append([*names, figure, interval, one["n"]])
    return _markdown_lines(head, body, right=1)


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


def headlines(rows: Sequence[Row]) -> list[list[Line]]:
    """Return the groups of each data set's most telling split, without single classes and timings."""
    lines = _lines([r for r in rows if not (is_paired(r) or r.label or r.batch or r.threads)])
    best: dict[str, int] = {}
    for line in lines:
        dataset = line.key.get("dataset", "")
        best[dataset] = min(_rank(line), best.get(dataset, len(_SPLITS)))
    return [g for g in _groups(lines) if _rank(g[0]) == best[g[0].key.get("dataset", "")]]


def _rank(line: Line) -> int:
    split = line.key.get("split")
    return _SPLITS.index(split) if split in _SPLITS else len(_SPLITS)


def leading_metric(group: Sequence[Line]) -> str | None:
    """Return the first metric of quality that the group has."""
    present = in_column_order(name for line in group for name in line.cells)
    return next((name for name in present if metric_named(name).quality), None)


def summary(rows: Sequence[Row]) -> list[str]:
    """Return a few sentences: the best model of each data set, and how others differ from their baseline.

    Differences are counted as the table of differences shows them: all of them, whatever they measure.
    """
    sentences = []
    paired = [row for row in rows if is_paired(row)]
    for group in headlines(rows):
        if (name := leading_metric(group)) is None:
            continue
        sentences.append(_best_sentence(name, group))
        of_metric = [r for r in paired if r.metric == name + DIFFERENCE]
        here = [row for row in of_metric if condition_text(_key(row)) == condition_text(group[0].key)]
        if len(here) == 1:
            sentences.append(_paired_sentence(here[0], group))
    return sentences + ([_count_sentence(paired)] if len(paired) > 1 else [])


def _count_sentence(paired: Sequence[Row]) -> str:
    tones = [verdict(row)["tone"] for row in paired]
    counts = f"{tones.count('better')} better, {tones.count('worse')} worse"
    baselines = choices({str(row.baseline) for row in paired})
    without = f", {tones.count('open')} without a verdict" if "open" in tones else ""
    told = f"{counts}, {tones.count('level')} not told apart at 95%{without}"
    return f"{len(paired)} paired differences, with {baselines}: {told}."


def _best_sentence(name: str, group: Sequence[Line]) -> str:
    metric = metric_named(name)
    measured = [
        (row, label)
        for line, label in zip(group, line_names(group), strict=True)
        for row in line.cells.get(name, ())
    ]
    sign = 1 if metric.better == "higher" else -1
    row, label = max(measured, key=lambda item: (not at_chance(item[0]), sign * item[0].value))
    figure = " ".join(filter(None, [metric.text(row.value), metric.interval(row)]))
    n = "" if row.n is None else f", n\u00a0=\u00a0{row.n:,}"
    n += ", which chance alone gives as well" if at_chance(row) else ""
    where = condition_text(group[0].key)
    if len(measured) == 1:
        return f"{where}: {label} reaches {metric.name} {figure}{n}."
    among = f" of {len(measured)} models" if len(measured) > 2 else ""
    return (
        f"{where}: {label} has the {'highest' if sign > 0 else 'lowest'} {metric.name}{among}: {figure}{n}."
    )


def _paired_sentence(row: Row, group: Sequence[Line]) -> str:
    metric, plain = metric_named(row.metric), metric_named(row.metric.removesuffix(DIFFERENCE))
    interval = (
        f" {metric.interval(row)}, which {verdict(row)['verdict'].split(':')[0]}"
        if row.ci_low is not None
        else ""
    )
    difference = f"{row.model} differs from {row.baseline} by {metric.text(row.value)} {plain.name}{interval}"
    return f"{difference}{_size_clause(row, group)}."


def _size_clause(row: Row, group: Sequence[Line]) -> str:
    """Say how much smaller the model is than its baseline, where both sizes are known."""
    sizes = {line.model: line.cells["size_mb"][0].value for line in group if "size_mb" in line.cells}
    if row.baseline not in sizes or not sizes.get(row.model) or sizes[row.model] >= sizes[row.baseline]:
        return ""
    ratio = sizes[row.baseline] / sizes[row.model]
    small, large = (metric_named("size_mb").text(sizes[model]) for model in (row.model, row.baseline))
    return f", at {small} instead of {large}, {ratio:.1f} times smaller"

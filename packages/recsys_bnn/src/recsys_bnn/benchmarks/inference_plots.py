"""Plots of the part `inference`: time against batch, and quality against time and bytes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from seminar_common import plots
from seminar_common.display import metric_named
from seminar_common.results import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LATENCY, _AUC, _BYTES = "latency_us_p50", "roc_auc", "file_mb"
_LINE = 0.155
"""Inches that a label needs."""

Drawn = tuple[str, str, Any]


def figures(rows: Sequence[Row]) -> list[Drawn]:
    """Return data set, caption and figure of each plot that ``rows`` have the figures for."""
    timed = [row for row in rows if row.metric == _LATENCY]
    if not timed:
        return []
    threads = min(row.threads or 1 for row in timed)
    single = [row for row in timed if row.threads == threads]
    return [*_against_batch(single, threads), *_quality(rows, single, threads)]


def _against_batch(rows: Sequence[Row], threads: int) -> Iterator[Drawn]:
    for dataset, subset in dict.fromkeys((row.dataset, row.subset or "") for row in rows):
        lines: dict[tuple[str, bool], dict[int, float]] = {}
        for row in rows:
            if (row.dataset, row.subset or "") == (dataset, subset):
                line = lines.setdefault((_name(row), bool(row.ours)), {})
                line[row.batch or 1] = row.value / (row.batch or 1)
        if max(map(len, lines.values())) > 1:
            caption = (
                f"Median latency divided by the batch, {subset or 'test rows'}, threads {threads}. Filled: models in this package's "
                "engines; hollow and dashed: others."
            )
            yield dataset, caption, time_against_batch(lines)


def time_against_batch(lines: Mapping[tuple[str, bool], Mapping[int, float]]) -> Any:
    """Draw a line for each subject, named at its end.

    Args:
        lines: By name and whether it is ours: microseconds a row by batch.
    """
    with plots.house_style():
        names = ", ".join(name for name, _ in lines)
        height = max(4.0, 1.6 + 1.3 * _LINE * len(lines))
        figure = plots.new_figure(f"Time a row against batch: {names}", (plots.WIDE[0], height))
        axes = figure.add_subplot(xscale="log", yscale="log")
        ends = []
        for number, ((name, ours), points) in enumerate(sorted(lines.items(), key=lambda item: item[0][1])):
            look = _look(number, ours)
            axes.plot(list(points), list(points.values()), **look)
            ends.append((points[max(points)], name, look["color"]))
        batches = sorted({batch for points in lines.values() for batch in points})
        axes.set_xticks(batches, [f"{batch:,}" for batch in batches])
        axes.minorticks_off()
        axes.set_xlim(batches[0] * 0.8, batches[-1] * 1.15)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.set_xlabel("Rows of a call (batch)")
        axes.set_ylabel("Time a row (\u00b5s)")
        low, high = axes.get_ylim()
        _name_ends(axes, batches[-1], ends, (high / low) ** (_LINE / (height - 0.8)))
        return figure


def _look(number: int, ours: bool) -> dict[str, Any]:
    again = number // len(plots.MARKERS)
    colour = plots.COLOURS[number % len(plots.COLOURS)] if ours else plots.MUTED
    return {
        "color": colour,
        "marker": plots.MARKERS[number % len(plots.MARKERS)],
        "markerfacecolor": colour if ours else "white",
        "linestyle": plots.DASHES[again % 2 * 2] if ours else plots.DASHES[1],
        "linewidth": 1.5 if ours else 1.1,
    }


def _name_ends(axes: "Axes", last: int, ends: Sequence[tuple[float, str, str]], gap: float) -> None:
    """Write each name to the right of its line, a factor ``gap`` or more from the others."""
    ends = sorted(ends)
    heights = spread([height for height, _, _ in ends], gap)
    for (height, name, colour), at in zip(ends, heights, strict=True):
        axes.annotate(
            name,
            (last, height),
            (last * 1.6, at),
            color=plots.INK if colour == plots.MUTED else colour,
            fontsize=7.5,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": plots.FAINT,
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return rising heights at least a factor ``gap`` apart, as near to the rising ``heights`` as moving groups allows."""
    groups = [[height] for height in heights]
    while True:
        placed = [_placed(group, gap) for group in groups]
        touching = next(
            (i for i, (low, high) in enumerate(pairwise(placed)) if high[0] < low[-1] * gap * (1 - 1e-9)),
            None,
        )
        if touching is None:
            return [height for group in placed for height in group]
        groups[touching : touching + 2] = [groups[touching] + groups[touching + 1]]


def _placed(group: Sequence[float], gap: float) -> list[float]:
    """Return a group's heights a factor ``gap`` apart, about their geometric mean."""
    centre = 1.0
    for height in group:
        centre *= height ** (1 / len(group))
    return [centre * gap ** (place - (len(group) - 1) / 2) for place in range(len(group))]


def _quality(rows: Sequence[Row], timed: Sequence[Row], threads: int) -> Iterator[Drawn]:
    quality = {(row.dataset, _name(row)): row for row in rows if row.metric == _AUC}
    if len(quality) < 2:
        return
    axis = metric_named(_AUC).axis
    timed = [row for row in timed if row.engine != "numpy"]  # which is there for machines without a compiler
    for batch in dict.fromkeys(row.batch for row in timed):
        at_batch = [row for row in timed if row.batch == batch]
        for dataset, points in _points(quality, at_batch).items():
            caption = f"ROC AUC against median latency, batch {batch:,}, threads {threads}."
            yield dataset, caption, plots.pareto(points, f"Latency of {batch:,} rows (\u00b5s)", axis)
    for dataset, points in _points(quality, _sizes(rows)).items():
        yield dataset, "ROC AUC against bytes of the model's file.", plots.pareto(points, "File (MB)", axis)


def _sizes(rows: Sequence[Row]) -> list[Row]:
    """Return the bytes of each model once, those of its packed file if there is one."""
    sizes = sorted((row for row in rows if row.metric == _BYTES), key=lambda row: row.engine != "native")
    return list({(row.dataset, row.model): row for row in reversed(sizes)}.values())


def _points(quality: Mapping[tuple[str, str], Row], costs: Sequence[Row]) -> dict[str, list[plots.Point]]:
    """Return points by data set, those that have both figures."""
    found: dict[str, list[plots.Point]] = {}
    for cost in costs:
        key = (cost.dataset, _name(cost))
        if key in quality and cost.value > 0:
            found.setdefault(cost.dataset, []).append(plots.Point(key[1], cost.value, quality[key].value))
    return found


def _name(row: Row) -> str:
    return row.model if row.engine == "native" else f"{row.model}, {row.engine}"

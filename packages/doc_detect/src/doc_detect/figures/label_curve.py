"""What labelled pages bring: precision against how many people labelled."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from doc_detect.figures.measured import EVERY
from seminar_common import plots
from seminar_common.results import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = "labels"
"""Fact of a row: labelled pages of the target that its model learned from."""
CHOSEN_BESIDE = 1.04
"""By which factor the points of chosen pages stand to the right of drawn ones."""
DRAWN = (("ap50", "AP50"), ("ap", "AP"))


def label_curve(rows: Sequence[Row], without: Sequence[str], selected: str) -> "Figure":
    """Draw AP50 and AP, the class mean over all pages in percent, against labelled pages, with 95% intervals.

    Args:
        rows: Figures of one set of pages and one kind of boxes. Those of models with labelled pages are points.
        without: Models without labelled pages, each a horizontal line.
        selected: How the names of models begin whose labelled pages were chosen, not drawn: points of their own.
    """
    means = [row for row in rows if row.label is None and row.subset in (None, EVERY)]
    with plots.house_style():
        figure = plots.new_figure("AP50 and AP against labelled pages")
        axes = figure.add_subplot()
        for colour, (metric, name) in zip(plots.COLOURS, DRAWN, strict=False):
            of = [row for row in means if row.metric == metric]
            points = sorted((row for row in of if LABELS in row.facts), key=_count)
            chosen = [row for row in points if row.model.startswith(selected)]
            _draw(axes, [row for row in points if row not in chosen], "o-", colour, name)
            _draw(axes, chosen, "D--", colour, f"{name}, pages chosen by select", beside=CHOSEN_BESIDE)
            for dash, model in zip(plots.DASHES[1:], without, strict=False):
                for row in of:
                    if row.model == model:
                        label = f"{name}, {model}"
                        axes.axhline(100 * row.value, color=colour, linestyle=dash, linewidth=1, label=label)
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xticks(sorted({_count(row) for row in means if LABELS in row.facts}))
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set_xlabel("Labelled pages")
        axes.set_ylabel("Percent")
        plots.legend_above(figure, axes)
        return figure


def pretrained_curve(rows: Sequence[Row], fact: str) -> "Figure":
    """Draw by how much AP50, the class mean over all pages, differs from the same adaptation without pretraining.

    Args:
        rows: Paired differences of one set of pages and one kind of boxes; those of models with labelled pages say how many.
        fact: Fact of a row that names its pretraining: a line of its own.
    """
    points = [
        row
        for row in rows
        if row.metric == "ap50_difference" and row.label is None and row.subset in (None, EVERY)
    ]
    counts = sorted({_count(row) for row in points})
    names = list(dict.fromkeys(str(row.facts[fact]) for row in points))
    with plots.house_style():
        figure = plots.new_figure("Change of AP50 by pretraining, against labelled pages")
        axes = figure.add_subplot()
        axes.axhline(0, color=plots.MUTED, linewidth=1)
        for number, name in enumerate(names):
            own = sorted((row for row in points if row.facts[fact] == name), key=_count)
            colour = plots.COLOURS[number % len(plots.COLOURS)]
            x = [counts.index(_count(row)) + 0.08 * (number - (len(names) - 1) / 2) for row in own]
            axes.plot(x, [100 * row.value for row in own], "o-", color=colour, label=name)
            for place, row in zip(x, own, strict=True):
                if row.ci_low is not None and row.ci_high is not None:
                    axes.vlines(
                        place, 100 * row.ci_low, 100 * row.ci_high, color=colour, linewidth=3, alpha=0.3
                    )
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_xlabel("Labelled pages")
        axes.set_ylabel("Change of AP50 (points)")
        plots.legend_above(figure, axes)
        return figure


def _draw(
    axes: "Axes", points: Sequence[Row], line: str, colour: str, name: str, beside: float = 1.0
) -> None:
    """Draw models against their labelled pages, moved aside by a factor so that bars do not hide each other."""
    if not points:
        return
    x = [beside * _count(row) for row in points]
    axes.plot(x, [100 * row.value for row in points], line, color=colour, label=name)
    for place, row in zip(x, points, strict=True):
        if row.ci_low is not None and row.ci_high is not None:
            axes.vlines(place, 100 * row.ci_low, 100 * row.ci_high, color=colour, linewidth=3, alpha=0.3)


def _count(row: Row) -> int:
    return int(str(row.facts.get(LABELS, 0)))

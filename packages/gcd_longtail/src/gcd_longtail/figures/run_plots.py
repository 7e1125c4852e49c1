"""Plots of what a discovery got right, by size of class and by where its images went."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gcd_longtail.figures.metrics import Scored
from gcd_longtail.protocol.split_file import FREQUENCIES, Split
from seminar_common import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("known", "novel")


def of_run(scored: Scored, split: Split, name: str) -> list[tuple[str, "Figure"]]:
    """Return captions and plots of one run's images of the split ``name``."""
    return [
        (
            f"Accuracy of each class against its training images, {name}. Lines: means of the many, medium and few.",
            accuracy_by_size(scored, split),
        ),
        (f"Where the images of known and of novel classes went, {name}.", destinations({name: scored})),
    ]


def accuracy_by_size(scored: Scored, split: Split) -> "Figure":
    """Draw each class's accuracy against its number of training images, and the means of frequency groups."""
    with plots.house_style():
        figure = plots.new_figure("Accuracy of each class against its number of training images")
        axes = figure.add_subplot(xscale="log")
        for colour, marker, part in zip(plots.COLOURS, plots.MARKERS, PARTS, strict=False):
            mask = scored.masks[part] & (scored.totals > 0)
            x, y = split.train_images[mask], 100 * scored.class_accuracy[mask]
            axes.plot(
                x,
                y,
                marker,
                color=colour,
                alpha=0.5,
                markersize=5,
                markeredgewidth=0,
                label=f"{part} classes",
            )
            _draw_means(axes, scored, split, part, colour)
        axes.set_xlabel("Training images of the class")
        axes.set_ylabel("Accuracy (%)")
        axes.set_ylim(-4, 104)
        _plain_ticks(axes)
        plots.legend_above(figure, axes)
        return figure


def _draw_means(axes: "Axes", scored: Scored, split: Split, part: str, colour: str) -> None:
    for frequency in FREQUENCIES:
        mask = scored.masks[f"{part}_{frequency}"] & (scored.totals > 0)
        if mask.any():
            x = split.train_images[mask]
            mean = 100 * scored.class_accuracy[mask].mean()
            axes.hlines(mean, x.min(), x.max(), color=colour, linewidth=2.2)


def _plain_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def by_frequency(runs: Mapping[str, Sequence[Scored]]) -> "Figure":
    """Draw the macro accuracy of known and novel classes with many, medium and few images, a colour a method.

    Args:
        runs: the scored runs (seeds) of each method; the mean over them is drawn.
    """
    groups = [f"{part}_{frequency}" for part in PARTS for frequency in FREQUENCIES]
    with plots.house_style():
        figure = plots.new_figure("Macro accuracy by frequency of the class", plots.WIDE)
        axes = figure.add_subplot()
        width = 0.8 / len(runs)
        for i, (method, scored) in enumerate(runs.items()):
            values = [_mean(scored, group) for group in groups]
            x = np.arange(len(groups)) - 0.4 + (i + 0.5) * width
            colour = plots.COLOURS[i % len(plots.COLOURS)]
            axes.bar(x, values, 0.9 * width, color=colour, label=method)
        names = [group.replace("_", ",\n") for group in groups]
        axes.set_xticks(range(len(groups)), names, color=plots.INK)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("Macro accuracy (%)")
        plots.legend_above(figure, axes)
        return figure


def _mean(runs: Sequence[Scored], group: str) -> float:
    """Return the mean over runs of the macro accuracy of a group of classes in percent; NaN if none has any."""
    values = [run.class_accuracy[run.masks[group] & (run.totals > 0)] for run in runs]
    values = [one.mean() for one in values if len(one)]
    return 100 * float(np.mean(values)) if values else float("nan")


def destinations(runs: Mapping[str, Scored]) -> "Figure":
    """Draw the shares of known and of novel images in the right cluster, another known, another novel, or a spare one.

    Args:
        runs: scored images by the name that stands at their bars.
    """
    bars = [
        (f"{part}, {name}" if len(runs) > 1 else part, shares(one, part))
        for name, one in runs.items()
        for part in PARTS
    ]
    with plots.house_style():
        size = (plots.SIZE[0], 1.0 + 0.42 * len(bars))
        figure = plots.new_figure("Where the images of known and of novel classes went", size)
        axes = figure.add_subplot(xlim=(0, 100))
        left = np.zeros(len(bars))
        for kind, colour in zip(DESTINATIONS, ("#009e73", "#0072b2", "#d55e00", plots.FAINT), strict=True):
            widths = np.array([100 * part[kind] for _, part in bars])
            axes.barh(range(len(bars)), widths, left=left, height=0.62, color=colour, label=kind)
            for y, (start, width) in enumerate(zip(left, widths, strict=True)):
                if width >= 6:
                    axes.text(start + width / 2, y, f"{width:.0f}", color="white", ha="center", va="center")
            left += widths
        axes.set_yticks(range(len(bars)), [name for name, _ in bars], color=plots.INK)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("Images (%)")
        plots.legend_above(figure, axes)
        return figure


DESTINATIONS = ("its own cluster", "another known class", "another novel class", "a spare cluster")


def shares(scored: Scored, part: str) -> dict[str, float]:
    """Return which share of the images of ``known`` or ``novel`` classes went where, by :data:`DESTINATIONS`."""
    counts = scored.counts[:, scored.masks[part]]
    total = max(1, counts.sum())
    right = scored.hits[scored.masks[part]].sum()
    cluster_part = np.full(len(scored.counts), "spare", dtype="<U6")
    for number, cluster in enumerate(scored.matching):
        if cluster >= 0:
            cluster_part[cluster] = "known" if number < scored.known else "novel"
    by_part = {name: counts[cluster_part == name].sum() for name in ("known", "novel", "spare")}
    by_part[part] -= right
    values = (right, by_part["known"], by_part["novel"], by_part["spare"])
    return dict(zip(DESTINATIONS, (float(value / total) for value in values), strict=True))

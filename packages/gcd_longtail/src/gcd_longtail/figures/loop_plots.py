"""Plots of what decisions are worth: accuracy against their number, beside as many labels of single images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seminar_common import plots
from seminar_common.results import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWN = {
    "named_macro_all": ("Named macro accuracy (%)", "a category that nobody named counts as wrong"),
    "macro_all": ("Macro accuracy (%)", "by the best assignment of clusters to classes, names do not count"),
}


def of_dataset(rows: Sequence[Row], splits: int) -> list[tuple[str, "Figure"]]:
    """Return captions and plots of the rows of one data set, of the images of each split."""
    found = []
    for split in dict.fromkeys(row.split for row in rows if row.split):
        for metric, (label, meaning) in _DRAWN.items():
            some = [row for row in rows if row.metric == metric and row.split == split]
            caption = f"{label.removesuffix(' (%)')} after so many decisions, {split} images: {meaning}. "
            caption += f"Mean over {splits} splits" + (
                ", bars: 95% intervals over them." if splits > 1 else "."
            )
            found.append((caption, against_decisions(some, label)))
    return found


def against_decisions(rows: Sequence[Row], label: str) -> "Figure":
    """Draw one line a model over the number of decisions; the row without any is where all begin."""
    (start,) = [row for row in rows if row.get("decisions") == 0]
    models = list(dict.fromkeys(row.model for row in rows if row is not start))
    with plots.house_style():
        figure = plots.new_figure(f"{label} against decisions")
        axes = figure.add_subplot()
        for model, colour, marker in zip(models, plots.COLOURS, plots.MARKERS, strict=False):
            line = [start, *(row for row in rows if row.model == model)]
            x, y = [row.get("decisions") for row in line], [100 * row.value for row in line]
            ends = [
                [
                    0 if end is None else 100 * abs(end - row.value)
                    for row, end in zip(line, side, strict=True)
                ]
                for side in ([row.ci_low for row in line], [row.ci_high for row in line])
            ]
            axes.errorbar(x, y, ends, marker=marker, color=colour, capsize=2, linewidth=1.4, label=model)
        axes.set_xlabel("Decisions")
        axes.set_ylabel(label)
        axes.set_xticks(sorted({row.get("decisions") for row in rows}))
        plots.legend_above(figure, axes)
        return figure

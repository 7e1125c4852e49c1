"""The plots that result tables allow, as blocks of a report."""

from collections.abc import Sequence
from typing import Any

from seminar_common import plots
from seminar_common.display import metric_named
from seminar_common.reporting.markdown import Block
from seminar_common.reporting.sections import Section
from seminar_common.results import Results
from seminar_common.tables import Line, condition_text, headlines, leading_metric, line_names


def drawn(section: Section, prefix: str) -> list[Block]:
    """Return the plots that a section's rows and curves allow, and its own, each as SVG with a caption.

    Args:
        section: what to draw.
        prefix: what ids begin with; it keeps the plots of a page apart.
    """
    results = section.results
    models = list(dict.fromkeys(item.model for item in (*results.rows, *results.curves)))
    found = [*_comparisons(results, models), *_curves(results, models), *section.figures]
    several = len({dataset for dataset, _, _ in found}) > 1
    return [
        plot(figure, f"{dataset}: {caption}" if several and dataset else caption, f"{prefix}-{number}")
        for number, (dataset, caption, figure) in enumerate(found)
    ]


def plot(figure: Any, caption: str, prefix: str) -> Block:
    """Return a matplotlib figure as a block."""
    wide = bool(figure.get_figwidth() > plots.SIZE[0])
    return {"kind": "plot", "caption": caption, "svg": plots.svg(figure, prefix), "wide": wide}


def _comparisons(results: Results, models: Sequence[str]) -> list[tuple[str, str, Any]]:
    """Draw quality against size for each group where two models have both, and else quality alone."""
    found = []
    for group in headlines(results.rows):
        name = leading_metric(group)
        measured = [line for line in group if name in line.cells]
        if name is None or len(measured) < 2:
            continue
        metric, dataset = metric_named(name), group[0].key.get("dataset", "")
        where = condition_text({k: v for k, v in group[0].key.items() if k != "dataset"})
        points = _points(measured, name)
        if len(points) > 1:
            figure = plots.pareto(
                points, metric_named("size_mb").axis, metric.axis, metric.better == "higher"
            )
            caption = (
                f"{metric.name} against size, {where}. Filled: no other model is both smaller and better."
            )
        else:
            rows = [line.cells[name][0] for line in measured]
            figure = plots.bars(rows, metric.axis, metric.scale, models)
            caption = f"{metric.name}, {where}."
        found.append((dataset, f"{caption} Lines: 95% intervals.", figure))
    return found


def _points(lines: Sequence[Line], name: str) -> list[plots.Point]:
    """Return the lines that have a size as points of a Pareto plot."""
    scale = metric_named(name).scale
    points = []
    for line, label in zip(lines, line_names(lines), strict=True):
        row, size = line.cells[name][0], line.cells.get("size_mb", (None,))[0]
        if size is not None and size.value > 0 and line.learned:  # small and useless is no point to reach
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

"""Tables as blocks of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

from seminar_common.reporting.markdown import Block
from seminar_common.results import Row
from seminar_common.tables import difference_table, figure_tables

LONG = 12
"""Lines above which a table of a page is folded."""

_TITLES = {"Results": "Figures", "By class": "Figures of single classes", "Speed": "Timings"}


def tables(
    rows: Sequence[Row], metrics: Sequence[str] | None = None, heading: str = "Model", caption: str = ""
) -> list[Block]:
    """Return the tables of figures, and of paired differences if any, that ``rows`` make.

    Args:
        rows: what to print.
        metrics: the columns, in order; all of them if left out.
        heading: what the lines are.
        caption: what they show; by default the kind of figures.
    """
    found = [_figures(table, heading, caption) for table in figure_tables(rows, metrics)]
    differences = difference_table([row for row in rows if metrics is None or row.metric in metrics])
    if differences is not None:
        found.append(_differences(differences))
    return found


def _figures(table: Mapping[str, Any], heading: str, caption: str) -> Block:
    note = f" ({table['note']})" if table["note"] else ""
    _level_differences(table)
    lines = [line for group in table["groups"] for line in group["lines"]]
    caption = caption or f"{_TITLES[table['title']]}{note}."
    text = " ".join(filter(None, [caption, _legend(lines)]))
    return {**table, "kind": "table", "heading": heading, "caption": text, "folded": len(lines) > LONG}


def _level_differences(table: Mapping[str, Any]) -> None:
    """Mark no difference as the best of its column: where all are losses, the smallest loss is no success."""
    signed = [metric["signed"] for metric in table["metrics"]]
    for group in table["groups"]:
        for line in group["lines"]:
            for cell, is_difference in zip(line["cells"], signed, strict=True):
                for figure in cell:
                    figure["best"] = figure["best"] and not is_difference


def _legend(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return what the marks in a table mean, those that are there."""
    figures = [figure for line in lines for cell in line["cells"] for figure in cell]
    marks = {
        "best": "Bold: best of its column among lines that compare.",
        "interval": "Brackets: 95% confidence interval.",
    }
    return " ".join(text for mark, text in marks.items() if any(figure[mark] for figure in figures))


def _differences(table: Mapping[str, Any]) -> Block:
    count = sum(len(group["lines"]) for group in table["groups"])
    caption = "Paired differences on the same examples, with 95% intervals. Better and worse: the interval excludes zero."
    return {**table, "kind": "differences", "caption": caption, "folded": count > LONG}

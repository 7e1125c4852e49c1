"""The figures of a result table on the terminal, arranged as in the report.

They go to standard output; progress and remarks go to standard error. On a terminal a table fits its width, with
intervals on a line of their own where they must. In a file or a pipe it is as wide as its content, so nothing is
cut.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seminar_common.progress import is_first_process
from seminar_common.results import Row
from seminar_common.tables import figure_tables, paired_differences

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ANY_WIDTH = 10_000  # columns of an output that has no width of its own


def print_summary(rows: Sequence[Row], metrics: Sequence[str] | None = None) -> None:
    """Print ``rows`` as tables, from the first process only; nothing if there are none.

    Args:
        rows: what to print.
        metrics: the columns, in order; all of them if left out. A difference is named with its ``_difference``.
    """
    if not is_first_process():
        return
    shown = [row for row in rows if metrics is None or row.metric in metrics]
    parts = [(_heading(t), [_figures(t, gap) for gap in (" ", "\n")]) for t in figure_tables(shown, metrics)]
    if differences := paired_differences(shown):
        parts.append(("Paired differences", [_differences(differences)]))
    console = _console()
    for number, (heading, forms) in enumerate(parts):
        _print(console, f"\n{heading}" if number else heading, forms)


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_ANY_WIDTH)


def _print(console: "Console", heading: str, forms: Sequence["Table"]) -> None:
    """Print the first of ``forms`` that fits the console, else the last."""
    from rich.text import Text

    unbound = console.options.update(width=_ANY_WIDTH)  # else what is measured is cut to the console's width
    fits = (form for form in forms if console.measure(form, options=unbound).maximum <= console.width)
    console.print(Text(heading, "bold"), next(fits, forms[-1]), sep="\n")


def _heading(table: dict[str, Any]) -> str:
    return ": ".join(filter(None, [table["title"], ", ".join(filter(None, [table["where"], table["note"]]))]))


def _figures(table: dict[str, Any], gap: str) -> "Table":
    """Return a table of figures; ``gap`` parts a figure from its interval."""
    parts = [group["part"] for group in table["groups"]]
    names = [*(["Data"] if any(parts) else []), "Model", *table["traits"]]
    units = [f" ({m['unit']})" if m["unit"] else "" for m in table["metrics"]]
    figures = [m["name"] + unit for m, unit in zip(table["metrics"], units, strict=True)]
    grid = _grid(names, [*figures, *(["n"] if table["counted"] else [])])
    for group in table["groups"]:
        for number, line in enumerate(group["lines"]):
            part = [group["part"] if number == 0 else ""] if any(parts) else []
            cells = [
                "\n".join(f"{f['text']}{gap}{f['interval']}".strip() for f in cell) for cell in line["cells"]
            ]
            _add(
                grid,
                [*part, line["model"], *line["traits"], *cells, *([line["n"]] if table["counted"] else [])],
            )
    return grid


def _differences(differences: Sequence[dict[str, Any]]) -> "Table":
    grid = _grid(["Data", "Comparison", "Metric"], ["Difference", "95% interval", "n"])
    for one in differences:
        figure, interval = (
            f"{one['text']} {one['unit']}".strip(),
            f"{one['interval']} {one['verdict']}".strip(),
        )
        names = [one["where"], f"{one['model']} \u2212 {one['baseline']}", one["metric"]]
        _add(grid, [*names, figure, interval, one["n"]])
    return grid


def _grid(names: Sequence[str], figures: Sequence[str]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table
    from rich.text import Text

    left = [Column(Text(name), overflow="fold") for name in names]
    right = [Column(Text(name), justify="right", overflow="fold") for name in figures]
    return Table(*left, *right, box=SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _add(grid: "Table", cells: Sequence[str]) -> None:
    from rich.text import Text

    grid.add_row(*map(Text, cells))  # as plain text: a name in brackets is no markup

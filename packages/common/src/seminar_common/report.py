"""Reports: one self-contained HTML page or PDF from result tables.

A report is made of rows and curves alone (see :mod:`seminar_common.results`). They are arranged once, as
plain dictionaries and lists, which the templates for HTML and PDF both read; neither computes anything.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seminar_common import files, plots
from seminar_common.display import metric_named
from seminar_common.errors import UserError
from seminar_common.results import Results, merge, read_results
from seminar_common.runs import command_line
from seminar_common.tables import (
    Line,
    condition_text,
    figure_tables,
    headlines,
    leading_metric,
    line_names,
    paired_differences,
    summary,
)

_TEMPLATES = Path(__file__).parent / "templates"

# ----------------------------------------------------------------------------------------------------- plots


def _figures(section: "Section", prefix: str) -> list[dict[str, Any]]:
    """Return the plots by data set, each as SVG with a caption; ``prefix`` keeps their ids apart."""
    results = section.results
    models = list(dict.fromkeys(item.model for item in (*results.rows, *results.curves)))
    drawn: dict[str, list[dict[str, Any]]] = {}
    for dataset, caption, figure in (
        *_comparisons(results, models),
        *_curves(results, models),
        *section.figures,
    ):
        number = sum(map(len, drawn.values()))
        wide = bool(figure.get_figwidth() > plots.SIZE[0])
        picture = plots.svg(figure, f"{prefix}-{number}")
        drawn.setdefault(dataset, []).append({"caption": caption, "svg": picture, "wide": wide})
    return [{"dataset": dataset, "plots": pictures} for dataset, pictures in drawn.items()]


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


# ------------------------------------------------------------------------------------------------- documents


class Picture(NamedTuple):
    """A picture in an HTML report; a PDF leaves it out."""

    image: bytes
    """A JPEG file's bytes."""
    caption: str


class Section(NamedTuple):
    """One part of a report: a result table and, where known, what it was made with."""

    title: str
    results: Results
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    figures: Sequence[tuple[str, str, Any]] = ()
    """A topic's own plots: data set, caption and matplotlib figure of each, after those of rows and curves."""
    pictures: Sequence[Picture] = ()
    links: Sequence[tuple[str, str]] = ()
    """Text and target (relative to the report) of what else there is to look at; a PDF leaves them out."""
    lines: str = "Model"
    """What the lines of its tables are."""


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
    check_out(out)
    parts = [Section(*section) for section in sections]
    data = html_page(parts, title).encode() if out.suffix.lower() == ".html" else _pdf(_page(parts, title))
    with files.atomic_path(out) as temporary:
        temporary.write_bytes(data)


def html_page(sections: Sequence[Section], title: str) -> str:
    """Return a report of ``sections`` as one HTML page that opens offline."""
    return _html(_page(sections, title), sections)


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
    """Write a report of run folders: side by side if there are several, then a section for each.

    Reads each folder's ``results.json`` and, where they are, ``config.json`` and ``environment.json``.

    Raises:
        UserError: no run, a folder without results, a broken file, or a suffix other than .html and .pdf.
    """
    check_out(out)
    if not runs:
        raise UserError("a report needs at least one run folder: name it after --runs")
    sections = [_read_section(run) for run in runs]
    if len(sections) == 1:
        write_report(sections, out, f"Report of {sections[0].title}")
        return
    together = merge([section.results for section in sections], command_line())
    write_report([Section("Side by side", together), *sections], out, f"Report of {len(sections)} runs")


def check_out(out: Path) -> None:
    """Raise a UserError unless a report can be written to ``out``: .html or .pdf, and no folder."""
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
        tables = figure_tables(section.results.rows)
        parts.append(
            {
                "id": f"section-{number}",
                "title": section.title,
                "links": [{"text": text, "target": target} for text, target in section.links],
                "summary": summary(section.results.rows),
                "tables": [{**table, "heading": section.lines} for table in tables],
                "legend": _legend(tables),
                "differences": paired_differences(section.results.rows),
                "notes": section.results.notes,
                "figures": _figures(section, f"plot-{number}"),
                "command": section.results.command,
                "details": [
                    {"title": name, "items": _flat(settings)}
                    for name, settings in (("Settings", section.config), ("Environment", section.environment))
                    if settings
                ],
            }
        )
    return _printable({"title": title, "sections": parts})


def _legend(tables: Sequence[Mapping[str, Any]]) -> str:
    """Return what the marks in the tables mean, those that are there."""
    lines = [line for table in tables for group in table["groups"] for line in group["lines"]]
    figures = [figure for line in lines for cell in line["cells"] for figure in cell]
    marks = {
        "best": "Bold: best of its column among lines that compare.",
        "interval": "Brackets: 95% confidence interval.",
    }
    return " ".join(text for mark, text in marks.items() if any(figure[mark] for figure in figures))


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


def _html(page: dict[str, Any], sections: Sequence[Section]) -> str:
    import jinja2

    pictures = [[_picture(picture) for picture in section.pictures] for section in sections]

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html").render(page, pictures=pictures)


def _picture(picture: Picture) -> dict[str, str]:
    encoded = base64.b64encode(picture.image).decode()
    return {"source": f"data:image/jpeg;base64,{encoded}", "caption": plots.printable(picture.caption)}


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

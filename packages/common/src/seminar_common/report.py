"""Reports: one self-contained HTML page or PDF from result tables.

A report is made of rows and curves (see :mod:`seminar_common.results`), of what the topic of the rows tells of them
(:mod:`seminar_common.reporting.stories`), and of the author's own words. They are arranged once, as plain dictionaries
and lists (:mod:`seminar_common.reporting.paper`), which the templates for HTML and PDF both read; neither computes
anything.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.reporting import paper, screen, typeset
from seminar_common.reporting.sections import Picture, Section
from seminar_common.reporting.words import FILE, Words, read_words
from seminar_common.results import read_results

__all__ = ["Picture", "ReportSettings", "Section", "check_out", "html_page", "main", "report", "write_report"]

PICTURES, CAPTIONS = "pictures", "captions.json"
"""The folder of pictures in a run folder, and the file in it that has their captions."""


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
    _write(paper.plain_page([Section(*section) for section in sections], title), out)


def html_page(sections: Sequence[Section], title: str) -> str:
    """Return a report of ``sections`` as one HTML page that opens offline."""
    return screen.render(paper.plain_page(sections, title))


@dataclass(frozen=True)
class ReportSettings:
    """Write a seminar report of one study or of several runs: what was asked, what came out, and how to repeat it."""

    runs: tuple[Path, ...]
    """Run folders, each with the results.json that `evaluate` or `study` makes. A report.md in one of them is the
    author's text, as with --text."""
    out: Path
    """The file to write: .html opens in any browser, also offline, with the answers first; .pdf is for print."""
    title: str = ""
    """Title of the report; by default that of the text, else the topic's."""
    author: tuple[str, ...] = ()
    """Names of the authors."""
    date: str = ""
    """Date, as it is to be printed; none if left out."""
    text: Path | None = None
    """The author's text in Markdown. A heading such as Introduction, Discussion or Conclusion fills that section;
    under Method, Results and the like the text follows what the report says; Abstract is replaced; any other heading
    becomes a section of its own."""


def main(settings: ReportSettings) -> None:
    """Write the report that ``settings`` describe; the function behind ``seminar report``."""
    from seminar_common.progress import say

    gaps = report(settings.runs, settings.out, settings.title, settings.author, settings.date, settings.text)
    for gap in gaps:
        say(f"still missing: {gap}")
    say(f"wrote {settings.out}")


def report(
    runs: Sequence[Path],
    out: Path,
    title: str = "",
    author: Sequence[str] = (),
    date: str = "",
    text: Path | None = None,
) -> list[str]:
    """Write a report of run folders, with a section for each topic if there are several.

    Reads each folder's ``results.json`` and, where they are, ``config.json``, ``environment.json``, ``report.md`` and
    the folder ``pictures``.

    Returns:
        What is still missing in it, in sentences that say the way to it.

    Raises:
        UserError: no run, a folder without results, a broken file, or a suffix other than .html and .pdf.
    """
    check_out(out)
    if not runs:
        raise UserError("a report needs at least one run folder: name it after --runs")
    sections = _told_apart([_read_section(run) for run in runs], runs)
    beside = [read_words(run / FILE) if (run / FILE).is_file() else Words() for run in runs]
    own = read_words(text) if text is not None else Words()
    on_screen = out.suffix.lower() == ".html"
    page = paper.study(paper.by_topic(sections, beside), own, title, author, date, on_screen)
    _write(page, out)
    return page["gaps"]


def check_out(out: Path) -> None:
    """Raise a UserError unless a report can be written to ``out``: .html or .pdf, and no folder."""
    if out.suffix.lower() not in (".html", ".pdf"):
        raise UserError(f"{out}: a report is either .html or .pdf; end the name of --out with one of them")
    if out.is_dir():
        raise UserError(f"{out}: is a folder, but a report is a file; choose another --out")


def _write(page: dict[str, Any], out: Path) -> None:
    data = screen.render(page).encode() if out.suffix.lower() == ".html" else typeset.render(page)
    with files.atomic_path(out) as temporary:
        temporary.write_bytes(data)


def _told_apart(sections: Sequence[Section], runs: Sequence[Path]) -> list[Section]:
    """Return the sections with the folder above in the titles that would be equal."""
    titles = [section.title for section in sections]
    return [
        section._replace(title=f"{run.resolve().parent.name}/{section.title}")
        if titles.count(section.title) > 1
        else section
        for section, run in zip(sections, runs, strict=True)
    ]


def _read_section(run: Path) -> Section:
    if not run.is_dir():
        raise UserError(f"{run}: no such run folder; give the --out of a `train`, `study` or `bench` command")
    if not (run / "results.json").is_file():
        raise UserError(f"{run}: has no results.json yet; make it with `evaluate --run {run}`")
    config, environment = (_read_settings(run / name) for name in ("config.json", "environment.json"))
    return Section(
        run.resolve().name, read_results(run), config, environment, pictures=_read_pictures(run / PICTURES)
    )


def _read_settings(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    settings = files.read_json(path)
    if not isinstance(settings, dict):
        raise UserError(
            f"{path}: expected a JSON object, found a {type(settings).__name__}; make the file again"
        )
    return settings


def _read_pictures(folder: Path) -> list[Picture]:
    captions = _read_settings(folder / CAPTIONS) or {}
    for name in captions:
        if not (folder / name).is_file() or Path(name).name != name:
            raise UserError(
                f"{folder / CAPTIONS}: names {name}, which is no picture beside it; evaluate the run again"
            )
    return [Picture((folder / name).read_bytes(), str(caption)) for name, caption in captions.items()]


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write the pictures of a run into its folder, in place of older ones; nothing if there are none."""
    if not pictures:
        return
    files.remove(folder / PICTURES)
    with files.atomic_path(folder / PICTURES) as temporary:
        temporary.mkdir()
        names = [f"{number:02}.jpg" for number in range(1, len(pictures) + 1)]
        for name, one in zip(names, pictures, strict=True):
            (temporary / name).write_bytes(one.image)
        captions = {name: one.caption for name, one in zip(names, pictures, strict=True)}
        (temporary / CAPTIONS).write_text(json.dumps(captions, indent=1), encoding="utf-8")

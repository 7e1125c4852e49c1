"""Regions of pages from one form to another: the command ``convert``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from doc_detect.classes import Names
from doc_detect.coco import Reading
from doc_detect.formats.forms import FORMS, read_any, write_any
from doc_detect.formats.regions import Layout, LayoutSet, Writing
from doc_detect.pages.canvases import FOLDER, manifests_in
from doc_detect.settings.job import ConvertSettings
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.progress import say


def main(settings: ConvertSettings) -> None:
    """Convert what ``settings`` name; the function behind ``doc-detect convert``.

    Raises:
        UserError: the input is of no known form or broken, the output exists, or no page is left.
    """
    files.refuse_existing(settings.out)
    reading = Reading(Names(settings.map), boxes=settings.boxes)
    found = read_any(settings.input, reading)
    reading.report_use(settings.input)
    if not found.pages:
        raise UserError(f"{settings.input}: no page is left to write{_first(reading)}")
    layouts = replace(found, pages=tuple(_over(layout, settings.min_score) for layout in found.pages))
    manifests = settings.manifest or manifests_in(settings.input / FOLDER)
    writing = Writing(settings.image_url, settings.base_url, manifests)
    write_any(layouts, settings.to, settings.out, writing)
    _write_failures(settings, [*reading.failures, *writing.failures])
    faint = _count(found) - _count(layouts)
    if faint:
        say(f"detections below --min-score {settings.min_score:g} that are left out: {faint:,}")
    _say_what(settings, layouts, len(layouts.pages) - len(writing.failures))


def _first(reading: Reading) -> str:
    return f"; {reading.failures[0].file}: {reading.failures[0].reason}" if reading.failures else ""


def _over(layout: Layout, least: float) -> Layout:
    kept = tuple(region for region in layout.regions if region.score is None or region.score >= least)
    return replace(layout, regions=kept)


def _count(layouts: LayoutSet) -> int:
    return sum(len(layout.regions) for layout in layouts.pages)


def _write_failures(settings: ConvertSettings, left_out: Sequence[Failure]) -> None:
    """Write what was left out into ``failures.csv`` of a folder, or ``NAME.failures.csv`` beside a file."""
    table = failures_of(settings.out, FORMS[settings.to].folder)
    if not left_out:
        table.unlink(missing_ok=True)  # of an earlier output of that name
        return
    with failures.writing(table) as add:
        for failure in left_out:
            add(failure)
    say(f"pages and regions that can't be used and are left out: {len(left_out):,}; see {table}")


def failures_of(out: Path, folder: bool) -> Path:
    """Return where the table of failures of an output is."""
    return out / failures.FILE if folder else out.with_name(f"{out.stem}.{failures.FILE}")


def _say_what(settings: ConvertSettings, layouts: LayoutSet, written: int) -> None:
    if layouts.labelled is None:
        there = ", ".join(sorted(layouts.classes)) or "none"
        say(
            f"{settings.input} does not say which classes were looked for; those on its pages are taken: {there}"
        )
    say(f"{written:,} pages with {_count(layouts):,} regions as {settings.to} in {settings.out}")

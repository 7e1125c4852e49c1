"""What every measuring command leaves behind: ``results.json``, ``report.html`` and ``environment.json``."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from seminar_common import files
from seminar_common.progress import is_first_process, say
from seminar_common.report import Section, check_out, html_page, write_pictures
from seminar_common.results import Results, as_document
from seminar_common.summary import print_summary


def publish(
    folder: Path, title: str, section: Section, *more: Section, shown: Sequence[str] | None = None
) -> Results:
    """Write what was measured into ``folder``, print it, say where it is, and return it.

    ``results.json`` is the table of ``section``, ``environment.json`` what it says it was made with (left alone if
    it says nothing), ``report.html`` a page of all sections, and ``pictures`` has the pictures of ``section`` for other
    reports. An older table goes first and the new one comes last: whoever finds a table finds the report and the
    environment that belong to it, also after a kill. Under ``torchrun`` the first process does it for all.

    Args:
        folder: a run folder, or the ``--out`` of a study or a benchmark.
        title: heading of the report.
        section: the figures, with their plots, settings and environment.
        more: further parts of the report, such as a card of the data.
        shown: metrics that are printed, in order; all of them if left out.

    Raises:
        UserError: the disk is full, or nothing can be written there; the files are as they were.
    """
    results = section.results
    if not is_first_process():
        return results
    table, report = folder / "results.json", folder / "report.html"
    check_out(report)
    page = html_page([section, *more], title)
    write_pictures(folder, section.pictures)
    with ExitStack() as stack:  # renames in the reverse order, once all are written in full
        new_table = stack.enter_context(files.atomic_path(table))
        new_report = stack.enter_context(files.atomic_path(report))
        files.write_json(new_table, as_document(results))
        files.write_text(new_report, page)
        if section.environment is not None:
            new = stack.enter_context(files.atomic_path(folder / "environment.json"))
            files.write_json(new, section.environment)
        table.unlink(missing_ok=True)
    print_summary(results.rows, shown)
    say(f"wrote {table} and {report.name}")
    return results

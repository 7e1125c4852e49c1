"""``export``: what a run found and people decided, for other programs."""

from pathlib import Path

from gcd_longtail.reviewing.continuing import read_before
from gcd_longtail.reviewing.decisions import FILE, Decision, read_decisions, run_identity
from gcd_longtail.reviewing.exporting import FORMS, Export, gather, read_names
from gcd_longtail.settings.commands import ExportSettings
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.progress import say


def export(settings: ExportSettings) -> Export:
    """Write the images of a run by their classes into a new folder; decisions about the run are obeyed.

    Images that are gone or can't be read are listed in ``failures.csv``.

    Raises:
        UserError: no run of `discover`, decisions that are damaged or about another run, a proposal for no class of the
            run, no image or no class to export, or a folder that exists.
    """
    with files.reserved(settings.out):
        config, before, _ = read_before(settings.run)
        root = settings.images or Path(config["settings"]["images"])
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; say with --images where the run's images are")
        decisions = _decisions(settings, run_identity(config))
        proposed = read_names(settings.names, before.names) if settings.names else {}
        chosen = {"named_only": settings.named, "without_class": settings.unsure}
        found = gather(before, decisions, root, proposed, **chosen)
        if not found.classes:
            raise UserError(
                f"{settings.run}: there is no class to export; name one first, or leave --named out"
            )
        with files.atomic_path(settings.out) as folder:
            folder.mkdir()
            FORMS[settings.to](found, folder, settings.out)
            if len(found.failures) == sum(len(one.images) for one in found.classes) + len(found.nameless):
                first = found.failures[0]
                raise UserError(
                    f"{root}: no image of the run can be used (first: {first.file} {first.reason})"
                )
            if found.failures:
                failures.add(folder / failures.FILE, found.failures)
        _describe(settings, found, len(decisions))
    return found


def _decisions(settings: ExportSettings, run: str) -> tuple[Decision, ...]:
    file = settings.decisions or settings.run / FILE
    if settings.decisions is None and not file.exists():
        return ()
    return read_decisions(file, run)


def _describe(settings: ExportSettings, found: Export, decisions: int) -> None:
    images = sum(len(one.images) for one in found.classes)
    named = sum(one.named for one in found.classes)
    say(
        f"{images:,} images in {len(found.classes)} classes, {named} of them named; {decisions} decisions were obeyed"
    )
    if found.unsure and not (settings.unsure or settings.to == "csv"):
        say(f"{len(found.unsure):,} unsure images are left out; --unsure exports them without a class")
    if found.rejected and settings.to != "csv":
        say(f"{len(found.rejected):,} images of rejected classes are left out")
    if found.failures:
        say(f"{len(found.failures)} images could not be exported: see {settings.out / failures.FILE}")
    say(f"wrote {settings.out}")

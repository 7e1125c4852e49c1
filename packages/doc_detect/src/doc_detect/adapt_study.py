"""Measure what adapting to a collection brings: the command ``adapt-study``."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from doc_detect.adapt import FACTS, ONNX, REJECTED, adapt, open_source
from doc_detect.adaptation.budgets import write_budget
from doc_detect.adaptation.labelled import open_labelled, refs_of
from doc_detect.adaptation.planned import (
    SWAPPED,
    Fold,
    Planned,
    planned,
    refuse_without_source,
)
from doc_detect.adaptation.study_figures import Outcome, Seen, StudyFigures
from doc_detect.adaptation.target import list_pages
from doc_detect.classes import Names
from doc_detect.coco import CocoSet, Reading
from doc_detect.detectors.onnx import OnnxDetector, default_model, named_model
from doc_detect.detectors.trained import trained_as
from doc_detect.export import card_of
from doc_detect.figures.calibration import draw_pages, margin_of
from doc_detect.figures.detection_report import page_pictures
from doc_detect.figures.findings import measured_labels
from doc_detect.figures.kept import dataset_name, kept_findings, open_scans
from doc_detect.figures.label_curve import LABELS
from doc_detect.figures.measured import MAIN_METRICS
from doc_detect.figures.paired import ORACLE, SOURCE
from doc_detect.pretrain import stored_pretraining
from doc_detect.select import WORK, select
from doc_detect.settings.adapt_study import AdaptStudySettings
from doc_detect.settings.adaptation import ADAPT_PRESETS, FEWEST_PAGES
from doc_detect.settings.selection import SelectSettings
from doc_detect.training.pages import open_training, refuse_unmeasurable
from seminar_common import files, runs
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results
from seminar_common.runs import Run
from seminar_common.settings import to_dict
from seminar_common.training import WEIGHTS

MARKER = "adapt-study.json"
"""In the folder of a study: what it is about."""
SOURCE_FILE = "source.onnx"
"""In the folder of a study of a run: its detector before anything was adapted."""
SHOWN = (
    *MAIN_METRICS,
    "gap_closed_ap50",
    "gap_closed_ap",
    "ap50_difference",
    "ap_difference",
    "adapt_cpu_min",
)
STARTS = "pretrained"
"""In a study with runs of `pretrain`: what they find with, by name."""
PLACES = ("out", "target", "labelled", "source", "run", "model")
"""Settings of a run that say where something is; that it is the same thing is known by fingerprints."""


@dataclass(frozen=True)
class Subject:
    """The detector that is adapted."""

    start: Mapping[str, Any]
    """Settings of `adapt` that name it."""
    labels: tuple[str, ...]
    fingerprint: str


@files.one_at_a_time
def adapt_study(settings: AdaptStudySettings) -> Results:
    """Adapt with every method and seed, measure, and write ``results.json`` and ``report.html`` into the folder.

    An adaptation that has ended is not done again, one that was killed goes on, and what a detector finds on a set is
    kept, so that a study that stopped is continued by the same command.

    Raises:
        UserError: unusable settings, detector, pages or files, or a folder that holds another study.
    """
    if not settings.target or not settings.test or settings.out is None:
        raise UserError(
            "--target, --test and --out: say what to adapt to, what to measure on, and which folder to make"
        )
    refuse_without_source(settings)
    launch(settings.device)
    subject = _open_subject(settings)
    starts = _named_pretrained(settings, subject)
    folds = _open_folds(settings, subject.labels)
    _open_folder(settings.out, settings, subject, folds)
    exported = _keep_pretrained(settings, starts)
    plan = planned(settings, folds, subject.start, starts)
    source = [_seen(_source_file(settings), fold, settings.out, SOURCE) for fold in folds]
    begun = {name: _seen(file, folds[0], settings.out, name) for name, file in exported.items()}
    outcomes = []
    for number, one in enumerate(plan, 1):
        say(f"adaptation {number} of {len(plan)}: {one.folder}")
        write_budget(one, subject.labels, partial(_ranked, settings, subject.start))
        outcomes.append(_outcome(one, _adapted(one), settings.out))
    return _publish(settings, folds, StudyFigures(settings, subject.labels, folds, source, outcomes, begun))


def _open_subject(settings: AdaptStudySettings) -> Subject:
    """Return the detector to adapt, after making sure that it can be."""
    file = None if settings.run else named_model(settings.model or default_model())
    start = {"run": settings.run, "model": file}
    detector = open_source(dataclasses.replace(settings.recipe(), **start)).detector
    weights = _weights(file or settings.run or Path())
    return Subject(start, tuple(detector.labels), files.fingerprint(weights))


def _weights(detector: Path) -> Path:
    """Return the file with the weights of a run, or an ONNX file itself."""
    return runs.open_run(detector).checkpoints / WEIGHTS if detector.is_dir() else detector


def _open_folds(settings: AdaptStudySettings, labels: tuple[str, ...]) -> list[Fold]:
    """Return what is adapted to and measured on, one way round or both."""
    reading = Reading(Names(settings.map))
    paths = [*settings.test, *(settings.target if settings.swap else ())]
    opened = [open_scans(path, None, reading) for path in paths]
    reading.report(", ".join(map(str, paths)))
    for pages in opened:
        refuse_unmeasurable(pages, measured_labels(pages.pages, pages, labels), labels)
    sets = tuple(opened[: len(settings.test)])
    labelled = None if settings.labelled is None else open_labelled(settings.labelled, settings.map, labels)
    if labelled is not None:
        _refuse_leak(labelled, sets)
        most = len(labelled.pages)
        for option, given in (("budgets", settings.budgets), ("selected", settings.selected)):
            if max(given, default=0) > most:
                raise UserError(
                    f"--{option} {max(given)}: --labelled {settings.labelled} has {most} pages with an object"
                )
    folds = [Fold("", settings.target, sets, labelled, _margin_pages(labelled, labels, settings))]
    if settings.swap:
        margin = None if labelled is None else _margin_pages(sets[0], labels, settings)
        folds.append(Fold(SWAPPED, settings.test, (opened[-1],), None, margin))
    return folds


def _margin_pages(
    pages: CocoSet | None, labels: tuple[str, ...], settings: AdaptStudySettings
) -> CocoSet | None:
    if pages is None:
        return None
    drawn = draw_pages(pages, labels, settings.margin_pages, 0)
    return dataclasses.replace(drawn, content=f"{pages.fingerprint}-margin{settings.margin_pages}")


def _refuse_leak(labelled: CocoSet, sets: Sequence[CocoSet]) -> None:
    """Raise a UserError if a page that is measured on is among those whose boxes are learned from."""
    known = {ref.path.resolve() for ref in refs_of(labelled)}
    for pages in sets:
        for page, ref in zip(pages.pages, refs_of(pages), strict=True):
            if ref.path.resolve() in known:
                raise UserError(
                    f"{pages.path}: its page {page.file_name} is in --labelled, too; measure on pages of other books"
                )


def _open_folder(folder: Path, settings: AdaptStudySettings, subject: Subject, folds: Sequence[Fold]) -> None:
    """Write down what the study is about, or refuse a folder that is about something else."""
    main, recipe = folds[0], to_dict(settings.recipe())
    listed = list_pages(main.target, settings.pages, 0)
    if len(listed.refs) < FEWEST_PAGES:
        raise UserError(
            f"--target: {len(listed.refs)} pages that can be read; {FEWEST_PAGES} or more are needed"
        )
    facts = {
        "detector": subject.fingerprint,
        "target": listed.fingerprint,
        "test": [pages.fingerprint for pages in main.sets],
        "labelled": "" if main.labelled is None else main.labelled.fingerprint,
        "source": "" if settings.source is None else open_training(settings.source).fingerprint,
        "margin_pages": settings.margin_pages,
        "oracle": [settings.oracle_steps, settings.oracle_kept],
        "map": list(settings.map),
        **{name: value for name, value in recipe.items() if name not in (*PLACES, "device", "work", "seed")},
    }
    marker = folder / MARKER
    if marker.exists():
        require_same(files.read_json(marker), facts, folder, "choose another --out")
        return
    files.refuse_existing(folder)
    files.write_json(marker, facts)


def _ranked(
    settings: AdaptStudySettings, start: Mapping[str, Any], pool: Path, budget: int
) -> Sequence[Path]:
    """Return the files of those pages of ``pool`` that `select` ranks first; what it shows people is kept in ``chosen``."""
    assert settings.out is not None
    out = settings.out / "chosen" / str(budget)
    if not (out / WORK).exists():
        files.remove(out)  # chosen before, by a study that was stopped before it wrote the pages down
    wanted = SelectSettings(
        target=(pool,),
        out=out,
        budget=budget,
        pages=max(SelectSettings.pages, budget),
        page_timeout=settings.page_timeout,
        work=settings.work,
        device=settings.device,
        **start,
    )
    return [each.ref.path for each in select(wanted)]


def _source_file(settings: AdaptStudySettings) -> Path:
    """Return the ONNX file of the detector to adapt; that of a run is made in the folder of the study."""
    assert settings.out is not None
    if settings.run is None:
        return named_model(settings.model or default_model())
    file = settings.out / SOURCE_FILE
    if not file.exists():
        _export(settings, settings.run, file)
    return file


def _export(settings: AdaptStudySettings, folder: Path, file: Path) -> None:
    """Write the detector of a run as it is, before anything is adapted."""
    run, start = runs.open_run(folder), open_source(dataclasses.replace(settings.recipe(), run=folder))
    start.detector.export(file, card_of(run, trained_as(run).steps) | start.scoring.facts())


def _named_pretrained(settings: AdaptStudySettings, subject: Subject) -> dict[str, Path]:
    """Return the runs of --pretrained by their names.

    Raises:
        UserError: one is no ended run of `pretrain`, began with another detector or with none, or two have one name.
    """
    found: dict[str, Path] = {}
    taken = {SOURCE, ORACLE, *settings.methods}
    for path in settings.pretrained:
        run = runs.open_run(path)
        stored = stored_pretraining(run)
        if not (run.checkpoints / WEIGHTS).exists():
            raise UserError(
                f"--pretrained {path}: has not ended; end it with doc-detect pretrain --resume {path}"
            )
        if stored.is_new:
            raise UserError(
                f"--pretrained {path}: began with {stored.init}, so that its heads know nothing yet; "
                f"train them first: doc-detect train --init {path}"
            )
        if not stored.init.exists() or files.fingerprint(_weights(stored.init)) != subject.fingerprint:
            raise UserError(
                f"--pretrained {path}: began with {stored.init}, which is not there any more or is another detector than "
                "that of this study; give that one by --run or --model"
            )
        if stored.name in found or stored.name in taken or Path(stored.name).name != stored.name:
            other = found.get(stored.name, "a model of this study")
            raise UserError(
                f"--pretrained {path}: is called {stored.name!r}, which can't tell it from {other}; "
                "pretrain it anew with a --name of its own, without slashes"
            )
        found[stored.name] = path
    return found


def _keep_pretrained(settings: AdaptStudySettings, starts: Mapping[str, Path]) -> dict[str, Path]:
    """Return by name the detectors of the runs ``starts``, as ONNX files in the folder of the study.

    Raises:
        UserError: another run of that name was measured there before.
    """
    assert settings.out is not None
    kept = {}
    for name, path in starts.items():
        file, marker = (settings.out / STARTS / f"{name}{suffix}" for suffix in (".onnx", ".json"))
        facts = {"run of this name": files.fingerprint(runs.open_run(path).checkpoints / WEIGHTS)}
        if marker.exists():
            require_same(files.read_json(marker), facts, marker, "choose another --out")
        else:
            _export(settings, path, file)
            files.write_json(marker, facts)
        kept[name] = file
    return kept


def _adapted(one: Planned) -> Run:
    """Return the ended run of an adaptation, after doing what is left of it.

    Raises:
        UserError: its folder holds a run with other settings.
    """
    out = one.settings.out
    assert out is not None
    if not (out / runs.MARKER).exists():
        return adapt(one.settings)
    run = Run(out)
    wanted = {
        name: value
        for name, value in to_dict(one.settings).items()
        if name not in (*PLACES, "device", "work", "resume")
    }
    require_same(run.config()["settings"], wanted, out, "choose another --out")
    if (run.checkpoints / WEIGHTS).exists():
        return run
    return adapt(dataclasses.replace(ADAPT_PRESETS[one.settings.preset](), resume=out))


def _outcome(one: Planned, run: Run, folder: Path) -> Outcome:
    facts, rejected = files.read_json(run.folder / FACTS), run.folder / REJECTED
    own = LABELS in one.facts and one.model != ORACLE  # a budget has a margin of its own pages
    given = _seen(run.folder / ONNX, one.fold, folder, one.folder, own)
    trained = given
    if rejected.exists():
        trained = _seen(rejected, one.fold, folder, f"{one.folder}, refused,", own)
    code = str(run.environment().get("code", {}).get("doc_detect", ""))
    return Outcome(one, facts, trained if one.model == ORACLE else given, trained, code)


def _seen(file: Path, fold: Fold, folder: Path, name: str, own_margin: bool = False) -> Seen:
    """Return what an ONNX file finds on the sets of a fold, with the margin fitted on the fold's pages.

    Where there are none, where it finds nothing on them, or with ``own_margin``, the margin is the file's.
    """
    detector = OnnxDetector(file, torch.get_num_threads())
    kept = folder / "found"
    pages = tuple(kept_findings(detector, each, kept, name) for each in fold.sets)
    if own_margin or fold.margin is None:
        return Seen(pages, detector.scoring)
    found = kept_findings(detector, fold.margin, kept, f"{name} for its margin")
    try:
        margin = margin_of([*zip(fold.margin.pages, found, strict=True)], detector.labels, fold.margin.path)
    except UserError as nothing:
        say(f"{name}: {nothing}")
        return Seen(pages, detector.scoring)
    return Seen(pages, dataclasses.replace(detector.scoring, margin=margin))


def _publish(settings: AdaptStudySettings, folds: Sequence[Fold], figures: StudyFigures) -> Results:
    assert settings.out is not None
    results = Results(runs.command_line(), tuple(figures.rows), notes=figures.all_notes())
    sets = [pages for fold in folds for pages in fold.sets]
    facts = runs.environment(
        torch.get_num_threads(), data={pages.path.name: pages.fingerprint for pages in sets}
    )
    first = figures.outcomes[0].seen.pages[0]
    pictures = page_pictures(sets[0], sets[0].pages, first)
    title = f"Adaptation to {dataset_name(sets[0])}"
    section = Section(title, results, to_dict(settings), facts, figures=figures.plots, pictures=pictures)
    return publish(settings.out, title, section, shown=SHOWN)

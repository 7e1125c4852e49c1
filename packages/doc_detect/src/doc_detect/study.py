"""The table of real pages: our detector, in PyTorch and as it ships, beside other layout tools."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from doc_detect.classes import CLASSES, Names
from doc_detect.coco import CocoPage, CocoSet, Reading, read_coco, write_coco
from doc_detect.detectors.onnx import OnnxDetector, PageDetector, default_model
from doc_detect.detectors.trained import trained_as
from doc_detect.figures.detection_report import page_pictures
from doc_detect.figures.findings import drawn_too, find_on_pages, measured_labels
from doc_detect.figures.measured import MAIN_METRICS, Measured, default_split, interval_notes
from doc_detect.formats.forms import of_split, read_pages
from doc_detect.settings.training import StudySettings
from doc_detect.training.pages import is_ink, refuse_unmeasurable
from seminar_common import files, runs
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.identity import code_digest, digest, require_same
from seminar_common.progress import progress, say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row

MADE_OF = "made_of"
"""Entry of a kept file's ``info`` that says what decided its content."""
ALL = "all"
"""The split of all files of a folder together."""


@dataclass(frozen=True)
class Model:
    """A detector of the study."""

    row: Row
    """How its rows begin: the model's name and its engine."""
    detector: PageDetector


def study(settings: StudySettings) -> Results:
    """Measure every model on every set; write ``results.json`` and ``report.html`` into the folder.

    What a model found on a set is kept in the folder, so that the same command does not look at pages twice. It is
    looked for anew where the model, its settings, the pages, their pictures or the code are others than they were.

    Raises:
        UserError: an unusable file, picture, run or model, a set with nothing to measure, or a folder that holds something else.
    """
    reading = Reading(Names(settings.map))
    sets = [_open_set(path, settings.target, reading) for path in settings.test]
    reading.report(", ".join(map(str, settings.test)))
    _open_folder(settings.out)
    fabric = launch(settings.device)
    models = _models(settings, fabric.device)
    for pages in sets:
        known = models[0].detector.labels
        refuse_unmeasurable(pages, measured_labels(pages.pages, pages, known), known)
    rows: list[Row] = []
    pictures = []
    for model in models:
        found = [_found(model, pages, settings.out) for pages in sets]
        for name, split, members in _groups(sets):
            truth = [page for index in members for page in sets[index].pages]
            seen = [page for index in members for page in found[index]]
            labels = _shared_labels(model, models[0], [sets[index] for index in members], truth)
            for facts, boxes in drawn_too(seen, model.detector.scoring):
                row = dataclasses.replace(model.row, dataset=name, split=split, facts=facts)
                rows += Measured(truth, boxes, row, settings.resamples, 0).rows(labels)
        if model is models[0]:
            pictures = page_pictures(sets[0], sets[0].pages, found[0])
    results = Results(runs.command_line(), tuple(rows), notes=interval_notes(rows))
    facts = runs.environment(torch.get_num_threads(), data={str(s.path.name): s.fingerprint for s in sets})
    section = Section("Real pages", results, None, facts, pictures=pictures)
    return publish(settings.out, "Document object detection on real pages", section, shown=MAIN_METRICS)


def _open_set(path: Path, target: Path | None, reading: Reading) -> CocoSet:
    pages = of_split(read_pages(path, reading), "test", "val")
    pages = dataclasses.replace(pages, images=target or pages.images)
    if is_ink(pages):  # boxes of ink are not where they are on the scan that is made of it
        raise UserError(f"{path}: is ink that `synth --ink` drew, not scans; measure on it by `evaluate`")
    return pages


def _open_folder(folder: Path) -> None:
    marker = folder / "study.json"
    if not marker.exists():
        files.refuse_existing(folder)
        files.write_json(marker, {"study": "doc_detect"})


def _models(settings: StudySettings, device: torch.device) -> list[Model]:
    """Return the shipped or given ONNX file, the run in PyTorch if one is given, and the peers."""
    onnx = OnnxDetector(settings.model or default_model(), torch.get_num_threads())
    row = Row("source-only", "", "", "ap", 0.0, engine="onnxruntime")
    models = [Model(row, onnx)]
    if settings.run is not None:
        from doc_detect.detectors.torch import open_torch

        trained = trained_as(runs.open_run(settings.run))
        row = Row(trained.name, "", "", "ap", 0.0, engine=trained.model.engine)
        models.append(Model(row, open_torch(settings.run, device)))
    if "rapid-layout" in settings.peer:
        from doc_detect.detectors.peers import RapidLayoutDetector

        row = Row("rapid-layout", "", "", "ap", 0.0, engine="onnxruntime")
        models.append(Model(row, RapidLayoutDetector(torch.get_num_threads())))
    return models


def _found(model: Model, pages: CocoSet, folder: Path) -> list[CocoPage]:
    """Return what a model finds on a set, from the folder if it is kept there and still holds."""
    now = _made_of(model.detector, pages)
    stored = folder / "found" / f"{now['weights_file'][:32]}-{pages.fingerprint}.json"
    if not _holds(stored, now):
        name = f"{model.row.model} ({model.row.engine})"
        with progress(f"{name} on {pages.path.name}", len(pages.pages)) as advance:
            found = []
            for _, page in find_on_pages(model.detector, pages):
                found.append(page)
                advance()
        write_coco(stored, found, {"name": pages.name, MADE_OF: now})
    read = {page.file_name: page for page in read_coco(stored).pages}
    return [_with_scores(read[page.file_name]) for page in pages.pages]


def _made_of(detector: PageDetector, pages: CocoSet) -> Mapping[str, Any]:
    """Return all that decides what ``detector`` finds on ``pages``."""
    pictures = {page.file_name: files.fingerprint(pages.image_path(page)) for page in pages.pages}
    modules = ("doc_detect.training.pages", "doc_detect.figures.findings", "doc_detect.synthesis")
    return {
        **detector.identity(),
        "coco_file": pages.fingerprint,
        "set_of_pictures": digest(pictures),
        "code_of_reading": code_digest(*modules),
    }


def _holds(stored: Path, now: Mapping[str, Any]) -> bool:
    """Say whether the file is there and made of what there is now; if of something else, tell the user of what."""
    if not stored.exists():
        return False
    try:
        require_same(read_coco(stored).facts.get(MADE_OF), now, stored, "its pages are looked at anew")
    except UserError as difference:
        say(str(difference))
        return False
    return True


def _with_scores(page: CocoPage) -> CocoPage:
    import numpy as np

    return page if page.scores is not None else dataclasses.replace(page, scores=np.zeros(0))


def _groups(sets: Sequence[CocoSet]) -> list[tuple[str, str, list[int]]]:
    """Return name, split and members of each set, and of all sets of a name together where it has several."""
    names = [pages.name.replace("_", "-") for pages in sets]
    groups = [
        (name, pages.facts.get("split") or default_split(pages.path), [i])
        for i, (name, pages) in enumerate(zip(names, sets, strict=True))
    ]
    for name in dict.fromkeys(names):
        members = [i for i, other in enumerate(names) if other == name]
        if len(members) > 1:
            groups.append((name, ALL, members))
    return groups


def _shared_labels(
    model: Model, ours: Model, sets: Sequence[CocoSet], truth: Sequence[CocoPage]
) -> list[str]:
    """Return the classes that the model and our detector know and every set labels, in our order."""
    labels = set(model.detector.labels) & set(ours.detector.labels)
    for pages in sets:
        labels &= set(measured_labels(truth, pages, model.detector.labels))
    return [name for name in CLASSES if name in labels]

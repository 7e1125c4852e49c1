"""The table of real pages: our detector, in PyTorch and as it ships, beside other layout tools."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from doc_detect.classes import Names
from doc_detect.coco import Reading
from doc_detect.detectors.onnx import OnnxDetector, PageDetector, default_model
from doc_detect.detectors.trained import trained_as
from doc_detect.figures.detection_report import page_pictures
from doc_detect.figures.findings import drawn_too, measured_labels, shared_labels
from doc_detect.figures.kept import groups, kept_findings, open_scans
from doc_detect.figures.measured import MAIN_METRICS, Measured, interval_notes
from doc_detect.settings.training import StudySettings
from doc_detect.training.pages import refuse_unmeasurable
from seminar_common import files, runs
from seminar_common.device import launch
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row


@dataclass(frozen=True)
class Model:
    """A detector of the study."""

    row: Row
    """How its rows begin: the model's name and its engine."""
    detector: PageDetector


@files.one_at_a_time
def study(settings: StudySettings) -> Results:
    """Measure every model on every set; write ``results.json`` and ``report.html`` into the folder.

    What a model found on a set is kept in the folder, so that the same command does not look at pages twice. It is
    looked for anew where the model, its settings, the pages, their pictures or the code are others than they were.

    Raises:
        UserError: an unusable file, picture, run or model, a set with nothing to measure, or a folder that holds something else.
    """
    reading = Reading(Names(settings.map))
    sets = [open_scans(path, settings.target, reading) for path in settings.test]
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
        known_as = f"{model.row.model} ({model.row.engine})"
        found = [kept_findings(model.detector, pages, settings.out / "found", known_as) for pages in sets]
        for name, split, members in groups(sets):
            truth = [page for index in members for page in sets[index].pages]
            seen = [page for index in members for page in found[index]]
            known = set(model.detector.labels) & set(models[0].detector.labels)
            labels = shared_labels(known, [sets[index] for index in members], truth)
            for facts, boxes in drawn_too(seen, model.detector.scoring):
                row = dataclasses.replace(model.row, dataset=name, split=split, facts=facts)
                rows += Measured(truth, boxes, row, settings.resamples, 0).rows(labels)
        if model is models[0]:
            pictures = page_pictures(sets[0], sets[0].pages, found[0])
    results = Results(runs.command_line(), tuple(rows), notes=interval_notes(rows))
    facts = runs.environment(torch.get_num_threads(), data={str(s.path.name): s.fingerprint for s in sets})
    section = Section("Real pages", results, None, facts, pictures=pictures)
    return publish(settings.out, "Document object detection on real pages", section, shown=MAIN_METRICS)


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

"""Measure a detector on labelled pages: the command ``evaluate``."""

from collections.abc import Sequence

import torch

from doc_detect.coco import CocoPage, CocoSet
from doc_detect.detectors.onnx import OnnxDetector, PageDetector
from doc_detect.detectors.torch import open_torch
from doc_detect.detectors.trained import stored_settings
from doc_detect.figures.detection_report import learning_curves, page_pictures
from doc_detect.figures.findings import find_on_pages, measured_labels
from doc_detect.figures.measured import MAIN_METRICS, Measured, default_split, interval_notes
from doc_detect.settings.training import EvaluateSettings
from doc_detect.training.pages import open_validation
from seminar_common import runs
from seminar_common.device import launch
from seminar_common.progress import progress
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row
from seminar_common.runs import Run


def evaluate(settings: EvaluateSettings) -> Results:
    """Measure a run on labelled pages; write ``results.json`` and ``report.html``.

    Raises:
        UserError: the run is missing or unfinished, or the file or one of its pictures is unusable.
    """
    run, pages = runs.open_run(settings.run), open_validation(settings.data)
    fabric = launch(settings.device)
    detector: PageDetector = open_torch(settings.run, fabric.device)
    if settings.model is not None:
        detector = OnnxDetector(settings.model, torch.get_num_threads())
    truth, found = _find(detector, pages)
    row = _row(settings, run, pages)
    labels = measured_labels(truth, pages, detector.labels)
    rows = Measured(truth, found, row, settings.resamples, settings.seed).rows(labels)
    results = Results(runs.command_line(), tuple(rows), tuple(learning_curves(run)), interval_notes(rows))
    facts = None  # a run's folder keeps what it was trained with
    if settings.out is not None:
        facts = runs.environment(torch.get_num_threads(), data={pages.name: pages.fingerprint})
    pictures = page_pictures(pages, truth, found)
    section = Section(f"{row.model} on {row.dataset}", results, run.config(), facts, pictures=pictures)
    return publish(settings.out or run.folder, "Document object detection", section, shown=MAIN_METRICS)


def _find(detector: PageDetector, pages: CocoSet) -> tuple[Sequence[CocoPage], Sequence[CocoPage]]:
    """Return the truth and what was found, page by page."""
    pairs = []
    with progress("evaluating", len(pages.pages)) as advance:
        for pair in find_on_pages(detector, pages):
            pairs.append(pair)
            advance()
    return [truth for truth, _ in pairs], [found for _, found in pairs]


def _row(settings: EvaluateSettings, run: Run, pages: CocoSet) -> Row:
    """Return how the rows begin."""
    trained = stored_settings(run)
    return Row(
        trained.name,
        pages.name.replace("_", "-"),
        settings.split or default_split(pages.path),
        "ap",
        0.0,
        seeds=(trained.seed,),
        engine="onnxruntime" if settings.model else trained.model.engine,
        facts={"backbone": trained.model.backbone},
    )

"""Measure a detector on labelled pages: the command ``evaluate``."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from doc_detect.coco import CocoPage, CocoSet
from doc_detect.detectors.onnx import OnnxDetector, PageDetector
from doc_detect.detectors.torch import open_torch
from doc_detect.detectors.trained import trained_as
from doc_detect.figures.detection_report import learning_curves, page_pictures
from doc_detect.figures.findings import drawn_too, find_on_pages, measured_labels
from doc_detect.figures.measured import MAIN_METRICS, Measured, default_split, interval_notes
from doc_detect.settings.training import EvaluateSettings
from doc_detect.training.pages import open_test, refuse_unmeasurable
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
    run = None if settings.run is None else runs.open_run(settings.run)
    pages = open_test(settings.data, settings.map)
    fabric = launch(settings.device)
    detector = _open_detector(settings, fabric.device)
    refuse_unmeasurable(pages, measured_labels(pages.pages, pages, detector.labels), detector.labels)
    truth, found = _find(detector, pages)
    labels = measured_labels(truth, pages, detector.labels)
    rows: list[Row] = []
    for facts, boxes in drawn_too(found, detector.scoring):
        row = _row(settings, run, pages, facts, detector)
        rows += Measured(truth, boxes, row, settings.resamples, settings.seed).rows(labels)
    curves = () if run is None else tuple(learning_curves(run))
    results = Results(runs.command_line(), tuple(rows), curves, interval_notes(rows))
    facts = None  # a run's folder keeps what it was trained with
    if settings.out is not None:
        facts = runs.environment(torch.get_num_threads(), data={pages.name: pages.fingerprint})
    pictures = page_pictures(pages, truth, found)
    config = None if run is None else run.config()
    name = f"{row.model} on {row.dataset}"
    section = Section(name, results, config, facts, pictures=pictures)
    folder = settings.out or (run.folder if run else None)
    assert folder is not None  # the settings have one of the two
    return publish(folder, "Document object detection", section, shown=MAIN_METRICS)


def _open_detector(settings: EvaluateSettings, device: torch.device) -> PageDetector:
    """Return the ONNX file's detector, or the run's in PyTorch, or the one that ships."""
    if settings.run is not None and settings.model is None:
        return open_torch(settings.run, device)
    return OnnxDetector(settings.model, torch.get_num_threads(), settings.size)


def _find(detector: PageDetector, pages: CocoSet) -> tuple[Sequence[CocoPage], Sequence[CocoPage]]:
    """Return the truth and what was found, page by page."""
    pairs = []
    with progress("evaluating", len(pages.pages)) as advance:
        for pair in find_on_pages(detector, pages):
            pairs.append(pair)
            advance()
    return [truth for truth, _ in pairs], [found for _, found in pairs]


def _row(
    settings: EvaluateSettings,
    run: Run | None,
    pages: CocoSet,
    facts: Mapping[str, str],
    detector: PageDetector,
) -> Row:
    """Return how the rows begin."""
    row = Row(
        detector.facts.name if isinstance(detector, OnnxDetector) else "",
        pages.name.replace("_", "-"),
        settings.split or pages.facts.get("split") or default_split(pages.path),
        "ap",
        0.0,
        engine="onnxruntime",
        facts=facts,
    )
    if run is None:
        return row
    trained = trained_as(run)
    return dataclasses.replace(
        row,
        model=trained.name,
        seeds=(trained.seed,),
        engine="onnxruntime" if settings.model else trained.model.engine,
        facts={**facts, "backbone": trained.model.backbone},
    )

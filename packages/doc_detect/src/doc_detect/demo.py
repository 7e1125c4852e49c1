"""The demo: draw pages, train on them for a minute, find what is on unseen pages and in a PDF, and cut it out."""

import dataclasses
import io
from pathlib import Path

import numpy as np

from doc_detect.classes import class_index
from doc_detect.coco import CocoSet, read_coco
from doc_detect.crop import crop
from doc_detect.detectors.onnx import default_model
from doc_detect.evaluate import evaluate
from doc_detect.export import export
from doc_detect.figures.detection_report import page_pictures
from doc_detect.figures.measured import EVERY, MAIN_METRICS
from doc_detect.gallery import main as write_gallery
from doc_detect.predict import predict
from doc_detect.predictions import open_predictions
from doc_detect.settings.job import CropSettings, GallerySettings, PredictSettings
from doc_detect.settings.synth import SynthSettings
from doc_detect.settings.training import (
    EvaluateSettings,
    ExportSettings,
    ModelConfig,
    OptimizationConfig,
    TrainSettings,
)
from doc_detect.synth import synth
from doc_detect.train import train
from doc_detect.training.pages import read_labelled
from seminar_common.demos import DemoPage, DemoSettings, run_demos
from seminar_common.device import choose_threads
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.report import Picture
from seminar_common.results import Results, Row, merge
from seminar_common.runs import command_line
from seminar_common.work import WorkConfig

PAGES = SynthSettings(out=Path(), pages=180, world="all", ink=True, long_side=640, val_share=0.15)
"""A first taste: `synth --preset small` makes ten times as many, and larger ones."""
TRAINING = TrainSettings(
    preset="smoke",
    validate_every=0,
    model=ModelConfig(size=384),
    optimization=OptimizationConfig(steps=120, batch_size=4, sizes=(256, 320), ema_decay=0.97),
)
SHORT = "a minute of training"
SURE = 0.3
"""Scores are low after so little training."""
_MOST_REAL_PAGES = 40


def main(settings: DemoSettings) -> None:
    """Run this topic's demo alone; the function behind ``doc-detect demo``."""
    run_demos({"doc_detect": demo}, settings)


def demo(folder: Path, data: Path | None) -> DemoPage:
    """Make pages, train, measure, predict and cut out; fill ``folder``.

    Args:
        folder: Folder to make.
        data: Folder of real data, whose pages are looked at besides; None looks at synthetic pages alone.
    """
    pages, run, model = folder / "pages", folder / "run", folder / "detector.onnx"
    real = None if data is None else real_pages(data)
    synth(dataclasses.replace(PAGES, out=pages, work=WorkConfig(choose_threads()[0])))
    say("training for about a minute")
    train(dataclasses.replace(TRAINING, data=pages, out=run))
    trained = evaluate(EvaluateSettings(run=run, data=pages, resamples=200))
    export(ExportSettings(run=run, out=model, data=pages, pages=4))
    results = [_chosen(trained, SHORT), _shipped(run, pages, folder)]
    scans = write_scans(read_coco(pages / "val.json"), folder / "unseen")
    _look(scans, model, folder / "found")
    links = [
        ("Gallery of unseen pages", "found/gallery.html"),
        ("Pages it learnt from", "pages/gallery.html"),
    ]
    if real is not None:
        _look(real, default_model(), folder / "real")
        links.append(("Gallery of real pages", "real/gallery.html"))
    title = "Illustrations and initials on synthetic pages"
    pictures = _pictures(read_coco(pages / "val.json"), folder / "found")
    return DemoPage(title, merge(results, command_line()), pictures, links)


def _pictures(pages: CocoSet, found: Path) -> list[Picture]:
    """Return some unseen pages with their objects and what was found on them."""
    predicted = {page.name: page for page in open_predictions(found)}
    truth, seen = [], []
    for page in pages.pages:
        objects = read_labelled(pages, page, PAGES.long_side)[1]
        boxes = predicted[f"scans/{Path(page.file_name).stem}.jpg"].boxes
        corners = np.array([box.xyxy for box in boxes], np.float64).reshape(-1, 4)
        labels = np.array([class_index(box.label) for box in boxes], np.int64)
        scores = np.array([box.score for box in boxes], np.float64)
        truth.append(objects)
        seen.append(dataclasses.replace(objects, boxes=corners, labels=labels, scores=scores))
    return page_pictures(pages, truth, seen)


def real_pages(data: Path) -> tuple[Path, ...]:
    """Return pages below a folder of real data, spread evenly over those of its ``documents``.

    Raises:
        UserError: it has no such pages.
    """
    known = data / "documents" / "chapbooks_unlabelled"
    files = sorted(known.glob("*.jpg"))
    if not files:
        raise UserError(
            f"{data}: expected documents/chapbooks_unlabelled/*.jpg in it, see docs/reference/data.md"
        )
    count = min(_MOST_REAL_PAGES, len(files))
    return tuple(files[i * len(files) // count] for i in range(count))


def _chosen(results: Results, ablation: str | None = None) -> Results:
    """Return the figures that a first look needs."""
    kept = [row for row in results.rows if row.metric in MAIN_METRICS and row.subset in (None, EVERY)]
    return Results("", tuple(dataclasses.replace(row, ablation=ablation) for row in kept), results.curves)


def _shipped(run: Path, pages: Path, folder: Path) -> Results:
    """Measure the detector that comes with the package on the same pages."""
    settings = EvaluateSettings(
        run=run, data=pages, model=default_model(), resamples=200, out=folder / "shipped"
    )
    rows: list[Row] = list(_chosen(evaluate(settings)).rows)
    return Results("", tuple(dataclasses.replace(row, seeds=None) for row in rows))


def write_scans(pages: CocoSet, folder: Path) -> tuple[Path, Path]:
    """Write pages as scans: a folder of JPEGs and a PDF of the first half; return both."""
    from PIL import Image

    images, pdf = folder / "scans", folder / "book.pdf"
    images.mkdir(parents=True)
    sheets = []
    for page in pages.pages:
        scan, _ = read_labelled(pages, page, PAGES.long_side)
        sheet = Image.fromarray(scan.pixels)
        sheet.save(images / f"{Path(page.file_name).stem}.jpg", quality=85)
        sheets.append(sheet)
    bound = sheets[: max(1, len(sheets) // 2)]
    buffer = io.BytesIO()
    bound[0].save(buffer, "pdf", save_all=True, append_images=bound[1:], resolution=100)
    pdf.write_bytes(buffer.getvalue())
    return images, pdf


def _look(inputs: tuple[Path, ...], model: Path, out: Path) -> None:
    """Predict, show what was found and cut out the illustrations."""
    work = WorkConfig(choose_threads()[0])
    predict(PredictSettings(inputs, out, model, work=work, pdf_pixels=PAGES.long_side))
    write_gallery(GallerySettings(predictions=out, title=f"What was found: {out.name}"))
    scores = [box.score for page in open_predictions(out) for box in page.boxes if box.label == "graphic"]
    if max(scores, default=0) >= SURE:
        found = crop(CropSettings(out, out / "crops", min_score=SURE, work=work))
        say(f"cut out {len(found)} illustrations: {out / 'crops'}")

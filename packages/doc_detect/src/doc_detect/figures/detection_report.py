"""The report of an evaluation: tables, curves, and pages with what was found on them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from doc_detect.classes import CLASSES
from doc_detect.coco import CocoPage, CocoSet
from doc_detect.figures.page_metrics import SURE
from doc_detect.training.pages import read_labelled
from seminar_common.report import Picture, Section, write_report
from seminar_common.results import Results
from seminar_common.runs import Run

PICTURES = 12
LONG_SIDE = 560
TRUTH = (30, 30, 30)
COLOURS = {
    "graphic": (213, 62, 40),
    "drop_capital": (26, 122, 68),
    "table": (38, 98, 190),
    "stamp": (148, 60, 170),
}
OTHER = (170, 120, 20)


def write_detection_report(
    path: Path,
    results: Results,
    run: Run,
    pages: CocoSet,
    truth: Sequence[CocoPage],
    found: Sequence[CocoPage],
) -> None:
    """Write ``path``, an HTML page; ``truth`` and ``found`` are the pages of ``pages`` in their order."""
    pictures = page_pictures(pages, truth, found)
    title = f"{run.config().get('model', 'detector')} on {results.rows[0].dataset if results.rows else pages.name}"
    section = Section(title, results, run.config(), run.environment(), pictures=pictures)
    write_report([section], path, "Document object detection")


def page_pictures(pages: CocoSet, truth: Sequence[CocoPage], found: Sequence[CocoPage]) -> list[Picture]:
    """Return some pages with their objects and detections drawn on them."""
    return [_picture(pages, i, truth[i], found[i]) for i in telling_pages(truth, found)]


def telling_pages(truth: Sequence[CocoPage], found: Sequence[CocoPage], count: int = PICTURES) -> list[int]:
    """Return evenly spaced numbers of pages on which there is something to see."""
    shown = [
        i
        for i, (page, seen) in enumerate(zip(truth, found, strict=True))
        if len(page.boxes) or (seen.scores is not None and (seen.scores >= SURE).any())
    ]
    return [shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, count).astype(int))] if shown else []


def _picture(pages: CocoSet, index: int, truth: CocoPage, found: CocoPage) -> Picture:
    page, _ = read_labelled(pages, pages.pages[index], LONG_SIDE)
    image = Image.fromarray(page.pixels)
    draw_page(image, truth, found)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    assert found.scores is not None
    names = [CLASSES[n] for n, score in zip(found.labels, found.scores, strict=True) if score >= SURE]
    counts = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "nothing"
    return Picture(data.getvalue(), f"{truth.file_name}: found {counts}")


def draw_page(image: Image.Image, truth: CocoPage, found: CocoPage) -> None:
    """Draw the truth in thin dark lines and detections of :data:`SURE` or more in colour, with their scores."""
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    scale = np.array([image.width / truth.width, image.height / truth.height] * 2)
    for box, label in zip(truth.boxes * scale, truth.labels, strict=True):
        if label in found.labels or (label >= 0 and CLASSES[label] in COLOURS):
            draw.rectangle(box.tolist(), outline=TRUTH, width=1)
    assert found.scores is not None
    for box, label, score in zip(found.boxes * scale, found.labels, found.scores, strict=True):
        if score < SURE:
            continue
        colour = COLOURS.get(CLASSES[label], OTHER)
        draw.rectangle(box.tolist(), outline=colour, width=2)
        text = f"{CLASSES[label]} {score:.2f}"
        corner = (box[0], max(0, box[1] - 13))
        draw.rectangle(draw.textbbox(corner, text, font), fill=colour)
        draw.text(corner, text, (255, 255, 255), font)

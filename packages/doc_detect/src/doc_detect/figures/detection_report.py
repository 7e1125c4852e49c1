"""What a report shows beside its tables: learning curves, and pages with what was found on them."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from doc_detect.classes import CLASSES
from doc_detect.coco import CocoPage, CocoSet
from doc_detect.detectors.postprocess import box_iou
from doc_detect.detectors.trained import trained_as
from doc_detect.figures.coco_metrics import SMALLEST, object_size
from doc_detect.figures.page_metrics import SURE
from doc_detect.training.pages import read_labelled
from seminar_common.report import Picture
from seminar_common.results import Curve
from seminar_common.runs import Run

PICTURES = 12
FIT = 0.5
"""IoU from which a find fits an object."""
LONG_SIDE = 560
TRUTH = (30, 30, 30)
COLOURS = {
    "graphic": (213, 62, 40),
    "drop_capital": (26, 122, 68),
    "table": (38, 98, 190),
    "stamp": (148, 60, 170),
}
OTHER = (170, 120, 20)


def learning_curves(run: Run) -> list[Curve]:
    """Return the loss and the validation AP over the steps, from the run's log."""
    name, dataset = trained_as(run).name, str(run.config().get("dataset", ""))
    curves = []
    for key, split, what in (
        ("loss", "train", "loss"),
        ("val_ap", "val", "AP"),
    ):
        records = [record for record in run.logged() if key in record]
        if records:
            x, y = (tuple(float(record[k]) for record in records) for k in ("step", key))
            curves.append(Curve("learning", name, dataset, split, x, y, "step", what))
    return curves


def sure_find_curves(run: Run, prefix: str) -> list[Curve]:
    """Return a curve for each class of how many sure finds were counted over the steps, from the run's log.

    Args:
        run: The run.
        prefix: What the names of these figures in the log begin with, before the class.
    """
    name, dataset, what = (
        trained_as(run).name,
        str(run.config().get("dataset", "")),
        "sure finds on held-out pages",
    )
    records = [record for record in run.logged() if any(key.startswith(prefix) for key in record)]
    keys = dict.fromkeys(key for record in records for key in record if key.startswith(prefix))
    curves = []
    for key in keys:
        x, y = (tuple(float(record[k]) for record in records if key in record) for k in ("step", key))
        curves.append(Curve("learning", name, dataset, key.removeprefix(prefix), x, y, "step", what))
    return curves


def page_pictures(pages: CocoSet, truth: Sequence[CocoPage], found: Sequence[CocoPage]) -> list[Picture]:
    """Return some pages with their objects and detections drawn on them."""
    return [_picture(pages, i, truth[i], found[i]) for i in telling_pages(truth, found)]


def telling_pages(truth: Sequence[CocoPage], found: Sequence[CocoPage], count: int = PICTURES) -> list[int]:
    """Return the numbers of pages on which there is something to see, at most ``count``, in order.

    Up to half of them are those where most objects were missed; the others are evenly spaced.
    """
    shown = [
        i
        for i, (page, seen) in enumerate(zip(truth, found, strict=True))
        if len(page.boxes) or (seen.scores is not None and (seen.scores >= SURE).any())
    ]
    lost = {i: len(missed(truth[i], found[i])) for i in shown}
    worst = sorted((i for i in shown if lost[i]), key=lambda i: -lost[i])[: count // 2]
    others = [i for i in shown if i not in worst]
    spaced = np.unique(np.linspace(0, len(others) - 1, min(count - len(worst), len(others))).astype(int))
    return sorted([*worst, *(others[i] for i in spaced)])


def missed(truth: CocoPage, found: CocoPage) -> list[str]:
    """Return the classes of a page's objects that no sure find of their class fits (IoU of 0.5)."""
    assert found.scores is not None
    lost = []
    for name in COLOURS:
        number = CLASSES.index(name)
        boxes = truth.boxes[truth.labels == number]
        boxes = boxes[object_size(boxes, truth) >= SMALLEST]
        seen = found.boxes[(found.labels == number) & (found.scores >= SURE)]
        lost += [name] * int((box_iou(boxes, seen).max(axis=1, initial=0.0) < FIT).sum())
    return lost


def _picture(pages: CocoSet, index: int, truth: CocoPage, found: CocoPage) -> Picture:
    page, _ = read_labelled(pages, pages.pages[index], LONG_SIDE)
    image = Image.fromarray(page.pixels)
    draw_page(image, truth, found)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    assert found.scores is not None
    names = [CLASSES[n] for n, score in zip(found.labels, found.scores, strict=True) if score >= SURE]
    lost = missed(truth, found)
    return Picture(
        data.getvalue(),
        f"{truth.file_name}: found {_counts(names) or 'nothing'}{f', missed {_counts(lost)}' if lost else ''}",
    )


def _counts(names: Sequence[str]) -> str:
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


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

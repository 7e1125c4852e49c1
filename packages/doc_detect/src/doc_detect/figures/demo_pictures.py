"""Pictures for the demo's page: pages before and after an adaptation, with the boxes that were found, and cut-outs."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from doc_detect.coco import CocoPage, CocoSet
from doc_detect.detectors.postprocess import box_iou
from doc_detect.figures.detection_report import draw_page
from doc_detect.figures.page_metrics import SURE
from doc_detect.training.pages import read_labelled
from seminar_common.demo_page import Shot

LONG_SIDE = 560
_SAME = 0.5
"""IoU from which a find is an object."""


def right_and_wrong(truth: CocoPage, found: CocoPage) -> tuple[int, int]:
    """Return how many objects were found with a score of :data:`SURE` or more, and how many such finds are no object."""
    assert found.scores is not None
    sure = found.scores >= SURE
    boxes, labels = found.boxes[sure], found.labels[sure]
    same = box_iou(truth.boxes, boxes) >= _SAME
    same &= truth.labels[:, None] == labels
    return int(same.any(axis=1).sum()), int((~same.any(axis=0)).sum())


def gains(truth: Sequence[CocoPage], before: Sequence[CocoPage], after: Sequence[CocoPage]) -> np.ndarray:
    """Return what each page has gained: more objects found and fewer wrong finds, int64 [P]."""
    scores = [
        [right - wrong for right, wrong in map(right_and_wrong, truth, found)] for found in (before, after)
    ]
    return np.array(scores[1]) - np.array(scores[0])


def telling(gained: np.ndarray, best: int = 3) -> list[int]:
    """Return the numbers of the pages that gained most, and of the one that lost most, where one lost."""
    order = np.argsort(-gained, kind="stable")
    chosen = order[:best].tolist()
    if len(order) > best and gained[order[-1]] < 0:
        chosen.append(int(order[-1]))
    return chosen


def boxed_page(pages: CocoSet, number: int, found: CocoPage, long_side: int = LONG_SIDE) -> bytes:
    """Return a page as JPEG with what was found on it."""
    seen, truth = read_labelled(pages, pages.pages[number], long_side)
    image = Image.fromarray(seen.pixels)
    nothing = dataclasses.replace(truth, boxes=truth.boxes[:0], labels=truth.labels[:0])
    draw_page(image, nothing, found)
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=80)
    return buffer.getvalue()


def said(truth: CocoPage, found: CocoPage) -> str:
    """Say what was found on a page."""
    right, wrong = right_and_wrong(truth, found)
    return f"{right} of {len(truth.boxes)} objects found" + (f", {wrong} wrong" if wrong else "")


_WIDTH, _HEIGHT, _HEAD = 400, 250, 24


def side_by_side(names: tuple[str, str], images: tuple[bytes, bytes], caption: str) -> Shot:
    """Return two pages beside each other, each with its name above, as the picture of a card."""
    parts, room = [], (_WIDTH - 12) / 2
    for number, (name, image) in enumerate(zip(names, images, strict=True)):
        with Image.open(io.BytesIO(image)) as opened:
            scale = min(room / opened.width, (_HEIGHT - _HEAD) / opened.height)
            width, height = opened.width * scale, opened.height * scale
        x = number * (room + 12) + (room - width) / 2
        data = base64.b64encode(image).decode()
        parts.append(
            f'<text x="{number * (room + 12) + room / 2:.1f}" y="15" text-anchor="middle" font-size="14" '
            f'font-weight="600" fill="var({"--accent" if number else "--muted"})">{escape(name)}</text>'
        )
        parts.append(
            f'<image href="data:image/jpeg;base64,{data}" x="{x:.1f}" y="{_HEAD}" width="{width:.1f}" '
            f'height="{height:.1f}"/>'
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
    return Shot("".join([head, *parts, "</svg>"]).encode(), caption)


def cut_outs(files: Sequence[Path], most: int, side: int = 240) -> list[Shot]:
    """Return some of the pictures that were cut out, evenly."""
    shots = []
    for i in np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).astype(int)):
        with Image.open(files[i]) as opened:
            image = opened.convert("RGB")
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.save(buffer, "jpeg", quality=80)
        shots.append(Shot(buffer.getvalue(), files[i].stem))
    return shots

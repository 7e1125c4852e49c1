"""Pictures for the demo's page: pages before and after an adaptation, with the boxes that were found, and cut-outs."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, CocoSet
from doc_detect.detectors.postprocess import box_iou
from doc_detect.figures.detection_report import draw_page
from doc_detect.figures.page_metrics import SURE
from doc_detect.training.pages import read_labelled
from seminar_common.demo_page import Shot

LONG_SIDE = 560
_SAME = 0.5
"""IoU from which a find is an object."""


def right_and_wrong(truth: CocoPage, found: CocoPage, label: str = "graphic") -> tuple[int, int]:
    """Return how many objects of a class were found, and how many finds are none; surely, by :data:`SURE`."""
    assert found.scores is not None
    number = class_index(label)
    boxes = found.boxes[(found.scores >= SURE) & (found.labels == number)]
    same = box_iou(truth.boxes[truth.labels == number], boxes) >= _SAME
    return int(same.any(axis=1).sum()), int((~same.any(axis=0)).sum())


def gains(truth: Sequence[CocoPage], before: Sequence[CocoPage], after: Sequence[CocoPage]) -> np.ndarray:
    """Return what each page has gained: more illustrations found and fewer wrong finds, int64 [P]."""
    scores = [
        [right - wrong for right, wrong in map(right_and_wrong, truth, found)] for found in (before, after)
    ]
    return np.array(scores[1]) - np.array(scores[0])


def telling(gained: np.ndarray, truth: Sequence[CocoPage], best: int = 3) -> list[int]:
    """Return the numbers of the pages that gained most, and of the one that lost most, if any.

    Of pages that gained as much, those with more of their area illustrated come first.
    """
    illustrated = np.array([_illustrated(page) for page in truth])
    chosen = np.lexsort((-illustrated, -gained))[:best].tolist()
    worst = int(np.lexsort((-illustrated, gained))[0])
    return [*chosen, worst] if gained[worst] < 0 and worst not in chosen else chosen


def _illustrated(page: CocoPage) -> float:
    sides = (page.boxes[:, 2:] - page.boxes[:, :2])[page.labels == class_index("graphic")]
    return float(sides.prod(axis=1).sum()) / (page.width * page.height)


def boxed_page(pages: CocoSet, number: int, found: CocoPage, long_side: int = LONG_SIDE) -> Image.Image:
    """Return a page with what was found on it."""
    seen, truth = read_labelled(pages, pages.pages[number], long_side)
    image = Image.fromarray(seen.pixels)
    nothing = dataclasses.replace(truth, boxes=truth.boxes[:0], labels=truth.labels[:0])
    draw_page(image, nothing, found)
    return image


def said(truth: CocoPage, found: CocoPage) -> str:
    """Say what was found on a page."""
    right, wrong = right_and_wrong(truth, found)
    there = int((truth.labels == class_index("graphic")).sum())
    return f"{right} of {there} illustrations found" + (f", {wrong} wrong" if wrong else "")


def pair(images: tuple[Image.Image, Image.Image], caption: str) -> Shot:
    """Return two pages beside each other as one JPEG."""
    width, height = sum(image.width for image in images) + _GAP, max(image.height for image in images)
    both = Image.new("RGB", (width, height), "white")
    both.paste(images[0], (0, 0))
    both.paste(images[1], (images[0].width + _GAP, 0))
    return Shot(_jpeg(both), caption)


_GAP = 10
_WIDTH, _HEIGHT, _HEAD = 400, 250, 24


def side_by_side(names: tuple[str, str], images: tuple[Image.Image, Image.Image], caption: str) -> Shot:
    """Return two pages beside each other, each with its name above, as the picture of a card."""
    parts, room = [], (_WIDTH - 12) / 2
    for number, (name, image) in enumerate(zip(names, images, strict=True)):
        scale = min(room / image.width, (_HEIGHT - _HEAD) / image.height)
        width, height = image.width * scale, image.height * scale
        x = number * (room + 12) + (room - width) / 2
        data = base64.b64encode(_jpeg(image)).decode()
        colour = f"var({'--accent' if number else '--muted'})"
        parts.append(
            f'<text x="{number * (room + 12) + room / 2:.1f}" y="15" text-anchor="middle" font-size="14" '
            f'font-weight="600" fill="{colour}">{escape(name)}</text>'
        )
        parts.append(
            f'<image href="data:image/jpeg;base64,{data}" x="{x:.1f}" y="{_HEAD}" width="{width:.1f}" '
            f'height="{height:.1f}"/>'
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
    return Shot("".join([head, *parts, "</svg>"]).encode(), caption)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=80)
    return buffer.getvalue()


def cut_outs(files: Sequence[Path], most: int, side: int = 240) -> list[Shot]:
    """Return some of the pictures that were cut out, evenly."""
    shots = []
    for i in np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).astype(int)):
        with Image.open(files[i]) as opened:
            image = opened.convert("RGB")
        image.thumbnail((side, side))
        shots.append(Shot(_jpeg(image), files[i].stem))
    return shots

"""COCO detection files as a form: :mod:`doc_detect.coco` reads and writes them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from doc_detect.classes import CLASSES, IGNORE, class_index
from doc_detect.coco import IGNORED, CocoPage, CocoSet, Reading, read_coco, write_coco
from doc_detect.formats.regions import Form, Layout, LayoutSet, Region, Source, Writing
from seminar_common.identity import digest


def _reads(source: Source) -> bool:
    return isinstance(source.json, dict) and bool(
        source.json.keys() & {"images", "annotations", "categories"}
    )


def _read(source: Source, reading: Reading) -> LayoutSet:
    coco = read_coco(source.path, reading, source.json)
    pages = tuple(_layout(page) for page in coco.pages)
    return LayoutSet(pages, coco.labelled, coco.facts, source.path.parent)


def _layout(page: CocoPage) -> Layout:
    scores: Sequence[Any] = [math.nan] * len(page.boxes) if page.scores is None else page.scores.tolist()
    regions = tuple(
        Region(
            IGNORE if label == IGNORED else CLASSES[label],
            (x1, y1, x2, y2),
            None if math.isnan(score) else score,
        )
        for label, (x1, y1, x2, y2), score in zip(page.labels, page.boxes.tolist(), scores, strict=True)
    )
    return Layout(page.file_name, page.width, page.height, regions, page.facts)


def as_coco(layouts: LayoutSet, path: Path) -> CocoSet:
    """Return pages of any form as those of a COCO file; ``path`` is where they come from."""
    pages = tuple(_page(layout) for layout in layouts.pages)
    content = digest(
        {
            "labelled": sorted(layouts.classes),
            "facts": dict(layouts.facts),
            "pages": [_content(page) for page in pages],
        }
    )
    return CocoSet(path, pages, layouts.classes, layouts.facts, layouts.images, content)


def _page(layout: Layout) -> CocoPage:
    boxes = np.array([region.xyxy for region in layout.regions], np.float64).reshape(-1, 4)
    labels = [IGNORED if r.label == IGNORE else class_index(r.label) for r in layout.regions]
    scores = [math.nan if region.score is None else region.score for region in layout.regions]
    return CocoPage(
        layout.name,
        layout.width,
        layout.height,
        boxes,
        np.array(labels, np.int64),
        None if all(map(math.isnan, scores)) else np.array(scores, np.float64),
        layout.facts,
    )


def _content(page: CocoPage) -> list[Any]:
    return [
        page.file_name,
        page.width,
        page.height,
        page.boxes.tolist(),
        page.labels.tolist(),
        dict(page.facts),
    ]


def _write(layouts: LayoutSet, out: Path, writing: Writing) -> None:
    del writing
    write_coco(out, [_page(layout) for layout in layouts.pages], layouts.facts, layouts.classes)


COCO = Form("coco", "COCO", _reads, _read, _write)

"""Reading any of the forms, and writing one."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doc_detect.classes import CLASSES, IGNORE
from doc_detect.formats.alto import alto, read_alto
from doc_detect.formats.label_studio import label_studio, labelling_config, read_label_studio
from doc_detect.formats.page_xml import page_xml, read_page_xml
from doc_detect.formats.regions import Layout, Region, local_name, parse_xml, write_xml, xml_names
from doc_detect.predictions import CONFIG, open_predictions
from seminar_common import files
from seminar_common.errors import UserError

_XML: Mapping[str, Callable[[Path], list[Layout]]] = {"PcGts": read_page_xml, "alto": read_alto}


def read_any(path: Path) -> list[Layout]:
    """Read predictions, COCO, Label Studio, PAGE-XML or ALTO; what it is shows by its content.

    Raises:
        UserError: it is none of these, or is broken.
    """
    if path.is_dir():
        if (path / CONFIG).exists():
            return _read_predictions(path)
        found = sorted(path.rglob("*.xml"))
        layouts = [layout for file in found if file.name != "METS.xml" for layout in _read_xml(file)]
        if not layouts:
            raise UserError(f"{path}: neither predictions nor a folder of PAGE-XML or ALTO files")
        return layouts
    files.check_file(path)
    if path.suffix.lower() == ".xml":
        return _read_xml(path)
    if path.suffix.lower() != ".json":
        raise UserError(f"{path}: neither .json nor .xml; give COCO, Label Studio, PAGE-XML or ALTO")
    return read_label_studio(path) if isinstance(files.read_json(path), list) else _read_coco(path)


def _read_xml(path: Path) -> list[Layout]:
    root = local_name(parse_xml(path))
    if root not in _XML:
        raise UserError(f"{path}: neither PAGE-XML nor ALTO (its root is {root})")
    return _XML[root](path)


def _read_predictions(path: Path) -> list[Layout]:
    return [
        Layout(
            page.name,
            page.width,
            page.height,
            tuple(Region(box.label, box.xyxy, box.score) for box in page.boxes),
        )
        for page in open_predictions(path, images=path)  # the pages themselves need not be there
    ]


def _read_coco(path: Path) -> list[Layout]:
    from doc_detect.coco import IGNORED, read_coco

    layouts = []
    for page in read_coco(path).pages:
        scores: Sequence[Any] = [None] * len(page.boxes) if page.scores is None else page.scores.tolist()
        regions = [
            Region(IGNORE if label == IGNORED else CLASSES[label], (x1, y1, x2, y2), score)
            for label, (x1, y1, x2, y2), score in zip(page.labels, page.boxes.tolist(), scores, strict=True)
        ]
        layouts.append(Layout(page.file_name, page.width, page.height, tuple(regions)))
    return layouts


def write_any(layouts: Sequence[Layout], form: str, out: Path, image_url: str = "") -> None:
    """Write pages in a form: ``coco`` and ``label-studio`` as a file, ``page-xml`` and ``alto`` as a folder.

    Raises:
        UserError: ``out`` exists already.
    """
    files.refuse_existing(out)
    if form in ("page-xml", "alto"):
        _write_folder(layouts, form, out)
    elif form == "coco":
        _write_coco(layouts, out)
    else:
        files.write_json(out, label_studio(layouts, image_url))
        labels = [
            label for label in CLASSES if any(r.label == label for layout in layouts for r in layout.regions)
        ]
        files.write_text(out.with_suffix(".config.xml"), labelling_config(labels or CLASSES))


def _write_folder(layouts: Sequence[Layout], form: str, out: Path) -> None:
    made = time.strftime("%Y-%m-%dT%H:%M:%S")
    with files.atomic_path(out) as temporary:
        temporary.mkdir()
        for layout, name in zip(layouts, xml_names([layout.name for layout in layouts]), strict=True):
            write_xml(temporary / name, page_xml(layout, made) if form == "page-xml" else alto(layout))


def _write_coco(layouts: Sequence[Layout], out: Path) -> None:
    import numpy as np

    from doc_detect.coco import IGNORED, CocoPage, write_coco

    pages = []
    for layout in layouts:
        boxes = np.array([region.xyxy for region in layout.regions], np.float64).reshape(-1, 4)
        numbers = [IGNORED if r.label == IGNORE else CLASSES.index(r.label) for r in layout.regions]
        scored = bool(layout.regions) and all(region.score is not None for region in layout.regions)
        scores = np.array([region.score for region in layout.regions], np.float64) if scored else None
        pages.append(
            CocoPage(layout.name, layout.width, layout.height, boxes, np.array(numbers, np.int64), scores)
        )
    write_coco(out, pages)

"""COCO detection files: read with every claim checked, and written.

Reading maps category names to our classes (:mod:`doc_detect.classes`). What can be mended without a guess is
mended and said; anything else is refused in one line that names the file and the entry.

Form: Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; ``bbox`` is x, y, width, height in pixels.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from doc_detect.classes import CLASSES, IGNORE, class_index, guess_source, labelled_classes, map_name
from seminar_common.errors import UserError
from seminar_common.files import fingerprint, read_json, write_json
from seminar_common.progress import say

IGNORED = -1
"""Label of a region whose class is none of ours."""
IMAGE_KEYS = ("id", "file_name", "width", "height")
ANNOTATION_KEYS = ("image_id", "category_id", "bbox")
SWAPPED_SHARE = 0.2
"""If so many boxes leave their page as xywh, and none does as xyxy, then they are xyxy."""
EDGE_TOLERANCE = 2.0
"""Pixels by which rounding may put an edge out of its page."""


@dataclass(frozen=True)
class CocoPage:
    """One page with its objects."""

    file_name: str
    """As in the file: relative to the folder of images."""
    width: int
    height: int
    boxes: np.ndarray
    """[N, 4] absolute xyxy, float64, inside the page."""
    labels: np.ndarray
    """[N] numbers in :data:`doc_detect.classes.CLASSES`, or :data:`IGNORED`; int64."""
    scores: np.ndarray | None = None
    """[N] for predictions, None for the truth."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the file says of the image, such as ``book`` or ``century``."""


@dataclass(frozen=True)
class CocoSet:
    """A COCO file."""

    path: Path
    pages: tuple[CocoPage, ...]
    labelled: frozenset[str]
    """Our classes that its categories stand for; the others may be on its pages without a box."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Its ``info`` entry."""
    images: Path | None = None
    """Folder of the pictures, where it is neither the file's nor ``images`` beside it."""

    @property
    def name(self) -> str:
        """The data set's name in result tables: ``info.name``, else the name of the file's folder."""
        return str(self.facts.get("name") or self.path.resolve().parent.name)

    @property
    def fingerprint(self) -> str:
        """Digest of the file's bytes."""
        return fingerprint(self.path)

    def image_path(self, page: CocoPage) -> Path:
        """Return where the page's picture is: in the folder of pictures, beside the file or in ``images`` there.

        Raises:
            UserError: it is in none of them.
        """
        given = [] if self.images is None else [self.images]
        for folder in (*given, self.path.parent, self.path.parent / "images"):
            if (folder / page.file_name).is_file():
                return folder / page.file_name
        raise UserError(
            f"{self.path}: its page {page.file_name} is neither in {self.images or self.path.parent / 'images'} "
            "nor beside it"
        )


def read_coco(path: Path, source: str | None = None) -> CocoSet:
    """Read and check a COCO file.

    Boxes that leave their page are cut at its edge and counted in a message; crowd regions become ignore regions.

    Args:
        path: The file.
        source: Whose names the categories are (a key of ``classes.SOURCES``); guessed from them if left out.

    Raises:
        UserError: it is no COCO file, a key is missing, an id is there twice or points nowhere, a box has no
            area or lies outside its page, or boxes are corner coordinates.
    """
    document = read_json(path)
    images, annotations, categories = _sections(document, path)
    names = _category_names(categories, path)
    source = source or guess_source(names.values())
    by_id = _images_by_id(images, path)
    checked = _annotations(annotations, by_id, names, path)
    boxes = _boxes(checked, by_id, path)
    pages = _pages(by_id, checked, boxes, {key: map_name(name, source) for key, name in names.items()})
    info = document.get("info")
    labelled = labelled_classes(names.values(), source)
    return CocoSet(path, pages, labelled, info if isinstance(info, dict) else {})


def _sections(document: Any, path: Path) -> tuple[list[Any], list[Any], list[Any]]:
    if not isinstance(document, dict):
        raise UserError(f"{path}: not a COCO file: a JSON object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            raise UserError(f"{path}: not a COCO detection file: it has no list {key!r}")
    return document["images"], document["annotations"], document["categories"]


def _need(entry: Any, keys: Sequence[str], kind: str, number: int, path: Path) -> None:
    if not isinstance(entry, dict):
        raise UserError(f"{path}: {kind} {number} is not an object with {', '.join(keys)}")
    for key in keys:
        if entry.get(key) is None:
            raise UserError(f"{path}: {kind} {number} (id {entry.get('id', 'none')}) has no {key!r}")


def _unique(ids: Iterable[Any], kind: str, path: Path) -> None:
    double = [key for key, count in Counter(map(_key, ids)).items() if count > 1]
    if double:
        raise UserError(
            f"{path}: the {kind} id {double[0]} is there more than once; give each {kind} an id of its own"
        )


def _key(value: Any) -> Any:
    return value if isinstance(value, str | int) else repr(value)


def _category_names(categories: list[Any], path: Path) -> dict[Any, str]:
    for number, category in enumerate(categories):
        _need(category, ("id", "name"), "category", number, path)
    _unique((category["id"] for category in categories), "category", path)
    return {_key(category["id"]): str(category["name"]) for category in categories}


def _images_by_id(images: list[Any], path: Path) -> dict[Any, dict[str, Any]]:
    for number, image in enumerate(images):
        _need(image, IMAGE_KEYS, "image", number, path)
        for side in ("width", "height"):
            if not _is_number(image[side]) or image[side] < 1:
                raise UserError(
                    f"{path}: image {image['file_name']}: {side} {image[side]!r} is no size in pixels"
                )
    _unique((image["id"] for image in images), "image", path)
    _unique((str(image["file_name"]) for image in images), "image file_name", path)
    return {_key(image["id"]): image for image in images}


def _annotations(
    annotations: list[Any], images: Mapping[Any, Any], names: Mapping[Any, str], path: Path
) -> list[dict[str, Any]]:
    for number, annotation in enumerate(annotations):
        _need(annotation, ANNOTATION_KEYS, "annotation", number, path)
        name = f"annotation {annotation.get('id', number)}"
        if _key(annotation["image_id"]) not in images:
            raise UserError(f"{path}: {name}: there is no image with the id {annotation['image_id']}")
        if _key(annotation["category_id"]) not in names:
            raise UserError(f"{path}: {name}: there is no category with the id {annotation['category_id']}")
        box = annotation["bbox"]
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise UserError(f"{path}: {name}: bbox {box!r} is not four finite numbers x, y, width, height")
    _unique((a["id"] for a in annotations if "id" in a), "annotation", path)
    return annotations


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _boxes(annotations: list[dict[str, Any]], images: Mapping[Any, Any], path: Path) -> np.ndarray:
    """Return all boxes as xyxy inside their pages, [A, 4] float64."""
    if not annotations:
        return np.zeros((0, 4))
    given = np.array([a["bbox"] for a in annotations], np.float64)
    of = [images[_key(a["image_id"])] for a in annotations]
    pages = np.array([[image["width"], image["height"]] for image in of], np.float64)
    _refuse_corners(given, pages, path)
    corners = np.concatenate([given[:, :2], given[:, :2] + given[:, 2:]], axis=1)
    cut = np.clip(corners, 0, np.tile(pages, 2))
    empty = np.flatnonzero((cut[:, 2:] <= cut[:, :2]).any(axis=1))
    if len(empty):
        first = empty[0]
        what = "has no area" if (given[first, 2:] <= 0).any() else "lies outside the page"
        raise UserError(
            f"{path}: annotation {annotations[first].get('id', first)}: bbox {given[first].tolist()} {what} "
            f"({of[first]['file_name']}, {int(pages[first, 0])} x {int(pages[first, 1])}); "
            "correct it or remove it"
        )
    beyond = int((np.abs(cut - corners).max(axis=1) > EDGE_TOLERANCE).sum())
    if beyond:
        say(f"{path}: {beyond} of {len(given)} boxes leave their page and were cut at its edge")
    return cut


def _refuse_corners(given: np.ndarray, pages: np.ndarray, path: Path) -> None:
    """Raise a UserError if boxes are x1, y1, x2, y2: as sizes the last two would leave many pages."""
    far = given[:, 2:] - pages > EDGE_TOLERANCE
    ordered = (given[:, 2:] > given[:, :2]).all() and not far.any()
    leaving = (given[:, :2] + given[:, 2:] - pages > EDGE_TOLERANCE).any(axis=1)
    if ordered and leaving.mean() >= SWAPPED_SHARE:
        raise UserError(
            f"{path}: bbox looks like x1, y1, x2, y2 ({leaving.sum()} of {len(given)} boxes would leave their "
            "page as x, y, width, height); COCO wants x, y, width, height: subtract x1 and y1 from the last two"
        )


def _pages(
    images: Mapping[Any, dict[str, Any]],
    annotations: list[dict[str, Any]],
    boxes: np.ndarray,
    classes: Mapping[Any, str],
) -> tuple[CocoPage, ...]:
    members: dict[Any, list[int]] = {key: [] for key in images}
    for number, annotation in enumerate(annotations):
        members[_key(annotation["image_id"])].append(number)
    labels = np.array([_label(a, classes) for a in annotations], np.int64)
    scored = bool(annotations) and all(_is_number(a.get("score")) for a in annotations)
    scores = np.array([a["score"] for a in annotations], np.float64) if scored else None
    return tuple(
        CocoPage(
            str(image["file_name"]),
            int(image["width"]),
            int(image["height"]),
            boxes[members[key]].reshape(-1, 4),
            labels[members[key]],
            None if scores is None else scores[members[key]],
            {name: value for name, value in image.items() if name not in IMAGE_KEYS},
        )
        for key, image in images.items()
    )


def _label(annotation: Mapping[str, Any], classes: Mapping[Any, str]) -> int:
    name = classes[_key(annotation["category_id"])]
    return IGNORED if name == IGNORE or annotation.get("iscrowd") else class_index(name)


def write_coco(path: Path, pages: Sequence[CocoPage], info: Mapping[str, Any] | None = None) -> None:
    """Write pages as a COCO file, atomically; categories are all of ours, ids count from 1.

    Coordinates are rounded to hundredths of a pixel, scores to 5 digits; what then has no area is left out.
    """
    names = [*CLASSES, IGNORE]
    images = [
        {"id": i, "file_name": p.file_name, "width": p.width, "height": p.height, **p.facts}
        for i, p in enumerate(pages, 1)
    ]
    annotations = [
        {"id": 0, "image_id": i, **annotation} for i, p in enumerate(pages, 1) for annotation in _objects(p)
    ]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    flat = sum(len(page.boxes) for page in pages) - len(annotations)
    if flat:
        say(f"{path}: {flat} objects without area were left out")
    document = {
        "info": dict(info or {}),
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
    }
    write_json(path, document)


def _objects(page: CocoPage) -> list[dict[str, Any]]:
    objects = []
    for index, (box, label) in enumerate(zip(page.boxes, page.labels, strict=True)):
        x1, y1, x2, y2 = (round(float(value), 2) for value in box)
        width, height = round(x2 - x1, 2), round(y2 - y1, 2)
        if width <= 0 or height <= 0:
            continue
        category = len(CLASSES) + 1 if label == IGNORED else int(label) + 1
        entry = {"category_id": category, "bbox": [x1, y1, width, height], "area": round(width * height, 2)}
        entry["iscrowd"] = 0
        if page.scores is not None:
            entry["score"] = round(float(page.scores[index]), 5)
        objects.append(entry)
    return objects

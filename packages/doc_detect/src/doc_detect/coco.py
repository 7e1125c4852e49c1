"""COCO detection files: read with every claim checked, and written.

Reading maps category names to our classes (:mod:`doc_detect.classes`). What can be mended without a guess is
mended and said, an object that can't be used is left out and said, and anything else is refused in one line that
names the file and the entry.

Form: Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; ``bbox`` is x, y, width, height in pixels.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from doc_detect.classes import CLASSES, IGNORE, Names, class_index
from doc_detect.pages.names import find_image, image_folders
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.files import fingerprint, read_json, write_json
from seminar_common.progress import say

IGNORED = -1
"""Label of a region whose class is none of ours."""
IMAGE_KEYS = ("id", "file_name", "width", "height")
ANNOTATION_KEYS = ("image_id", "category_id")
SWAPPED_SHARE = 0.2
"""If so many boxes leave their page as xywh, and none does as xyxy, then they are xyxy."""
LARGEST_NUMBER = 1e12
"""What is larger is no place and no size, and a float may not hold it."""
EDGE_TOLERANCE = 2.0
"""Pixels by which rounding may put an edge out of its page."""


@dataclass
class Reading:
    """What goes through the reading of one or more files: how names are understood, and what was left out."""

    names: Names = field(default_factory=Names)
    failures: list[Failure] = field(default_factory=list)
    """Files, pages and regions that can't be used."""
    notes: Counter[str] = field(default_factory=Counter)
    """What is to be known of files that are used, with their number."""
    boxes: Literal["ink", "drawn"] = "ink"
    """Of predictions: the extent of the ink, or boxes as people draw them."""

    def fail(self, file: Path | str, reason: str, number: int | None = None) -> None:
        """Note that a file, a page of it or something on it is left out."""
        self.failures.append(Failure(str(file), " ".join(reason.split()), number))

    def report_use(self, what: object) -> None:
        """Say in a line each what became ``ignore``, and what is to be known of what was read.

        Raises:
            UserError: no name is known, or a name of ``--map`` is nowhere.
        """
        self.names.report(what)
        for note, count in self.notes.items():
            say(f"{what}: {note} (files: {count:,})")

    def report(self, what: object) -> None:
        """Say what :meth:`report_use` does, and what was left out of ``what``.

        Raises:
            UserError: no name is known, or a name of ``--map`` is nowhere.
        """
        self.report_use(what)
        if self.failures:
            first = self.failures[0]
            number = "" if first.number is None else f", page {first.number}"
            say(
                f"{what}: pages and regions that can't be used and are left out: {len(self.failures):,}; the first is "
                f"in {first.file}{number}: {first.reason}"
            )


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
    """[N] for predictions, NaN where only others have one, None for the truth."""
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
    content: str | None = None
    """Digest of the pages, where they were read from another form than one COCO file."""

    @property
    def name(self) -> str:
        """The data set's name in result tables: ``info.name``, else the name of the file's folder."""
        return str(self.facts.get("name") or self.folder.resolve().name)

    @property
    def folder(self) -> Path:
        """The folder that the file is in, or the folder that was read."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def fingerprint(self) -> str:
        """Digest of the file's bytes, or of the pages where they are from another form."""
        return self.content or fingerprint(self.path)

    def image_path(self, page: CocoPage) -> Path:
        """Return where the page's picture is: in the folder of pictures, or near the file.

        Raises:
            UserError: it is in none of them.
        """
        given = () if self.images is None else image_folders(self.images)
        found = find_image(page.file_name, (*given, *image_folders(self.folder)))
        if found is not None:
            return found
        raise UserError(
            f"{self.path}: its page {page.file_name} is neither in {self.images or self.folder / 'images'} "
            "nor beside it"
        )


def read_coco(path: Path, reading: Reading | None = None, document: Any = None) -> CocoSet:
    """Read and check a COCO file.

    Boxes that leave their page are cut at its edge and counted in a message. Objects without area or outside of
    their page are left out. Crowd regions become ignore regions. An object without ``bbox`` has the box round its
    ``segmentation``.

    Args:
        path: The file.
        reading: Takes up what is left out, and its caller reports it; reported here if there is none.
        document: The file's content, where it is read already.

    Raises:
        UserError: it is no COCO file, a key is missing, an id is there twice or points nowhere, boxes are corner
            coordinates, or no category has a known name.
    """
    own = reading or Reading()
    document = read_json(path) if document is None else document
    images, annotations, categories = _sections(document, path)
    names = _category_names(categories, path)
    classes = {key: own.names.find(name) for key, name in names.items()}
    by_id = _images_by_id(images, path)
    checked = _annotations(annotations, by_id, names, path)
    checked, boxes = _boxes(checked, by_id, path, own)
    labels = np.array([_label(a, names, own.names) for a in checked], np.int64)
    if reading is None:
        own.report(path)
    info = document.get("info")
    labelled = frozenset(label for label in classes.values() if label) - {IGNORE}
    pages = _pages(by_id, checked, boxes, labels)
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
    found = []
    for number, annotation in enumerate(annotations):
        _need(annotation, ANNOTATION_KEYS, "annotation", number, path)
        name = f"annotation {annotation.get('id', number)}"
        if _key(annotation["image_id"]) not in images:
            raise UserError(f"{path}: {name}: there is no image with the id {annotation['image_id']}")
        if _key(annotation["category_id"]) not in names:
            raise UserError(f"{path}: {name}: there is no category with the id {annotation['category_id']}")
        box = annotation.get("bbox") or _box_round(annotation.get("segmentation"))
        if box is None:
            raise UserError(f"{path}: {name} has neither a 'bbox' nor a 'segmentation' to take it from")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise UserError(f"{path}: {name}: bbox {box!r} is not four finite numbers x, y, width, height")
        found.append({**annotation, "bbox": box})
    _unique((a["id"] for a in annotations if "id" in a), "annotation", path)
    return found


def _box_round(segmentation: Any) -> list[float] | None:
    """Return x, y, width, height round polygons, or round a mask as run lengths; None if it is neither."""
    if isinstance(segmentation, dict):
        return _box_round_runs(segmentation)
    try:
        points = np.concatenate([np.asarray(polygon, np.float64).ravel() for polygon in segmentation])
        points = points.reshape(-1, 2)
        low, high = points.min(axis=0), points.max(axis=0)
    except (TypeError, ValueError):
        return None
    return [*low.tolist(), *(high - low).tolist()]


def _box_round_runs(mask: Mapping[str, Any]) -> list[float] | None:
    """Return the box round a mask ``{"size": [height, width], "counts": runs}``, columns first, off before on."""
    counts = mask.get("counts")
    try:
        runs = np.asarray(_runs(counts) if isinstance(counts, str) else counts, np.int64)
        height, width = (int(side) for side in mask["size"])
        on = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height)
        columns, rows = np.flatnonzero(on.any(axis=1)), np.flatnonzero(on.any(axis=0))
    except (KeyError, TypeError, ValueError):
        return None
    if not len(columns):
        return [0.0, 0.0, 0.0, 0.0]
    x1, y1, x2, y2 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return [float(x1), float(y1), float(x2 - x1), float(y2 - y1)]


def _runs(text: str) -> list[int]:
    """Return the run lengths of COCO's text: 5 bits a character, from the third run on less that two before."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def _boxes(
    annotations: list[dict[str, Any]], images: Mapping[Any, Any], path: Path, reading: Reading
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return the objects that have an area on their page, and their boxes as xyxy inside it, [A, 4] float64."""
    if not annotations:
        return [], np.zeros((0, 4))
    given = np.array([a["bbox"] for a in annotations], np.float64)
    of = [images[_key(a["image_id"])] for a in annotations]
    pages = np.array([[image["width"], image["height"]] for image in of], np.float64)
    _refuse_corners(given, pages, path)
    corners = np.concatenate([given[:, :2], given[:, :2] + given[:, 2:]], axis=1)
    cut = np.clip(corners, 0, np.tile(pages, 2))
    empty = (cut[:, 2:] <= cut[:, :2]).any(axis=1)
    for number in np.flatnonzero(empty):
        what = "has no area" if (given[number, 2:] <= 0).any() else "lies outside the page"
        size = f"{int(pages[number, 0])} x {int(pages[number, 1])}"
        box = f"annotation {annotations[number].get('id', number)}: bbox {given[number].tolist()}"
        reading.fail(path, f"{box} {what} ({of[number]['file_name']}, {size})")
    beyond = int((np.abs(cut - corners).max(axis=1) > EDGE_TOLERANCE)[~empty].sum())
    if beyond:
        say(f"{path}: {beyond} of {len(given)} boxes leave their page and were cut at its edge")
    return [annotations[number] for number in np.flatnonzero(~empty)], cut[~empty]


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
    labels: np.ndarray,
) -> tuple[CocoPage, ...]:
    members: dict[Any, list[int]] = {key: [] for key in images}
    for number, annotation in enumerate(annotations):
        members[_key(annotation["image_id"])].append(number)
    given = [a["score"] if _is_number(a.get("score")) else math.nan for a in annotations]
    scores = np.array(given, np.float64)
    scored = not np.isnan(scores).all()
    return tuple(
        CocoPage(
            str(image["file_name"]),
            int(image["width"]),
            int(image["height"]),
            boxes[members[key]].reshape(-1, 4),
            labels[members[key]],
            _scores(scores[members[key]]) if scored else None,
            {name: value for name, value in image.items() if name not in IMAGE_KEYS},
        )
        for key, image in images.items()
    )


def _scores(scores: np.ndarray) -> np.ndarray | None:
    return None if len(scores) and np.isnan(scores).all() else scores


def _label(annotation: Mapping[str, Any], categories: Mapping[Any, str], names: Names) -> int:
    name = categories[_key(annotation["category_id"])]
    if annotation.get("iscrowd"):
        names.count("iscrowd", IGNORE)
        return IGNORED
    label = names.label(name)
    return IGNORED if label == IGNORE else class_index(label)


def write_coco(
    path: Path,
    pages: Sequence[CocoPage],
    info: Mapping[str, Any] | None = None,
    labelled: Iterable[str] = CLASSES,
) -> None:
    """Write pages as a COCO file, atomically.

    Coordinates are rounded to hundredths of a pixel, smaller boxes become as large, scores are rounded to 5 digits.
    What has no area is left out and said.

    Args:
        path: The file.
        pages: What to write.
        info: Entry ``info``.
        labelled: Classes that were looked for: the categories, with ``ignore``. Ids do not depend on them.
    """
    kept = {*labelled, IGNORE}
    names = [(i, name) for i, name in enumerate((*CLASSES, IGNORE), 1) if name in kept]
    images = [
        {"id": i, "file_name": p.file_name, "width": p.width, "height": p.height}
        | {name: value for name, value in p.facts.items() if name not in IMAGE_KEYS}
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
        "categories": [{"id": i, "name": name} for i, name in names],
    }
    write_json(path, document)


def on_grid(box: Sequence[float] | np.ndarray, parts: int) -> tuple[float, float, float, float]:
    """Return a box xyxy on ``parts`` of a pixel: the nearest, or where it would lose its area the next outside."""
    x1, y1, x2, y2 = (float(value) for value in box)
    (left, right), (top, bottom) = _grid(x1, x2, parts), _grid(y1, y2, parts)
    return (left, top, right, bottom)


def _grid(low: float, high: float, parts: int) -> tuple[float, float]:
    first, last = round(low * parts), round(high * parts)
    if first == last and high > low:
        first, last = math.floor(low * parts), math.ceil(high * parts)
    return first / parts, last / parts


def _objects(page: CocoPage) -> list[dict[str, Any]]:
    objects = []
    for index, (box, label) in enumerate(zip(page.boxes, page.labels, strict=True)):
        if not (box[2:] > box[:2]).all():
            continue
        x1, y1, x2, y2 = on_grid(box, 100)
        width, height = round(x2 - x1, 2), round(y2 - y1, 2)
        category = len(CLASSES) + 1 if label == IGNORED else int(label) + 1
        entry = {"category_id": category, "bbox": [x1, y1, width, height], "area": round(width * height, 2)}
        entry["iscrowd"] = 0
        if page.scores is not None and not math.isnan(page.scores[index]):
            entry["score"] = round(float(page.scores[index]), 5)
        objects.append(entry)
    return objects

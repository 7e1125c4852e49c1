"""YOLO: ``data.yaml`` with the names, and a text file a page with a line an object.

Form: the documentation of Ultralytics' detection data sets. A line is a class's number, and x and y of the middle, width
and height as shares of the image; predictions have a score as the sixth number. Longer lines are outlines, x and y in
turn, and become the box round them. The labels of ``images/a.jpg`` are in ``labels/a.txt``; without that file the
page has no object.

The form has no place for a page's size, its facts and its name where no image has it: ``doc_detect.json`` beside
``data.yaml`` holds them. Other programs pass it over.
"""

import glob
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from doc_detect.classes import CLASSES, IGNORE
from doc_detect.coco import Reading
from doc_detect.formats.regions import (
    XYXY,
    Form,
    Layout,
    LayoutSet,
    Region,
    Source,
    Writing,
    classes_in,
    facts_in,
    file_names,
    files_below,
    finite,
    image_size,
    made,
)
from doc_detect.pages.names import is_there
from seminar_common.errors import UserError
from seminar_common.files import atomic_path, read_json, read_text
from seminar_common.images import SUFFIXES
from seminar_common.progress import say

YAML, OWN = "data.yaml", "doc_detect.json"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Page:
    """An image and its labels."""

    name: str
    """Of the image, relative to the data set's folder."""
    image: Path
    labels: Path
    split: str | None


def _reads(source: Source) -> bool:
    path = source.path
    if path.is_dir():
        return (path / YAML).is_file() or (path / "classes.txt").is_file()
    return path.suffix.lower() in (".yaml", ".yml") and path.is_file()


def _read(source: Source, reading: Reading) -> LayoutSet:
    """Read a data set by its ``data.yaml``, or a folder with it or with ``classes.txt``.

    Raises:
        UserError: it has no names, or none of its images and labels are there.
    """
    root, names, lists = _description(source.path)
    own = _own(root / OWN)
    known = {entry["labels"]: entry for entry in own.get("pages", [])}
    pages = []
    for page in _pages(root, lists, known):
        if (layout := _layout(page, root, known, names, reading)) is not None:
            pages.append(layout)
    if not pages and not reading.failures:
        raise UserError(f"{source.path}: neither the images nor the labels that it names are in {root}")
    classes = {reading.names.find(name) for name in names.values()} - {None, IGNORE}
    labelled = classes_in(own.get("labelled")) if own else frozenset(name for name in classes if name)
    return LayoutSet(tuple(pages), labelled, facts_in(own.get("set")), root)


def _description(path: Path) -> tuple[Path, Mapping[int, str], Mapping[str, list[str]]]:
    """Return a data set's folder, its names by number, and where the images of each split are."""
    if path.is_dir() and not (path / YAML).is_file():
        lines = read_text(path / "classes.txt").splitlines()
        return path, dict(enumerate(line.strip() for line in lines if line.strip())), {"": ["images"]}
    file = path / YAML if path.is_dir() else path
    document = _read_yaml(file)
    names = document.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(_is_number(key) for key in names):
        raise UserError(f"{file}: has no 'names', a list of classes or a number and a class in each line")
    given = document.get("path")
    root = file.parent / given if isinstance(given, str) else file.parent
    lists = {
        split: value if isinstance(value, list) else [value]
        for split in SPLITS
        if (value := document.get(split))
    }
    if not lists:
        raise UserError(f"{file}: names no images: it has neither train, val nor test")
    root = root if is_there(root) else file.parent  # the folder of the machine on which the set was made
    return root, {int(key): str(name) for key, name in names.items()}, lists


def _own(path: Path) -> Mapping[str, Any]:
    """Return what we wrote beside ``data.yaml``, nothing where there is no such file."""
    document = read_json(path) if path.is_file() else {}
    keys = {"labels", "name", "width", "height", "facts"}
    pages = document.get("pages", []) if isinstance(document, dict) else None
    if not isinstance(pages, list) or not all(
        isinstance(page, dict) and page.keys() >= keys for page in pages
    ):
        raise UserError(f"{path}: damaged; remove it, and sizes are taken from the images")
    return document


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.isdigit())


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({error}); make the file again") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: not a description of a YOLO data set: it has no 'names'")
    return document


def _pages(root: Path, lists: Mapping[str, Sequence[str]], known: Mapping[str, Any]) -> Iterator[_Page]:
    """Yield each image once; the split is unknown where one is in several."""
    found: dict[str, Path] = {}
    splits: dict[str, set[str]] = {}
    for split, entries in lists.items():
        for entry in entries:
            for image in _images(root, str(entry)):
                name = _relative(image, root)
                found[name] = image
                splits.setdefault(name, set()).add(split)
    listed = set()
    for name, image in found.items():
        labels = _labels_of(image)
        listed.add(_relative(labels, root))
        (split, *others) = splits[name]
        yield _Page(name, image, labels, None if others or not split else split)
    for labels in known:  # its image is not there, and its name may be none that a list of lines can hold
        if labels not in listed:
            yield _Page(labels, root / labels, root / labels, None)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _images(root: Path, entry: str) -> Iterable[Path]:
    """Return the images of an entry: a folder, or a text file with an image in each line.

    Images that are not there, but have labels, are taken, too.
    """
    return [image for place in _places(root, entry.replace("\\", "/")) for image in _images_in(place, root)]


def _images_in(place: Path, root: Path) -> Iterable[Path]:
    if place.suffix.lower() == ".txt":
        lines = read_text(place).replace("\r", "").split("\n") if place.is_file() else []
        return [_line(line, place, root) for line in lines if line.strip()]
    images = files_below(place, SUFFIXES)
    with_image = {_labels_of(image) for image in images}
    folder = _labels_of(place / "x").parent
    labels = (path for path in files_below(folder, (".txt",)) if path.name != "classes.txt")
    alone = [path for path in labels if path not in with_image]
    return [*images, *(place / path.relative_to(folder).with_suffix(".jpg") for path in alone)]


def _places(root: Path, entry: str) -> list[Path]:
    """Return where an entry is.

    Roboflow writes ``../train/images`` for what is beside the file, others a path of the machine on which the set was
    made, and LADaS has ``train/images`` in each of its collections: so the end of the path is looked for, too.
    """
    if _is_there(root / entry):
        return [root / entry]
    parts = [part for part in PurePosixPath(entry).parts if part not in ("/", "..", ".")]
    for first in range(len(parts)):
        end = "/".join(parts[first:])
        found = [
            place for place in (root / end, *sorted(root.glob(f"*/{glob.escape(end)}"))) if _is_there(place)
        ]
        if found:
            return found
    return []


def _is_there(place: Path) -> bool:
    return is_there(place) or is_there(_labels_of(place / "x").parent)


def _line(line: str, file: Path, root: Path) -> Path:
    line = line.replace("\\", "/")
    return file.parent / line[2:] if line.startswith("./") else root / line


def _labels_of(image: Path) -> Path:
    """Return where an image's labels are: in ``labels`` in place of the last ``images`` of its path, or beside it."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _layout(
    page: _Page, root: Path, known: Mapping[str, Any], names: Mapping[int, str], reading: Reading
) -> Layout | None:
    own = known.get(_relative(page.labels, root))
    if own is not None:
        name, size, facts = own["name"], (own["width"], own["height"]), facts_in(own["facts"])
    else:
        found = image_size(page.image) if is_there(page.image) else None
        if found is None:
            reading.fail(
                page.image, "no image that can be read, and places in its labels are shares of its size"
            )
            return None
        name, size, facts = page.name, found, {"split": page.split} if page.split else {}
    lines = read_text(page.labels).splitlines() if _has_text(page.labels) else []
    regions = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                regions.append(_region(line, size, names, reading))
            except ValueError as error:
                reading.fail(page.labels, f"line {number}: {error}")
    return Layout(name, *size, tuple(regions), facts)


def _has_text(path: Path) -> bool:
    return is_there(path) and path.is_file() and path.stat().st_size > 0


def _region(line: str, size: tuple[int, int], names: Mapping[int, str], reading: Reading) -> Region:
    first, *rest = line.split()
    values = [finite(value) for value in rest]
    number = int(finite(first))
    if number != finite(first) or number not in names:
        raise ValueError(f"class {first}, but the names have the numbers {', '.join(map(str, names))}")
    box, score = _box(values), values[-1] if len(values) % 2 else None
    width, height = size
    scaled = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    return Region(reading.names.label(names[number]), scaled, score)


def _box(values: Sequence[float]) -> XYXY:
    """Return the box of a line's numbers as shares: of four, a middle and a size, of more, an outline."""
    count = len(values) // 2 * 2  # a last one alone is the score
    if count == 4:
        x, y, w, h = values[:4]
        return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    if count < 6:
        raise ValueError(f"{len(values) + 1} numbers; a class and 4 are needed, or an outline")
    return (min(values[:count:2]), min(values[1:count:2]), max(values[:count:2]), max(values[1:count:2]))


def _write(layouts: LayoutSet, out: Path, writing: Writing) -> None:
    """Write names, labels and lists of images; the images themselves are to be put into ``images`` there."""
    names = [name for name in CLASSES if name in layouts.classes]
    if any(region.label == IGNORE for page in layouts.pages for region in page.regions):
        names.append(IGNORE)
    plain = [_plain(page.name) for page in layouts.pages]
    labels = [f"labels/{name}" for name in file_names(plain, ".txt")]
    with atomic_path(out) as temporary:
        temporary.mkdir()
        written = []
        for page, name in zip(layouts.pages, labels, strict=True):
            lines = "".join(_line_of(region, page, names) for region in page.regions)
            if made(
                temporary / name,
                lambda path, text=lines: path.write_text(text, encoding="utf-8"),
                page,
                writing,
            ):
                written.append((page, name))
        _write_lists(temporary, written, names)
        pages = [
            {
                "labels": name,
                "name": page.name,
                "width": page.width,
                "height": page.height,
                "facts": dict(page.facts),
            }
            for page, name in written
        ]
        own = {"labelled": sorted(layouts.classes), "set": dict(layouts.facts), "pages": pages}
        (temporary / OWN).write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")
    say(f"{out}: has the labels; put or link the images into {out / 'images'}, named as its lists say")


def _plain(name: str) -> str:
    """Return a name without ``images`` in it, in whose place readers put ``labels``."""
    return "/".join("pages" if part == "images" else part for part in name.removeprefix("images/").split("/"))


def _line_of(region: Region, page: Layout, names: Sequence[str]) -> str:
    x1, y1, x2, y2 = region.xyxy
    place = (
        (x1 + x2) / 2 / page.width,
        (y1 + y2) / 2 / page.height,
        (x2 - x1) / page.width,
        (y2 - y1) / page.height,
    )
    score = "" if region.score is None else f" {region.score:.5f}"
    return f"{names.index(region.label)} {' '.join(f'{value:.10g}' for value in place)}{score}\n"


def _write_lists(folder: Path, pages: Sequence[tuple[Layout, str]], names: Sequence[str]) -> None:
    """Write ``data.yaml``, and the images of each split, or of no split, as lines of a text file."""
    import yaml

    lists: dict[str, list[str]] = {}
    for page, name in pages:
        suffix = PurePosixPath(page.name).suffix
        image = f"./images/{name.removeprefix('labels/').removesuffix('.txt')}"
        split = page.facts.get("split")
        lists.setdefault(split if split in SPLITS else "images", []).append(
            image + (suffix if suffix.lower() in SUFFIXES else ".jpg")
        )
    for split, images in lists.items():
        text = "".join(f"{image}\n" for image in images)
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    # Ultralytics asks for both; where the pages are not divided, whoever trains divides the list.
    document: dict[str, Any] = {
        split: f"{split if split in lists else next(iter(lists), 'images')}.txt" for split in SPLITS[:2]
    }
    document |= {"test": "test.txt"} if "test" in lists else {}
    document["names"] = dict(enumerate(names))
    (folder / YAML).write_text(
        yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


YOLO = Form("yolo", "YOLO", _reads, _read, _write, folder=True)

"""What a run found and people decided, in forms that other programs read: one function a form."""

import csv
import io
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from gcd_longtail.images.sources.folder import file_of
from gcd_longtail.reviewing.decisions import UNSURE, Decision, replay
from gcd_longtail.reviewing.learning import Before
from gcd_longtail.settings.commands import ExportForm
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.images import BadImage, one_line_errors, open_image

UNLABELLED = "_unlabeled"
"""Folder of images without a class, as FiftyOne's importer of classification trees calls it."""
_ORIENTATION, _FIRST_ON_ITS_SIDE = 274, 5
_LONGEST_NAME = 120
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)


@dataclass(frozen=True)
class Class:
    """A class that is exported."""

    name: str
    named: bool
    """Whether a person named it."""
    proposed: str = ""
    """A name that nobody has looked at yet."""
    images: tuple[str, ...] = ()
    """Keys of its images."""


@dataclass(frozen=True)
class Export:
    """What is exported."""

    root: Path
    """Folder of the images."""
    classes: tuple[Class, ...]
    labelled: frozenset[str]
    """Images that a person put into their class."""
    unsure: tuple[str, ...]
    """Images that were said not to belong to their class."""
    rejected: tuple[str, ...]
    """Images of rejected classes."""
    without_class: bool = False
    """Whether unsure images are exported, too."""
    failures: list[Failure] = field(default_factory=list)
    """Images that could not be exported; the forms add to it."""

    @property
    def nameless(self) -> tuple[str, ...]:
        """The images that are exported without a class."""
        return self.unsure if self.without_class else ()


def gather(
    before: Before,
    decisions: Sequence[Decision],
    root: Path,
    proposed: Mapping[str, str],
    *,
    named_only: bool = False,
    without_class: bool = False,
) -> Export:
    """Return what there is to export.

    Args:
        before: what the run says of its images.
        decisions: about it.
        root: folder of the images.
        proposed: names for classes that nobody named, by their name in the run.
        named_only: leave out the classes that nobody named.
        without_class: also export unsure images.

    Raises:
        UserError: the decisions name a class or an image that the run does not have.
    """
    reviewed = replay(decisions, before.names, before.classes, before.known)
    members = reviewed.members()
    classes = tuple(
        Class(
            one.name,
            one.named,
            "" if one.named else proposed.get(one.cluster, ""),
            tuple(members[one.cluster]),
        )
        for one in reviewed.classes
        if members[one.cluster] and not one.rejected and (one.named or not named_only)
    )
    gone = [key for one in reviewed.classes if one.rejected for key in members[one.cluster]]
    kept = {key for key in before.labelled if reviewed.images[key] == before.classes[key]}
    unsure = tuple(key for key, cluster in reviewed.images.items() if cluster == UNSURE)
    rejected = (*gone, *sorted(before.rejected))
    return Export(root, classes, frozenset({*kept, *reviewed.labels}), unsure, rejected, without_class)


def read_names(file: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the proposed name of each class in a CSV file with the columns ``cluster`` and ``name``.

    Raises:
        UserError: no such file or columns, an empty name, a class that the run does not have or that stands twice.
    """
    rows = csv.DictReader(io.StringIO(files.read_text(file), newline=""))
    if not {"cluster", "name"} <= set(rows.fieldnames or ()):
        raise UserError(f"{file}: needs the columns cluster and name, has {', '.join(rows.fieldnames or ())}")
    found: dict[str, str] = {}
    for row in rows:
        where, cluster, name = f"{file}, line {rows.line_num}", row["cluster"], (row["name"] or "").strip()
        if cluster not in names:
            raise UserError(f"{where}: the run has no class {cluster!r}")
        if not name or cluster in found:
            raise UserError(f"{where}: {cluster} " + ("stands above already" if name else "gets no name"))
        found[cluster] = name
    return found


# ------------------------------------------------------------------------------------------------ names on disk


def safe_name(text: str) -> str:
    """Return ``text`` as a name that every file system takes: no separators, no reserved names, not too long."""
    text = unicodedata.normalize("NFC", files.encodable(text))
    text = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", text).strip().rstrip(". ")
    while len(text.encode()) > _LONGEST_NAME:
        text = text[:-1].rstrip(". ")
    text = f"_{text}" if not text or text.startswith((".", UNLABELLED)) else text
    return f"{text}_" if text.split(".")[0].casefold() in _RESERVED else text


def distinct(names: Sequence[str]) -> list[str]:
    """Return ``names`` with ``-2``, ``-3`` and so on where one stands above already, in whatever case."""
    taken: set[str] = set()
    found = []
    for name in names:
        stem, dot, suffix = name.rpartition(".") if "." in name else (name, "", "")
        number, free = 1, name
        while free.casefold() in taken:
            number += 1
            free = f"{stem}-{number}{dot}{suffix}"
        taken.add(free.casefold())
        found.append(free)
    return found


def class_folders(classes: Sequence[Class]) -> list[str]:
    """Return a folder for each class; one whose name is only proposed says so."""
    return distinct(
        [safe_name(f"{one.name} (proposed {one.proposed})" if one.proposed else one.name) for one in classes]
    )


def file_names(keys: Sequence[str]) -> list[str]:
    """Return a file name for each image of a class; those that share one have their path in it."""
    own = [PurePosixPath(key).name for key in keys]
    often = Counter(name.casefold() for name in own)
    return distinct(
        [
            name if often[name.casefold()] == 1 else "_".join(PurePosixPath(key).parts)
            for key, name in zip(keys, own, strict=True)
        ]
    )


# --------------------------------------------------------------------------------------------------- the forms


def _folders(export: Export, folder: Path, out: Path) -> None:
    _fill(export, folder, lambda source, target: shutil.copyfile(source, target))


def _links(export: Export, folder: Path, out: Path) -> None:
    def link(source: Path, target: Path) -> None:
        place = out.absolute() / target.relative_to(folder)
        try:
            target.symlink_to(os.path.relpath(source.absolute(), place.parent))
        except (NotImplementedError, OSError) as error:
            raise UserError(
                f"{out}: links can't be made here ({error}); copy the images with --to folders"
            ) from error

    _fill(export, folder, link)


def _fill(export: Export, folder: Path, put: Callable[[Path, Path], Any]) -> None:
    """Put each image into the folder of its class, and write what each folder is."""
    named = [*zip(class_folders(export.classes), (one.images for one in export.classes), strict=True)]
    for name, keys in [*named, *([(UNLABELLED, export.nameless)] if export.nameless else [])]:
        (folder / name).mkdir()
        for key, file in zip(keys, file_names(keys), strict=True):
            source = file_of(export.root, key)
            if source.is_file():
                put(source, folder / name / file)
            else:
                export.failures.append(Failure(key, "is not in the folder any more"))
    files.write_text(folder / "classes.csv", _classes_table(export, [name for name, _ in named]))


def _classes_table(export: Export, folders: Sequence[str]) -> str:
    rows = [
        (folder, one.name, "yes" if one.named else "no", one.proposed, len(one.images))
        for folder, one in zip(folders, export.classes, strict=True)
    ]
    return _csv(("folder", "class", "named", "proposed_name", "images"), rows)


def _csv_form(export: Export, folder: Path, out: Path) -> None:
    rows = [
        (
            key,
            one.name,
            "labelled" if key in export.labelled else "found",
            "yes" if one.named else "no",
            one.proposed,
        )
        for one in export.classes
        for key in one.images
    ]
    rows += [(key, "", "unsure", "no", "") for key in export.unsure]
    rows += [(key, "", "rejected", "no", "") for key in export.rejected]
    table = _csv(("image", "class", "status", "named", "proposed_name"), rows)
    files.write_text(folder / "images.csv", table)


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[files.encodable(str(cell)) for cell in row] for row in rows])
    return text.getvalue()


def _coco(export: Export, folder: Path, out: Path) -> None:
    """COCO has no classes of whole images: each has one box as large as itself."""
    images, annotations = [], []
    for key, category in _pairs(export):
        try:
            width, height = _size(file_of(export.root, key))
        except BadImage as error:
            export.failures.append(Failure(key, str(error)))
            continue
        number = len(images) + 1
        images.append({"id": number, "file_name": files.encodable(key), "width": width, "height": height})
        if category is not None:
            box = {"bbox": [0, 0, width, height], "area": width * height, "iscrowd": 0}
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": category + 1, **box}
            )
    categories = [
        {"id": number, "name": one.name, "named": one.named}
        | ({"proposed_name": one.proposed} if one.proposed else {})
        for number, one in enumerate(export.classes, 1)
    ]
    info = {"description": "Classes of whole images", "images": str(export.root.absolute())}
    document = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    files.write_json(folder / "coco.json", document)


def _size(path: Path) -> tuple[int, int]:
    """Return width and height of an image as it is shown, upright by its EXIF."""
    with one_line_errors(), open_image(path) as image:
        width, height = image.size
        turned = int(image.getexif().get(_ORIENTATION, 1)) >= _FIRST_ON_ITS_SIDE
    return (height, width) if turned else (width, height)


def _fiftyone(export: Export, folder: Path, out: Path) -> None:
    """Write a ``FiftyOneImageClassificationDataset`` whose ``data.json`` names the images where they lie."""
    paths, labels = {}, {}
    for number, (key, category) in enumerate(_pairs(export), 1):
        if not (export.root / key).is_file():
            export.failures.append(Failure(key, "is not in the folder any more"))
            continue
        paths[f"image-{number:07d}"] = files.encodable(str(export.root.absolute() / key))
        labels[f"image-{number:07d}"] = category
    files.write_json(folder / "data.json", paths)
    files.write_json(
        folder / "labels.json", {"classes": [one.name for one in export.classes], "labels": labels}
    )


def _pairs(export: Export) -> Iterator[tuple[str, int | None]]:
    """Yield each image with the number of its class; None for one that has none."""
    for number, one in enumerate(export.classes):
        yield from ((key, number) for key in one.images)
    yield from ((key, None) for key in export.nameless)


FORMS: Mapping[ExportForm, Callable[[Export, Path, Path], None]] = {
    "folders": _folders,
    "links": _links,
    "csv": _csv_form,
    "coco": _coco,
    "fiftyone": _fiftyone,
}
"""Value of ``--to`` -> what writes it into a folder that becomes another one when it is whole."""

"""What every form says: pages with labelled boxes."""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from doc_detect.classes import CLASSES, IGNORE
from doc_detect.coco import Reading
from doc_detect.pages.names import encodable, find_image, image_folders, inside
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.files import atomic_path, is_disk_full, read_json
from seminar_common.images import BadImage, open_image

XYXY = tuple[float, float, float, float]
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
"""EXIF's tag, and its values that lay a page on its side."""
_NO_IMAGES = (".xml", ".json")
"""Endings of annotations, which a file without the name of its image is called after."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
"""What XML 1.0 has no place for, or changes."""


@dataclass(frozen=True)
class Region:
    """A labelled box on a page."""

    label: str
    """One of ``classes.CLASSES``, or ``ignore``."""
    xyxy: XYXY
    """In the page's pixels."""
    score: float | None = None
    """None for what a person has drawn."""


@dataclass(frozen=True)
class Layout:
    """A page and what is on it."""

    name: str
    """Of the page's image, relative to a folder."""
    width: int
    height: int
    regions: tuple[Region, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of the page, such as ``book`` or ``century``; values as in JSON."""


@dataclass(frozen=True)
class LayoutSet:
    """Pages that were labelled alike."""

    pages: tuple[Layout, ...]
    labelled: frozenset[str] | None = None
    """Classes that were looked for on every page; None where the form does not say."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the whole set, such as its ``name``; values as in JSON."""
    images: Path | None = None
    """Folder that the pages' names are relative to, where it is known."""

    @property
    def classes(self) -> frozenset[str]:
        """The classes that were looked for; those on the pages, where the form does not say."""
        there = {region.label for page in self.pages for region in page.regions} - {IGNORE}
        return frozenset(there | (self.labelled or frozenset()))


@dataclass(frozen=True)
class Source:
    """A file or folder to read, and what it holds, each read once when it is asked for."""

    path: Path
    base: Path | None = None
    """The folder that was given, where the file was found in one."""

    @cached_property
    def json(self) -> Any:
        """The content of a JSON file; None if it is another kind of file or a folder."""
        return read_json(self.path) if self._begins_with("{", "[") else None

    @cached_property
    def root(self) -> ElementTree.Element | None:
        """The root of an XML file; None if it is another kind of file or a folder."""
        return parse_xml(self.path) if self._begins_with("<") else None

    def _begins_with(self, *signs: str) -> bool:
        return self._head.startswith(signs)

    @cached_property
    def _head(self) -> str:
        """The first signs of a file without byte order mark and space, or without what UTF-16 puts between them."""
        if not self.path.is_file():
            return ""
        with self.path.open("rb") as file:
            data = file.read(256)
        return data.decode("utf-8", "ignore").replace("\0", "").lstrip("\ufeff \t\r\n")

    def find_image(self, name: str) -> Path | None:
        """Return the image that the file means by ``name``, in the given folder or near the file."""
        near = image_folders(self.path if self.path.is_dir() else self.path.parent)
        found = find_image(name, near if self.base is None else (*image_folders(self.base)[:2], *near))
        return None if found is None or found.suffix.lower() in _NO_IMAGES else found


@dataclass(frozen=True)
class Writing:
    """How to write."""

    image_url: str = ""
    """What a server puts before a page's file name."""
    base_url: str = ""
    """For IIIF: the address that the output will have, with the images beside it."""
    manifests: Sequence[Path] = ()
    """For IIIF: files of the manifests that the pages belong to."""
    suggested: bool = False
    """For Label Studio: all is a detector's, so that a page on which it found nothing is still to be labelled."""
    failures: list[Failure] = field(default_factory=list)
    """Pages that the form can't hold; a writer adds them."""


@dataclass(frozen=True)
class Form:
    """A way to write labelled pages down: one file in this folder, one entry in :mod:`doc_detect.formats.forms`."""

    name: str
    """As ``--to`` names it."""
    title: str
    """As a message names it."""
    reads: Callable[[Source], bool] | None = None
    """Whether a file or folder is of this form, by its content; None for a form that can't be read."""
    read: Callable[[Source, Reading], LayoutSet] | None = None
    """Reads it. What can't be used goes to ``Reading.fail``; a file that can't be read at all is a UserError."""
    write: Callable[[LayoutSet, Path, Writing], None] | None = None
    """Writes it, atomically; None for a form that can't be written."""
    folder: bool = False
    """Whether it writes a folder."""


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files with one of ``suffixes`` (in lower case) below a folder, if there is one, also in linked folders.

    Raises:
        UserError: a folder can't be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(
            f"{error.filename}: can't be read ({error.strerror}); change its permissions"
        ) from error

    seen: set[tuple[int, int]] = set()
    found: list[Path] = []
    for parent, folders, names in (
        os.walk(folder, onerror=refuse, followlinks=True) if folder.is_dir() else ()
    ):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above it has no end
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        found += [Path(parent, name) for name in names if PurePosixPath(name).suffix.lower() in suffixes]
    return sorted(path for path in found if path.is_file())


def image_size(path: Path) -> tuple[int, int] | None:
    """Return the width and height of an image as viewers show it, upright by its EXIF; None if it can't be read."""
    try:
        with open_image(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in _TURNED
    except (BadImage, OSError, ValueError, SyntaxError):
        return None
    return (height, width) if turned else (width, height)


def own_label(name: str) -> str | None:
    """Return ``name`` if it is a label of ours, else None."""
    return name if name in (*CLASSES, IGNORE) else None


def file_names(names: Sequence[str], suffix: str) -> list[str]:
    """Return a relative file name for each page, none twice and none outside of the folder.

    It is the image's name with ``suffix`` in place of its own, or after it where two would be the same otherwise.
    """
    plain = [_file_path(name, suffix) for name in names]
    short = [f"{path}{suffix}" if "--p" in path.name else str(path.with_suffix(suffix)) for path in plain]
    times = Counter(map(str.casefold, short))
    taken: set[str] = set()
    found = []
    for path, one in zip(plain, short, strict=True):
        name = one if times[one.casefold()] == 1 else f"{path}{suffix}"
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{path}-{number}{suffix}"
        taken.add(name.casefold())
        found.append(name)
    return found


def _file_path(name: str, suffix: str) -> PurePosixPath:
    """Return a relative path that any system can make, and whose folders are called as no file is."""
    *folders, last = inside(xml_text(name).replace("#page=", "--p").replace("\\", "_")).parts or ("page",)
    return PurePosixPath(*(f"{part}_" if part.lower().endswith(suffix) else part for part in folders), last)


def xml_files(
    pages: Sequence[Layout], out: Path, writing: Writing, make: Callable[[Layout], ElementTree.Element]
) -> None:
    """Write a folder of XML files, one for each page, atomically; a page without a possible file name is a failure."""
    with atomic_path(out) as temporary:
        temporary.mkdir()
        for page, name in zip(pages, file_names([page.name for page in pages], ".xml"), strict=True):
            made(temporary / name, lambda path, page=page: write_xml(path, make(page)), page, writing)


def made(path: Path, write: Callable[[Path], object], page: Layout, writing: Writing) -> bool:
    """Write a page's file and say whether that went; a page that no file can be named after is a failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    except OSError as error:
        if is_disk_full(error):
            raise
        writing.failures.append(Failure(page.name, f"no file can be named after it ({error.strerror})"))
        return False
    return True


def parse_xml(path: Path) -> ElementTree.Element:
    """Read an XML file.

    Raises:
        UserError: it is missing or no XML; the message names the line.
    """
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise UserError(
            f"{path}, line {error.position[0]}: not XML ({error}); make the file again"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error


def parsed(source: Source) -> ElementTree.Element:
    """Return the root of an XML file.

    Raises:
        UserError: it is no XML.
    """
    return parse_xml(source.path) if source.root is None else source.root


def local_name(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace: files of many versions differ in that alone."""
    return element.tag.rpartition("}")[2]


def text_of(element: ElementTree.Element | None) -> str:
    """Return an element's text, nothing for None; lines and indents round it are dropped, single spaces are not."""
    text = "" if element is None else element.text or ""
    return text.strip() if "\n" in text else text


def children(element: ElementTree.Element, *names: str) -> Iterable[ElementTree.Element]:
    """Yield the elements below ``element``, at any depth, that have one of the local ``names``."""
    return (child for child in element.iter() if local_name(child) in names)


def finite(text: str | None) -> float:
    """Return a text's number.

    Raises:
        ValueError: it is none, or not a finite one.
    """
    value = float(text or "")
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def number(element: ElementTree.Element, attribute: str, path: Path) -> float:
    """Return an attribute as a number.

    Raises:
        UserError: it is missing or no number.
    """
    text = element.get(attribute)
    try:
        return finite(text)
    except ValueError:
        what = f"{local_name(element)} {element.get('ID') or element.get('id') or ''}".strip()
        raise UserError(f"{path}: {what} has {attribute}={text!r}, which is no number") from None


def xml_text(text: str) -> str:
    """Return a text that XML can hold: other bytes than UTF-8 and control characters are shown as their number."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", encodable(text))


def one_line(text: str) -> bool:
    """Say whether XML gives a text back as it is."""
    return text == xml_text(text) and text == " ".join(text.split())


def pack(**facts: Any) -> str:
    """Return facts as a text of JSON in ASCII, which any form can hold."""
    return json.dumps(facts)


def unpack(text: str | None) -> Mapping[str, Any]:
    """Return the facts in a text of :func:`pack`; none, if it is another text."""
    try:
        return facts_in(json.loads(text or ""))
    except (ValueError, RecursionError):
        return {}


def facts_in(value: Any) -> Mapping[str, Any]:
    """Return facts that were read, none if they are anything but names with values."""
    return value if isinstance(value, dict) else {}


def classes_in(value: Any) -> frozenset[str] | None:
    """Return the classes of ours in a list that was read, None if there is no list."""
    return frozenset(CLASSES).intersection(map(str, value)) if isinstance(value, list) else None


def write_xml(path: Path, root: ElementTree.Element) -> None:
    """Write indented UTF-8 XML."""
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)

"""What every form says: pages with labelled boxes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from doc_detect.classes import CLASSES, IGNORE
from seminar_common.errors import UserError

XYXY = tuple[float, float, float, float]


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


def own_label(name: str) -> str | None:
    """Return ``name`` if it is a label of ours, else None."""
    return name if name in (*CLASSES, IGNORE) else None


def xml_names(names: Sequence[str]) -> list[str]:
    """Return a file name for each page: the image's with ``.xml``, and with its suffix too where that is needed."""
    plain = [PurePosixPath(name.replace("#page=", "--p").replace("../", "__/").lstrip("/")) for name in names]
    short = [str(path.with_suffix(".xml")) if "--p" not in path.name else f"{path}.xml" for path in plain]
    return [s if short.count(s) == 1 else f"{path}.xml" for s, path in zip(short, plain, strict=True)]


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


def local_name(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace: files of many versions differ in that alone."""
    return element.tag.rpartition("}")[2]


def children(element: ElementTree.Element, *names: str) -> Iterable[ElementTree.Element]:
    """Yield the elements below ``element``, at any depth, that have one of the local ``names``."""
    return (child for child in element.iter() if local_name(child) in names)


def number(element: ElementTree.Element, attribute: str, path: Path) -> float:
    """Return an attribute as a number.

    Raises:
        UserError: it is missing or no number.
    """
    text = element.get(attribute)
    try:
        return float(text or "")
    except ValueError:
        what = f"{local_name(element)} {element.get('ID') or element.get('id') or ''}".strip()
        raise UserError(f"{path}: {what} has {attribute}={text!r}, which is no number") from None


def write_xml(path: Path, root: ElementTree.Element) -> None:
    """Write indented UTF-8 XML."""
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)

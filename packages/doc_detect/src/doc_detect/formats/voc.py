"""Pascal VOC: one XML file a page, as labelImg, CVAT and others write it.

Form: Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge", and its development kit: the upper
left pixel is 1, 1, and the lower right one belongs to the box. Objects that are ``difficult`` do not count there: they
become ignore regions. The score stands in ``confidence``, facts of the page and of all pages as JSON in
``source/annotation``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from doc_detect.classes import IGNORE
from doc_detect.coco import Reading, on_grid
from doc_detect.formats.regions import (
    XYXY,
    Form,
    Layout,
    LayoutSet,
    Region,
    Source,
    Writing,
    children,
    classes_in,
    facts_in,
    finite,
    image_size,
    local_name,
    pack,
    parsed,
    text_of,
    unpack,
    xml_files,
    xml_text,
)
from seminar_common.errors import UserError

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _reads(source: Source) -> bool:
    root = source.root
    if root is None or local_name(root) != "annotation":
        return False
    return root.find("size") is not None or any(True for _ in children(root, "bndbox"))


def _read(source: Source, reading: Reading) -> LayoutSet:
    """Read one file.

    Raises:
        UserError: neither the file nor the image beside it says the page's size.
    """
    root, path = parsed(source), source.path
    name = text_of(root.find("filename")) or path.stem
    width, height = _size(root, name, source)
    regions = []
    for number, element in enumerate(root.findall("object"), 1):
        try:
            regions.append(_region(element, reading))
        except ValueError as error:
            reading.fail(path, f"object {number} ({text_of(element.find('name'))}): {error}")
    own = unpack(text_of(root.find("source/annotation")))
    layout = Layout(name, width, height, tuple(regions), facts_in(own.get("page")))
    return LayoutSet((layout,), classes_in(own.get("labelled")), facts_in(own.get("set")), path.parent)


def _size(root: ElementTree.Element, name: str, source: Source) -> tuple[int, int]:
    stated = [text_of(root.find(f"size/{side}")) for side in ("width", "height")]
    try:
        width, height = (int(finite(side)) for side in stated)
    except ValueError:
        width = height = 0
    if width >= 1 and height >= 1:
        return width, height
    image = source.find_image(name)
    size = None if image is None else image_size(image)
    if size is None:
        raise UserError(
            f"{source.path}: its size {' x '.join(stated) or 'is missing and'} is none, and {name} is not beside it; "
            "put the image there"
        )
    return size


def _region(element: ElementTree.Element, reading: Reading) -> Region:
    box = _box(element)
    name = text_of(element.find("name")) or "(without name)"
    confidence = text_of(element.find("confidence"))
    score = finite(confidence) if confidence else None
    if text_of(element.find("difficult")) == "1":
        reading.names.count("difficult", IGNORE)
        return Region(IGNORE, box, score)
    return Region(reading.names.label(name), box, score)


def _box(element: ElementTree.Element) -> XYXY:
    try:
        x1, y1, x2, y2 = (finite(text_of(element.find(f"bndbox/{side}"))) for side in _SIDES)
    except ValueError:
        raise ValueError(f"its bndbox has not four numbers {', '.join(_SIDES)}") from None
    return (x1 - 1, y1 - 1, x2, y2)


def _write(layouts: LayoutSet, out: Path, writing: Writing) -> None:
    whole = {"labelled": sorted(layouts.classes), "set": dict(layouts.facts)}
    xml_files(layouts.pages, out, writing, lambda page: voc(page, whole))


def voc(layout: Layout, whole: Mapping[str, Any]) -> ElementTree.Element:
    """Return a page as Pascal VOC.

    Args:
        layout: The page.
        whole: What holds for all pages.
    """
    root = ElementTree.Element("annotation")
    folder, _, _ = layout.name.rpartition("/")
    _add(root, "folder", xml_text(folder))
    _add(root, "filename", xml_text(layout.name))
    source = _add(root, "source")
    _add(source, "database", "doc-detect")
    _add(source, "annotation", pack(page=dict(layout.facts), **whole))
    size = _add(root, "size")
    for side, value in (("width", layout.width), ("height", layout.height), ("depth", 3)):
        _add(size, side, str(value))
    _add(root, "segmented", "0")
    for region in layout.regions:
        _add_object(root, region)
    return root


def _add_object(root: ElementTree.Element, region: Region) -> None:
    element = _add(root, "object")
    for name, text in (
        ("name", region.label),
        ("pose", "Unspecified"),
        ("truncated", "0"),
        ("difficult", "0"),
    ):
        _add(element, name, text)
    if region.score is not None:
        _add(element, "confidence", f"{region.score:.5f}")
    box = _add(element, "bndbox")
    x1, y1, x2, y2 = on_grid(region.xyxy, 100)
    for side, value in zip(_SIDES, (x1 + 1, y1 + 1, x2, y2), strict=True):
        _add(box, side, f"{value:.2f}".rstrip("0").rstrip("."))


def _add(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    element.text = text
    return element


VOC = Form("voc", "Pascal VOC", _reads, _read, _write, folder=True)

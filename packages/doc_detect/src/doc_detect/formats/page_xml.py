"""PAGE-XML, as Transkribus, OCR-D and eScriptorium read and write it.

Form: Pletschacher & Antonacopoulos 2010, "The PAGE (Page Analysis and Ground-truth Elements) format framework",
schema of 2019-07-15. Our label stands in ``custom`` as ``structure {type:LABEL;}``, as Transkribus does it, the score
in ``Coords/@conf``, facts of the page and of all pages in ``UserDefined``.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
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
    number,
    one_line,
    parsed,
    xml_files,
    xml_text,
)
from seminar_common.errors import UserError

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"

FORMS: Mapping[str, tuple[str, str | None]] = {
    "graphic": ("ImageRegion", None),
    "drop_capital": ("TextRegion", "drop-capital"),
    "table": ("TableRegion", None),
    "stamp": ("GraphicRegion", "stamp"),
    "main_text": ("TextRegion", "paragraph"),
    "margin_text": ("TextRegion", "marginalia"),
    "running_title": ("TextRegion", "header"),
    "page_number": ("TextRegion", "page-number"),
    "caption": ("TextRegion", "caption"),
    "title": ("TextRegion", "heading"),
    "list": ("TextRegion", "other"),
    "quire_mark": ("TextRegion", "signature-mark"),
    "music": ("MusicRegion", None),
    IGNORE: ("UnknownRegion", None),
}
"""Element and ``type`` of each label."""

_STRUCTURE = re.compile(r"structure\s*\{[^}]*?\btype:\s*([^;}]+)")
_PREFIX = "doc-detect:"
_TYPES: Mapping[str, Callable[[str], Any]] = {
    "xsd:string": str,
    "xsd:integer": int,
    "xsd:float": float,
    "xsd:boolean": lambda text: {"true": True, "false": False}[text],
}
"""How the schema's types of an attribute are read; any other value is JSON in a string, described as such."""


def _reads(source: Source) -> bool:
    return source.root is not None and local_name(source.root) == "PcGts"


def _read(source: Source, reading: Reading) -> LayoutSet:
    """Read one file.

    Raises:
        UserError: it holds no page, or the page's size is broken.
    """
    root, path = parsed(source), source.path
    page = next(iter(children(root, "Page")), None)
    if page is None:
        raise UserError(f"{path}: a PcGts without a Page in it")
    name = page.get("imageFilename") or path.stem
    width, height = _size(page, name, source)
    regions = []
    for element in page.iter():
        if local_name(element).endswith("Region"):
            try:
                regions.append(_region(element, reading))
            except ValueError as error:
                reading.fail(path, f"region {element.get('id')}: {error}")
    whole = _user_defined(next(iter(children(root, "Metadata")), None))
    labelled = classes_in(whole.get(f"{_PREFIX}labelled"))
    facts = facts_in(whole.get(f"{_PREFIX}facts"))
    layout = Layout(name, width, height, tuple(regions), _user_defined(page))
    return LayoutSet((layout,), labelled, facts, path.parent)


def _size(page: ElementTree.Element, name: str, source: Source) -> tuple[int, int]:
    """Return the page's size; where the file says none, or 0, that of the image beside it."""
    width, height = (
        number(page, key, source.path) if page.get(key) else 0.0 for key in ("imageWidth", "imageHeight")
    )
    if width >= 1 and height >= 1:
        return int(width), int(height)
    image = source.find_image(name)
    size = None if image is None else image_size(image)
    if size is None:
        raise UserError(
            f"{source.path}: imageWidth={page.get('imageWidth')!r} and imageHeight={page.get('imageHeight')!r} are no "
            f"size, and {name} is not beside it; put the image there"
        )
    return size


def _region(element: ElementTree.Element, reading: Reading) -> Region:
    coords = next((child for child in element if local_name(child) == "Coords"), None)
    if coords is None:
        raise ValueError("it has no Coords")
    box = _extent(coords)
    score = coords.get("conf")
    return Region(_label(element, reading), box, None if score is None else finite(score))


def _label(element: ElementTree.Element, reading: Reading) -> str:
    """Return a region's class: by its ``custom`` structure, its type, or its element.

    The element alone says nothing of a text that has a structure or type: one of an unknown kind is not main text.
    """
    kind, what = local_name(element), element.get("type")
    stored = _STRUCTURE.search(element.get("custom") or "")
    names = [stored[1].strip()] if stored else []
    names += [what] if what and (kind == "TextRegion" or what != "other") else []
    names += [] if names and kind == "TextRegion" else [kind]
    return reading.names.label(*names)


def _extent(coords: ElementTree.Element) -> XYXY:
    """Return the box round a polygon, ``points="x,y x,y ..."`` or, before 2013, Point elements."""
    points = [pair.split(",") for pair in (coords.get("points") or "").split()]
    points = points or [[child.get("x", ""), child.get("y", "")] for child in coords]
    try:
        xs, ys = zip(*((finite(x), finite(y)) for x, y in points), strict=True)
    except ValueError:
        raise ValueError("its Coords are no outline of x,y points") from None
    return (min(xs), min(ys), max(xs), max(ys))


def _user_defined(element: ElementTree.Element | None) -> dict[str, Any]:
    """Return the user's attributes right below an element."""
    found: dict[str, Any] = {}
    for group in element if element is not None else ():
        for entry in group if local_name(group) == "UserDefined" else ():
            text = entry.get("value") or ""
            kind = entry.get("type") or "xsd:string"
            try:
                value = json.loads(text) if entry.get("description") == "JSON" else _TYPES[kind](text)
            except (KeyError, ValueError):
                value = text
            found[entry.get("name") or ""] = value
    return found


def _add_user_defined(parent: ElementTree.Element, facts: Mapping[str, Any]) -> None:
    if not facts:
        return
    group = ElementTree.SubElement(parent, f"{{{NAMESPACE}}}UserDefined")
    for name, value in facts.items():
        kinds = {str: "xsd:string", bool: "xsd:boolean", int: "xsd:integer", float: "xsd:float"}
        kind = kinds.get(type(value), "JSON")
        if kind == "JSON" or (kind == "xsd:string" and not one_line(value)):
            entry = {"description": "JSON", "type": "xsd:string", "value": json.dumps(value)}
        else:
            entry = {"type": kind, "value": str(value).lower() if kind == "xsd:boolean" else str(value)}
        ElementTree.SubElement(group, f"{{{NAMESPACE}}}UserAttribute", {"name": xml_text(name), **entry})


def _write(layouts: LayoutSet, out: Path, writing: Writing) -> None:
    made = time.strftime("%Y-%m-%dT%H:%M:%S")
    whole: dict[str, Any] = {f"{_PREFIX}labelled": sorted(layouts.classes)}
    whole |= {f"{_PREFIX}facts": dict(layouts.facts)} if layouts.facts else {}
    xml_files(layouts.pages, out, writing, lambda page: page_xml(page, made, whole))


def page_xml(layout: Layout, made: str, whole: Mapping[str, Any]) -> ElementTree.Element:
    """Return a page as PAGE-XML.

    Args:
        layout: The page.
        made: When, in the form ``2030-12-31T23:59:59``.
        whole: What holds for all pages.
    """
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.Element(f"{{{NAMESPACE}}}PcGts")
    metadata = ElementTree.SubElement(root, f"{{{NAMESPACE}}}Metadata")
    for name, text in (("Creator", "doc-detect"), ("Created", made), ("LastChange", made)):
        ElementTree.SubElement(metadata, f"{{{NAMESPACE}}}{name}").text = text
    _add_user_defined(metadata, whole)
    facts = {
        "imageFilename": xml_text(layout.name),
        "imageWidth": str(layout.width),
        "imageHeight": str(layout.height),
    }
    page = ElementTree.SubElement(root, f"{{{NAMESPACE}}}Page", facts)
    _add_user_defined(page, layout.facts)
    for index, region in enumerate(layout.regions, start=1):
        _add_region(page, region, f"r{index}")
    return root


def _add_region(page: ElementTree.Element, region: Region, name: str) -> None:
    kind, what = FORMS[region.label]
    facts = {"id": name, "custom": f"structure {{type:{region.label};}}"} | ({"type": what} if what else {})
    element = ElementTree.SubElement(page, f"{{{NAMESPACE}}}{kind}", facts)
    x1, y1, x2, y2 = (
        max(0, round(value)) for value in on_grid(region.xyxy, 1)
    )  # the schema knows whole pixels
    coords = {"points": f"{x1},{y1} {x2},{y1} {x2},{y2} {x1},{y2}"}
    if region.score is not None:
        coords["conf"] = f"{region.score:.4f}"
    ElementTree.SubElement(element, f"{{{NAMESPACE}}}Coords", coords)


PAGE_XML = Form("page-xml", "PAGE-XML", _reads, _read, _write, folder=True)

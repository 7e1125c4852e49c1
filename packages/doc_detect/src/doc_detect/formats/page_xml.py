"""PAGE-XML, as Transkribus, OCR-D and eScriptorium read and write it.

Form: Pletschacher & Antonacopoulos 2010, "The PAGE (Page Analysis and Ground-truth Elements) format framework",
schema of 2019-07-15. Our label stands in ``custom`` as ``structure {type:LABEL;}``, as Transkribus does it, and
the score in ``Coords/@conf``.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from doc_detect.classes import IGNORE
from doc_detect.formats.regions import (
    XYXY,
    Layout,
    Region,
    children,
    local_name,
    number,
    own_label,
    parse_xml,
)
from doc_detect.pages.names import encodable
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

_BY_TYPE = {form: label for label, form in FORMS.items()} | {
    ("TextRegion", "catch-word"): "quire_mark",
    ("TextRegion", "footnote"): "margin_text",
    ("TextRegion", "credit"): "title",
    ("TextRegion", "footer"): IGNORE,  # a page number, a running title or both
}
_BY_ELEMENT = {
    "ImageRegion": "graphic",
    "GraphicRegion": "graphic",
    "LineDrawingRegion": "graphic",
    "ChartRegion": "graphic",
    "MapRegion": "graphic",
    "TableRegion": "table",
    "MusicRegion": "music",
    "TextRegion": "main_text",
}
_STRUCTURE = re.compile(r"structure\s*\{[^}]*type:\s*([^;}\s]+)")


def read_page_xml(path: Path) -> list[Layout]:
    """Read one PAGE-XML file.

    Raises:
        UserError: it is no PAGE-XML, or a size or a region's outline is broken.
    """
    root = parse_xml(path)
    page = next(iter(children(root, "Page")), None)
    if local_name(root) != "PcGts" or page is None:
        raise UserError(f"{path}: not PAGE-XML (no PcGts with a Page in it)")
    width, height = (int(number(page, key, path)) for key in ("imageWidth", "imageHeight"))
    regions = [
        _region(element, path)
        for element in page.iter()
        if local_name(element).endswith("Region") and any(local_name(child) == "Coords" for child in element)
    ]
    return [Layout(page.get("imageFilename") or path.stem, width, height, tuple(regions))]


def _region(element: ElementTree.Element, path: Path) -> Region:
    coords = next(child for child in element if local_name(child) == "Coords")
    score = coords.get("conf")
    return Region(_label(element), _extent(coords, element, path), None if score is None else float(score))


def _label(element: ElementTree.Element) -> str:
    stored = _STRUCTURE.search(element.get("custom") or "")
    if stored and (label := own_label(stored[1])):
        return label
    kind = local_name(element)
    return _BY_TYPE.get((kind, element.get("type"))) or _BY_ELEMENT.get(kind, IGNORE)


def _extent(coords: ElementTree.Element, element: ElementTree.Element, path: Path) -> XYXY:
    """Return the box round a polygon, ``points="x,y x,y ..."`` or, before 2013, Point elements."""
    points = [pair.split(",") for pair in (coords.get("points") or "").split()]
    points = points or [[child.get("x", ""), child.get("y", "")] for child in coords]
    try:
        xs, ys = zip(*((float(x), float(y)) for x, y in points), strict=True)
    except ValueError:
        raise UserError(f"{path}: region {element.get('id')} has no outline of x,y points") from None
    return (min(xs), min(ys), max(xs), max(ys))


def page_xml(layout: Layout, made: str) -> ElementTree.Element:
    """Return a page as PAGE-XML.

    Args:
        layout: The page.
        made: When, in the form ``2030-12-31T23:59:59``.
    """
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.Element(f"{{{NAMESPACE}}}PcGts")
    metadata = ElementTree.SubElement(root, f"{{{NAMESPACE}}}Metadata")
    for name, text in (("Creator", "doc-detect"), ("Created", made), ("LastChange", made)):
        ElementTree.SubElement(metadata, f"{{{NAMESPACE}}}{name}").text = text
    facts = {
        "imageFilename": encodable(layout.name),
        "imageWidth": str(layout.width),
        "imageHeight": str(layout.height),
    }
    page = ElementTree.SubElement(root, f"{{{NAMESPACE}}}Page", facts)
    for index, region in enumerate(layout.regions, start=1):
        _add_region(page, region, f"r{index}")
    return root


def _add_region(page: ElementTree.Element, region: Region, name: str) -> None:
    kind, what = FORMS[region.label]
    facts = {"id": name, "custom": f"structure {{type:{region.label};}}"} | ({"type": what} if what else {})
    element = ElementTree.SubElement(page, f"{{{NAMESPACE}}}{kind}", facts)
    x1, y1, x2, y2 = (max(0, round(value)) for value in region.xyxy)  # the schema knows whole pixels alone
    coords = {"points": f"{x1},{y1} {x2},{y1} {x2},{y2} {x1},{y2}"}
    if region.score is not None:
        coords["conf"] = f"{region.score:.4f}"
    ElementTree.SubElement(element, f"{{{NAMESPACE}}}Coords", coords)

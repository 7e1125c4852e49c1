"""ALTO, with the zone names of SegmOnto as tags, as eScriptorium and the Gallicorpora use them.

Form: the ALTO board's schema, version 4. It has no place for a score of a block: scores are left out.
"""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from doc_detect.classes import CLASSES, IGNORE, map_name
from doc_detect.formats.regions import Layout, Region, children, local_name, number, own_label, parse_xml
from doc_detect.pages.names import encodable
from seminar_common.errors import UserError

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"

ZONES: Mapping[str, str] = {
    "graphic": "GraphicZone",
    "drop_capital": "DropCapitalZone",
    "table": "TableZone",
    "stamp": "StampZone",
    "main_text": "MainZone",
    "margin_text": "MarginTextZone",
    "running_title": "RunningTitleZone",
    "page_number": "NumberingZone",
    "quire_mark": "QuireMarksZone",
    "music": "MusicZone",
}
"""SegmOnto's zone of each label; the others become ``CustomZone:LABEL``."""

_BLOCKS = ("TextBlock", "Illustration", "GraphicalElement", "ComposedBlock")
_DRAWN = ("graphic", "stamp", "drop_capital")


def read_alto(path: Path) -> list[Layout]:
    """Read the pages of one ALTO file.

    Raises:
        UserError: it is no ALTO, is not measured in pixels, or a size or place is broken.
    """
    root = parse_xml(path)
    if local_name(root) != "alto":
        raise UserError(f"{path}: not ALTO (the root is {local_name(root)})")
    unit = next((element.text for element in children(root, "MeasurementUnit")), "pixel")
    if unit != "pixel":
        raise UserError(f"{path}: measured in {unit}; export it again in pixels")
    name = next((element.text or "" for element in children(root, "fileName")), "") or path.stem
    labels = {
        tag.get("ID", ""): tag.get("LABEL", "")
        for tag in children(root, "OtherTag", "LayoutTag", "StructureTag")
    }
    pages = list(children(root, "Page"))
    return [
        _layout(page, name if len(pages) == 1 else f"{name}#page={i}", labels, path)
        for i, page in enumerate(pages, 1)
    ]


def _layout(page: ElementTree.Element, name: str, labels: Mapping[str, str], path: Path) -> Layout:
    width, height = (int(number(page, key, path)) for key in ("WIDTH", "HEIGHT"))
    regions = []
    for block in children(page, *_BLOCKS):
        if block.get("HPOS") is None:  # a group without a place of its own
            continue
        x, y, w, h = (number(block, key, path) for key in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
        regions.append(Region(_label(block, labels), (x, y, x + w, y + h)))
    return Layout(name, width, height, tuple(regions))


def _label(block: ElementTree.Element, labels: Mapping[str, str]) -> str:
    for reference in (block.get("TAGREFS") or "").split():
        zone = labels.get(reference, "")
        if zone:
            kind, _, subtype = zone.partition(":")
            return (own_label(subtype) if kind == "CustomZone" else own_label(zone)) or map_name(
                zone, "segmonto"
            )
    if local_name(block) == "ComposedBlock":
        return "table" if (block.get("TYPE") or "").lower() == "table" else IGNORE
    return {"TextBlock": "main_text", "Illustration": "graphic"}.get(local_name(block), IGNORE)


def alto(layout: Layout) -> ElementTree.Element:
    """Return a page as ALTO."""
    ElementTree.register_namespace("", NAMESPACE)
    root = _add(None, "alto")
    description = _add(root, "Description")
    _add(description, "MeasurementUnit").text = "pixel"
    _add(_add(description, "sourceImageInformation"), "fileName").text = encodable(layout.name)
    tags = _add(root, "Tags")
    present = [
        label for label in (*CLASSES, IGNORE) if any(region.label == label for region in layout.regions)
    ]
    for label in present:
        zone = ZONES.get(label, f"CustomZone:{label}")
        _add(tags, "OtherTag", ID=f"tag_{label}", LABEL=zone, DESCRIPTION="block type")
    size = {"WIDTH": str(layout.width), "HEIGHT": str(layout.height)}
    page = _add(_add(root, "Layout"), "Page", ID="page", PHYSICAL_IMG_NR="1", **size)
    space = _add(page, "PrintSpace", HPOS="0", VPOS="0", **size)
    for index, region in enumerate(layout.regions, start=1):
        x1, y1, x2, y2 = (f"{value:.2f}".rstrip("0").rstrip(".") for value in _sides(region))
        place = {"HPOS": x1, "VPOS": y1, "WIDTH": x2, "HEIGHT": y2}
        kind = "Illustration" if region.label in _DRAWN else "TextBlock"
        _add(space, kind, ID=f"block_{index}", TAGREFS=f"tag_{region.label}", **place)
    return root


def _sides(region: Region) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = region.xyxy
    return (x1, y1, x2 - x1, y2 - y1)


def _add(parent: ElementTree.Element | None, name: str, **attributes: str) -> ElementTree.Element:
    tag = f"{{{NAMESPACE}}}{name}"
    if parent is None:
        return ElementTree.Element(tag, attributes)
    return ElementTree.SubElement(parent, tag, attributes)

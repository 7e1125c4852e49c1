"""ALTO, with the zone names of SegmOnto as tags, as eScriptorium and the Gallicorpora use them.

Form: the ALTO board's schema, version 4. It has no place for a score of a block or for facts of a page: scores are
tags with TYPE ``score``, and facts one tag with TYPE ``doc-detect`` whose DESCRIPTION is JSON.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from doc_detect.classes import CLASSES, IGNORE
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
_OWN, _SCORE = "doc-detect", "score"
"""TYPE of the tags that hold our facts and the scores."""
_LAYOUT_TAGS = ("OtherTag", "LayoutTag")
_TAGS = (*_LAYOUT_TAGS, "StructureTag", "RoleTag")
_UNITS: Mapping[str, float | None] = {"pixel": None, "mm10": 254.0, "inch1200": 1200.0, "pt": 72.0}
"""How many of a unit are an inch."""
_WIDTH, _HEIGHT = (
    re.compile(rf"\b{side}\W{{1,3}}(\d{{2,6}})\b", re.IGNORECASE) for side in ("width", "height")
)
_DPI = re.compile(r"(\d{2,4})\s*(?:dpi|ppi)|(?:dpi|ppi|resolution)\D{1,4}(\d{2,4})", re.IGNORECASE)


def _reads(source: Source) -> bool:
    return source.root is not None and local_name(source.root).lower() == "alto"


def _read(source: Source, reading: Reading) -> LayoutSet:
    """Read the pages of one file.

    Places are in pixels of the image, where it lies beside the file. Elsewhere they are in pixels by the size or
    resolution that the description states, or in the unit of the file.

    Raises:
        UserError: it holds no page that can be read.
    """
    root, path = parsed(source), source.path
    name = text_of(next(iter(children(root, "fileName")), None)) or path.stem
    tags = {tag.get("ID", ""): tag for tag in children(root, *_TAGS)}
    own = next((unpack(tag.get("DESCRIPTION")) for tag in tags.values() if tag.get("TYPE") == _OWN), {})
    measure = _measure(root, path)
    pages = list(children(root, "Page"))
    layouts = []
    for i, page in enumerate(pages, 1):
        try:
            full = name if len(pages) == 1 else f"{name}#page={i}"
            layout = _layout(page, full, tags, measure, source, reading)
        except ValueError as error:
            reading.fail(path, str(error), None if len(pages) == 1 else i)
        else:
            layouts.append(replace(layout, facts=facts_in(own.get("page"))))
    if not layouts:
        why = reading.failures.pop().reason if pages else "there is no Page in it"
        raise UserError(f"{path}: {why}")
    return LayoutSet(tuple(layouts), classes_in(own.get("labelled")), facts_in(own.get("set")), path.parent)


@dataclass(frozen=True)
class _Measure:
    """What the description says of the image's pixels."""

    unit: str
    size: tuple[int, int] | None
    """Width and height, as the Library of Congress states them."""
    scale: float | None
    """Pixels of a unit by the resolution, None where none is stated."""


def _measure(root: ElementTree.Element, path: Path) -> _Measure:
    """Read what the description says.

    Raises:
        UserError: the unit is none of ALTO's.
    """
    unit = text_of(next(iter(children(root, "MeasurementUnit")), None)).strip() or "pixel"
    if unit.lower() not in _UNITS:
        raise UserError(f"{path}: measured in {unit}; export it again in one of {', '.join(_UNITS)}")
    per_inch = _UNITS[unit.lower()]
    if per_inch is None:
        return _Measure(unit, None, 1.0)
    parts = [element for part in children(root, "Description") for element in part.iter()]
    texts = [f"{local_name(element)} {element.text or ''}" for element in parts]
    sizes = [(w, h) for text in texts if (w := _WIDTH.search(text)) and (h := _HEIGHT.search(text))]
    stated = [found for text in texts if (found := _DPI.search(text))]
    size = (int(sizes[0][0][1]), int(sizes[0][1][1])) if sizes else None
    return _Measure(unit, size, float(stated[0][1] or stated[0][2]) / per_inch if stated else None)


def _layout(
    page: ElementTree.Element,
    name: str,
    tags: Mapping[str, ElementTree.Element],
    measure: _Measure,
    source: Source,
    reading: Reading,
) -> Layout:
    image = source.find_image(name.partition("#page=")[0])
    pixels = image_size(image) if image is not None and "#page=" not in name else measure.size
    across, down = _size(page)
    if not (across and down):
        if pixels is None:
            raise ValueError("the Page has no WIDTH and HEIGHT, and its image is not beside it")
        across, down = pixels
    if pixels is None and measure.scale is None:
        reading.notes[
            f"in {measure.unit}, without image and resolution: pages count the unit as a pixel"
        ] += 1
    scale = measure.scale or 1.0
    width, height = pixels or (round(across * scale), round(down * scale))
    if width < 1 or height < 1:
        raise ValueError(f"the page is {across:g} x {down:g} large")
    sides = (width / across, height / down)
    regions = []
    for block in children(page, *_BLOCKS):
        kind = block.get("TYPE")
        if local_name(block) == "ComposedBlock" and not (kind or block.get("TAGREFS")):
            continue  # a group of blocks
        try:
            x1, y1, x2, y2 = _place(block)
            score = _score_of(block, tags)
        except ValueError as error:
            if local_name(block) != "ComposedBlock":
                reading.fail(source.path, f"{local_name(block)} {block.get('ID') or ''}: {error}")
            continue
        box = (x1 * sides[0], y1 * sides[1], x2 * sides[0], y2 * sides[1])
        regions.append(Region(_label(block, tags, reading), box, score))
    return Layout(name, width, height, tuple(regions))


def _size(page: ElementTree.Element) -> tuple[float, float]:
    """Return the page's size in its unit: its own, else that of its print space; 0, 0 where neither has one."""
    for element in (page, *children(page, "PrintSpace")):
        try:
            x, y = (finite(element.get(key) or "0") for key in ("HPOS", "VPOS"))
            width, height = (finite(element.get(key)) for key in ("WIDTH", "HEIGHT"))
        except ValueError:
            continue
        if width > 0 and height > 0:
            return (x + width, y + height) if element is not page else (width, height)
    return 0.0, 0.0


def _place(block: ElementTree.Element) -> XYXY:
    """Return the box of a block: its own, that round its shape, or that round its lines.

    Raises:
        ValueError: it has none of them, or a number is none.
    """
    if all(block.get(key) for key in ("HPOS", "VPOS", "WIDTH", "HEIGHT")):
        x, y, w, h = (finite(block.get(key)) for key in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
        return (x, y, x + w, y + h)
    shapes = [_outline(shape) for part in block if local_name(part) == "Shape" for shape in part]
    shapes = shapes or [_place(line) for line in block if local_name(line) == "TextLine"]
    if not shapes:
        raise ValueError("it has neither HPOS, VPOS, WIDTH and HEIGHT nor a Shape")
    x1, y1, x2, y2 = zip(*shapes, strict=True)
    return (min(x1), min(y1), max(x2), max(y2))


def _outline(shape: ElementTree.Element) -> XYXY:
    """Return the box round a Polygon, an Ellipse or a Circle."""
    if local_name(shape) == "Polygon":
        values = [finite(value) for value in (shape.get("POINTS") or "").replace(",", " ").split()]
        if not values or len(values) % 2:
            raise ValueError("its Polygon has no pairs of numbers")
        return (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    x, y = (float(shape.get(key) or "nan") for key in ("HPOS", "VPOS"))
    across, down = (float(shape.get(key) or shape.get("RADIUS") or "nan") for key in ("HLENGTH", "VLENGTH"))
    if not math.isfinite(x + y + across + down):
        raise ValueError(f"its {local_name(shape)} has no place and size")
    return (x - across, y - down, x + across, y + down)


def _label(block: ElementTree.Element, tags: Mapping[str, ElementTree.Element], reading: Reading) -> str:
    """Return a block's class: by its tags, its TYPE, or its element.

    The element alone says nothing of a text that has a tag or TYPE: one of an unknown kind is not the main text. What
    tells the structure, such as an article, counts only where it has a class.
    """
    named = [tags[key] for key in (block.get("TAGREFS") or "").split() if key in tags]
    named = [tag for tag in named if tag.get("TYPE") not in (_OWN, _SCORE)]
    names = [tag.get("LABEL") for tag in named if local_name(tag) in _LAYOUT_TAGS] + [block.get("TYPE")]
    names = [name for name in names if name]
    kind = local_name(block)
    element = [] if names and kind != "Illustration" else [{"TextBlock": "text"}.get(kind, kind)]
    structure = [tag.get("LABEL") for tag in named if local_name(tag) not in _LAYOUT_TAGS]
    structure = [name for name in structure if name and reading.names.find(name)]
    return reading.names.label(*names, *structure, *element)


def _score_of(block: ElementTree.Element, tags: Mapping[str, ElementTree.Element]) -> float | None:
    for key in (block.get("TAGREFS") or "").split():
        if key in tags and tags[key].get("TYPE") == _SCORE:
            return finite(tags[key].get("LABEL"))
    return None


def _write(layouts: LayoutSet, out: Path, writing: Writing) -> None:
    whole = {"labelled": sorted(layouts.classes), "set": dict(layouts.facts)}
    xml_files(layouts.pages, out, writing, lambda page: alto(page, whole))


def alto(layout: Layout, whole: Mapping[str, Any]) -> ElementTree.Element:
    """Return a page as ALTO.

    Args:
        layout: The page.
        whole: What holds for all pages.
    """
    ElementTree.register_namespace("", NAMESPACE)
    root = _add(None, "alto")
    description = _add(root, "Description")
    _add(description, "MeasurementUnit").text = "pixel"
    _add(_add(description, "sourceImageInformation"), "fileName").text = xml_text(layout.name)
    tags = _add(root, "Tags")
    present = [
        label for label in (*CLASSES, IGNORE) if any(region.label == label for region in layout.regions)
    ]
    for label in present:
        zone = ZONES.get(label, f"CustomZone:{label}")
        _add(tags, "OtherTag", ID=f"tag_{label}", LABEL=zone, DESCRIPTION=f"block type {zone}")
    scores = {
        region.score: f"score_{i}" for i, region in enumerate(layout.regions) if region.score is not None
    }
    for score, key in scores.items():
        _add(tags, "OtherTag", ID=key, TYPE=_SCORE, LABEL=f"{score:.4f}")
    _add(
        tags,
        "OtherTag",
        ID="facts",
        TYPE=_OWN,
        LABEL=_OWN,
        DESCRIPTION=pack(page=dict(layout.facts), **whole),
    )
    size = {"WIDTH": str(layout.width), "HEIGHT": str(layout.height)}
    page = _add(_add(root, "Layout"), "Page", ID="page", PHYSICAL_IMG_NR="1", **size)
    space = _add(page, "PrintSpace", HPOS="0", VPOS="0", **size)
    for index, region in enumerate(layout.regions, start=1):
        x, y, w, h = (f"{value:.2f}".rstrip("0").rstrip(".") for value in _sides(region))
        place = {"HPOS": x, "VPOS": y, "WIDTH": w, "HEIGHT": h}
        kind = "Illustration" if region.label in _DRAWN else "TextBlock"
        named = f"tag_{region.label}" + ("" if region.score is None else f" {scores[region.score]}")
        _add(space, kind, ID=f"block_{index}", TAGREFS=named, **place)
    return root


def _sides(region: Region) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = on_grid(region.xyxy, 100)
    return (x1, y1, x2 - x1, y2 - y1)


def _add(parent: ElementTree.Element | None, name: str, **attributes: str) -> ElementTree.Element:
    tag = f"{{{NAMESPACE}}}{name}"
    if parent is None:
        return ElementTree.Element(tag, attributes)
    return ElementTree.SubElement(parent, tag, attributes)


ALTO = Form("alto", "ALTO", _reads, _read, _write, folder=True)

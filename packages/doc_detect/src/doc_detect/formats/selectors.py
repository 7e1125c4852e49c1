"""Places that annotations point at: media fragments and outlines in SVG, as boxes.

Forms: the W3C's Media Fragments URI 1.0 (``xywh=``), the selectors of its Web Annotation Data Model, those of Open
Annotation in IIIF Presentation 2, and the shapes and paths of SVG 1.1.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from doc_detect.formats.regions import XYXY, local_name
from doc_detect.pages.iiif import Json, identity, kind, listed

Point = tuple[float, float]

_FRAGMENT = re.compile(r"xywh=(?:(pixel|percent|pct):)?([^&#]+)")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COMMAND = re.compile(r"([MmZzLlHhVvCcSsQqTtAa])([^MmZzLlHhVvCcSsQqTtAa]*)")
_TAKES = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}
_STEPS = 16
"""Points that a curve's extent is taken from."""


@dataclass(frozen=True)
class Place:
    """What an annotation points at."""

    source: str
    """Id of the canvas or image."""
    resource: Json
    """What the annotation says of it; empty where it gives its id alone."""
    box: XYXY | None
    """In pixels or percent; None for the whole of it."""
    percent: bool = False

    def pixels(self, width: int, height: int) -> XYXY | None:
        """Return the box in pixels of a page of this size."""
        if self.box is None or not self.percent:
            return self.box
        x, y = width / 100, height / 100
        return (self.box[0] * x, self.box[1] * y, self.box[2] * x, self.box[3] * y)


def places(target: Any) -> Iterator[Place]:
    """Yield the places that a target, or an ``on`` of version 2, names.

    Raises:
        ValueError: a selector can't be read.
    """
    for one in listed(target):
        resource = one if isinstance(one, dict) else {}
        source = resource.get("source", resource.get("full", one))
        source = next(iter(listed(source)), "")
        name, _, fragment = identity(source).partition("#")
        if not _FRAGMENT.search(fragment):
            name, fragment = identity(source), ""
        box, percent = _fragment(fragment) if fragment else (None, False)
        if resource.get("selector") is not None:
            box, percent = _selected(resource["selector"])
        yield Place(name, source if isinstance(source, dict) else {}, box, percent)


def _selected(selector: Any) -> tuple[XYXY, bool]:
    """Return the box of the first of several selectors that has one, and whether it is in percent."""
    given = list(_alternatives(selector))
    for one in given:
        value = str(one.get("value", one.get("chars", "")))
        if kind(one) == "SvgSelector":
            return extent_of_svg(value), False
        if _FRAGMENT.search(value):
            return _fragment(value)
    names = ", ".join(kind(one) or "one without a type" for one in given) or repr(selector)
    raise ValueError(f"it has no rectangle and no outline, but {names}")


def _alternatives(selector: Any) -> Iterator[Json]:
    """Yield selectors one by one: of a list, or of a choice of version 2."""
    for one in listed(selector):
        if isinstance(one, str):
            yield {"value": one}
        elif kind(one) == "Choice":
            yield from _alternatives([*listed(one.get("default")), *listed(one.get("item"))])
        elif isinstance(one, dict):
            yield one
            if "refinedBy" in one:
                yield from _alternatives(one["refinedBy"])


def _fragment(text: str) -> tuple[XYXY, bool]:
    found = _FRAGMENT.search(text)
    numbers = [float(number) for number in _NUMBER.findall(found[2])] if found else []
    if found is None or len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{text!r} is not xywh= and four numbers")
    x, y, width, height = numbers
    return (x, y, x + width, y + height), found[1] in ("percent", "pct")


def extent_of_svg(text: str) -> XYXY:
    """Return the box round the shapes of an SVG.

    Raises:
        ValueError: it is no SVG, has no shape, or turns or moves one by ``transform``.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"its SVG can't be read ({error})") from error
    points: list[Point] = []
    for element in root.iter():
        if element.get("transform"):
            raise ValueError("its SVG has a transform, which is not read")
        points += _points(element)
    if not points:
        raise ValueError("its SVG has no shape")
    xs, ys = zip(*points, strict=True)
    return (min(xs), min(ys), max(xs), max(ys))


def _points(element: ElementTree.Element) -> list[Point]:
    shape = local_name(element)
    if shape == "path":
        return list(_path(element.get("d", "")))
    if shape in ("polygon", "polyline"):
        numbers = [float(number) for number in _NUMBER.findall(element.get("points", ""))]
        return list(zip(numbers[::2], numbers[1::2], strict=False))
    if shape == "rect":
        x, y, width, height = (_value(element, key) for key in ("x", "y", "width", "height"))
        return [(x, y), (x + width, y + height)]
    if shape in ("circle", "ellipse"):
        x, y = _value(element, "cx"), _value(element, "cy")
        rx, ry = _value(element, "rx", "r"), _value(element, "ry", "r")
        return [(x - rx, y - ry), (x + rx, y + ry)]
    return []


def _value(element: ElementTree.Element, *keys: str) -> float:
    found = next((value for key in keys if (value := element.get(key))), "0")
    return float(found.removesuffix("px"))


def _path(data: str) -> Iterator[Point]:
    """Yield points that a path goes through, those of curves close to each other."""
    at = start = control = (0.0, 0.0)
    before = ""
    for letter, values in _commands(data):
        command = letter.upper()
        if command == "Z":
            at = start
        elif command == "A":
            end = _moved(at, values[5:7], letter)
            yield from _arc(at, end, values)
            at = end
        else:
            corners = _corners(letter, values, at, control if before in _REFLECTED.get(command, "") else at)
            yield from _curve([at, *corners]) if command in "CSQT" else corners
            control, at = (corners[-2] if command in "CSQT" else corners[-1]), corners[-1]
        start = at if command == "M" else start
        before = command


_REFLECTED = {"S": "CS", "T": "QT"}
"""Commands whose first control point mirrors the last one of a command of this kind."""


def _commands(data: str) -> Iterator[tuple[str, list[float]]]:
    """Yield each command with as many numbers as it takes; repeated ones one by one."""
    for letter, rest in _COMMAND.findall(data):
        numbers = [float(number) for number in _NUMBER.findall(rest)]
        takes = _TAKES[letter.upper()]
        if takes == 0:
            yield letter, []
            continue
        for index in range(0, len(numbers) - takes + 1, takes):
            yield letter, numbers[index : index + takes]
            letter = {"M": "L", "m": "l"}.get(letter, letter)  # further pairs are lines


def _corners(letter: str, values: Sequence[float], at: Point, control: Point) -> list[Point]:
    """Return the points of a command, absolute; the last one is where it ends."""
    command = letter.upper()
    if command == "H":
        return [(values[0] + (at[0] if letter == "h" else 0.0), at[1])]
    if command == "V":
        return [(at[0], values[0] + (at[1] if letter == "v" else 0.0))]
    given = [_moved(at, values[i : i + 2], letter) for i in range(0, len(values), 2)]
    if command in "ST":
        return [(2 * at[0] - control[0], 2 * at[1] - control[1]), *given]
    return given


def _moved(at: Point, values: Sequence[float], letter: str) -> Point:
    return (at[0] + values[0], at[1] + values[1]) if letter.islower() else (values[0], values[1])


def _curve(corners: Sequence[Point]) -> Iterator[Point]:
    """Yield points of a Bezier curve."""
    for step in range(_STEPS + 1):
        points, t = list(corners), step / _STEPS
        while len(points) > 1:
            points = [
                (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))
                for a, b in zip(points, points[1:], strict=False)
            ]
        yield points[0]


def _arc(start: Point, end: Point, values: Sequence[float]) -> Iterator[Point]:
    """Yield points of an elliptical arc (SVG 1.1, F.6.5)."""
    rx, ry, turn = abs(values[0]), abs(values[1]), math.radians(values[2])
    if not rx or not ry or start == end:
        yield from (start, end)
        return
    cos, sin = math.cos(turn), math.sin(turn)
    dx, dy = (start[0] - end[0]) / 2, (start[1] - end[1]) / 2
    x, y = cos * dx + sin * dy, cos * dy - sin * dx
    excess = max(1.0, math.hypot(x / rx, y / ry))
    rx, ry = rx * excess, ry * excess
    size = (rx * y) ** 2 + (ry * x) ** 2
    root = math.sqrt(max(0.0, ((rx * ry) ** 2 - size) / size)) * (1 if values[3] != values[4] else -1)
    cx, cy = root * rx * y / ry, -root * ry * x / rx
    first = math.atan2((y - cy) / ry, (x - cx) / rx)
    sweep = (math.atan2((-y - cy) / ry, (-x - cx) / rx) - first) % math.tau
    sweep -= 0.0 if values[4] else math.tau
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    for step in range(2 * _STEPS + 1):
        angle = first + sweep * step / (2 * _STEPS)
        a, b = rx * math.cos(angle) + cx, ry * math.sin(angle) + cy
        yield (cos * a - sin * b + middle[0], sin * a + cos * b + middle[1])

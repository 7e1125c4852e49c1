"""Label Studio's JSON: detections become predictions that a person corrects; what a person drew comes back.

Form: Label Studio's documentation of "RectangleLabels", "EllipseLabels", "PolygonLabels" and "BrushLabels": places in
percent of the image, ``rotation`` in degrees clockwise round the upper left corner, or round an ellipse's middle.
Page facts and the classes that were looked for stand in a task's ``meta``, which an export keeps.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np

from doc_detect.classes import CLASSES
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
    image_size,
)
from seminar_common.errors import UserError
from seminar_common.files import write_json, write_text

_OWN = "doc_detect"
_LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels", "labels")
_UNNAMED = "(without label)"


def _reads(source: Source) -> bool:
    return isinstance(source.json, list)


def _read(source: Source, reading: Reading) -> LayoutSet:
    """Read an export in the form "JSON".

    A task's newest annotation counts, or if it has none, its first prediction.

    Raises:
        UserError: it is no such export.
    """
    path, tasks = source.path, source.json
    if not all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks):
        raise UserError(f"{path}: not a Label Studio export; choose the form JSON there (not JSON-MIN)")
    pages = []
    for number, task in enumerate(tasks, 1):
        try:
            pages.append(_layout(task, source, reading))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            reading.fail(path, f"task {task.get('id', number)}: {error}", number)
    labelled = {classes for task in tasks if (classes := classes_in(_own(task).get("labelled"))) is not None}
    facts = next((facts_in(_own(task)["set"]) for task in tasks if "set" in _own(task)), {})
    return LayoutSet(
        tuple(pages), frozenset.intersection(*labelled) if labelled else None, facts, path.parent
    )


def _own(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what we wrote beside a task's data."""
    return facts_in(facts_in(task.get("meta")).get(_OWN))


def _results(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a task's results that have a place, without those that only say it again (``Labels`` on a rectangle)."""
    kept = [entry for entry in _entries(task.get("annotations")) if not entry.get("was_cancelled")]
    entries = kept[-1:] or _entries(task.get("predictions"))[:1]
    results = [result for entry in entries for result in _entries(entry.get("result"))]
    named = {str(result.get("id")) for result in results if _labels(result)}
    return [
        result
        for result in results
        if _place(result)
        and (_labels(result) or str(result.get("id")) not in named or result.get("id") is None)
    ]


def _entries(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, none of anything else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _place(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the value of a result with a place on the image; that of any other, such as a choice, is empty."""
    value = facts_in(result.get("value"))
    return value if value.keys() & {"x", "points", "rle"} else {}


def _labels(result: Mapping[str, Any]) -> list[str]:
    value = facts_in(result.get("value"))
    given = next((value[key] for key in _LABELS if value.get(key)), [])
    return [label for label in given if isinstance(label, str)] if isinstance(given, list) else []


def _layout(task: Mapping[str, Any], source: Source, reading: Reading) -> Layout:
    results, own = _results(task), _own(task)
    name = _file_name(task["data"])
    width, height = _size(results, own, source, name)
    regions = []
    for result in results:
        try:
            box = _box(result, width, height)
        except (IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            reading.fail(source.path, f"{name}: region {result.get('id', '?')} can't be read: {error}")
            continue
        regions.append(Region(reading.names.label(*(_labels(result) or [_UNNAMED])), box, _score(result)))
    columns = {key: value for key, value in task["data"].items() if key != _image_key(task["data"])}
    facts = facts_in(own.get("facts")) if own else columns
    return Layout(name, width, height, tuple(regions), facts)


def _size(
    results: Sequence[Mapping[str, Any]], own: Mapping[str, Any], source: Source, name: str
) -> tuple[int, int]:
    """Return a page's size: as a region or we say it, else the image's."""
    for given in (*(results[:1]), own):
        if given.get("original_width") and given.get("original_height"):
            return int(given["original_width"]), int(given["original_height"])
    image = source.find_image(name)
    size = None if image is None else image_size(image)
    if size is None:
        raise ValueError(f"no region says the size of {name}, and no image beside the file does")
    return size


def _score(result: Mapping[str, Any]) -> float | None:
    return None if result.get("score") is None else float(result["score"])


def _box(result: Mapping[str, Any], width: int, height: int) -> XYXY:
    """Return the box round a rectangle, which may be rotated, an ellipse, a polygon or what a brush painted."""
    value = result["value"]
    if "rle" in value:
        return _box_of_brush(value["rle"], int(result["original_width"]), int(result["original_height"]))
    if "points" in value:
        xs, ys = zip(*((x * width / 100, y * height / 100) for x, y in value["points"]), strict=True)
        return (min(xs), min(ys), max(xs), max(ys))
    x, y = value["x"] * width / 100, value["y"] * height / 100
    angle = math.radians(value.get("rotation") or 0)
    if "radiusX" in value:
        a, b = value["radiusX"] * width / 100, value["radiusY"] * height / 100
        dx = math.hypot(a * math.cos(angle), b * math.sin(angle))
        dy = math.hypot(a * math.sin(angle), b * math.cos(angle))
        return (x - dx, y - dy, x + dx, y + dy)
    w, h = value["width"] * width / 100, value["height"] * height / 100
    corners = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)]
    xs = [x + a * math.cos(angle) - b * math.sin(angle) for a, b in corners]
    ys = [y + a * math.sin(angle) + b * math.cos(angle) for a, b in corners]
    return (min(xs), min(ys), max(xs), max(ys))


def _box_of_brush(rle: Sequence[int], width: int, height: int) -> XYXY:
    """Return the box round the pixels whose opacity, the last of four channels, is above 0."""
    on = unpack_rle(rle).reshape(height, width, 4)[..., 3] > 0
    rows, columns = np.flatnonzero(on.any(axis=1)), np.flatnonzero(on.any(axis=0))
    if not len(rows):
        raise ValueError("nothing is painted")
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def unpack_rle(data: Sequence[int]) -> np.ndarray:
    """Return the values that Label Studio's brush has packed; uint8 [N].

    Form: the package ``@thi.ng/rle-pack``. After the number of values, the bits of a value and four sizes of a
    length there are blocks: a bit that says whether one value is repeated, which size the length has, the length
    less 1, and the value or the values.

    Raises:
        ValueError: the bits end too early.
    """
    bits = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2) if at <= len(bits) else int("", 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    place = 0
    while place < total:
        repeated = take(1)
        end = place + take(sizes[take(2)]) + 1
        if repeated:
            values[place:end] = take(word)
        else:
            values[place:end] = [take(word) for _ in range(place, min(end, total))]
        place = end
    return values


def _file_name(data: Mapping[str, Any]) -> str:
    """Return the image's name from its address, e.g. ``/data/local-files/?d=vol%201/1.jpg``."""
    address = str(data.get(_image_key(data), ""))
    local = parse_qs(urlsplit(address).query, errors="surrogateescape").get("d")
    return local[0] if local else unquote(urlsplit(address).path, errors="surrogateescape").lstrip("/")


def _image_key(data: Mapping[str, Any]) -> str:
    return "image" if "image" in data else next(iter(data), "image")


def _write(layouts: LayoutSet, out: Path, writing: Writing) -> None:
    """Write pages as tasks to import, and beside them the labelling interface."""
    common = {"labelled": sorted(layouts.classes), "set": dict(layouts.facts)}
    write_json(out, [_task(page, common, writing) for page in layouts.pages])
    labels = [label for label in CLASSES if label in layouts.classes]
    write_text(out.with_suffix(".config.xml"), labelling_config(labels or CLASSES))


def _task(layout: Layout, common: Mapping[str, Any], writing: Writing) -> dict[str, Any]:
    """Return a page as a task. Detections alone become a prediction, all else is what a person has drawn."""
    own = {"original_width": layout.width, "original_height": layout.height, "facts": dict(layout.facts)}
    task: dict[str, Any] = {
        "data": {"image": writing.image_url + quote(layout.name, errors="surrogateescape")},
        "meta": {_OWN: {**own, **common}},
    }
    result = [_result(layout, region, i) for i, region in enumerate(layout.regions)]
    scores = [region.score for region in layout.regions if region.score is not None]
    if (scores or writing.suggested) and len(scores) == len(result):
        best = max(scores, default=0.0)
        task["predictions"] = [{"model_version": "doc-detect", "score": best, "result": result}]
    else:  # an annotation hides the predictions beside it, so both must not share a page's regions
        task["annotations"] = [{"result": result}]
    return task


def _result(layout: Layout, region: Region, index: int) -> dict[str, Any]:
    x1, y1, x2, y2 = region.xyxy
    value = {
        "x": 100 * x1 / layout.width,
        "y": 100 * y1 / layout.height,
        "width": 100 * (x2 - x1) / layout.width,
        "height": 100 * (y2 - y1) / layout.height,
        "rotation": 0,
        "rectanglelabels": [region.label],
    }
    result = {
        "id": f"r{index}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": layout.width,
        "original_height": layout.height,
        "image_rotation": 0,
        "value": value,
    }
    return result if region.score is None else {**result, "score": region.score}


def labelling_config(labels: Sequence[str]) -> str:
    """Return the labelling interface to paste into the project's settings."""
    lines = "\n".join(f'    <Label value="{label}"/>' for label in labels)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{lines}\n  </RectangleLabels>\n</View>\n'
    )


LABEL_STUDIO = Form("label-studio", "Label Studio", _reads, _read, _write)

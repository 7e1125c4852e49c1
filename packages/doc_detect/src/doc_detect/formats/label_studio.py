"""Label Studio's JSON: detections become predictions that a person corrects; what a person drew comes back.

Form: Label Studio's documentation of "RectangleLabels": places in percent of the image, ``rotation`` in degrees
clockwise round the upper left corner.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from doc_detect.classes import guess_source, map_name
from doc_detect.formats.regions import Layout, Region
from seminar_common.errors import UserError
from seminar_common.files import read_json


def read_label_studio(path: Path) -> list[Layout]:
    """Read an export in the form "JSON".

    A task's newest annotation counts, or if it has none, its first prediction. A task without a region has no
    size and is left out.

    Raises:
        UserError: it is no such export, or a region is broken.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise UserError(f"{path}: not a Label Studio export; choose the form JSON there (not JSON-MIN)")
    found = [(task, _results(task)) for task in tasks]
    names = {label for _, results in found for result in results for label in _labels(result)}
    source = guess_source(names) if names else "own"
    return [layout for task, results in found if (layout := _layout(task, results, source, path))]


def _results(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    kept = [entry for entry in task.get("annotations") or [] if not entry.get("was_cancelled")]
    entries = kept[-1:] or (task.get("predictions") or [])[:1]
    results = [result for entry in entries for result in entry.get("result") or []]
    return [result for result in results if result.get("type") in ("rectanglelabels", "rectangle", "labels")]


def _labels(result: Mapping[str, Any]) -> list[str]:
    value = result.get("value") or {}
    return value.get("rectanglelabels") or value.get("labels") or []


def _layout(
    task: Mapping[str, Any], results: Sequence[Mapping[str, Any]], source: str, path: Path
) -> Layout | None:
    results = [result for result in results if _labels(result)]
    if not results:
        return None
    try:
        width, height = int(results[0]["original_width"]), int(results[0]["original_height"])
        regions = [
            Region(map_name(_labels(result)[0], source), _box(result["value"], width, height), _score(result))
            for result in results
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: task {task.get('id', '?')} has a region without {error}; export it again"
        ) from error
    return Layout(_file_name(task["data"]), width, height, tuple(regions))


def _score(result: Mapping[str, Any]) -> float | None:
    return None if result.get("score") is None else float(result["score"])


def _box(value: Mapping[str, Any], width: int, height: int) -> tuple[float, float, float, float]:
    """Return the box round a rectangle, which may be rotated."""
    x, y = value["x"] * width / 100, value["y"] * height / 100
    w, h = value["width"] * width / 100, value["height"] * height / 100
    angle = math.radians(value.get("rotation") or 0)
    corners = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)]
    xs = [x + a * math.cos(angle) - b * math.sin(angle) for a, b in corners]
    ys = [y + a * math.sin(angle) + b * math.cos(angle) for a, b in corners]
    return (min(xs), min(ys), max(xs), max(ys))


def _file_name(data: Mapping[str, Any]) -> str:
    """Return the image's name from its address, e.g. ``/data/local-files/?d=vol%201/1.jpg``."""
    address = str(data.get("image") or next(iter(data.values()), ""))
    local = parse_qs(urlsplit(address).query, errors="surrogateescape").get("d")
    return local[0] if local else unquote(urlsplit(address).path, errors="surrogateescape").lstrip("/")


def label_studio(layouts: Sequence[Layout], image_url: str) -> list[dict[str, Any]]:
    """Return pages as tasks to import; ``image_url`` is put before each page's quoted name.

    Regions with scores become a prediction, those without an annotation.
    """
    return [_task(layout, image_url) for layout in layouts]


def _task(layout: Layout, image_url: str) -> dict[str, Any]:
    task: dict[str, Any] = {"data": {"image": image_url + quote(layout.name, errors="surrogateescape")}}
    drawn = [region for region in layout.regions if region.score is None]
    found = [region for region in layout.regions if region.score is not None]
    if drawn or not found:
        task["annotations"] = [{"result": [_result(layout, region, i) for i, region in enumerate(drawn)]}]
    if found:
        result = [_result(layout, region, i) for i, region in enumerate(found, len(drawn))]
        score = max(region.score or 0.0 for region in found)
        task["predictions"] = [{"model_version": "doc-detect", "score": score, "result": result}]
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

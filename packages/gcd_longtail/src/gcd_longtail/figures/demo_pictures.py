"""Pictures of found classes for the demo's page: strips of their images, and the names that they were given."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from seminar_common.demo_page import Shot

TILE = 40
"""Side of an image in a strip, in pixels."""
_GAP = 3
Rows = Sequence[Mapping[str, str]]
"""The rows of a run's table of assignments: those of a class together, the most central first."""


def members(rows: Rows) -> dict[str, list[str]]:
    """Return the images of each class by its name that had no label, the most central first."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["name"], [])
        if row["labelled"] != "yes":
            found[row["name"]].append(row["image"])
    return {name: keys for name, keys in found.items() if keys}


def spread(keys: Sequence[str], count: int) -> list[str]:
    """Return ``count`` of ``keys``, or fewer, from the first to the last evenly."""
    return [keys[i] for i in np.unique(np.linspace(0, len(keys) - 1, count).astype(int))]


def strip(folder: Path, keys: Sequence[str], columns: int) -> bytes:
    """Return images as one PNG, ``columns`` of them in a line; a small one is enlarged without smoothing."""
    lines = -(-len(keys) // columns)
    step = TILE + _GAP
    picture = Image.new("RGBA", (columns * step - _GAP, lines * step - _GAP))
    for number, key in enumerate(keys):
        with Image.open(folder / key) as opened:
            image = opened.convert("RGB")
        scale = TILE / max(image.size)
        width, height = (max(1, round(scale * side)) for side in image.size)
        tile = image.resize(
            (width, height), Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
        )
        picture.paste(tile, (number % columns * step, number // columns * step))
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


MOST_GROUPS = 20
"""Classes that are shown."""


def group_strips(rows: Rows, folder: Path, truth: Mapping[str, str], count: int = 12) -> list[Shot]:
    """Return a picture of each class with what is in it, the :data:`MOST_GROUPS` with most images, these first."""
    shots = []
    found = members(rows)
    for name in sorted(found, key=lambda name: -len(found[name]))[:MOST_GROUPS]:
        keys = found[name]
        (main, right), *_ = Counter(truth[key] for key in keys).most_common(1)
        caption = f"{name}: {len(keys)} images, {right} of them {main}"
        shots.append(Shot(strip(folder, spread(keys, count), columns=6), caption))
    return shots


_WIDTH, _HEIGHT, _SHOWN, _LINES = 400, 250, 5, 5


def naming_picture(rows: Rows, folder: Path, names: Mapping[str, str]) -> Shot:
    """Return the largest found classes with some of their images and the names that they were given.

    Args:
        rows: the classes, as they were found.
        folder: of the images.
        names: what a class is called now, by its name in ``rows``.
    """
    found = members(rows)
    chosen = sorted((name for name in found if name in names), key=lambda name: -len(found[name]))[:_LINES]
    height = _HEIGHT / max(len(chosen), 1)
    parts, side = [], min(36.0, height - 10)
    for number, name in enumerate(chosen):
        given = names[name]
        y = number * height + height / 2
        data = base64.b64encode(strip(folder, spread(found[name], _SHOWN), _SHOWN)).decode()
        width = side * (_SHOWN * (TILE + _GAP) - _GAP) / TILE
        parts.append(_text(name, 0, y, "var(--muted)", 14))
        parts.append(
            f'<image href="data:image/png;base64,{data}" x="72" y="{y - side / 2:.1f}" width="{width:.1f}" '
            f'height="{side:.1f}"/>'
        )
        parts.append(_text("\u2192", 80 + width, y, "var(--muted)", 18))
        parts.append(_text(_short(given), 106 + width, y, "var(--accent)", 22 if len(given) < 4 else 14, 700))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
    told = ", ".join(f"{name} is {names[name]}" for name in chosen)
    return Shot("".join([head, *parts, "</svg>"]).encode(), f"Groups of images and their names: {told}")


def _text(text: str, x: float, y: float, colour: str, size: int, weight: int = 400) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" dominant-baseline="central" font-size="{size}" font-weight="{weight}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'


def _short(name: str, longest: int = 11) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "\u2026"

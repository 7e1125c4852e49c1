"""Figures out of fonts: animals, people, plants, buildings and tools that a type designer drew, as shapes of a scene.

Line drawings of a few hundred things show more of what a woodcut may hold than any procedure does. Unicode has them
as Egyptian hieroglyphs (Noto Sans Egyptian Hieroglyphs) and as emoji in one colour (Noto Emoji).
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from doc_detect.synthesis.art.shapes import Shape
from doc_detect.synthesis.fonts import covers, load

Generator = np.random.Generator

_RANGES = (
    (0x1F330, 0x1F344),  # plants
    (0x1F3B7, 0x1F3BB),  # instruments
    (0x1F3C7, 0x1F3C7),  # a rider
    (0x1F3D4, 0x1F3F0),  # land and buildings
    (0x1F400, 0x1F43F),  # animals
    (0x1F451, 0x1F451),
    (0x1F466, 0x1F487),  # people
    (0x1F54A, 0x1F54A),
    (0x1F577, 0x1F577),
    (0x1F5FB, 0x1F5FF),
    (0x1F6E1, 0x1F6E1),
    (0x1F980, 0x1F9AE),  # animals
    (0x1F9CD, 0x1F9DF),  # people
    (0x26EA, 0x26EA),
    (0x26F0, 0x26F5),
    (0x13000, 0x1342F),  # hieroglyphs
)
_DRAWN = 220
"""Height in pixels at which a sign is drawn to find its outlines."""
_COLOURS = (
    (150, 60, 45),
    (60, 80, 150),
    (90, 130, 80),
    (205, 160, 90),
    (225, 215, 195),
    (120, 85, 60),
    (190, 130, 120),
)


@dataclass(frozen=True)
class Pictograph:
    """A figure in a font."""

    path: str
    sign: str


@dataclass(frozen=True)
class _Region:
    """What one outline of a figure encloses; a figure's height is 1, its foot y = 0, the middle of its advance x = 0."""

    points: np.ndarray
    """[K, 2]."""
    ink: bool
    """Whether it is black in the font: lines and solid parts; else it is what they enclose."""


def find_pictographs(paths: Iterable[str]) -> list[Pictograph]:
    """Return the figures of the fonts at ``paths``."""
    signs = [chr(code) for first, last in _RANGES for code in range(first, last + 1)]
    return [Pictograph(path, sign) for path in paths for sign in covers(path, signs)]


@functools.lru_cache(maxsize=4096)
def _regions(figure: Pictograph) -> tuple[_Region, ...]:
    """Return the regions of a figure from outside in."""
    mask = load(figure.path, _DRAWN).getmask(figure.sign)
    pixels = np.pad(np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0]), 1)
    outlines, tree = cv2.findContours((pixels > 100).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return ()
    height, width = pixels.shape
    depths: list[int] = []
    for parent in tree[0][:, 3]:  # parents come before their children
        depths.append(0 if parent < 0 else depths[parent] + 1)
    regions = []
    for number in np.argsort(depths, kind="stable"):
        points = cv2.approxPolyDP(outlines[number], 0.7, True).reshape(-1, 2)
        if len(points) >= 3 and cv2.contourArea(points) > 12:
            scaled = (points - (width / 2, height)) / height
            regions.append(_Region(scaled, depths[number] % 2 == 0))
    return tuple(regions)


def pictograph(figure: Pictograph, x: float, base: float, height: float, g: Generator) -> list[Shape]:
    """Return a figure that stands at (x, base), its closed parts in tones of their own; half of them look left."""
    mirror = float(g.choice([-1, 1])) * g.uniform(0.85, 1.15)
    lines = 0.02 if g.random() < 0.75 else float(g.uniform(0.05, 0.4))
    body = float(g.choice([0.4, 0.65, 0.85, 0.97]))
    shapes = []
    for region in _regions(figure):
        points = region.points * (height * mirror, height) + (x, base)
        colour = _COLOURS[int(g.integers(len(_COLOURS)))]
        tone = lines if region.ink else float(np.clip(body + g.normal(0, 0.15), 0.08, 1))
        shapes.append(Shape(points, tone, (45, 35, 30) if region.ink else colour, 0))
    return shapes

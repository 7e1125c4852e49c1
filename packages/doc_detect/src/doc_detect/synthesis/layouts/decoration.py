"""Which ornament or picture a printer puts in a place: in a gap of the text, over a chapter, at its end, on a title page."""

from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np

from doc_detect.synthesis.art import fleurons, ornament
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import Style

Generator = np.random.Generator
Place = Literal["gap", "head", "tail", "title"]

_SHARES: Mapping[Place, Mapping[str, float]] = {
    "gap": {"flowers": 0.35, "band": 0.3, "headpiece": 0.2, "motif": 0.15},
    "head": {"flowers": 0.18, "band": 0.25, "headpiece": 0.4, "motif": 0.1, "picture": 0.07},
    "tail": {"flowers": 0.12, "band": 0.06, "tailpiece": 0.62, "motif": 0.12, "picture": 0.08},
    "title": {"motif": 0.3, "tailpiece": 0.2, "headpiece": 0.1, "picture": 0.4},
}
"""How often each ornament stands in each place, where it is none of one to four lines."""
_SMALL: Mapping[Place, tuple[float, Mapping[str, float]]] = {
    "gap": (0.5, {"small": 0.44, "pieces": 0.3, "strip": 0.26}),
    "head": (0.2, {"small": 0.3, "pieces": 0.2, "strip": 0.5}),
    "tail": (0.25, {"small": 0.52, "pieces": 0.48}),
    "title": (0.2, {"small": 0.55, "pieces": 0.45}),
}
"""Share of ornament of one to four lines in each place, and how often each is that."""


def decoration(
    place: Place,
    size: tuple[float, float],
    style: Style,
    face: str,
    materials: Materials,
    g: Generator,
    pictures: tuple[str, ...] = ("woodcut", "engraving"),
) -> np.ndarray:
    """Return an ornament or a picture for a place, [H, W] or [H, W, 3] uint8 on white.

    Args:
        place: Where it stands.
        size: The height that there is, and the width that it should have, px.
        style: The text's type, whose ink is printed with.
        face: Font of type flowers.
        materials: What may be used.
        g: The only source of chance.
        pictures: How pictures are cut.
    """
    room, wide = size
    share, small = _SMALL[place]
    shares = small if g.random() < share else _SHARES[place]
    name = list(shares)[int(g.choice(len(shares), p=list(shares.values())))]
    width = round(wide)
    if name == "flowers":
        art = ornament.type_flowers(round(style.leading * g.uniform(0.6, 1.9)), width, g, face)
    elif name == "band":
        art = ornament.band(round(min(room, wide * g.uniform(0.04, 0.14)) + 6), width, g, materials.leafwork)
    elif name == "headpiece":
        art = ornament.headpiece(
            round(min(room, wide * g.uniform(0.1, 0.32)) + 8), width, g, materials.leafwork
        )
    elif name == "tailpiece":
        art = ornament.tailpiece(
            round(min(room, wide * g.uniform(0.35, 1.1)) + 8), width, g, materials.leafwork
        )
    elif name in small:
        art = _small(name, size, style, face, materials, g)
    elif name == "motif":
        side = round(min(room, wide) * (g.uniform(0.3, 0.9) if place == "gap" else 1))
        art = ornament.any_motif(side, round(side * g.uniform(0.8, 1.3)), g)
    else:
        art = materials.picture(min(room, wide * g.uniform(0.3, 1.2)), wide, g, *pictures)
        art = framed(art, g) if g.random() < 0.75 else oval(art)
    return inked(art, style)


def _small(
    name: str, size: tuple[float, float], style: Style, face: str, materials: Materials, g: Generator
) -> np.ndarray:
    """Return ornament of about one to four lines' height."""
    room, wide = size
    tall = round(min(room, style.leading * g.uniform(0.9, 3.2)))
    if name == "small":
        return fleurons.small(tall, round(wide), g, face)
    if name == "pieces":
        return fleurons.pieces(round(min(room, tall * g.uniform(1, 2))), round(wide), g, face)
    field = materials.leafwork if g.random() < 0.5 else None
    return fleurons.strip(max(8, round(tall * 0.6)), round(wide), g, face, field)


def inked(art: np.ndarray, style: Style) -> np.ndarray:
    """Return black ornament in the ink of the text."""
    return np.maximum(art, min(style.colour)) if art.ndim == 2 else art


def framed(art: np.ndarray, g: Generator) -> np.ndarray:
    """Draw one or two lines round a picture's edge, in place."""
    height, width = art.shape[:2]
    thick = int(g.integers(1, max(2, min(5, height // 60 + 2))))
    cv2.rectangle(art, (0, 0), (width - 1, height - 1), (15, 15, 15), thick)
    if g.random() < 0.3 and min(height, width) > 40:
        inset = thick + 3
        cv2.rectangle(art, (inset, inset), (width - 1 - inset, height - 1 - inset), (15, 15, 15), 1)
    return art


def oval(art: np.ndarray) -> np.ndarray:
    """Fade a picture out beyond an oval, in place."""
    height, width = art.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    art[x**2 + y**2 > 0.97] = 255
    return art

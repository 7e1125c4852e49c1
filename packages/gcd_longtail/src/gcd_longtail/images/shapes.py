"""How the pictures of a pile become squares, and how large ones, chosen by their shapes where nobody says it.

The centre of a photograph shows what it is of: on Caltech-101's known classes, hidden in turn (5 splits, Ward, 96 px), a
crop is 3.4 points of macro accuracy better than squashing and 5.7 better than padding, and leads among pictures of every
ratio of sides up to 3. Of longer ones, such as the headpieces of a book, it sees less than a third.
"""

import dataclasses
from typing import Any

import numpy as np

from gcd_longtail.images.sources.base import Source
from gcd_longtail.settings.commands import LARGE_SIZE, PIXELS, SMALLEST, FeatureConfig, Fit
from seminar_common.images import BadImage
from seminar_common.progress import say

LONG = 3.0
"""Ratio of sides from which a crop to the centre loses more than two thirds of a picture."""
MANY = 0.25
"""Share of long pictures from which a pile is squashed."""
LARGE = 64
"""Shorter side in pixels from which pictures are seen as large as the backbone learned them; at 32, a second look at the
mirror image gives as much or more in the same time (docs/explain/gcd_method.md)."""
_LOOKED_AT = 200


def fitted(config: FeatureConfig, source: Source) -> FeatureConfig:
    """Return ``config`` with a size and a fit that are decided: the given ones, or those for the shapes of ``source``.

    A pile is squashed if more than a quarter of 200 of its pictures, spread evenly, are longer than three times their
    width; else it is cropped. It is seen at 224 px, without the mirror image, if half of them are large; else at 160 px.
    Where pixels are the features, the square is no larger than half of these pictures.
    """
    if config.fit != "auto" and config.size != "auto":
        return config
    sides = _sides(source)
    return dataclasses.replace(config, **_seen(config, sides), fit=_fit(config, sides))


def _seen(config: FeatureConfig, sides: np.ndarray) -> dict[str, Any]:
    """Return the size of the squares, and that there is no mirror image where they are large."""
    if config.size != "auto" or not len(sides):
        return {"size": config.side}
    usual = float(np.median(sides.min(1)))
    if config.backbone == PIXELS:
        return {"size": int(np.clip(usual, SMALLEST, config.side))}
    return {"size": LARGE_SIZE, "mirror": False} if usual >= LARGE else {"size": config.side}


def _fit(config: FeatureConfig, sides: np.ndarray) -> Fit:
    if config.fit != "auto":
        return config.fit
    share = float((sides.max(1) / np.maximum(1, sides.min(1)) > LONG).mean()) if len(sides) else 0.0
    if share <= MANY:
        return "crop"
    say(
        f"pictures are squashed to squares, since {share:.0%} of them are more than {LONG:.0f} times as long as wide; "
        "--fit crop takes their centres"
    )
    return "squash"


def _sides(source: Source) -> np.ndarray:
    """Return both sides of up to 200 readable pictures in pixels, int64 [N, 2]."""
    sides = []
    for index in (
        np.linspace(0, len(source.listing) - 1, min(_LOOKED_AT, len(source.listing))).astype(int).tolist()
    ):
        try:
            sides.append(source.shape(source.read(index)))
        except BadImage:
            continue
    return np.array(sides, np.int64).reshape(-1, 2)

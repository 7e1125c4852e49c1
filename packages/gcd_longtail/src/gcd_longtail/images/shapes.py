"""How the pictures of a pile become squares, chosen by their shapes where nobody says it.

The centre of a photograph shows what it is of: on Caltech-101's known classes, hidden in turn (5 splits, Ward, 96 px), a
crop is 3.4 points of macro accuracy better than squashing and 5.7 better than padding, and leads among pictures of every
ratio of sides up to 3. Of longer ones, such as the headpieces of a book, it sees less than a third.
"""

import dataclasses

import numpy as np

from gcd_longtail.images.sources.base import Source
from gcd_longtail.settings.commands import FeatureConfig
from seminar_common.images import BadImage
from seminar_common.progress import say

LONG = 3.0
"""Ratio of sides from which a crop to the centre loses more than two thirds of a picture."""
MANY = 0.25
"""Share of long pictures from which a pile is squashed."""
_LOOKED_AT = 200


def fitted(config: FeatureConfig, source: Source) -> FeatureConfig:
    """Return ``config`` with a fit that is decided: the given one, or the one for the shapes of ``source``.

    A pile is squashed if more than a quarter of 200 of its pictures, spread evenly, are longer than three times their
    width; else it is cropped.
    """
    if config.fit != "auto":
        return config
    ratios = np.array(_ratios(source))
    share = float((ratios > LONG).mean()) if len(ratios) else 0.0
    if share <= MANY:
        return dataclasses.replace(config, fit="crop")
    say(
        f"pictures are squashed to squares, since {share:.0%} of them are more than {LONG:.0f} times as long as wide; "
        "--fit crop takes their centres"
    )
    return dataclasses.replace(config, fit="squash")


def _ratios(source: Source) -> list[float]:
    """Return the longer side over the shorter one of up to 200 readable pictures."""
    ratios = []
    for index in (
        np.linspace(0, len(source.listing) - 1, min(_LOOKED_AT, len(source.listing))).astype(int).tolist()
    ):
        try:
            sides = source.shape(source.read(index))
            ratios.append(max(sides) / max(1, min(sides)))
        except BadImage:
            continue
    return ratios

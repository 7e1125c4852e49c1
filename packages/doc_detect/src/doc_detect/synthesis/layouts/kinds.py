"""The kinds of pages: which layout draws them, how often as openings, and how they are degraded.

A new kind is one module with ``page`` (and ``spread``), one entry in :data:`KINDS` and its share in :data:`WORLDS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from doc_detect.settings.synth import DegradeSettings
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts import (
    article,
    catalogue,
    early_print,
    manuscripts,
    newspaper,
    nonpages,
    records,
)
from doc_detect.synthesis.layouts.materials import Materials

DrawPage = Callable[[int, Materials, np.random.Generator], Canvas]
DrawSpread = Callable[[int, Materials, np.random.Generator], tuple[Canvas, Canvas]]


@dataclass(frozen=True)
class Kind:
    """One kind of page."""

    world: str
    page: DrawPage
    """Draws a page of the given height."""
    spread: DrawSpread | None = None
    """Draws the two pages of an opening."""
    spread_share: float = 0.0
    """Share of openings."""
    degradation: DegradeSettings = DegradeSettings()


KINDS: Mapping[str, Kind] = {
    "print": Kind("early-print", early_print.page, early_print.spread, 0.1),
    "manuscript": Kind("early-print", manuscripts.page, manuscripts.spread, 0.4),
    "catalogue": Kind(
        "catalogue",
        catalogue.page,
        catalogue.spread,
        0.1,
        DegradeSettings(clean=0.06, binarized=0.07, grey=0.35, bleed_through=0.2, stains=0.15, strength=0.8),
    ),
    "newspaper": Kind(
        "newspaper",
        newspaper.page,
        newspaper.spread,
        0.04,
        DegradeSettings(
            binarized=0.2,
            grey=0.5,
            background=0.4,
            bleed_through=0.3,
            stains=0.1,
            curvature=0.2,
            neighbour=0.05,
        ),
    ),
    "article": Kind(
        "article",
        article.page,
        degradation=DegradeSettings(
            clean=0.4,
            binarized=0.1,
            grey=0.3,
            background=0.2,
            bleed_through=0.05,
            stains=0.03,
            curvature=0.1,
            shadow=0.1,
            neighbour=0.02,
            strength=0.5,
        ),
    ),
    "record": Kind(
        "record",
        records.page,
        records.spread,
        0.06,
        DegradeSettings(
            clean=0.08,
            binarized=0.35,
            grey=0.45,
            background=0.35,
            bleed_through=0.15,
            stains=0.08,
            curvature=0.15,
            shadow=0.25,
            neighbour=0.05,
            max_skew=2.5,
            strength=0.7,
        ),
    ),
    "nonpage": Kind(
        "nonpage",
        nonpages.page,
        degradation=DegradeSettings(
            binarized=0.25, background=0.5, bleed_through=0.0, curvature=0.1, neighbour=0.0, clutter=0.05
        ),
    ),
}
"""Kinds by name."""


def degradation_of(kind: object, settings: DegradeSettings) -> DegradeSettings:
    """Return how a page of a kind becomes a scan: the kind's own way, unless ``settings`` were changed."""
    known = KINDS.get(str(kind))
    return known.degradation if known is not None and settings == DegradeSettings() else settings


WORLDS: Mapping[str, Mapping[str, float]] = {
    "early-print": {"print": 0.78, "manuscript": 0.22},
    "catalogue": {"catalogue": 1.0},
    "newspaper": {"newspaper": 1.0},
    "article": {"article": 1.0},
    "record": {"record": 1.0},
    "nonpage": {"nonpage": 1.0},
    "all": {
        "print": 0.46,
        "manuscript": 0.16,
        "catalogue": 0.1,
        "newspaper": 0.05,
        "article": 0.09,
        "record": 0.11,
        "nonpage": 0.03,
    },
}
"""Share of each kind in each world."""

"""Pictures for the demo's page: the bytes of two models as areas, and quality against bytes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from seminar_common import plots
from seminar_common.demo_page import Shot
from seminar_common.results import Results

ROWS = 128
"""Rows of the timed call that is shown."""


@dataclass(frozen=True)
class Measured:
    """What a packed model costs and what it is worth."""

    kilobytes: float
    microseconds: float
    """Median time of a call that scores :data:`ROWS` rows."""
    auc: float

    @classmethod
    def of(cls, results: Results, model: str) -> "Measured":
        """Return the figures of a model in ``results``."""
        return cls(
            1000 * results.one(model=model, metric="packed_mb").value,
            results.one(model=model, metric="latency_us_p50", batch=ROWS).value,
            results.one(model=model, metric="roc_auc", split="test").value,
        )


_WIDTH, _HEIGHT, _SIDE, _BASE = 400, 250, 176.0, 184.0


def squares(*models: tuple[str, Measured]) -> Shot:
    """Return the named models side by side, each a square with an area like its bytes; the last one in colour."""
    largest = max(one.kilobytes for _, one in models)
    parts = []
    for number, (name, one) in enumerate(models):
        x, side = 4 + number * 208, _SIDE * math.sqrt(one.kilobytes / largest)
        colour = "var(--accent)" if number == len(models) - 1 else "var(--muted)"
        corner = f'x="{x}" y="{_BASE - side:.1f}" width="{side:.1f}" height="{side:.1f}"'
        parts.append(f'<rect {corner} rx="6" fill="{colour}"/>')
        parts.append(_text(f"{one.kilobytes:,.0f} kB, {name}", x, _BASE + 22, colour, 600))
        parts.append(_text(f"{one.microseconds:,.0f} \u00b5s for {ROWS} rows", x, _BASE + 42, "var(--ink)"))
        parts.append(_text(f"AUC {one.auc:.4f}", x, _BASE + 62, "var(--ink)"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
    told = ", ".join(f"{one.kilobytes:,.0f} kB {name}" for name, one in models)
    return Shot("".join([head, *parts, "</svg>"]).encode(), f"Bytes as areas: {told}.")


def _text(text: str, x: float, y: float, colour: str, weight: int = 400) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="15" font-weight="{weight}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'


def quality_against_bytes(results: Results, names: Mapping[str, str]) -> Shot:
    """Return a plot of ROC AUC against megabytes of the packed models in ``names``, on white."""
    points = []
    for row in results.rows:
        if row.metric == "packed_mb" and row.model in names:
            auc = results.one(model=row.model, metric="roc_auc", split="test")
            points.append(plots.Point(names[row.model], row.value, auc.value, auc.ci_low, auc.ci_high))
    drawn = plots.svg(plots.pareto(points, "Packed model (MB)", "ROC AUC"), "demo-quality-against-bytes")
    image = drawn.replace("<svg ", '<svg style="background: #ffffff" ', 1).encode()
    return Shot(image, "ROC AUC against bytes. Filled: no other model is both smaller and better.")

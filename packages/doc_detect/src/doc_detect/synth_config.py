"""Settings of the page generator."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DegradeSettings:
    """How a clean page becomes a scan; probabilities are of a page, strengths scale what is drawn at random."""

    long_side: int = 0
    """Longest side of the finished page in pixels; 0 keeps the scale of the ink."""
    binarized: float = 0.33
    """Share of pages that look like bitonal microfilm: white paper, black ink, dirt at the borders."""
    grey: float = 0.22
    """Share of pages without colour."""
    background: float = 0.65
    """Share of pages that lie on a visible background (white, black, grey) in place of filling the picture."""
    bleed_through: float = 0.45
    """Share of pages on which the back of the leaf shines through."""
    stains: float = 0.3
    """Share of pages with stains, foxing or damp."""
    curvature: float = 0.5
    """Share of pages that bend towards the gutter."""
    shadow: float = 0.5
    """Share of pages with the gutter's shadow and uneven light."""
    neighbour: float = 0.2
    """Share of single pages with a strip of the facing page at one edge."""
    max_skew: float = 2.0
    """Standard deviation of the rotation is a third of this, in degrees."""
    strength: float = 1.0
    """Multiplies blur, noise, fading, shadows and stains; 0 leaves geometry, paper and background."""

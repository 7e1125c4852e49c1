"""What a page is: where it comes from, and its pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from doc_detect.pages.iiif import Canvas

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class PageRef:
    """One page of one file."""

    path: Path
    number: int | None = None
    """Page in a PDF or multi-page TIFF, from 1; None where the file is one page."""
    canvas: Canvas | None = None
    """The canvas of a IIIF manifest that the file shows; boxes then count its pixels."""


@dataclass(frozen=True)
class ReadOptions:
    """How pages are read."""

    pdf_pixels: int = 2000
    """Longest side in pixels that a PDF's page counts as: PDFs have no pixels of their own."""
    max_megapixels: int = 256
    """Pages that would need more than this many million pixels decoded at once are refused."""


@dataclass(frozen=True)
class Page:
    """A decoded page, upright, in colour."""

    pixels: "np.ndarray"
    """RGB, uint8 of shape [h, w, 3], of the window; at most as large as it."""
    width: int
    """Width of the page in its own pixels, which boxes count."""
    height: int
    """Height of the page in its own pixels."""
    window: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2 of the part of the page that ``pixels`` shows, in its own pixels; None is all of it."""

    @property
    def window_side(self) -> float:
        """Longest side of what ``pixels`` shows, in the page's own pixels."""
        x1, y1, x2, y2 = self.window or (0, 0, self.width, self.height)
        return max(x2 - x1, y2 - y1)

    def on(self, canvas: Canvas | None) -> "Page":
        """Return the page with its own pixels counted as those of ``canvas``, where there is one that has a size."""
        return self if canvas is None or canvas.size is None else self.counting(canvas.size)

    def counting(self, size: tuple[int, int]) -> "Page":
        """Return the page as one of another ``size`` (width, height), whose pixels its boxes then count."""
        if size == (self.width, self.height):
            return self
        x, y = size[0] / self.width, size[1] / self.height
        x1, y1, x2, y2 = self.window or (0, 0, self.width, self.height)
        return Page(self.pixels, *size, (x1 * x, y1 * y, x2 * x, y2 * y))

    def to_own(self, boxes: "np.ndarray", seen: tuple[int, int]) -> "np.ndarray":
        """Return boxes [N, 4] (xyxy) on a picture of the window in the page's own pixels, cut at the picture's edges.

        Args:
            boxes: In pixels of the picture.
            seen: Its width and height.
        """
        import numpy as np

        scale, corner = self._place(seen)
        inside = boxes.clip(0, np.array(seen * 2, np.float32))
        return (inside * scale + corner).clip(0, np.array([self.width, self.height] * 2, np.float32))

    def to_seen(self, boxes: "np.ndarray") -> "np.ndarray":
        """Return boxes [N, 4] (xyxy) in the page's own pixels in those of ``pixels``, cut at their edges."""
        import numpy as np

        seen = self.pixels.shape[1::-1]
        scale, corner = self._place(seen)
        return ((boxes - corner) / scale).clip(0, np.array(seen * 2, np.float32))

    def _place(self, seen: tuple[int, int]) -> "tuple[np.ndarray, np.ndarray]":
        """Return the scale [4] and the corner [4] of the window for a picture of it of ``seen`` pixels."""
        import numpy as np

        x1, y1, x2, y2 = self.window or (0, 0, self.width, self.height)
        scale = np.array([(x2 - x1) / seen[0], (y2 - y1) / seen[1]] * 2, np.float32)
        return scale, np.array([x1, y1] * 2, np.float32)

"""Parts of a page, cut out of its pixels."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

XYXY = tuple[float, float, float, float]


class Sized(Protocol):
    """A page, of which its size is known."""

    @property
    def width(self) -> int:
        """Width in its own pixels, which regions count."""
        ...

    @property
    def height(self) -> int:
        """Height in its own pixels."""
        ...


def pad(region: XYXY, share: float, page: Sized) -> tuple[int, int, int, int]:
    """Return whole pixels round ``region``, wider by a share of the page's longer side, inside the page."""
    margin = share * max(page.width, page.height)
    x1, y1 = max(0, int(region[0] - margin)), max(0, int(region[1] - margin))
    x2 = min(page.width, -int(-(region[2] + margin) // 1))
    y2 = min(page.height, -int(-(region[3] + margin) // 1))
    return (x1, y1, x2, y2)


def cut(pixels: "np.ndarray", page: Sized, region: tuple[int, int, int, int]) -> "np.ndarray":
    """Return a region in ``page``'s pixels from its ``pixels`` [h, w, 3], which may be more or fewer, as of a PDF."""
    height, width = pixels.shape[:2]
    x, y = width / page.width, height / page.height
    # At least one pixel, also of a sliver at the edge of a page that was decoded smaller.
    x1, y1 = min(round(region[0] * x), width - 1), min(round(region[1] * y), height - 1)
    x2, y2 = max(round(region[2] * x), x1 + 1), max(round(region[3] * y), y1 + 1)
    return pixels[y1:y2, x1:x2]

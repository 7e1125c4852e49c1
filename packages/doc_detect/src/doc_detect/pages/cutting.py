"""Parts of a page, cut out of its pixels."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Size = tuple[int, int]
"""Width and height of a page in its own pixels, which regions count."""
XYXY = tuple[float, float, float, float]


def pad(region: XYXY, share: float, size: Size) -> tuple[int, int, int, int]:
    """Return whole pixels round ``region``, wider by a share of the page's longer side, inside the page."""
    margin = share * max(size)
    x1, y1 = (max(0, int(edge - margin)) for edge in region[:2])
    x2, y2 = (min(side, -int(-(edge + margin) // 1)) for edge, side in zip(region[2:], size, strict=True))
    return x1, y1, x2, y2


def cut(pixels: "np.ndarray", region: tuple[int, int, int, int], size: Size) -> "np.ndarray":
    """Return a region of a page.

    Args:
        pixels: The whole page, [h, w, 3]; they may be more or fewer than ``size``, as of a rendered PDF.
        region: xyxy in the page's own pixels.
        size: Width and height of the page in these.
    """
    height, width = pixels.shape[:2]
    x, y = width / size[0], height / size[1]
    # At least one pixel, also of a sliver at the edge of a page that was decoded smaller.
    x1, y1 = min(round(region[0] * x), width - 1), min(round(region[1] * y), height - 1)
    x2, y2 = max(round(region[2] * x), x1 + 1), max(round(region[3] * y), y1 + 1)
    return pixels[y1:y2, x1:x2]

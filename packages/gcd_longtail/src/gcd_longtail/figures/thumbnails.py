"""Small pictures of images, whole whatever their shape: a wide headpiece gets the area of a square one, not its side."""

import base64
import io
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gcd_longtail.images.sources.base import Source
from seminar_common.device import usable_cores
from seminar_common.images import BadImage, Encoded, read_image, shrink
from seminar_common.progress import progress

SIDE = 112
"""Side of a square thumbnail in pixels; others have about as many pixels."""
LONGEST = 320
"""Longest side of any thumbnail in pixels."""
_QUALITY = 55
_AHEAD = 64


def thumbnail(pixels: np.ndarray, side: int = SIDE, longest: int = LONGEST) -> bytes:
    """Return uint8 RGB [h, w, 3] as a small WebP; an image that is small already is not enlarged."""
    height, width = pixels.shape[:2]
    target = min(longest, round(side * math.sqrt(max(height, width) / min(height, width))))
    return encoded(shrink(pixels, target), _QUALITY)


def encoded(pixels: np.ndarray, quality: int) -> bytes:
    """Return uint8 RGB [h, w, 3] as a WebP."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "webp", quality=quality, method=1)
    return buffer.getvalue()


def of_file(source: Encoded | Path, side: int = SIDE, longest: int = LONGEST) -> bytes:
    """Return the thumbnail of an image file.

    Raises:
        BadImage: it can't be read.
    """
    return thumbnail(read_image(source, longest=longest).pixels, side, longest)


def of_source(source: Source, numbers: Sequence[int]) -> Iterator[str]:
    """Yield the thumbnail of each image of ``source`` as base64, in order; empty for one that can't be read any more.

    Files are decoded in threads, no larger than is needed, and few at a time.
    """
    with ThreadPoolExecutor(usable_cores()) as pool, progress("thumbnails", len(numbers)) as advance:
        for start in range(0, len(numbers), _AHEAD):
            for picture in pool.map(lambda number: _base64(source, number), numbers[start : start + _AHEAD]):
                yield picture
                advance()


def _base64(source: Source, number: int) -> str:
    try:
        data = source.read(number)
        stored_as_file = type(source).decode is Source.decode
        picture = of_file(data) if stored_as_file else thumbnail(np.asarray(source.decode(data)))
    except BadImage:
        return ""
    return base64.b64encode(picture).decode("ascii")

"""Small pictures that stand in an HTML page."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from doc_detect.pages import PageRef, read_page
from seminar_common.images import shrink

if TYPE_CHECKING:
    import numpy as np


def thumbnail(image: "Path | PageRef | np.ndarray", longest: int) -> str:
    """Return a page as a WebP in base64.

    Args:
        image: Its file, or its pixels: uint8 [h, w, 3], RGB, of any size.
        longest: Longest side in pixels; a smaller page stays as it is.

    Raises:
        BadPage: the file can't be read.
    """
    from PIL import Image

    ref = PageRef(image) if isinstance(image, Path) else image
    pixels = read_page(ref, longest).pixels if isinstance(ref, PageRef) else shrink(ref, longest)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "webp", quality=50, method=1)
    return base64.b64encode(buffer.getvalue()).decode("ascii")

"""Pages from pictures that are in memory: what a program has opened or computed itself."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from doc_detect.pages.page import Page, PageRef
from doc_detect.pages.trim import look_closer
from seminar_common.images import BadImage, in_colour, one_line_errors, shrink, upright
from seminar_common.samples import to_array

Picture = Image.Image | np.ndarray
"""A Pillow image of any mode, or an array that :func:`pixels_of` takes."""

_ORIENTATION = 274
_COLOURS = (3, 4)
_EXPECTED = "a picture is [height, width], or [height, width, 3] in RGB, of uint8, uint16 or bool"


def file_behind(picture: Picture) -> PageRef | None:
    """Return the file that a Pillow image shows as it is, where no pixel of it was decoded yet.

    Read from there a large JPEG is decoded smaller, which is faster, and has the bits that `predict` sees.
    """
    untouched = isinstance(picture, ImageFile.ImageFile) and picture.tile and picture.filename
    if not untouched:
        return None
    path = Path(os.fsdecode(picture.filename))
    try:
        with Image.open(path) as fresh:
            fresh.seek(picture.tell())
            if (fresh.size, fresh.mode) != (picture.size, picture.mode):  # told to decode smaller
                return None
    except (OSError, EOFError):  # gone, or another file by now
        return None
    paged = picture.format == "TIFF" and getattr(picture, "n_frames", 1) > 1
    if picture.tell() and not paged:
        return None
    return PageRef(path, picture.tell() + 1 if paged else None)


def page_in_memory(picture: Picture, longest: int, *, trim: bool) -> Page:
    """Return a picture as a detector sees a file of the same pixels.

    Args:
        picture: See :func:`pixels_of`.
        longest: Longest side in pixels that the detector looks at.
        trim: Whether uniform margins are cut off first.

    Raises:
        BadImage: the picture is broken, empty, or an array of another kind.
    """
    pixels, orientation = _decoded(picture)
    height, width = pixels.shape[:2]
    if 5 <= orientation <= 8:  # on its side
        height, width = width, height

    def make(side: int) -> np.ndarray:
        return in_colour(upright(shrink(pixels, side), orientation))

    if not trim:
        return Page(make(longest), width, height)
    seen, (x1, y1, x2, y2) = look_closer(make, longest)
    return Page(seen, width, height, (x1 * width, y1 * height, x2 * width, y2 * height))


def pixels_of(picture: Picture) -> np.ndarray:
    """Return all pixels of a picture, upright by its EXIF, as RGB: uint8 [h, w, 3].

    An array is [h, w] or [h, w, 1] in grey, [h, w, 3] in RGB or [h, w, 4] in RGB with opacity, of uint8, uint16 or
    bool. 16 bits are scaled as in files: by the smallest usual full scale that holds the largest value.

    Raises:
        BadImage: the picture is broken, empty, or an array of another kind.
    """
    pixels, orientation = _decoded(picture)
    return in_colour(upright(pixels, orientation))


def _decoded(picture: Picture) -> tuple[np.ndarray, int]:
    """Return pixels, uint8 [h, w] or [h, w, 3], and the EXIF orientation that they still are to be turned by."""
    if isinstance(picture, np.ndarray):
        return _array_in_8_bits(picture), 1
    with one_line_errors():
        picture.load()  # a TIFF is turned by this
        pixels, orientation = to_array(picture), int(picture.getexif().get(_ORIENTATION, 1))
    return _not_empty(pixels), orientation


def _array_in_8_bits(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    right_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _COLOURS)
    if not right_shape or array.dtype.newbyteorder("=") not in (np.uint8, np.uint16, np.bool_):
        raise BadImage(f"an array of {array.dtype} and shape {array.shape}: {_EXPECTED}")
    _not_empty(array)
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype != np.uint8:
        flat = np.ascontiguousarray(array, np.uint16).reshape(
            len(array), -1
        )  # Pillow has no colours of 16 bits
        array = to_array(Image.fromarray(flat)).reshape(array.shape)
    return to_array(Image.fromarray(array)) if array.shape[2:] == (4,) else array


def _not_empty(pixels: np.ndarray) -> np.ndarray:
    if not pixels.size:
        raise BadImage("a picture without pixels")
    return pixels

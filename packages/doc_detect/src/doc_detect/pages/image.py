"""Pages of image files, decoded no larger than needed."""

import contextlib
import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from doc_detect.pages.page import BadPage, Page, ReadOptions
from doc_detect.pages.pixels import in_colour, shrink, to_array, upright

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 274
_NEW_SUBFILE_TYPE = 254
_ON_ITS_SIDE = (5, 6, 7, 8)
_NOT_A_PAGE = 0b101  # a reduced-resolution copy or a transparency mask (TIFF 6.0, page 36)

# Large pages are decoded one at a time, so that memory does not grow with the number of threads.
_large = threading.Lock()
_LARGE_PIXELS = 40_000_000
_JPEG_LEVELS = 3
"""A JPEG can be decoded at a half, a quarter or an eighth."""


def tiff_pages(path: Path) -> list[int]:
    """Return the frames (from 0) of a TIFF that are pages, without previews and masks of other frames."""
    pages = []
    with _open(path) as image:
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            if not _is_derived(image):
                pages.append(frame)
    return pages or [0]


def _is_derived(image: "Image.Image") -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & _NOT_A_PAGE)


def read_image(path: Path, frame: int, longest: int | None, options: ReadOptions) -> Page:
    """Decode one frame to RGB of 8 bits, upright by its EXIF, its longest side at most ``longest`` pixels.

    Raises:
        BadPage: too many pixels for ``options.max_megapixels``, where the format can't be decoded smaller.
        Exception: whatever the decoder raises on a broken file.
    """
    with _open(path) as image:
        if frame:
            image.seek(frame)
        width, height = image.size
        if not width or not height:
            raise BadPage("an image without pixels")
        _decode_smaller(image, path, longest, options.max_megapixels * 1_000_000)
        with _large if width * height > _LARGE_PIXELS else contextlib.nullcontext():
            size = image.size
            image.load()
            pixels = to_array(image)
            pixels = shrink(pixels, longest) if longest else pixels
        orientation = int(image.getexif().get(_ORIENTATION, 1))
        on_its_side = orientation in _ON_ITS_SIDE or image.size != size  # Pillow turns TIFFs as it loads them
    if on_its_side:
        width, height = height, width
    return Page(in_colour(upright(pixels, orientation)), width, height)


def extract_frame(path: Path, number: int, target: Path) -> None:
    """Write page ``number`` (from 1) of a TIFF to a TIFF of its own, without loss."""
    with _open(path) as image:
        image.seek(number - 1)
        compression = image.info.get("compression")
        kept = compression in ("group4", "tiff_lzw")
        image.save(target, compression=compression if kept else "tiff_adobe_deflate")


def _open(path: Path) -> "Image.Image":
    """Open an image without Pillow's limit on pixels: ours is checked once a smaller decoding is chosen."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    return Image.open(path)


def _decode_smaller(image: "Image.Image", path: Path, longest: int | None, most_pixels: int) -> None:
    """Tell the decoder how much smaller the pixels may come: to ``longest``, and to ``most_pixels`` where it must."""
    width, height = image.size
    levels = _levels(max(width, height), longest, (width * height / most_pixels) ** 0.5)
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (width >> min(levels, _JPEG_LEVELS), height >> min(levels, _JPEG_LEVELS)))
    elif image.format == "JPEG2000":
        _reduce_jpeg2000(image, min(levels, _resolution_levels(path)))
    width, height = image.size
    if width * height > most_pixels:
        raise BadPage(
            f"{width} x {height} pixels, over the limit of {most_pixels // 1_000_000} megapixels; "
            "raise --max-megapixels where the memory allows it, or save it as JPEG, JPEG 2000 or smaller"
        )


def _levels(side: int, longest: int | None, excess: float) -> int:
    """Return how often to halve a page whose longer side is ``side``: while it is no smaller than ``longest``.

    But at least so often that ``excess``, by which each side is over the limit on pixels, is gone.
    """
    wanted = 0 if longest is None else max(0, (side // longest).bit_length() - 1)
    return max(wanted, math.ceil(math.log2(max(1.0, excess))))


def _reduce_jpeg2000(image: "Image.Image", levels: int) -> None:
    """Have a JPEG 2000 decoded at a lower resolution level, each of half the size, rounded up.

    Pillow's own ``image.reduce = levels`` rounds to the nearest size and then fails on every other image.
    """
    from PIL import ImageFile

    codec, _, layers, *rest = image.tile[0].args  # ty: ignore[missing-attribute]
    width, height = (-(-side >> levels) for side in image.size)
    image._size = (width, height)
    tile = ImageFile._Tile("jpeg2k", (0, 0, width, height), 0, (codec, levels, layers, *rest))
    image.tile = [tile]  # ty: ignore[missing-attribute]


def _resolution_levels(path: Path) -> int:
    """Return how often the size of a JPEG 2000 can be halved in decoding (ISO 15444-1, A.6.1: marker COD)."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    at = head.find(b"\xff\x4f\xff\x51") + 2
    while at >= 2 and at + 10 <= len(head) and head[at] == 0xFF:
        if head[at + 1] == 0x52:
            return head[at + 9]
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return 0

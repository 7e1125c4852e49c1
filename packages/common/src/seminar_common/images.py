"""Image files of any usual kind to upright RGB of 8 bits, decoded no larger than needed.

EXIF orientation, 1 to 16 bits and floats, CMYK, palettes, transparency (tRNS too), JPEG 2000 at a lower resolution
level, TIFFs of several pages. Whatever is wrong with a file ends in a :class:`BadImage` with one line that says why.
"""

import contextlib
import io
import math
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Encoded = Path | bytes
"""An image file: its path, or its bytes."""

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .tif .tiff .jp2 .j2k .jpx .jpf .j2c .webp .bmp .gif .ppm .pgm .pbm .pnm".split()
)
"""Endings of image files, in lower case, that are taken from a folder."""

_ORIENTATION = 274
_NEW_SUBFILE_TYPE = 254
_ON_ITS_SIDE = (5, 6, 7, 8)
_NOT_A_PAGE = 0b101  # a reduced-resolution copy or a transparency mask (TIFF 6.0, page 36)

# Large pages are decoded one at a time, so that memory does not grow with the number of threads.
_large = threading.Lock()
_limits_lock = threading.Lock()
_limits: list[int | None] = []
"""Pillow's limit as each thread found it that has lifted it; the first found the one to give back."""
_LARGE_PIXELS = 40_000_000
_JPEG_LEVELS = 3
"""A JPEG can be decoded at a half, a quarter or an eighth."""

_FULL_SCALES = (1, 255, 1023, 4095, 65535)
"""Largest values of usual scans: floats to 1, then 8, 10, 12 and 16 bits."""

_UPRIGHT = {
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}
"""EXIF orientation: quarter turns against the clock, then whether to mirror left and right (EXIF 2.3, tag 274)."""


class BadImage(Exception):
    """An image that can't be read; the message is one line for ``failures.csv``."""

    def __init__(self, reason: str):
        super().__init__(" ".join(reason.split()))


@dataclass(frozen=True)
class Decoded:
    """A decoded image."""

    pixels: np.ndarray
    """RGB, uint8 of shape [h, w, 3]."""
    width: int
    """Width of the upright image in the file, which may be larger than what was decoded."""
    height: int
    """Height of the upright image in the file."""


def tiff_pages(source: Encoded) -> list[int]:
    """Return the frames (from 0) of a TIFF that are pages, without previews and masks of other frames."""
    pages = []
    with open_image(source) as image:
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            if not _is_derived(image):
                pages.append(frame)
    return pages or [0]


def _is_derived(image: "Image.Image") -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & _NOT_A_PAGE)


def read_image(
    source: Encoded, *, frame: int = 0, longest: int | None = None, max_megapixels: int = 256
) -> Decoded:
    """Decode one frame to RGB of 8 bits, upright by its EXIF.

    Args:
        source: The file or its bytes.
        frame: Which frame of a file with several, from 0.
        longest: Longest side in pixels that is needed; None for all there are. A smaller image is not enlarged.
        max_megapixels: Most million pixels to decode at once.

    Raises:
        BadImage: it is broken, or has too many pixels and can't be decoded smaller.
    """
    with one_line_errors():
        return _read(source, frame, longest, max_megapixels * 1_000_000)


def _read(source: Encoded, frame: int, longest: int | None, most_pixels: int) -> Decoded:
    check_not_empty(source)
    with open_image(source) as image:
        if frame:
            image.seek(frame)
        width, height = image.size
        if not width or not height:
            raise BadImage("an image without pixels")
        _decode_smaller(image, source, longest, most_pixels)
        with _large if width * height > _LARGE_PIXELS else contextlib.nullcontext():
            size = image.size
            image.load()
            pixels = to_array(image)
            pixels = shrink(pixels, longest) if longest else pixels
        orientation = int(image.getexif().get(_ORIENTATION, 1))
        on_its_side = orientation in _ON_ITS_SIDE or image.size != size  # Pillow turns TIFFs as it loads them
    if on_its_side:
        width, height = height, width
    return Decoded(in_colour(upright(pixels, orientation)), width, height)


def check_not_empty(source: Encoded) -> None:
    """Raise BadImage if the file has no bytes, and OSError if it is not there."""
    if not (source.stat().st_size if isinstance(source, Path) else len(source)):
        raise BadImage("the file is empty (0 bytes)")


@contextlib.contextmanager
def open_image(source: Encoded) -> Generator["Image.Image"]:
    """Open an image for the block, without Pillow's limit on pixels: ours is checked once a smaller decoding is chosen.

    Pillow holds each frame that is opened, sought or loaded against its limit.
    """
    from PIL import Image

    with _without_limit(), Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
        yield image


@contextlib.contextmanager
def _without_limit() -> Generator[None]:
    """Lift the limit, which is the whole process's, while any thread needs it; others find it as it was."""
    from PIL import Image

    with _limits_lock:
        _limits.append(Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        with _limits_lock:
            if len(_limits) == 1:
                Image.MAX_IMAGE_PIXELS = _limits[0]
            _limits.pop()


def _decode_smaller(image: "Image.Image", source: Encoded, longest: int | None, most_pixels: int) -> None:
    """Tell the decoder how much smaller the pixels may come: to ``longest``, and to ``most_pixels`` where it must."""
    width, height = image.size
    levels = _levels(max(width, height), longest, (width * height / most_pixels) ** 0.5)
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (width >> min(levels, _JPEG_LEVELS), height >> min(levels, _JPEG_LEVELS)))
    elif image.format == "JPEG2000":
        _reduce_jpeg2000(image, min(levels, _resolution_levels(source)))
    width, height = image.size
    if width * height > most_pixels:
        raise BadImage(
            f"{width} x {height} pixels, over the limit of {most_pixels // 1_000_000} megapixels; save it as JPEG, "
            "JPEG 2000 or smaller, or raise --max-megapixels where the command has it and the memory allows it"
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


def _resolution_levels(source: Encoded) -> int:
    """Return how often the size of a JPEG 2000 can be halved in decoding (ISO 15444-1, A.6.1: marker COD)."""
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
        head = file.read(1 << 16)
    at = head.find(b"\xff\x4f\xff\x51") + 2
    while at >= 2 and at + 10 <= len(head) and head[at] == 0xFF:
        if head[at + 1] == 0x52:
            return head[at + 9]
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return 0


def to_array(image: "Image.Image") -> np.ndarray:
    """Return an image of any mode as uint8 [h, w] (grey) or [h, w, 3] (RGB); what is transparent becomes white."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        return np.where(values == image.info.get("transparency"), np.uint8(255), _to_8_bits(values))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    if image.mode in ("L", "RGB"):
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB"))


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scale by the smallest usual full scale that holds the largest value: 12-bit scans come in 16-bit files."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values)
    largest = float(values.max(initial=0))
    scales = _FULL_SCALES if values.dtype.kind == "f" else _FULL_SCALES[1:]
    full = next((scale for scale in scales if largest <= scale), largest)
    if values.dtype == np.uint16:  # by table: a tenth of the time
        return (np.arange(65536).clip(0, full) * (255 / full) + 0.5).astype(np.uint8)[values]
    return (values.clip(0) * (255 / full) + 0.5).astype(np.uint8)


def _on_white(image: "Image.Image") -> np.ndarray:
    from PIL import Image

    rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    paper.alpha_composite(rgba)
    return np.asarray(paper.convert("RGB"))


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels as the EXIF ``orientation`` (1 to 8) asks; other values change nothing."""
    turns, mirror = _UPRIGHT.get(orientation, (0, False))
    turned = np.rot90(pixels, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirror else turned)


def shrink(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Resize down to a longest side of ``longest``; smaller ones stay as they are."""
    return pixels if max(pixels.shape[:2]) <= longest else resize(pixels, longest)


def resize(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Resize to a longest side of ``longest``, by the filter that detectors are trained with.

    That is bilinear with antialiasing; very large pages are averaged to three times the size first.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))


def in_colour(pixels: np.ndarray) -> np.ndarray:
    """Return [h, w, 3] from grey [h, w] or colour."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


@contextlib.contextmanager
def one_line_errors() -> Generator[None]:
    """Turn whatever a decoder raises on a broken file (they raise nearly anything) into a BadImage."""
    try:
        yield
    except BadImage:
        raise
    except Exception as error:
        raise BadImage(_reason(error)) from error


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it; lower --workers or --max-megapixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"corrupt or truncated ({error or type(error).__name__})"

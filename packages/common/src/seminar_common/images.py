"""Image files of any usual kind to upright RGB of 8 bits, decoded no larger than needed.

EXIF orientation, 1 to 32 bits, signed and floats, CMYK, palettes, transparency (tRNS too), JPEG 2000 at a lower
resolution level, TIFFs of several pages. The content of a file says what it is, not its name. Whatever is wrong with
one ends in a :class:`BadImage` with one line that says why.
"""

import contextlib
import io
import logging
import math
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seminar_common import tiff
from seminar_common.file_kinds import HEIC, KINDS, PDF, TIFF, FileKind, heic_is_readable, kind_of
from seminar_common.samples import in_8_bits, is_mixed_up, stored_mode, with_lower_bytes

if TYPE_CHECKING:
    from PIL import Image

# Pillow logs what it raises, too; without a handler of the program's own it would go to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())

PIXEL_CODE = tuple(f"seminar_common.{name}" for name in ("images", "samples", "tiff", "file_kinds"))
"""What decides which pixels an image has: modules for :func:`seminar_common.identity.code_digest`."""

Encoded = Path | bytes
"""An image file: its path, or its bytes."""

SUFFIXES = frozenset(
    suffix for kind in KINDS if kind.readable and kind not in (PDF, HEIC) for suffix in kind.suffixes
)
"""Endings of image files, in lower case, that are taken from a folder."""

_ORIENTATION = 274
_ON_ITS_SIDE = (5, 6, 7, 8)

# Large pages are decoded one at a time, so that memory does not grow with the number of threads.
_large = threading.Lock()
_limits_lock = threading.Lock()
_limits: list[int | None] = []
"""Pillow's limit as each thread found it that has lifted it; the first found the one to give back."""
_LARGE_PIXELS = 40_000_000
_JPEG_LEVELS = 3
"""A JPEG can be decoded at a half, a quarter or an eighth."""

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


@dataclass(frozen=True)
class Loaded:
    """An image as it came from the decoder, to be had at several sizes without decoding it again."""

    _stored: "Image.Image"
    """Grey or RGB of 8 bits, as it lies in the file. It stays Pillow's: copies to and from arrays take a third of the time."""
    _orientation: int
    _whole: bool
    """Whether these are all the pixels in the file."""
    width: int
    """Width of the upright image in the file."""
    height: int
    """Height of the upright image in the file."""

    def holds(self, longest: int) -> bool:
        """Say whether there are pixels enough for a longest side of ``longest``."""
        return self._whole or longest <= max(self._stored.size)

    def at(self, longest: int | None) -> Decoded:
        """Return it upright in colour, with a longest side of at most ``longest`` pixels."""
        smaller = longest is not None and max(self._stored.size) > longest
        pixels = np.asarray(_resized(self._stored, longest) if smaller else self._stored)
        return Decoded(in_colour(upright(pixels, self._orientation)), self.width, self.height)


def tiff_pages(source: Encoded) -> list[int]:
    """Return the frames (from 0) of a TIFF that are pages, without previews and masks of other frames.

    Raises:
        OSError: the file can't be opened.
        ValueError: it is no TIFF.
    """
    pages = [number for number, frame in enumerate(tiff.frames(source)) if not frame.derived]
    return pages or [0]


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
    with _ready(source, frame, longest, max_megapixels * 1_000_000) as (image, size):
        return _load(image, size, source, frame).at(longest)


def load_image(source: Encoded, *, frame: int, longest: int, max_megapixels: int) -> Loaded:
    """Decode one frame as :func:`read_image` does, and keep what the decoder gave, which may be much larger.

    Raises:
        BadImage: as :func:`read_image`.
    """
    with _ready(source, frame, longest, max_megapixels * 1_000_000) as (image, size):
        return _load(image, size, source, frame)


@contextlib.contextmanager
def _ready(
    source: Encoded, frame: int, longest: int | None, most_pixels: int
) -> Generator[tuple["Image.Image", tuple[int, int]]]:
    """Open an image whose pixels can be loaded, with its width and height in the file.

    Large ones wait for each other until the block ends.
    """
    with one_line_errors():
        check_not_empty(source)
        with open_image(source, frame) as image:
            width, height = image.size
            if not width or not height:
                raise BadImage("an image without pixels")
            _decode_smaller(image, source, longest, most_pixels)
            with _large if width * height > _LARGE_PIXELS else contextlib.nullcontext():
                yield image, (width, height)


def _load(image: "Image.Image", full: tuple[int, int], source: Encoded, frame: int) -> Loaded:
    if is_mixed_up(image):
        raise BadImage("16-bit colours in planes of their own; save it with the colours of a pixel together")
    size, whole, stored = image.size, image.size == full, stored_mode(image)
    picture = in_8_bits(image)
    if stored.startswith("RGB;16") and 0 < np.max(picture.getextrema()) < 16:
        with open_image(source, frame) as again:
            picture = with_lower_bytes(picture, again)
    orientation = int(image.getexif().get(_ORIENTATION, 1))
    on_its_side = orientation in _ON_ITS_SIDE or image.size != size  # Pillow turns TIFFs as it loads them
    width, height = reversed(full) if on_its_side else full
    return Loaded(picture, orientation, whole, width, height)


def check_not_empty(source: Encoded) -> None:
    """Raise BadImage if the file has no bytes, and OSError if it is not there."""
    if not (source.stat().st_size if isinstance(source, Path) else len(source)):
        raise BadImage("the file is empty (0 bytes)")


@contextlib.contextmanager
def open_image(source: Encoded, frame: int = 0) -> Generator["Image.Image"]:
    """Open a frame for the block, without Pillow's limit on pixels: ours is checked once a smaller decoding is chosen.

    Pillow holds each frame that is opened, sought or loaded against its limit.

    Raises:
        BadImage: it is of a kind that can't be read.
    """
    from PIL import Image, UnidentifiedImageError

    kind = kind_of(source)
    _check_readable(kind)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_without_limit())
        file = source if isinstance(source, Path) else io.BytesIO(source)
        if kind is TIFF:
            tiff.silence_libtiff()
            if frame:
                file = stack.enter_context(tiff.opened_at(source, _offset(source, frame)))
        try:
            image = stack.enter_context(Image.open(file))
        except UnidentifiedImageError as error:
            raise BadImage(_unknown(kind)) from error
        if kind is not TIFF and frame:
            image.seek(frame)
        yield image


def _offset(source: Encoded, frame: int) -> int:
    known = tiff.frames(source)
    if frame >= len(known):
        raise BadImage(f"there is no page {frame + 1} in it; it has {len(known)}")
    return known[frame].offset


def _check_readable(kind: FileKind | None) -> None:
    if kind is PDF:
        raise BadImage("a PDF, no image")
    if kind is HEIC and not heic_is_readable():
        raise BadImage("a HEIC image; `pip install pi-heif` makes it readable")
    if kind is not None and not kind.readable:
        raise BadImage(f"{kind.name}: {kind.way_out}")


def _unknown(kind: FileKind | None) -> str:
    if kind is None:
        return "not an image in a known format"
    return f"a broken {kind.name}, or one of a rare kind; save it again with 8 bits a sample"


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
    if _size((width, height), longest) == (width, height):
        return pixels
    return np.asarray(_resized(Image.fromarray(pixels), longest))


def _resized(image: "Image.Image", longest: int) -> "Image.Image":
    from PIL import Image

    return image.resize(_size(image.size, longest), Image.Resampling.BILINEAR, reducing_gap=3.0)


def _size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return width and height that ``size`` has with a longest side of ``longest``."""
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


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
    rare = ", or of a compression that is not known here" if "decoder error" in str(error) else ""
    return f"corrupt or truncated{rare} ({error or type(error).__name__})"

"""What the samples of an image mean: any mode of Pillow's as grey or RGB of 8 bits, what is transparent as white.

Pillow gives samples of more than 8 bits, and the transparent colour of a PNG, as they are stored.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339  # tags (TIFF 6.0)
_MIN_IS_WHITE, _UNSIGNED, _SIGNED, _APART = 0, 1, 2, 2

_FULL_SCALES = (255, 1023, 4095, 65535)
"""Largest values of usual scans: 8, 10, 12 and 16 bits."""


def to_array(image: "Image.Image") -> np.ndarray:
    """Return an image of any mode as uint8 [h, w] (grey) or [h, w, 3] (RGB); what is transparent becomes white."""
    return np.asarray(in_8_bits(image))


def in_8_bits(image: "Image.Image") -> "Image.Image":
    """Load an image of any mode as grey or RGB of 8 bits; what is transparent becomes white."""
    from PIL import Image

    stored = stored_mode(image)
    image.load()
    if image.mode.startswith(("I", "F")):
        values, seen_through = _samples(image), image.info.get("transparency")
        return Image.fromarray(np.where(np.asarray(image) == seen_through, np.uint8(255), values))
    if "transparency" in image.info:
        image.info["transparency"] = _as_shown(image.info["transparency"], stored)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    if _sample_format(image) == _SIGNED:
        return Image.fromarray(np.asarray(image) ^ np.uint8(128))
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _as_shown(transparent: Any, stored: str) -> Any:
    """Return the transparent colour of a PNG in the 8 bits that Pillow makes of others; it leaves it as stored."""
    if stored in ("L;2", "L;4"):
        return transparent * (85 if stored == "L;2" else 17)
    return tuple(value >> 8 for value in transparent) if stored.startswith("RGB;16") else transparent


def stored_mode(image: "Image.Image") -> str:
    """Return how samples are stored, in Pillow's words; empty where it keeps that to itself."""
    args = getattr(image, "tile", None) and image.tile[0].args  # ty: ignore[missing-attribute]
    mode = args if isinstance(args, str) else args and args[0]
    return mode if isinstance(mode, str) else ""


def with_lower_bytes(upper: "Image.Image", image: "Image.Image") -> "Image.Image":
    """Return colours of 10 or 12 bits in 16 as of 8: Pillow keeps the upper byte, where they have next to nothing.

    The lower one comes with the two bytes taken the other way round.

    Args:
        upper: What Pillow makes of the file.
        image: The same file, opened again and not loaded.
    """
    from PIL import Image

    image.tile = [tile._replace(args=_swapped(tile.args)) for tile in image.tile]  # ty: ignore
    values = np.asarray(upper).astype(np.uint16) << 8 | np.asarray(image)
    return Image.fromarray(_to_8_bits(values, 0))


def _swapped(args: str | tuple[Any, ...]) -> str | tuple[Any, ...]:
    """Return a tile's arguments with the bytes of its samples in the other order: L is little, B big, N the machine's."""
    mode = args if isinstance(args, str) else args[0]
    order = mode[-1] if mode[-1] in "LB" else sys.byteorder[0].upper()
    other = mode[:-1] + ("B" if order == "L" else "L")
    return other if isinstance(args, str) else (other, *args[1:])


def is_mixed_up(image: "Image.Image") -> bool:
    """Say whether Pillow would take planes of 16 bits for planes of 8."""
    tags = _tags(image)
    return tags.get(_PLANAR) == _APART and max(tags.get(_BITS, (8,))) > 8


def _sample_format(image: "Image.Image") -> int:
    return int(_tags(image).get(_SAMPLE_FORMAT, (_UNSIGNED,))[0])


def _tags(image: "Image.Image") -> Mapping[int, Any]:
    """Return the tags of a TIFF, none of another file."""
    return getattr(image, "tag_v2", {})


def _samples(image: "Image.Image") -> np.ndarray:
    """Return samples of more than 8 bits as uint8; Pillow gives them as stored, whatever the TIFF says of them."""
    values, tags = np.asarray(image), _tags(image)
    bits = tags.get(_BITS, (0,))[0]
    signed = _sample_format(image) == _SIGNED
    if values.dtype == np.int32 and bits == 32 and not signed:
        values = values.view(np.uint32)
    shown = _to_8_bits(values, 1 << (bits - 1) if signed and bits else 0)
    return 255 - shown if tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE else shown


def _to_8_bits(values: np.ndarray, half: int) -> np.ndarray:
    """Scale by the smallest usual full scale that holds the largest value: 12-bit scans come in 16-bit files.

    Args:
        values: Numbers; floats are of 0 to 1 or count as integers do.
        half: How many values are below zero in integers with a sign, 0 in those without; if any is in use, black is
            the lowest.
    """
    if values.dtype.kind == "f":
        values = _finite(values)
    elif half and values.size and values.min() < 0:
        return ((values.astype(np.float64) + half) * (255 / (2 * half - 1)) + 0.5).astype(np.uint8)
    full = _full_scale(values, half)
    if values.dtype == np.uint16:  # by table: a tenth of the time
        return (np.arange(65536).clip(0, full) * (255 / full) + 0.5).astype(np.uint8)[values]
    return (values.clip(0) * (255 / full) + 0.5).astype(np.uint8)


def _finite(values: np.ndarray) -> np.ndarray:
    """Return floats with the largest and smallest number there is in place of the infinite, and 0 for what is none."""
    real = values[np.isfinite(values)]
    if real.size == values.size:
        return values
    return np.nan_to_num(values, posinf=real.max(initial=0), neginf=real.min(initial=0))


def _full_scale(values: np.ndarray, half: int) -> float:
    largest = float(values.max(initial=0))
    scales = (1, *_FULL_SCALES) if values.dtype.kind == "f" else _FULL_SCALES
    if half == 1 << 15:
        scales = (*_FULL_SCALES[:-1], half - 1)
    if largest <= scales[-1]:
        return next(scale for scale in scales if largest <= scale)
    return largest if values.dtype.kind == "f" else 2 ** int(largest).bit_length() - 1


def _on_white(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if image.mode == "La":  # Pillow turns it into nothing else
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    paper.alpha_composite(rgba)
    return paper.convert("RGB")

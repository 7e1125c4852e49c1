"""From whatever an image file holds to RGB of 8 bits."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

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


def to_array(image: "Image.Image") -> "np.ndarray":
    """Return an image of any mode as uint8 [h, w] (grey) or [h, w, 3] (RGB); what is transparent becomes white."""
    import numpy as np

    if image.mode in ("L", "RGB"):
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode.startswith(("I", "F")):
        return _to_8_bits(np.asarray(image))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    return np.asarray(image.convert("RGB"))


def _to_8_bits(values: "np.ndarray") -> "np.ndarray":
    """Scale by the smallest usual full scale that holds the largest value: 12-bit scans come in 16-bit files."""
    import numpy as np

    if values.dtype.kind == "f":
        values = np.nan_to_num(values)
    largest = float(values.max(initial=0))
    scales = _FULL_SCALES if values.dtype.kind == "f" else _FULL_SCALES[1:]
    full = next((scale for scale in scales if largest <= scale), largest)
    if values.dtype == np.uint16:  # by table: a tenth of the time
        return (np.arange(65536).clip(0, full) * (255 / full) + 0.5).astype(np.uint8)[values]
    return (values.clip(0) * (255 / full) + 0.5).astype(np.uint8)


def _on_white(image: "Image.Image") -> "np.ndarray":
    import numpy as np
    from PIL import Image

    rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    paper.alpha_composite(rgba)
    return np.asarray(paper.convert("RGB"))


def upright(pixels: "np.ndarray", orientation: int) -> "np.ndarray":
    """Turn pixels as the EXIF ``orientation`` (1 to 8) asks; other values change nothing."""
    import numpy as np

    turns, mirror = _UPRIGHT.get(orientation, (0, False))
    turned = np.rot90(pixels, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirror else turned)


def shrink(pixels: "np.ndarray", longest: int) -> "np.ndarray":
    """Resize down to a longest side of ``longest``; smaller ones stay as they are."""
    return pixels if max(pixels.shape[:2]) <= longest else resize(pixels, longest)


def resize(pixels: "np.ndarray", longest: int) -> "np.ndarray":
    """Resize to a longest side of ``longest``, by the filter that detectors are trained with.

    That is bilinear with antialiasing; very large pages are averaged to three times the size first.
    """
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))


def in_colour(pixels: "np.ndarray") -> "np.ndarray":
    """Return [h, w, 3] from grey [h, w] or colour."""
    import numpy as np

    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels

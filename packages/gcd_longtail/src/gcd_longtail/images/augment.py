"""Views of an image: the plain one, and augmented ones that depend on the image and the view's number alone."""

from typing import TYPE_CHECKING

import numpy as np

from gcd_longtail.settings.commands import Fit
from seminar_common.seeds import numpy_generator

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


def view(image: "Image", size: int, number: int, digest: str, fit: Fit = "crop") -> np.ndarray:
    """Return a view of ``image``, uint8 [size, size, 3].

    Args:
        image: RGB, of any size.
        size: side of the view in pixels.
        number: 0 for the plain view, the whole square; 1 and more for augmented ones, a part of it.
        digest: the image's hash, the seed of its augmentations: the same image has the same view 3 everywhere.
        fit: how the image becomes a square: the centre of the longer side, the whole squashed, or the whole with a margin
            of the colour of its border. An augmented view of a cropped image may be of any part of it.
    """
    if fit == "pad":
        image = _padded(image, size if number == 0 else 2 * size)
    if number == 0:
        return np.asarray(
            _scaled(image, size, (0, 0, *image.size) if fit == "squash" else _centre(image.size))
        )
    generator = numpy_generator(number, "view", digest)
    box = _squashed_crop(image.size, generator) if fit == "squash" else _random_crop(image.size, generator)
    return _jitter(np.asarray(_scaled(image, size, box)), generator)


def _scaled(image: "Image", size: int, box: Box) -> "Image":
    from PIL.Image import Resampling

    return image.resize((size, size), Resampling.BICUBIC, box=box)


def _padded(image: "Image", size: int) -> "Image":
    """Return the whole image in the middle of a square of ``size`` pixels; the margin is the median of its border."""
    from PIL import Image

    scale = size / max(image.size)
    width, height = (max(1, round(extent * scale)) for extent in image.size)
    picture = image.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(border, axis=0).astype(int).tolist()
    square = Image.new("RGB", (size, size), (red, green, blue))
    square.paste(picture, ((size - width) // 2, (size - height) // 2))
    return square


def _centre(size: tuple[int, int]) -> Box:
    side = min(size)
    left, top = ((extent - side) / 2 for extent in size)
    return left, top, left + side, top + side


def _squashed_crop(size: tuple[int, int], generator: np.random.Generator) -> Box:
    """Return such a crop as :func:`_random_crop` draws of the square that the whole image is squashed to."""
    left, top, right, bottom = _random_crop((1, 1), generator)
    width, height = size
    return left * width, top * height, right * width, bottom * height


def _random_crop(size: tuple[int, int], generator: np.random.Generator) -> Box:
    """Return a crop of 40 to 100% of the largest centred square's area, aspect ratio 3/4 to 4/3, anywhere."""
    area = generator.uniform(0.4, 1) * min(size) ** 2
    ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
    width, height = min(size[0], np.sqrt(area * ratio)), min(size[1], np.sqrt(area / ratio))
    left, top = generator.uniform(0, size[0] - width), generator.uniform(0, size[1] - height)
    return left, top, left + width, top + height


def _jitter(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Mirror every second image and change brightness, contrast and each channel by up to a fifth."""
    if generator.random() < 0.5:
        pixels = pixels[:, ::-1]
    mean = pixels.mean()
    contrast, brightness = generator.uniform(0.8, 1.2, 2)
    channels = generator.uniform(0.9, 1.1, 3)
    changed = ((pixels - mean) * contrast + mean) * brightness * channels
    return np.clip(np.round(changed), 0, 255).astype(np.uint8)

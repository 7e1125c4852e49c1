"""Views of an image: the plain one, and augmented ones that depend on the image and the view's number alone."""

from typing import TYPE_CHECKING

import numpy as np

from seminar_common.seeds import numpy_generator

if TYPE_CHECKING:
    from PIL.Image import Image


def view(image: "Image", size: int, number: int, digest: str) -> np.ndarray:
    """Return a view of ``image``, uint8 [size, size, 3].

    Args:
        image: RGB, of any size.
        size: side of the view in pixels.
        number: 0 for the plain view, the shorter side scaled to ``size`` and the centre cropped; 1 and more for
            augmented ones.
        digest: the image's hash, the seed of its augmentations: the same image has the same view 3 everywhere.
    """
    if number == 0:
        return np.asarray(_scaled(image, size, _centre(image.size)))
    generator = numpy_generator(number, "view", digest)
    picture = _scaled(image, size, _random_crop(image.size, generator))
    return _jitter(np.asarray(picture), generator)


def _scaled(image: "Image", size: int, box: tuple[float, float, float, float]) -> "Image":
    from PIL.Image import Resampling

    return image.resize((size, size), Resampling.BICUBIC, box=box)


def _centre(size: tuple[int, int]) -> tuple[float, float, float, float]:
    side = min(size)
    left, top = ((extent - side) / 2 for extent in size)
    return left, top, left + side, top + side


def _random_crop(size: tuple[int, int], generator: np.random.Generator) -> tuple[float, float, float, float]:
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

"""Sources whose images are arrays in memory: CIFAR in torchvision's layout, and scikit-learn's digits."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gcd_longtail.images.sources.base import Listing, Source
from seminar_common.errors import UserError
from seminar_common.images import BadImage

if TYPE_CHECKING:
    from PIL.Image import Image


class ArraySource(Source):
    """Images as one array."""

    def __init__(self, path: Path, images: np.ndarray, listing: Listing):
        """Hold ``images``, uint8 [N, H, W] or [N, H, W, 3], of ``listing``."""
        self.path, self.listing = path, listing
        self._images = np.ascontiguousarray(images, np.uint8)

    def read(self, index: int) -> bytes:
        """Return the pixels in row order."""
        return self._images[index].tobytes()

    def decode(self, data: bytes) -> "Image":
        """Return the image with those pixels."""
        from PIL import Image

        return Image.fromarray(np.frombuffer(data, np.uint8).reshape(self._images.shape[1:])).convert("RGB")

    def shape(self, data: bytes) -> tuple[int, int]:
        """Return height and width, the same for all."""
        height, width = self._images.shape[1:3]
        return height, width

    def check(self, data: bytes) -> None:
        """Raise BadImage unless ``data`` has the size of an image."""
        if len(data) != self._images[0].size:
            raise BadImage(f"{len(data)} bytes, expected {self._images[0].size}")


def open_digits(path: Path) -> ArraySource:
    """Return scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, classes ``0`` to ``9``.

    Source: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    n = len(labels)
    pixels = np.round(images.reshape(n, 8, 8) * (255 / 16)).astype(np.uint8)
    names = [f"digit-{number:04d}" for number in range(n)]
    return ArraySource(
        path, pixels, Listing(names, [str(label) for label in labels], ["train"] * n, [""] * n)
    )


def open_cifar(path: Path, name: str) -> ArraySource:
    """Return CIFAR-10 or CIFAR-100 from the folder that holds torchvision's ``cifar-10-batches-py`` or the like.

    torchvision compares the files' MD5 sums with those of the originals before it unpickles them.

    Raises:
        UserError: the files are not there or are not the originals.
    """
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    try:
        train, test = (kind(str(path), train=is_train, download=False) for is_train in (True, False))
    except RuntimeError as error:
        raise UserError(
            f"{path}: holds no intact {kind.base_folder}; unpack {kind.filename} there (from {kind.url})"
        ) from error
    labels = [train.classes[label] for part in (train, test) for label in part.targets]
    parts = (("train", len(train.data)), ("test", len(test.data)))
    keys = [f"{split}-{number:05d}" for split, n in parts for number in range(n)]
    splits = [split for split, n in parts for _ in range(n)]
    images = np.concatenate([train.data, test.data])
    return ArraySource(path, images, Listing(keys, labels, splits, [""] * len(keys)))


def select(source: ArraySource, numbers: Sequence[int], file: Path) -> ArraySource:
    """Return ``source`` with only the training images ``numbers``, and all of its test images.

    Raises:
        UserError: a number that is no training image; ``file`` is where they come from.
    """
    listing = source.listing
    train = sum(split == "train" for split in listing.splits)
    wrong = next((number for number in numbers if not 0 <= number < train), None)
    if wrong is not None:
        raise UserError(f"{file}: image {wrong} does not exist; the training images are 0 to {train - 1}")
    rows = [*numbers, *range(train, len(listing))]
    columns = (listing.keys, listing.labels, listing.splits, listing.groups)
    chosen = Listing(*([column[row] for row in rows] for column in columns))
    return ArraySource(source.path, source._images[rows], chosen)

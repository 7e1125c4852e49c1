"""What every source of images offers: a listing, the bytes of an image, and how to decode them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from seminar_common.errors import UserError
from seminar_common.images import check_not_empty, one_line_errors, open_image, read_image

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Listing:
    """The images of a source, in a fixed order; the columns have one entry an image."""

    keys: Sequence[str]
    """A name that is unique within the source."""
    labels: Sequence[str]
    """Name of its class; empty where it is unknown."""
    splits: Sequence[str]
    """``train`` or ``test``."""
    groups: Sequence[str]
    """Images of one class that share a group (frames of a track) stay together; empty stands alone."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def has_test(self) -> bool:
        """Whether the source has test images of its own."""
        return "test" in self.splits


class Source:
    """Images somewhere. Subclasses set ``path`` and ``listing``, and say how to read one."""

    path: Path
    listing: Listing
    remarks: Sequence[str] = ()
    """What was passed over as the images were looked for, to be said once."""

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Place of each image in the listing, by its name."""
        return {key: number for number, key in enumerate(self.listing.keys)}

    def read(self, index: int) -> bytes:
        """Return the stored bytes of the image ``index``, of which its hash is made.

        Raises:
            BadImage: it is not there or can't be read.
        """
        raise NotImplementedError

    def decode(self, data: bytes) -> "Image":
        """Return the RGB image that :meth:`read` returned the bytes of.

        Raises:
            BadImage: they are no image, or a damaged one.
        """
        return decode_file(data)

    def check(self, data: bytes) -> None:
        """Raise BadImage if ``data`` does not even begin like an image; much quicker than decoding."""
        with one_line_errors():
            check_not_empty(data)
            with open_image(data):
                pass

    def shape(self, data: bytes) -> tuple[int, int]:
        """Return the sides of the image in ``data`` in pixels, in any order, without decoding it.

        Raises:
            BadImage: it is no image.
        """
        with one_line_errors():
            check_not_empty(data)
            with open_image(data) as image:
                return image.size


def decode_file(data: bytes) -> "Image":
    """Decode an encoded image file to RGB of 8 bits, upright by its EXIF; transparency is laid on white.

    Raises:
        BadImage: it is no image, is truncated, or has too many pixels.
    """
    from PIL import Image

    return Image.fromarray(read_image(data).pixels)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        BadImage: it is missing, empty or may not be read.
    """
    with one_line_errors():
        check_not_empty(path)
        return path.read_bytes()


def check_folder(path: Path) -> None:
    """Raise a UserError unless ``path`` is a folder."""
    if not path.exists():
        raise UserError(f"{path}: no such folder; check --images")
    if not path.is_dir():
        raise UserError(f"{path}: is a file, but a folder of images is needed; check --images")

"""What every source of images offers: a listing, the bytes of an image, and how to decode them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seminar_common.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"}
)


class UnreadableImageError(Exception):
    """An image that can't be decoded; the caller records it and goes on."""


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

    def read(self, index: int) -> bytes:
        """Return the stored bytes of the image ``index``, of which its hash is made.

        Raises:
            UnreadableImageError: it is not there or can't be read.
        """
        raise NotImplementedError

    def decode(self, data: bytes) -> "Image":
        """Return the RGB image that :meth:`read` returned the bytes of.

        Raises:
            UnreadableImageError: they are no image, or a damaged one.
        """
        return decode_file(data)

    def check(self, data: bytes) -> None:
        """Raise UnreadableImageError if ``data`` does not even begin like an image; much quicker than decoding."""
        import io

        from PIL import Image

        try:
            with Image.open(io.BytesIO(data)):
                return
        except Exception as error:  # Pillow's parsers raise whatever a damaged header makes them
            raise UnreadableImageError(_reason(error)) from error


def decode_file(data: bytes) -> "Image":
    """Decode an encoded image file to RGB; transparency is laid on white.

    Raises:
        UnreadableImageError: it is no image, is truncated, or is suspiciously large.
    """
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image.load()
                white = Image.new("RGBA", image.size, "white")
                return Image.alpha_composite(white, image).convert("RGB")
            return image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UnreadableImageError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image"
    return " ".join(str(error).split()) or type(error).__name__


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        UnreadableImageError: it is missing, empty or may not be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    if not data:
        raise UnreadableImageError("empty file")
    return data


def check_folder(path: Path) -> None:
    """Raise a UserError unless ``path`` is a folder."""
    if not path.exists():
        raise UserError(f"{path}: no such folder; check --images")
    if not path.is_dir():
        raise UserError(f"{path}: is a file, but a folder of images is needed; check --images")

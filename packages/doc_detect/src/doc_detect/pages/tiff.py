"""Pages of TIFFs."""

from pathlib import Path

from seminar_common.images import open_image

_KEPT = ("group4", "tiff_lzw")
"""Compressions that a page keeps when it becomes a file of its own; any other becomes Deflate."""


def extract_page(path: Path, number: int, target: Path) -> None:
    """Write page ``number`` (from 1) of a TIFF to a TIFF of its own, without loss."""
    with open_image(path, number - 1) as image:
        compression = image.info.get("compression")
        kept = compression if compression in _KEPT else "tiff_adobe_deflate"
        image.save(target, "TIFF", compression=kept)

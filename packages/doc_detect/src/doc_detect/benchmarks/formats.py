"""A4 pages of 300 dpi in every format that archives keep, to measure what reading them costs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from doc_detect.settings.synth import SynthSettings

if TYPE_CHECKING:
    from PIL.Image import Image

LONG_SIDE = 3508
"""Pixels of the longer side of A4 at 300 dpi."""


def _lossy(image: "Image", path: Path) -> None:
    image.save(path, quality=90)


def _plain(image: "Image", path: Path) -> None:
    image.save(path)


def _lzw(image: "Image", path: Path) -> None:
    image.save(path, compression="tiff_lzw")


def _bitonal(image: "Image", path: Path) -> None:
    image.convert("1").save(path, compression="group4")


def _pdf(image: "Image", path: Path) -> None:
    image.save(path, resolution=300, quality=90)


FORMATS: Mapping[str, tuple[str, Callable[["Image", Path], None]]] = {
    "jpeg": (".jpg", _lossy),
    "png": (".png", _plain),
    "tiff-lzw": (".tif", _lzw),
    "tiff-group4": (".tif", _bitonal),
    "webp": (".webp", _lossy),
    "jpeg-2000": (".jp2", _plain),
    "pdf": (".pdf", _pdf),
}
"""The suffix of each format, and what writes a picture in it."""


def write_formats(folder: Path, pages: int, seed: int) -> dict[str, tuple[Path, ...]]:
    """Draw finished scans of A4 at 300 dpi and write each in every format; return the files of each format."""
    from PIL import Image

    from doc_detect.coco import read_coco
    from doc_detect.synth import synth

    synth(
        SynthSettings(
            out=folder / "scans", pages=pages, world="all", long_side=LONG_SIDE, seed=seed, val_share=0
        )
    )
    drawn = read_coco(folder / "scans" / "train.json")
    files: dict[str, tuple[Path, ...]] = {}
    for name, (suffix, write) in FORMATS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        written = []
        for page in drawn.pages:
            target = (folder / name / page.file_name).with_suffix(suffix)
            with Image.open(drawn.image_path(page)) as image:
                write(image, target)
            written.append(target)
        files[name] = tuple(written)
    return files

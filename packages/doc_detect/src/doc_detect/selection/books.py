"""Which book each page of a collection is from."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from doc_detect.coco import CocoPage, CocoSet
from doc_detect.pages import PageRef, common_root
from doc_detect.pages.canvases import split_inputs
from doc_detect.pages.iiif import is_iiif
from seminar_common import files
from seminar_common.errors import UserError


def books_of(inputs: Sequence[Path], refs: Sequence[PageRef]) -> list[str]:
    """Return the name of each page's book.

    It is what a COCO file among ``inputs`` says (page fact ``book``), else the IIIF manifest, the file of several pages,
    or the folder that the page is in.

    Args:
        inputs: As given to :func:`doc_detect.adaptation.target.list_pages`.
        refs: Pages of them.
    """
    told = _told(inputs)
    places = [_place(ref) for ref in refs]
    root = common_root(places)
    names = [Path(os.path.relpath(place, root)).as_posix() for place in places]
    return [
        told.get(_resolved(ref.path)) or (place.name if name == "." else name)
        for ref, place, name in zip(refs, places, names, strict=True)
    ]


def _place(ref: PageRef) -> Path:
    if ref.canvas is not None:
        return Path(ref.canvas.file).absolute()
    path = ref.path.absolute()
    return path.parent if ref.number is None else path


def _told(inputs: Sequence[Path]) -> Mapping[str, str]:
    """Return by file the book that a COCO file says."""
    told: dict[str, str] = {}
    for document in split_inputs(inputs)[1]:
        content = files.read_json(document)
        if is_iiif(content):
            continue
        place = CocoSet(document.absolute(), (), frozenset())
        for image in content["images"]:
            if not image.get("book"):
                continue
            page = CocoPage(str(image["file_name"]), 1, 1, np.zeros((0, 4)), np.zeros(0, np.int64))
            try:
                told[_resolved(place.image_path(page))] = str(image["book"])
            except UserError:  # the page is not there, which is said elsewhere
                continue
    return told


def _resolved(path: Path) -> str:
    return str(path.resolve())

"""Labelled scans to measure several detectors on, and what each finds there, kept in the folder of a study."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from doc_detect.coco import CocoPage, CocoSet, Reading, read_coco, write_coco
from doc_detect.detectors.onnx import PageDetector
from doc_detect.figures.findings import find_on_pages
from doc_detect.figures.measured import default_split
from doc_detect.formats.forms import of_split, read_pages
from doc_detect.training.pages import is_ink
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.identity import code_digest, digest, require_same
from seminar_common.progress import progress, say

MADE_OF = "made_of"
"""Entry of a kept file's ``info`` that says what decided its content."""
ALL = "all"
"""The split of all files of a folder together."""


def open_scans(path: Path, images: Path | None, reading: Reading) -> CocoSet:
    """Return labelled scans to measure on: of a set that is divided the split ``test``, or else ``val``.

    Args:
        path: The file or folder.
        images: Folder of the pictures, where they are not near the file.
        reading: Takes up what is left out; its caller reports it.

    Raises:
        UserError: it can't be read, or is ink and no scan.
    """
    pages = of_split(read_pages(path, reading), "test", "val")
    pages = dataclasses.replace(pages, images=images or pages.images)
    if is_ink(pages):  # boxes of ink are not where they are on the scan that is made of it
        raise UserError(f"{path}: is ink that `synth --ink` drew, not scans; measure on it by `evaluate`")
    return pages


def dataset_name(pages: CocoSet) -> str:
    """Return the name of a set in result tables."""
    return pages.name.replace("_", "-")


def split_name(pages: CocoSet) -> str:
    """Return the split of a set in result tables: what it says itself, or what the name of its file tells."""
    return pages.facts.get("split") or default_split(pages.path)


def groups(sets: Sequence[CocoSet]) -> list[tuple[str, str, list[int]]]:
    """Return name, split and members of each set, and of all sets of a name together where it has several."""
    names = [dataset_name(pages) for pages in sets]
    found = [(name, split_name(pages), [i]) for i, (name, pages) in enumerate(zip(names, sets, strict=True))]
    for name in dict.fromkeys(names):
        members = [i for i, other in enumerate(names) if other == name]
        if len(members) > 1:
            found.append((name, ALL, members))
    return found


def kept_findings(detector: PageDetector, pages: CocoSet, folder: Path, name: str) -> list[CocoPage]:
    """Return what a detector finds on a set, page by page: what ``folder`` keeps of it, if that still holds.

    It is looked for anew where the detector, its settings, the pages, their pictures or the code are others than they
    were. What is kept is rounded (:func:`doc_detect.coco.write_coco`), and so is what is returned.

    Args:
        detector: The detector.
        pages: The set.
        folder: Where findings are kept, of any detectors and sets.
        name: What a person calls the detector.
    """
    now = _made_of(detector, pages)
    stored = folder / f"{now['weights_file'][:32]}-{pages.fingerprint}.json"
    if not _holds(stored, now):
        with progress(f"{name} on {pages.path.name}", len(pages.pages)) as advance:
            found = []
            for _, page in find_on_pages(detector, pages):
                found.append(page)
                advance()
        write_coco(stored, found, {"name": pages.name, MADE_OF: now})
    read = {page.file_name: page for page in read_coco(stored).pages}
    return [_with_scores(read[page.file_name]) for page in pages.pages]


def _made_of(detector: PageDetector, pages: CocoSet) -> Mapping[str, Any]:
    """Return all that decides what ``detector`` finds on ``pages``."""
    pictures = {page.file_name: files.fingerprint(pages.image_path(page)) for page in pages.pages}
    modules = ("doc_detect.training.pages", "doc_detect.figures.findings", "doc_detect.synthesis")
    return {
        **detector.identity(),
        "coco_file": pages.fingerprint,
        "set_of_pictures": digest(pictures),
        "code_of_reading": code_digest(*modules),
    }


def _holds(stored: Path, now: Mapping[str, Any]) -> bool:
    """Say whether the file is there and made of what there is now; if of something else, tell the user of what."""
    if not stored.exists():
        return False
    try:
        require_same(read_coco(stored).facts.get(MADE_OF), now, stored, "its pages are looked at anew")
    except UserError as difference:
        say(str(difference))
        return False
    return True


def _with_scores(page: CocoPage) -> CocoPage:
    return page if page.scores is not None else dataclasses.replace(page, scores=np.zeros(0))

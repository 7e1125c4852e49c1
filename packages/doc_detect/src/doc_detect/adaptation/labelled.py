"""A few pages of the target on which people drew boxes: by how much theirs stand off the ink, and what is on the pages.

A detector's boxes are the extent of the ink, and people's are a little wider. So what is drawn is taken back to the ink
before it is learned, and given its margin again when boxes are wanted as people draw them
(:mod:`doc_detect.detectors.scoring`). Learned and measured are then the same thing, beside pages that nobody labelled.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doc_detect.adaptation.target import TargetPage
from doc_detect.adaptation.views import Marks
from doc_detect.classes import CLASSES, class_index
from doc_detect.coco import IGNORED, CocoPage, CocoSet
from doc_detect.pages import PageRef
from doc_detect.pages.names import is_there
from doc_detect.training.pages import is_ink, open_training, own_labels
from seminar_common.errors import UserError

MARGIN_FROM = 5
"""Labelled pages with an object that a margin needs."""
WEIGHTS_FROM = 25
"""Labelled pages with an object from which they are trained on, too: fewer teach a detector by heart."""
COPY_OF = "copy_of"
"""Page fact of a copied scan: its original, relative to the folder that the file of labels is in."""
DEEPEST = 0.25
"""Share of its side by which a box is taken back at most."""


@dataclass(frozen=True)
class LabelledPage:
    """A page of the target with what people drew on it, taken back to the ink."""

    page: TargetPage
    truth: CocoPage
    """Boxes in the page's own pixels."""
    unlabelled: tuple[str, ...]
    """Classes of the detector that nobody looked for."""

    def marks(self, labels: Sequence[str]) -> tuple[np.ndarray, Marks]:
        """Return its pixels and what is known of them, in numbers of a detector's ``labels``."""
        seen = self.page.read()
        own = own_labels(self.truth.labels, labels)
        boxes = seen.to_seen(self.truth.boxes)
        return seen.pixels, Marks(boxes[own >= 0], own[own >= 0], boxes[self.truth.labels == IGNORED])


def open_labelled(path: Path, names: Sequence[str], labels: Sequence[str]) -> CocoSet:
    """Return the labelled pages of ``path`` that hold an object of ``labels``.

    Args:
        path: Labelled pages of any form.
        names: Classes of names in it, as ``OLD=NEW``.
        labels: Classes of the detector.

    Raises:
        UserError: it can't be read, or has too few such pages.
    """
    pages = open_training(path, names)
    if is_ink(pages):
        raise UserError(f"--labelled {path}: is ink that `synth --ink` drew, not scans of the target")
    numbers = [class_index(label) for label in labels]
    kept = tuple(page for page in pages.pages if np.isin(page.labels, numbers).any())
    if len(kept) < MARGIN_FROM:
        raise UserError(
            f"--labelled {path}: {len(kept)} pages with one of {', '.join(labels)}; {MARGIN_FROM} or more are needed"
        )
    return dataclasses.replace(pages, pages=kept)


def refs_of(pages: CocoSet) -> list[PageRef]:
    """Return where the pictures of labelled pages are.

    A copy that `select` made is taken for the scan that it is of, as long as that is there: among the pages of the target
    it is then known again.

    Raises:
        UserError: one is not there.
    """
    return [PageRef(_scan(pages, page).absolute()) for page in pages.pages]


def _scan(pages: CocoSet, page: CocoPage) -> Path:
    original = page.facts.get(COPY_OF)
    if isinstance(original, str) and is_there(scan := pages.folder / original) and scan.is_file():
        return scan
    return pages.image_path(page)


def on_ink(
    pages: CocoSet, decoded: Sequence[TargetPage], labels: Sequence[str], margin: Mapping[str, float]
) -> list[LabelledPage]:
    """Return labelled pages with their boxes taken back to the ink.

    Args:
        pages: The pages, in the order of ``decoded``.
        decoded: The same as the detector sees them.
        labels: Classes of the detector.
        margin: By how much people's boxes of a class stand off, as a share of the longest side of what is seen.
    """
    shares = np.array([margin.get(label, 0.0) for label in (*CLASSES, "ignored")])
    unlabelled = tuple(label for label in labels if label not in pages.labelled)
    made = []
    for truth, page in zip(pages.pages, decoded, strict=True):
        scale = np.array([page.width / truth.width, page.height / truth.height] * 2)
        boxes = truth.boxes * scale
        x1, y1, x2, y2 = page.window
        reach = shares[truth.labels] * max(x2 - x1, y2 - y1)
        sides = (boxes[:, 2:] - boxes[:, :2]) * DEEPEST
        inward = np.minimum(reach[:, None], sides)
        ink = np.concatenate([boxes[:, :2] + inward, boxes[:, 2:] - inward], axis=1)
        truth = dataclasses.replace(truth, width=page.width, height=page.height, boxes=ink)
        made.append(LabelledPage(page, truth, unlabelled))
    return made

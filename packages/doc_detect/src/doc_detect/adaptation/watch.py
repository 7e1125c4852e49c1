"""A look at the detector while it learns, so that a class that is lost, or runs wild, shows in the curve."""

from collections.abc import Callable, Sequence

import numpy as np

from doc_detect.adaptation.criterion import SURE
from doc_detect.adaptation.target import TargetPage
from doc_detect.detectors.base import Detector
from doc_detect.detectors.onnx import PageDetector

MOST_WATCHED = 8
"""Held-out pages that are looked at: few, since it is done at every checkpoint."""
WATCHED = "held_out_sure_"
"""What the names of its figures begin with in ``metrics.jsonl``; a class follows."""


class Watch:
    """Counts the sure finds of the learned classes on some held-out pages."""

    def __init__(
        self,
        held_out: Sequence[TargetPage],
        learned: Sequence[str],
        in_use: Callable[[Detector], PageDetector],
    ):
        """Take pages evenly from ``held_out``.

        Args:
            held_out: Pages that are not learned from.
            learned: Classes to count.
            in_use: Makes of a detector one that looks at pages.
        """
        self.in_use = in_use
        rows = np.linspace(0, len(held_out) - 1, MOST_WATCHED).round().astype(int)
        self.pages = [held_out[row] for row in np.unique(rows)] if held_out else []
        self.learned = tuple(learned)

    def look(self, detector: Detector) -> dict[str, int]:
        """Return how many finds of each learned class score :data:`criterion.SURE` or more; nothing without pages.

        Args:
            detector: In evaluation; it stays as it is, and no random number is drawn.
        """
        if not self.pages:
            return {}
        looking = self.in_use(detector)
        counts = np.zeros(len(looking.labels), int)
        for page in self.pages:
            found = looking.detect(page.read())
            counts += np.bincount(found.labels[found.scores >= SURE], minlength=len(counts))
        named = dict(zip(looking.labels, counts.tolist(), strict=True))
        return {WATCHED + label: named[label] for label in self.learned}

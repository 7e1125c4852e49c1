"""What an adaptation changed on a page: finds that were kept, are new, or are gone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from doc_detect.adaptation.criterion import SURE, Look, agreement, partners, worth_it
from doc_detect.adaptation.target import TargetPage
from doc_detect.detectors.detections import Detections

Kind = Literal["kept", "new", "gone"]


@dataclass(frozen=True)
class Find:
    """A thing on a page of which one detector or both are sure."""

    kind: Kind
    """kept: both are sure of it; new: the adapted one alone; gone: the source alone."""
    label: str
    boxes: tuple[np.ndarray | None, np.ndarray | None]
    """Box of the source and of the adapted detector, xyxy in the page's own pixels; None where it is not sure."""
    scores: tuple[float | None, float | None]
    """Score of both, also where it is doubtful; None where there is no such find."""


@dataclass(frozen=True)
class PageChanges:
    """What changed on a page."""

    page: TargetPage
    finds: tuple[Find, ...]
    """New ones first, then those that are gone, then those that were kept, each by score."""
    apart: float
    """Sum of the scores of both detectors as far as they don't agree (:func:`criterion.agreement`)."""

    @property
    def changed(self) -> float:
        """By how much the scores of new and lost finds differ, in sum."""
        pairs = [[score or 0.0 for score in find.scores] for find in self.finds if find.kind != "kept"]
        return sum(abs(after - before) for before, after in pairs)

    def count(self, kind: Kind, label: str | None = None) -> int:
        """Return the number of finds of a kind, of one class or of all."""
        return sum(find.kind == kind and label in (None, find.label) for find in self.finds)


def compare(look: Look, labels: Sequence[str]) -> PageChanges:
    """Return what changed on a page.

    Args:
        look: What both detectors find there.
        labels: Their classes.
    """
    source, adapted = worth_it(look.source), worth_it(look.adapted)
    partner, _ = partners(source, adapted)
    pairs: list[tuple[int | None, int | None]] = [
        (row, None if other < 0 else int(other)) for row, other in enumerate(partner)
    ]
    pairs += [(None, int(row)) for row in np.setdiff1d(np.arange(len(adapted.boxes)), partner)]
    finds = [find for pair in pairs if (find := _find((source, adapted), pair, labels)) is not None]
    finds.sort(key=lambda find: (_ORDER.index(find.kind), -max(score or 0.0 for score in find.scores)))
    agreed, there = agreement(look.source, look.adapted)
    return PageChanges(look.page, tuple(finds), there - agreed)


_ORDER: tuple[Kind, ...] = ("new", "gone", "kept")


def _find(
    found: tuple[Detections, Detections], rows: tuple[int | None, int | None], labels: Sequence[str]
) -> Find | None:
    """Return the find that stands in ``rows`` of either detector; None where neither is sure."""
    pairs = tuple(zip(found, rows, strict=True))
    scores = [None if row is None else float(each.scores[row]) for each, row in pairs]
    sure = [score is not None and score >= SURE for score in scores]
    if not any(sure):
        return None
    kind: Kind = "kept" if all(sure) else "gone" if sure[0] else "new"
    boxes = [each.boxes[row] if is_sure else None for (each, row), is_sure in zip(pairs, sure, strict=True)]
    label = next(labels[each.labels[row]] for each, row in pairs if row is not None)
    return Find(kind, label, (boxes[0], boxes[1]), (scores[0], scores[1]))


def differing(pages: Iterable[PageChanges]) -> list[PageChanges]:
    """Return the pages on which there is something, those that changed most first.

    What is new or gone counts first, then by how much scores and boxes have moved.
    """
    shown = [page for page in pages if page.finds]
    return sorted(shown, key=lambda page: (-page.changed, -page.apart))

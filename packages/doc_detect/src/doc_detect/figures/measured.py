"""Every figure of a detector on labelled pages, as rows of the result table.

Average precision as COCO has it, whether the right pages are found, and how well crops fit; over all pages and,
where the file tells printed pages from manuscripts, over each. Intervals come from a bootstrap over books, since
pages of a book resemble each other, or over pages where no book is known.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage
from doc_detect.figures.coco_metrics import IOU_THRESHOLDS, RECALLS, SIZES, match_class, precision_table
from doc_detect.figures.page_metrics import crop_fits, page_scores
from seminar_common.bootstrap import cluster_weights, percentile_interval
from seminar_common.results import Row

SPLITS = ("train", "val", "test")
EVERY = "all"
"""The subset of all pages, where there are others to tell it from."""
MAIN_METRICS = ("ap", "ap50", "page_ap", "page_f1", "crop_iou")
"""What a summary shows."""
SURE_PRECISION = 0.8
"""Precision of what an archive would take without looking at each."""
ONE_BOOK = "A figure has no interval where all objects of the class are in one book: nothing tells how another differs."
Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps how often each page is there on each draw, [R, P], to a figure of each, [R]."""
Figure = tuple[str, str | None]
"""Metric and class of a figure, None for the mean over classes."""


def default_split(path: Path) -> str:
    """Return the split that a file's name tells, ``test`` if it tells none."""
    return path.stem if path.stem in SPLITS else "test"


class Measured:
    """Truth and detections on the same pages, and every figure of them."""

    def __init__(
        self,
        truth: Sequence[CocoPage],
        found: Sequence[CocoPage],
        row: Row,
        resamples: int,
        seed: int,
    ):
        self.truth, self.found, self.row = list(truth), list(found), row
        self.resamples, self.seed = resamples, seed

    def rows(self, labels: Sequence[str]) -> list[Row]:
        """Return the figures of each class and their mean, over all pages and over each subset."""
        parts = subsets(self.truth, labels)
        return [row for part in parts for row in self._subset_rows(part)]

    def _subset_rows(self, part: "Subset") -> list[Row]:
        truth, found = [self.truth[i] for i in part.pages], [self.found[i] for i in part.pages]
        subset, labels = part.name, part.labels
        books = units(truth)
        draws = cluster_weights(books.tolist(), self.resamples, self.seed)
        row = dataclasses.replace(self.row, n=len(truth), subset=subset)
        table = precision_table(truth, found, labels)
        return [*_class_rows(row, truth, found, labels, books, draws), *_size_rows(row, table, labels)]


@dataclass(frozen=True)
class Subset:
    """Pages that are measured by themselves."""

    name: str | None
    """:data:`EVERY` for all pages, ``printed``, ...; None where there are no others to tell it from."""
    pages: tuple[int, ...]
    """Their numbers."""
    labels: tuple[str, ...]
    """Classes that are on them."""


def subsets(truth: Sequence[CocoPage], labels: Sequence[str]) -> list[Subset]:
    """Return all pages and, where they are of several kinds, those of each; what has none of ``labels`` is left out."""
    kinds = [subset_of(page) for page in truth]
    several = sorted({kind for kind in kinds if kind})
    found = []
    for name in (EVERY, *several) if len(several) > 1 else (None,):
        pages = tuple(i for i, kind in enumerate(kinds) if name in (None, EVERY, kind))
        there = [
            label for label in labels if any((truth[i].labels == class_index(label)).any() for i in pages)
        ]
        if there:
            found.append(Subset(name, pages, tuple(there)))
    return found


def _class_rows(
    row: Row,
    truth: list[CocoPage],
    found: list[CocoPage],
    labels: Sequence[str],
    books: np.ndarray,
    draws: np.ndarray,
) -> list[Row]:
    """Return AP, the figures of pages and crops of each class, and the mean AP."""
    figures = drawn_figures(truth, found, labels, books, draws)
    return [figure_row(row, metric, values, label) for (metric, label), values in figures.items()]


def drawn_figures(
    truth: Sequence[CocoPage],
    found: Sequence[CocoPage],
    labels: Sequence[str],
    books: np.ndarray,
    draws: np.ndarray,
) -> dict[Figure, np.ndarray]:
    """Return AP, the figures of pages and crops of each class, and the mean AP, on every draw of the pages.

    Args:
        truth: Pages with their objects, P of them.
        found: The same pages with what was detected.
        labels: Classes that are on them.
        books: [P] number of each page's book.
        draws: [1 + R, P] how often each page is there; the first line has each once.

    Returns:
        [1 + R] values, the first on all pages as they are; NaN where a draw lacks the class. It is [1] where all
        objects are in one book: resamples of one book are all alike.
    """
    single: dict[Figure, np.ndarray] = {}
    precisions = []
    for label in labels:
        matches, pages = match_class(truth, found, label), page_scores(truth, found, label)
        fits = crop_fits(truth, found, label)
        drawn = draws[: _usable(len(draws), truth, [label], books)]
        if matches.objects.sum():
            precision = matches.average_precision(draws)
            precisions.append(precision)
            single |= {(name, label): of for name, of in _ap_figures(precision[: len(drawn)]).items()}
        statistics: dict[str, Statistic] = {"page_ap": pages.average_precision, "page_f1": pages.f1}
        if fits.objects.sum():
            statistics["crop_iou"] = fits.mean
        for name, statistic in statistics.items():
            single[name, label] = statistic(drawn)
    if not precisions:
        return single
    mean = _mean_of_known(np.stack(precisions))[: _usable(len(draws), truth, labels, books)]
    means: dict[Figure, np.ndarray] = {(name, None): values for name, values in _ap_figures(mean).items()}
    return means | single


def _usable(draws: int, truth: Sequence[CocoPage], labels: Sequence[str], books: np.ndarray) -> int:
    """Return how many of the draws tell something: all, or the first alone where one book has all objects."""
    numbers = [class_index(label) for label in labels]
    there = np.array([np.isin(page.labels, numbers).any() for page in truth], bool)
    return draws if len(np.unique(books[there])) > 1 else 1


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis without NaN (a resample that lacks a class), NaN where all are."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(axis=0))


def _ap_figures(precision: np.ndarray) -> dict[str, np.ndarray]:
    """Return AP and AP at IoU 0.50 and 0.75 of each draw, from the precision at each IoU [draws, 10]."""
    at = {round(float(iou), 2): index for index, iou in enumerate(IOU_THRESHOLDS)}
    return {"ap": precision.mean(axis=1), "ap50": precision[:, at[0.5]], "ap75": precision[:, at[0.75]]}


def figure_row(row: Row, metric: str, values: np.ndarray, label: str | None) -> Row:
    """Return a figure, the first of ``values``, with the interval of the others, its resamples."""
    low, high = (None, None) if np.isnan(values[1:]).all() else percentile_interval(values[1:])
    value = float(values[0])
    return dataclasses.replace(row, metric=metric, value=value, label=label, ci_low=low, ci_high=high)


def _size_rows(row: Row, table: np.ndarray, labels: Sequence[str]) -> list[Row]:
    """Return AP without the limit of size, and AP and sure recall of small, medium and large objects, of each class.

    Sure recall is the largest share of objects found, at IoU 0.50, with a precision of :data:`SURE_PRECISION` or more.
    """
    rows = []
    for index, label in enumerate(labels):
        for position, size in enumerate(SIZES):
            precision = table[:, :, index, position]
            if size == "protocol" or precision[0, 0] < 0:
                continue
            value = float(precision.mean())
            rows.append(dataclasses.replace(row, metric=f"ap_{size}", value=value, label=label))
            if size != "unfiltered":
                reached = np.flatnonzero(precision[0] >= SURE_PRECISION)
                value = float(RECALLS[reached[-1]]) if len(reached) else 0.0
                rows.append(dataclasses.replace(row, metric=f"recall_p80_{size}", value=value, label=label))
    return rows


def subset_of(page: CocoPage) -> str | None:
    """Return ``printed``, ``manuscript`` or a kind of drawn page where the file tells, else None.

    It tells by ``subset``, ``kind`` or ``century``.
    """
    facts = page.facts
    if facts.get("subset"):
        return str(facts["subset"])
    if facts.get("kind"):
        return "printed" if facts["kind"] == "print" else str(facts["kind"])
    century = str(facts.get("century") or "")
    if not century:
        return None
    return "manuscript" if century.lower().startswith(("mss", "ms-", "manuscri")) else "printed"


def units(pages: Sequence[CocoPage]) -> np.ndarray:
    """Return the number of what each page is drawn with, [P]: its book, or itself where no book is known."""
    keys = []
    for index, page in enumerate(pages):
        book = page.facts.get("book")
        unknown = book is None or book == ""
        keys.append(("page", page.file_name, index) if unknown else ("book", str(book), 0))
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([numbers[key] for key in keys], np.int64)


def interval_notes(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return what to say of figures without an interval, if ``rows`` has any that would else have one."""
    return (ONE_BOOK,) if any(row.metric == "page_ap" and row.ci_low is None for row in rows) else ()

"""Measure a detector on labelled pages; writes results and a report.

Average precision as COCO has it, whether the right pages are found, and how well crops fit; over all pages and,
where the file tells printed pages from manuscripts, over each. Intervals come from a bootstrap over books, since
pages of a book resemble each other, or over pages where no book is known.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from doc_detect.classes import CLASSES, class_index
from doc_detect.coco import CocoPage, CocoSet
from doc_detect.detectors.base import Detector
from doc_detect.detectors.onnx import OnnxDetector, PageDetector
from doc_detect.detectors.torch import TorchDetector, open_torch
from doc_detect.detectors.trained import stored_settings
from doc_detect.figures.coco_metrics import IOU_THRESHOLDS, SIZES, match_class, precision_table
from doc_detect.figures.page_metrics import crop_fits, page_scores
from doc_detect.settings.training import EvaluateSettings
from doc_detect.training.pages import open_validation, read_labelled
from seminar_common import runs, seeds
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.progress import progress, say
from seminar_common.results import Curve, Results, Row, write_results
from seminar_common.runs import Run

SPLITS = ("train", "val", "test")
EVERY = "all"
"""The subset of all pages, where there are others to tell it from."""
ONE_BOOK = "A figure has no interval where all objects of the class are in one book: nothing tells how another differs."
Statistic = Callable[[np.ndarray], float]
"""Maps how often each page is there, [P], to a figure."""


def find_on_pages(
    detector: PageDetector, pages: CocoSet, limit: int | None = None
) -> Iterator[tuple[CocoPage, CocoPage]]:
    """Yield each page as (truth, found), boxes in the pixels of the truth."""
    numbers = np.array([class_index(label) for label in detector.labels])
    for page in pages.pages[:limit]:
        seen, truth = read_labelled(pages, page, detector.size, detector.trim)
        found = detector.detect(seen)
        boxes, scores = found.boxes.astype(np.float64), found.scores.astype(np.float64)
        yield truth, dataclasses.replace(truth, boxes=boxes, labels=numbers[found.labels], scores=scores)


def measured_labels(truth: Sequence[CocoPage], pages: CocoSet, known: Iterable[str]) -> list[str]:
    """Return the classes that a detector knows, that the set labels and that are on its pages."""
    there = {CLASSES[number] for page in truth for number in page.labels if number >= 0}
    return [label for label in known if label in pages.labelled and label in there]


def quick_figures(detector: Detector, pages: CocoSet, limit: int, device: torch.device) -> dict[str, float]:
    """Return the mean ``ap`` and ``ap50`` and each class's AP50 on the first pages, to watch a training by."""
    pairs = list(find_on_pages(TorchDetector(detector, device), pages, limit))
    truth, found = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    labels = measured_labels(truth, pages, detector.labels)
    if not labels:
        return {}
    table = precision_table(truth, found, labels)[..., list(SIZES).index("protocol")]
    values = {label: table[:, :, i].mean(axis=1) for i, label in enumerate(labels) if table[0, 0, i] >= 0}
    if not values:
        return {}
    mean = np.mean(list(values.values()), axis=0)
    figures = {"ap": float(mean.mean()), "ap50": float(mean[0])}
    return figures | {f"ap50_{label}": float(each[0]) for label, each in values.items()}


def evaluate(settings: EvaluateSettings) -> Results:
    """Measure a run on labelled pages; write ``results.json`` and ``report.html``.

    Raises:
        UserError: the run is missing or unfinished, or the file or one of its pictures is unusable.
    """
    run = runs.open_run(settings.run)
    pages = open_validation(settings.data)
    if not pages.pages:
        raise UserError(f"{pages.path}: lists no page")
    fabric = launch(settings.device)
    detector: PageDetector = open_torch(settings.run, fabric.device)
    if settings.model is not None:
        detector = OnnxDetector(settings.model, torch.get_num_threads())
    pairs = []
    with progress("evaluating", len(pages.pages)) as advance:
        for pair in find_on_pages(detector, pages):
            pairs.append(pair)
            advance()
    train_settings = stored_settings(run)
    measured = Measured(
        [pair[0] for pair in pairs],
        [pair[1] for pair in pairs],
        Row(
            train_settings.name,
            pages.name.replace("_", "-"),
            settings.split or default_split(pages.path),
            "ap",
            0.0,
            seeds=(train_settings.seed,),
            engine="onnxruntime" if settings.model else train_settings.model.engine,
            facts={"backbone": train_settings.model.backbone},
        ),
        settings.resamples,
        settings.seed,
    )
    rows = measured.rows(measured_labels(measured.truth, pages, detector.labels))
    results = Results(runs.command_line(), tuple(rows), tuple(learning_curves(run)), interval_notes(rows))
    _write(results, run, settings, measured, pages)
    return results


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
        subsets = sorted({subset for page in self.truth if (subset := subset_of(page))})
        if len(subsets) < 2:
            return self._subset_rows(None, labels)
        return [row for subset in (EVERY, *subsets) for row in self._subset_rows(subset, labels)]

    def _subset_rows(self, subset: str | None, labels: Sequence[str]) -> list[Row]:
        chosen = [i for i, page in enumerate(self.truth) if subset in (None, EVERY, subset_of(page))]
        truth, found = [self.truth[i] for i in chosen], [self.found[i] for i in chosen]
        labels = [name for name in labels if any((p.labels == class_index(name)).any() for p in truth)]
        if not labels:
            return []
        books = units(truth)
        draws = book_weights(books, self.resamples, self.seed)
        row = dataclasses.replace(self.row, n=len(truth), subset=subset)
        table = precision_table(truth, found, labels)
        return [*_class_rows(row, truth, found, labels, books, draws), *_size_rows(row, table, labels)]


def _class_rows(
    row: Row,
    truth: list[CocoPage],
    found: list[CocoPage],
    labels: Sequence[str],
    books: np.ndarray,
    draws: np.ndarray,
) -> list[Row]:
    """Return AP, the figures of pages and crops of each class, and the mean AP.

    They have intervals where the objects are in two books or more; resamples of one book are all alike.
    """
    rows, precisions = [], []
    for label in labels:
        matches, pages = match_class(truth, found, label), page_scores(truth, found, label)
        fits = crop_fits(truth, found, label)
        drawn = draws[: _usable(len(draws), truth, [label], books)]
        if matches.objects.sum():
            precision = np.stack([matches.average_precision(weights) for weights in draws])
            precisions.append(precision)
            figures = _ap_figures(precision[: len(drawn)])
            rows += [_row(row, name, values, label) for name, values in figures.items()]
        statistics: dict[str, Statistic] = {"page_ap": pages.average_precision, "page_f1": pages.f1}
        if fits.objects.sum():
            statistics["crop_iou"] = fits.mean
        for name, statistic in statistics.items():
            rows.append(_row(row, name, np.array([statistic(weights) for weights in drawn]), label))
    if not precisions:
        return rows
    mean = _mean_of_known(np.stack(precisions))[: _usable(len(draws), truth, labels, books)]
    return [*[_row(row, name, values, None) for name, values in _ap_figures(mean).items()], *rows]


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


def _row(row: Row, metric: str, values: np.ndarray, label: str | None) -> Row:
    """Return a figure, the first of ``values``, with the interval of the others, its resamples."""
    resampled = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(resampled, [0.025, 0.975]) if len(resampled) else (None, None)
    return dataclasses.replace(
        row,
        metric=metric,
        value=float(values[0]),
        label=label,
        ci_low=None if low is None else float(low),
        ci_high=None if high is None else float(high),
    )


def _size_rows(row: Row, table: np.ndarray, labels: Sequence[str]) -> list[Row]:
    """Return AP without the limit of size, and of small, medium and large objects, of each class."""
    rows = []
    for index, label in enumerate(labels):
        for position, size in enumerate(SIZES):
            precision = table[:, :, index, position]
            if size == "protocol" or precision[0, 0] < 0:
                continue
            value = float(precision.mean())
            rows.append(dataclasses.replace(row, metric=f"ap_{size}", value=value, label=label))
    return rows


def subset_of(page: CocoPage) -> str | None:
    """Return ``printed`` or ``manuscript`` where the file tells by ``subset``, ``kind`` or ``century``, else None."""
    facts = page.facts
    if facts.get("subset"):
        return str(facts["subset"])
    if facts.get("kind") in ("print", "manuscript"):
        return "manuscript" if facts["kind"] == "manuscript" else "printed"
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


def book_weights(books: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return how often each page is there: once in the first row, then in each resample of books; [1 + R, P].

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 8: resample the units that are
    independent.

    Args:
        books: [P] as :func:`units` numbers them.
        resamples: R.
        seed: Of the resamples.
    """
    count = int(books.max(initial=0)) + 1
    generator = seeds.numpy_generator(seed, "bootstrap")
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, len(books))), drawn[:, books]])


def interval_notes(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return what to say of figures without an interval, if ``rows`` has any that would else have one."""
    return (ONE_BOOK,) if any(row.metric == "page_ap" and row.ci_low is None for row in rows) else ()


def learning_curves(run: Run) -> list[Curve]:
    """Return the loss and the validation AP over the steps, from the run's log."""
    name, dataset = stored_settings(run).name, str(run.config().get("dataset", ""))
    curves = []
    for key, split, what in (
        ("loss", "train", "loss"),
        ("val_ap", "val", "AP"),
    ):
        records = [record for record in run.logged() if key in record]
        if records:
            x, y = (tuple(float(record[k]) for record in records) for k in ("step", key))
            curves.append(Curve("learning", name, dataset, split, x, y, "step", what))
    return curves


def _write(
    results: Results, run: Run, settings: EvaluateSettings, measured: Measured, pages: CocoSet
) -> None:
    from doc_detect.figures.detection_report import write_detection_report

    folder = settings.out or run.folder
    write_results(folder / "results.json", results)
    write_detection_report(folder / "report.html", results, run, pages, measured.truth, measured.found)
    for row in results.rows:
        if row.metric in ("ap", "ap50", "page_ap") and row.subset in (None, EVERY):
            interval = f"[{row.ci_low:.3f}, {row.ci_high:.3f}]" if row.ci_low is not None else ""
            print(f"{row.label or 'mean':14} {row.metric:8} {row.value:6.3f}  {interval}")
    say(f"wrote {folder / 'results.json'} and report.html")

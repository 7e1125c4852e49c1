"""Several models on the same pages: each one's figures over its seeds, and differences with intervals of their own.

Books are drawn once for all models and all seeds, so that what is hard in a book is so for both sides of a difference and
cancels. A figure of a model with several seeds is the mean over them, and its interval that of the mean: it tells how
another collection of books would differ, not how another seed would, which stands beside it as a standard deviation.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from doc_detect.coco import CocoPage
from doc_detect.figures.coco_metrics import match_class
from doc_detect.figures.measured import EVERY, Figure, Subset, drawn_figures, figure_row, subsets, units
from seminar_common.bootstrap import cluster_weights, percentile_interval
from seminar_common.progress import progress
from seminar_common.results import Row

SOURCE = "source-only"
"""The detector before anything was adapted."""
ORACLE = "oracle"
"""The same trained on labels of the target."""
CLOSED = ("ap50", "ap")
"""Figures of which the closed share of the oracle's lead is told, and those whose spread over seeds is."""
AP50 = 0
"""Place of IoU 0.50 in an average precision of each IoU."""
UNSURE = "No gap closed is told where the 95% interval of the oracle's lead over the source holds zero: {}."
SINGLE_PAGE = "Change by one page: of all pages the one without which AP50 changes most, and by how much."


@dataclass(frozen=True)
class Candidate:
    """What the runs of a model found on the pages."""

    row: Row
    """How its rows begin: model, engine, seeds, what else tells it from others."""
    found: Mapping[Any, Sequence[CocoPage]]
    """By run, such as its seed: the pages with what was found on them."""
    baselines: tuple[str, ...] = (SOURCE,)
    """Models that its figures are compared with: over the runs that both have, or over all where they share none."""


Drawn = Mapping[Figure, np.ndarray]
"""Each figure of a model on every draw, [runs, 1 + R]."""


class Paired:
    """Models on the same pages, with the same draws of books."""

    def __init__(
        self,
        truth: Sequence[CocoPage],
        models: Sequence[Candidate],
        labels: Sequence[str],
        resamples: int,
        seed: int = 0,
        whole: bool = False,
    ):
        """Measure ``models``, which differ in their names, on the pages ``truth``.

        Args:
            truth: Pages with their objects.
            models: What was found there.
            labels: Classes to measure.
            resamples: Draws of books.
            seed: Of the draws.
            whole: Leave out subsets of the pages.
        """
        self.truth, self.models = list(truth), {model.row.model: model for model in models}
        self.parts = subsets(self.truth, labels)[: 1 if whole else None]
        self._drawn: list[dict[str, Drawn]] = []
        runs = sum(len(model.found) for model in models)
        with progress("measuring", runs * len(self.parts)) as advance:
            for part in self.parts:
                books = units([self.truth[i] for i in part.pages])
                draws = cluster_weights(books.tolist(), resamples, seed)
                drawn: dict[str, Drawn] = {}
                for name, model in self.models.items():
                    drawn[name] = self._figures(model, part, books, draws)
                    advance(len(model.found))
                self._drawn.append(drawn)

    def _figures(self, model: Candidate, part: Subset, books: np.ndarray, draws: np.ndarray) -> Drawn:
        truth = [self.truth[i] for i in part.pages]
        each = [
            drawn_figures(truth, [found[i] for i in part.pages], part.labels, books, draws)
            for found in model.found.values()
        ]
        return {figure: np.stack([values[figure] for values in each]) for figure in each[0]}

    def rows(self) -> list[Row]:
        """Return the figures of all models, over all pages and over each subset, and their paired differences."""
        rows = []
        for part, drawn in zip(self.parts, self._drawn, strict=True):
            for model in self.models.values():
                row = self._row(model, part)
                of = drawn[row.model]
                rows += [figure_row(row, metric, v.mean(axis=0), label) for (metric, label), v in of.items()]
                rows += _spreads(row, of)
            for model in self.models.values():
                rows += self._differences(model, part, drawn)
        return rows

    def _row(self, model: Candidate, part: Subset) -> Row:
        return dataclasses.replace(model.row, n=len(part.pages), subset=part.name)

    def _differences(self, model: Candidate, part: Subset, drawn: Mapping[str, Drawn]) -> list[Row]:
        rows = []
        for name in model.baselines:
            if name == model.row.model or name not in self.models:
                continue
            row = dataclasses.replace(self._row(model, part), baseline=name)
            for figure, values in self._leads(model, self.models[name], drawn).items():
                rows.append(figure_row(row, f"{figure[0]}_difference", values, figure[1]))
        return rows

    def _leads(
        self, model: Candidate, other: Candidate, drawn: Mapping[str, Drawn]
    ) -> dict[Figure, np.ndarray]:
        """Return by how much a model leads another in each figure, [1 + R], with the runs that both have."""
        mine, theirs = list(model.found), list(other.found)
        both = set(mine) & set(theirs)
        rows, others = ([i for i, run in enumerate(of) if not both or run in both] for of in (mine, theirs))
        ours, base = drawn[model.row.model], drawn[other.row.model]
        return {
            figure: ours[figure][rows].mean(axis=0) - base[figure][others].mean(axis=0)
            for figure in ours
            if figure in base
        }

    def leads(self, model: str, other: str = SOURCE) -> dict[Figure, np.ndarray]:
        """Return by how much one model leads another in each figure over all pages, on every draw, [1 + R]."""
        if not self.parts:
            return {}
        return self._leads(self.models[model], self.models[other], self._drawn[0])

    def changes(self, model: str, row: Row) -> list[Row]:
        """Return how AP50 over all pages differs from the source's, the class mean and each class, as rows like ``row``."""
        return [
            figure_row(row, "ap50_change", values, label)
            for (metric, label), values in self.leads(model).items()
            if metric == "ap50"
        ]

    def gap_rows(self) -> tuple[list[Row], tuple[str, ...]]:
        """Return which share of the oracle's lead over the source each model closes on all pages, and what to say of it.

        It is told of a figure alone whose lead is sure: with an interval above zero. On draws without a lead there is no
        share, and the interval is of the others.
        """
        if ORACLE not in self.models or SOURCE not in self.models or not self.parts:
            return [], ()
        rows, unsure = [], []
        mine = {name: self.leads(name) for name in self.models if name not in (SOURCE, ORACLE)}
        for (metric, label), lead in self.leads(ORACLE).items():
            if metric not in CLOSED:
                continue
            if len(lead) < 2 or percentile_interval(lead[1:])[0] <= 0:
                unsure.append(f"{metric.upper()} of {label or 'the class mean'}")
                continue
            for name, leads in mine.items():
                row = self._row(self.models[name], self.parts[0])
                share = np.divide(leads[metric, label], lead, out=np.full(len(lead), np.nan), where=lead > 0)
                rows.append(figure_row(row, f"gap_closed_{metric}", share, label))
        return rows, (UNSURE.format(", ".join(unsure)),) if unsure else ()

    def influence_rows(self) -> list[Row]:
        """Return of each model and class the page without which AP50, on all pages, changes most, and by how much."""
        rows = []
        part = self.parts[0] if self.parts else Subset(None, (), ())
        for model in self.models.values():
            for label in part.labels:
                changes = influences(self.truth, list(model.found.values()), label)
                if np.isnan(changes).all():
                    continue
                page = int(np.nanargmax(np.abs(changes)))
                facts = {**model.row.facts, "page": self.truth[page].file_name}
                row = dataclasses.replace(self._row(model, part), facts=facts, label=label)
                rows.append(dataclasses.replace(row, metric="ap50_one_page", value=float(changes[page])))
        return rows


def influences(truth: Sequence[CocoPage], found: Sequence[Sequence[CocoPage]], label: str) -> np.ndarray:
    """Return by how much AP50 of a class changes when a page is left out, [P]; NaN where no object is left.

    Args:
        truth: Pages with their objects, P of them.
        found: Of each run the same pages with what it found; the change is that of the mean over runs.
        label: The class.
    """
    draws = np.concatenate([np.ones((1, len(truth))), 1.0 - np.eye(len(truth))])
    drawn = [match_class(truth, pages, label).average_precision(draws)[:, AP50] for pages in found]
    return np.mean([each[1:] - each[0] for each in drawn], axis=0)


def _spreads(row: Row, drawn: Drawn) -> list[Row]:
    """Return the standard deviation over runs of AP50 and AP on all pages, where there are two runs or more."""
    if row.subset not in (None, EVERY):
        return []
    return [
        dataclasses.replace(
            row, metric=f"{metric}_seed_sd", value=float(values[:, 0].std(ddof=1)), label=label
        )
        for (metric, label), values in drawn.items()
        if metric in CLOSED and len(values) > 1
    ]

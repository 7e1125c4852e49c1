"""Measure a trained model: quality with intervals, size and cost."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recsys_bnn.data.data_card import data_sections
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.stored_runs import stored_settings
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.trained import load_model, predict
from recsys_bnn.settings.training import EvaluateSettings
from seminar_common import bootstrap, cost, files, metrics, runs
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import progress, say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Curve, Results, Row
from seminar_common.runs import Run

Measured = tuple[str, bootstrap.Interval]
"""Name of a metric and its figure."""
QUALITY = ("roc_auc", "accuracy", "log_loss", "normalized_entropy")
PAIRED = ("roc_auc", "accuracy", "log_loss")
SHOWN = (*PAIRED, "size_mb", "mflops_per_sample", *(f"{name}_difference" for name in PAIRED))
"""What a terminal of 80 columns has room for; the report has every figure."""


def evaluate(settings: EvaluateSettings) -> Results:
    """Measure a run on every held-out split; publish the figures in the run, or in ``settings.out``.

    Raises:
        UserError: the run is missing or unfinished, its data changed, the data have another vocabulary, or
            ``settings.out`` holds something.
    """
    run = runs.open_run(settings.run)
    dataset = _dataset(run, settings)
    folder = _folder(run, settings, dataset)
    model = load_model(run, dataset)
    baseline_run = runs.open_run(settings.baseline) if settings.baseline else None
    baseline = load_model(baseline_run, dataset) if baseline_run else None
    fabric = launch(settings.device)
    model.to(fabric.device)
    measured = _Measured(run, dataset, settings)
    splits = held_out_splits(run)
    dataset.verify(*splits)
    with progress("evaluating", len(splits)) as advance:
        for split in splits:
            measured.quality(split, predict(model, dataset.rows(split), fabric.device))
            if baseline is not None and baseline_run is not None:
                measured.paired(
                    split,
                    predict(baseline.to(fabric.device), dataset.rows(split), fabric.device),
                    baseline_run,
                )
            advance()
    rows = [*measured.rows, *cost_rows(model, measured.name, dataset.name)]
    curves = [*learning_curves(run, dataset.name), *measured.curves]
    results = Results(runs.command_line(), tuple(rows), tuple(curves), remarks(dataset, splits))
    section = Section(measured.name, results, run.config(), _environment(run, folder, dataset))
    return publish(folder, f"{measured.name} DLRM", section, *data_sections(dataset.description), shown=SHOWN)


def remarks(dataset: Dataset, splits: Sequence[str]) -> tuple[str, ...]:
    """Return why figures of some splits, or their intervals, are missing, and say it."""
    known = {split: bootstrap.remark(dataset.rows(split).labels()) for split in splits}
    notes = tuple(f"{dataset.name}, {split}: {text}." for split, text in known.items() if text)
    for note in notes:
        say(note)
    return notes


def intervals(labels: np.ndarray, probabilities: np.ndarray, **resampling: int) -> Iterator[Measured]:
    """Yield the name of each quality figure that has a value on these rows, with its interval.

    Args:
        labels: 0 or 1, [n].
        probabilities: of a click, [n] or [S, n] of S seeds.
        resampling: ``seed`` and ``resamples``.
    """
    for metric in QUALITY:
        if metrics.has_value(metric, labels):
            yield metric, bootstrap.bootstrap_interval(metric, labels, probabilities, **resampling)


def paired_intervals(
    labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, **resampling: int
) -> Iterator[Measured]:
    """Yield the name of each paired difference that has a value on these rows, with its interval.

    Arguments are those of :func:`intervals`.
    """
    for metric in PAIRED:
        if metrics.has_value(metric, labels):
            interval = bootstrap.paired_bootstrap(metric, labels, ours, theirs, **resampling)
            yield f"{metric}_difference", interval


def held_out_splits(run: Run) -> list[str]:
    """Return the splits that the run has not learned from."""
    learned = stored_settings(run).optimization.fit_on.split("+")
    return [split for split in ("val", "test") if split not in learned]


def _dataset(run: Run, settings: EvaluateSettings) -> Dataset:
    trained = stored_settings(run).data  # first, as it refuses a folder that is no run to measure
    folder = settings.data or trained
    if folder is None:
        raise UserError(f"{run.folder}: names no data; give --data")
    dataset = open_dataset(folder)
    if settings.data is None:
        facts = {"data_fingerprint": dataset.fingerprint}
        require_same(run.config(), facts, run.folder, "give --data to measure on it all the same")
    return dataset


def _folder(run: Run, settings: EvaluateSettings, dataset: Dataset) -> Path:
    """Return where the figures go: a run keeps those of its own data apart from those of any other."""
    if settings.out is not None:
        files.refuse_existing(settings.out)
        return settings.out
    if dataset.fingerprint == run.config()["data_fingerprint"]:
        return run.folder
    return run.folder / f"on-{dataset.name}-{dataset.fingerprint[:8]}"


def _environment(run: Run, folder: Path, dataset: Dataset) -> dict[str, Any]:
    """Return the environment that the run was trained in, or beside it that of a measurement elsewhere."""
    if folder == run.folder:
        return run.environment()
    return runs.environment(torch.get_num_threads(), data={dataset.name: dataset.fingerprint})


class _Measured:
    """Collects the rows and curves of one model."""

    def __init__(self, run: Run, dataset: Dataset, settings: EvaluateSettings):
        train_settings = stored_settings(run)
        self.name, self.seed = train_settings.model.name, train_settings.seed
        self.dataset, self.settings = dataset, settings
        self.rows: list[Row] = []
        self.curves: list[Curve] = []
        self.probabilities: dict[str, np.ndarray] = {}

    def quality(self, split: str, probabilities: np.ndarray) -> None:
        """Add every quality figure of ``split`` with its interval, and its ROC and calibration curves."""
        labels = self.dataset.rows(split).labels()
        self.probabilities[split] = probabilities
        for metric, interval in intervals(labels, probabilities, **self._resampling()):
            self.rows.append(self._row(split, metric, interval))
        if metrics.has_value("calibration_error", labels):
            # A bootstrap of the calibration error is biased upwards (see its docstring), so it carries no interval.
            error = metrics.calibration_error(labels, probabilities)
            row = Row(self.name, self.dataset.name, split, "calibration_error", error, n=len(labels))
            self.rows.append(dataclasses.replace(row, seeds=(self.seed,)))
        if metrics.has_value("roc_auc", labels):
            self._add_curves(split, labels, probabilities)

    def _add_curves(self, split: str, labels: np.ndarray, probabilities: np.ndarray) -> None:
        for kind, points in (("roc", metrics.roc_points), ("calibration", metrics.calibration_points)):
            x, y = (tuple(np.round(part, 6).tolist()) for part in points(labels, probabilities))
            self.curves.append(Curve(kind, self.name, self.dataset.name, split, x, y))

    def paired(self, split: str, baseline_probabilities: np.ndarray, baseline_run: Run) -> None:
        """Add the differences to the baseline on the same rows."""
        labels = self.dataset.rows(split).labels()
        name = stored_settings(baseline_run).model.name
        ours = self.probabilities[split]
        for metric, interval in paired_intervals(labels, ours, baseline_probabilities, **self._resampling()):
            self.rows.append(self._row(split, metric, interval, name))

    def _resampling(self) -> dict[str, int]:
        return {"seed": self.settings.seed, "resamples": self.settings.resamples}

    def _row(self, split: str, metric: str, interval: bootstrap.Interval, baseline: str | None = None) -> Row:
        return Row(
            self.name,
            self.dataset.name,
            split,
            metric,
            interval.value,
            ci_low=interval.low,
            ci_high=interval.high,
            n=interval.n,
            seeds=(self.seed,),
            baseline=baseline,
        )


def cost_rows(model: DLRM, name: str, dataset: str) -> list[Row]:
    """Return the model's size in MB at its true bit widths, and its MFLOPs a sample."""
    size, mflops = cost.size_mb(model.tensor_sizes()), cost.mflops_per_sample(model.cost_layers())
    return [
        Row(name, dataset, "", "size_mb", size, unit="MB"),
        Row(name, dataset, "", "mflops_per_sample", mflops, unit="MFLOPs"),
    ]


def learning_curves(run: Run, dataset: str) -> list[Curve]:
    """Return the training and validation loss over the epochs, from the run's log."""
    name, curves = stored_settings(run).model.name, []
    for key, split in (("loss", "train"), ("val_log_loss", "val")):
        records = [record for record in run.logged() if key in record]
        if records:
            x, y = (tuple(record[k] for record in records) for k in ("epoch", key))
            curves.append(Curve("learning", name, dataset, split, x, y, "epoch", "log loss"))
    return curves

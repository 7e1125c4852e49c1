"""Measure a trained model: quality with intervals, size and cost; writes the run's results and report."""

import numpy as np

from recsys_bnn.data.data_card import data_sections
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.stored_runs import stored_settings
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.trained import load_model, predict
from recsys_bnn.settings.training import EvaluateSettings
from seminar_common import bootstrap, cost, metrics, runs
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import progress, say
from seminar_common.report import write_report
from seminar_common.results import Curve, Results, Row, write_results
from seminar_common.runs import Run

QUALITY = ("roc_auc", "accuracy", "log_loss", "normalized_entropy")
PAIRED = ("roc_auc", "accuracy", "log_loss")


def evaluate(settings: EvaluateSettings) -> Results:
    """Measure a run on every held-out split; write its ``results.json`` and ``report.html``.

    Raises:
        UserError: the run is missing or unfinished, its data changed, or the data have another vocabulary.
    """
    run = runs.open_run(settings.run)
    dataset = _dataset(run, settings)
    model = load_model(run, dataset)
    baseline_run = runs.open_run(settings.baseline) if settings.baseline else None
    baseline = load_model(baseline_run, dataset) if baseline_run else None
    fabric = launch(settings.device)
    model.to(fabric.device)
    measured = _Measured(run, dataset, settings)
    splits = held_out_splits(run)
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
    results = Results(runs.command_line(), tuple(rows), tuple(curves))
    write_results(run.results_file, results)
    sections = [
        (measured.name, results, run.config(), run.environment()),
        *data_sections(dataset.description),
    ]
    write_report(sections, run.report_file, f"{measured.name} DLRM")
    _print_summary(results)
    say(f"wrote {run.results_file} and {run.report_file.name}")
    return results


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
        facts, way_out = (
            {"data_fingerprint": dataset.fingerprint},
            "give --data to measure on it all the same",
        )
        require_same(run.config(), facts, run.folder, way_out)
    return dataset


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
        for metric in QUALITY:
            interval = bootstrap.bootstrap_interval(metric, labels, probabilities, **self._resampling())
            self.rows.append(self._row(split, metric, interval))
        # A bootstrap of the calibration error is biased upwards (see its docstring), so it carries no interval.
        error = metrics.calibration_error(labels, probabilities)
        self.rows.append(
            Row(
                self.name,
                self.dataset.name,
                split,
                "calibration_error",
                error,
                n=len(labels),
                seeds=(self.seed,),
            )
        )
        for kind, points in (("roc", metrics.roc_points), ("calibration", metrics.calibration_points)):
            x, y = (tuple(np.round(part, 6).tolist()) for part in points(labels, probabilities))
            self.curves.append(Curve(kind, self.name, self.dataset.name, split, x, y))

    def paired(self, split: str, baseline_probabilities: np.ndarray, baseline_run: Run) -> None:
        """Add the differences to the baseline on the same rows."""
        labels = self.dataset.rows(split).labels()
        name = stored_settings(baseline_run).model.name
        for metric in PAIRED:
            interval = bootstrap.paired_bootstrap(
                metric, labels, self.probabilities[split], baseline_probabilities, **self._resampling()
            )
            self.rows.append(self._row(split, f"{metric}_difference", interval, name))

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


def _print_summary(results: Results) -> None:
    for row in results.rows:
        interval = f"  [{row.ci_low:.4f}, {row.ci_high:.4f}]" if row.ci_low is not None else ""
        versus = f" to {row.baseline}" if row.baseline else ""
        print(f"{row.model:10} {row.split:5} {row.metric + versus:28} {row.value:10.4f}{interval}")

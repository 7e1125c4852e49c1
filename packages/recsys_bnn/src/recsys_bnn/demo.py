"""The demo: from a raw click log to the table of a full-precision and two binary DLRMs."""

import dataclasses
from pathlib import Path

import numpy as np

from recsys_bnn.data.criteo_log import criteo_log, write_log
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.evaluate import QUALITY, evaluate
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import EvaluateSettings, OptimizationConfig, TrainSettings, small
from recsys_bnn.study_models.baselines import logistic_regression
from recsys_bnn.study_models.variants import VARIANTS
from recsys_bnn.train import train
from seminar_common import bootstrap
from seminar_common.demos import DemoPage, DemoSettings, run_demos
from seminar_common.progress import say
from seminar_common.results import Results, Row, merge
from seminar_common.runs import command_line

# A log that a few seconds of training can learn from: fewer, stronger interactions than the default.
LOG = SyntheticConfig(100_000, main_share=0.2, dense_share=0.3, pairs=4, rank=2, drift=0.1)
MODELS = ("float", "binary", "binary-a4")
GENERATED = OptimizationConfig(
    epochs=2,
    batch_size=256,
    learning_rate=2e-3,
    embedding_learning_rate=3e-3,
    min_count=50,
    fit_on="train+val",
)
"""How the demo fits the generated log, whose effects drift: the rows just before the test rows count most."""


def main(settings: DemoSettings) -> None:
    """Run this topic's demo alone; the function behind ``recsys-bnn demo``."""
    run_demos({"recsys_bnn": demo}, settings)


def demo(folder: Path, data: Path | None) -> DemoPage:
    """Prepare a click log, train the models and measure them; fill ``folder``.

    Args:
        folder: Folder to make.
        data: Folder with a Criteo log; None generates one whose best possible AUC is known.
    """
    if data is None:
        log, probabilities = folder / "log.txt", write_log(folder / "log.txt", LOG)
        prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=folder / "data", name="synthetic"))
    else:
        log, probabilities = criteo_log(data), None
        prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=folder / "data"))
    dataset = open_dataset(folder / "data")
    bounds = []
    if probabilities is not None:
        bounds += _quality_rows("best-possible", dataset, probabilities[-len(dataset.rows("test")) :])
    say("fitting logistic regression")
    bounds += _quality_rows("logistic-regression", dataset, logistic_regression(dataset))
    settings = dataclasses.replace(small(), data=folder / "data")
    if data is None:
        model = dataclasses.replace(settings.model, dropout=0.2)
        settings = dataclasses.replace(settings, model=model, optimization=GENERATED)
    parts = [_train_and_measure(name, settings, folder) for name in MODELS]
    results = merge([Results("", tuple(bounds)), *parts], command_line())
    return DemoPage(f"Binary recommender on {dataset.name}", results)


def _train_and_measure(name: str, settings: TrainSettings, folder: Path) -> Results:
    run = folder / "runs" / name
    train(dataclasses.replace(VARIANTS[name].change(settings), out=run))
    baseline = None if name == "float" else folder / "runs" / "float"
    return evaluate(EvaluateSettings(run=run, baseline=baseline))


def _quality_rows(model: str, dataset: Dataset, probabilities: np.ndarray) -> list[Row]:
    """Return the test figures of a bound or baseline that is no run."""
    labels, rows = dataset.rows("test").labels(), []
    for metric in QUALITY:
        interval = bootstrap.bootstrap_interval(metric, labels, probabilities, seed=0)
        value, low, high = interval.value, interval.low, interval.high
        rows.append(Row(model, dataset.name, "test", metric, value, low, high, n=interval.n))
    return rows

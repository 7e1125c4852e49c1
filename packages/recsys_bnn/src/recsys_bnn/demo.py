"""The demo: from a raw click log to packed models, in bytes, microseconds and ROC AUC."""

import dataclasses
import time
from pathlib import Path

import numpy as np

from recsys_bnn.data.criteo_log import criteo_log, write_log
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.evaluate import QUALITY, evaluate
from recsys_bnn.pack import pack
from recsys_bnn.prepare import prepare
from recsys_bnn.runtime.packed import PackedModel, load
from recsys_bnn.settings.pack import PackSettings
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import EvaluateSettings, TrainSettings, medium, small
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
MODELS = ("float", "binary-a4", "binary")
BATCHES = (1, 128)
"""Rows that a timed call scores."""
_SECONDS, _LEAST_CALLS = 0.5, 20  # of each timing
_CHECKED_ROWS = 20_000


def main(settings: DemoSettings) -> None:
    """Run this topic's demo alone; the function behind ``recsys-bnn demo``."""
    run_demos({"recsys_bnn": demo}, settings)


def demo(folder: Path, data: Path | None) -> DemoPage:
    """Prepare a click log, train the models, measure and pack them; fill ``folder``.

    Args:
        folder: Folder to make.
        data: Folder with a Criteo log; None generates one.
    """
    log = folder / "log.txt" if data is None else criteo_log(data)
    if data is None:
        write_log(log, LOG)
    name = "synthetic" if data is None else ""
    prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=folder / "data", name=name))
    dataset = open_dataset(folder / "data")
    say("fitting logistic regression")
    baseline = _quality_rows("logistic-regression", dataset, logistic_regression(dataset))
    preset = small() if data else medium()
    one_training = dataclasses.replace(preset.optimization, choose_passes="no")
    settings = dataclasses.replace(preset, data=folder / "data", optimization=one_training)
    parts = [_train_and_measure(name, settings, folder, dataset) for name in MODELS]
    results = merge([Results("", tuple(baseline)), *parts], command_line())
    return DemoPage(title(results), results)


def title(results: Results) -> str:
    """Return the headline: bytes, microseconds and ROC AUC of `binary-a4`, and beside them those of float."""
    ours, float_ = (_lead(results, name) for name in ("binary-a4", "float"))
    return f"Binary recommender: {ours}; float {float_}"


def _lead(results: Results, model: str) -> str:
    packed = results.one(model=model, metric="packed_mb").value
    latency = results.one(model=model, metric="latency_us_p50", batch=BATCHES[-1]).value
    auc = results.one(model=model, metric="roc_auc", split="test").value
    return f"{1000 * packed:,.0f} kB, {latency:,.0f} \u00b5s for {BATCHES[-1]} rows, AUC {auc:.4f}"


def _train_and_measure(name: str, settings: TrainSettings, folder: Path, dataset: Dataset) -> Results:
    run, file = folder / "runs" / name, folder / "models" / f"{name}.safetensors"
    train(dataclasses.replace(VARIANTS[name].change(settings), out=run))
    measured = evaluate(
        EvaluateSettings(run=run, baseline=None if name == "float" else folder / "runs" / "float")
    )
    file.parent.mkdir(exist_ok=True)
    packed = pack(PackSettings(run=run, out=file, check_rows=_CHECKED_ROWS))
    sizes = [row for row in packed.rows if row.metric in ("packed_mb", "packed_ratio")]
    speed = _speed_rows(load(file), dataset)
    return merge([measured, Results("", (*sizes, *speed))], "")


def _speed_rows(model: PackedModel, dataset: Dataset) -> list[Row]:
    """Return the median time of a call of one thread that scores test rows, for each number of rows."""
    _, integers, ids = dataset.rows("test").columns()
    rows = []
    for batch in BATCHES:
        times = _times(model, integers, ids, batch)
        row = Row(
            model.name,
            dataset.name,
            "",
            "latency_us_p50",
            1e6 * float(np.median(times)),
            unit="us",
            engine=model.engine.name,
            batch=batch,
            threads=1,
            n=len(times),
        )
        rows.append(row)
    return rows


def _times(model: PackedModel, integers: np.ndarray, ids: np.ndarray, batch: int) -> list[float]:
    """Return the seconds of each call; the first ones, which load code and tables, don't count."""
    starts = range(0, len(ids) - batch + 1, batch)
    parts = [(integers[i : i + batch].copy(), ids[i : i + batch].copy()) for i in starts[:256]]
    for part in parts[:_LEAST_CALLS]:
        model.predict_encoded(*part)
    times, end = [], time.perf_counter() + _SECONDS
    while len(times) < _LEAST_CALLS or time.perf_counter() < end:
        started = time.perf_counter()
        model.predict_encoded(*parts[len(times) % len(parts)])
        times.append(time.perf_counter() - started)
    return times


def _quality_rows(model: str, dataset: Dataset, probabilities: np.ndarray) -> list[Row]:
    """Return the test figures of a baseline that is no run."""
    labels, rows = dataset.rows("test").labels(), []
    for metric in QUALITY:
        interval = bootstrap.bootstrap_interval(metric, labels, probabilities, seed=0)
        value, low, high = interval.value, interval.low, interval.high
        rows.append(Row(model, dataset.name, "test", metric, value, low, high, n=interval.n))
    return rows

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
from recsys_bnn.reporting.demo_pictures import ROWS, Measured, quality_against_bytes, squares
from recsys_bnn.runtime.packed import PackedModel, load
from recsys_bnn.settings.pack import PackSettings
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import EvaluateSettings, TrainSettings, medium, small
from recsys_bnn.study_models.baselines import logistic_regression
from recsys_bnn.study_models.variants import VARIANTS
from recsys_bnn.train import train
from seminar_common import bootstrap
from seminar_common.demo_page import Bar, Bars, Panel, Story
from seminar_common.demos import DemoSettings, run_demos
from seminar_common.display import metric_named
from seminar_common.progress import say
from seminar_common.results import Results, Row, merge
from seminar_common.runs import command_line

# A log that a few seconds of training can learn from: fewer, stronger interactions than the default.
LOG = SyntheticConfig(100_000, main_share=0.2, dense_share=0.3, pairs=4, rank=2, drift=0.1)
FLOAT, OURS = "float", "binary-a4"
MODELS = (FLOAT, OURS, "binary")
BEST = "best-possible"
"""The true probabilities of generated rows."""
BATCHES = (1, ROWS)
"""Rows that a timed call scores."""
SECONDS, _LEAST_CALLS = 0.5, 20
"""Of each timing."""
_CHECKED_ROWS = 20_000


def main(settings: DemoSettings) -> None:
    """Run this topic's demo alone; the function behind ``recsys-bnn demo``."""
    run_demos({"recsys_bnn": demo}, settings)


def demo(folder: Path, data: Path | None) -> Story:
    """Prepare a click log, train the models, measure and pack them; fill ``folder``.

    Args:
        folder: Folder to make.
        data: Folder with a Criteo log; None generates one.
    """
    log = folder / "log.txt" if data is None else criteo_log(data)
    true = write_log(log, LOG) if data is None else None
    name = "synthetic" if data is None else ""
    prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=folder / "data", name=name, split="time"))
    dataset = open_dataset(folder / "data")
    say("fitting logistic regression")
    rows = _quality_rows("logistic-regression", dataset, logistic_regression(dataset))
    if true is not None:  # rows split in time: the last ones are the test rows
        rows += _quality_rows(BEST, dataset, true[-len(dataset.rows("test")) :])
    preset = small() if data else medium()
    one_training = dataclasses.replace(preset.optimization, choose_passes="no")
    settings = dataclasses.replace(preset, data=folder / "data", optimization=one_training)
    parts = [_train_and_measure(name, settings, folder, dataset) for name in MODELS]
    return story(merge([Results("", tuple(rows)), *parts], command_line()))


def _train_and_measure(name: str, settings: TrainSettings, folder: Path, dataset: Dataset) -> Results:
    run, file = folder / "runs" / name, folder / "models" / f"{name}.safetensors"
    train(dataclasses.replace(VARIANTS[name].change(settings), out=run))
    measured = evaluate(
        EvaluateSettings(run=run, baseline=None if name == FLOAT else folder / "runs" / FLOAT)
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
    times, end = [], time.perf_counter() + SECONDS
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


# --------------------------------------------------------------------------------------------------- the story

COMMANDS = (
    (
        "Prepare your click log, here in Criteo's format (recsys-bnn prepare --help names the others):",
        "recsys-bnn prepare criteo-kaggle --input train.txt --out data/mine",
    ),
    (
        "Train with 1-bit weights and 4-bit activations:",
        "recsys-bnn train --data data/mine --out runs/binary-a4 --embedding-bits 1 --mlp-bits 1 --activation-bits 4",
    ),
    (
        "Pack it into a file that recsys-bnn score and serve use without PyTorch:",
        "recsys-bnn pack --run runs/binary-a4 --out model.safetensors",
    ),
)
NAMES = {
    FLOAT: "full precision",
    OURS: "1-bit weights, 4-bit activations",
    "binary": "1-bit weights and activations",
    "logistic-regression": "logistic regression",
}


def story(results: Results) -> Story:
    """Return what the page tells: bytes, microseconds and ROC AUC of `binary-a4` beside those of full precision."""
    before, ours = (Measured.of(results, model) for model in (FLOAT, OURS))
    smaller, faster = before.kilobytes / ours.kilobytes, before.microseconds / ours.microseconds
    paired = results.one(model=OURS, metric="roc_auc_difference", split="test", baseline=FLOAT)
    answer = (
        f"With 1-bit weights a model takes {ours.kilobytes:,.0f} kB in place of {before.kilobytes:,.0f} kB and scores "
        f"{ROWS} rows in {ours.microseconds:,.0f} \u00b5s in place of {before.microseconds:,.0f} \u00b5s; its ROC AUC "
        f"of {ours.auc:.4f} differs by {_figure(paired)}{_verdict(paired)}."
    )
    drawing = squares((NAMES[FLOAT], before), ("packed", ours))
    return Story(
        "Small recommenders",
        "How small and fast can a recommender get before it recommends worse?",
        f"{smaller:.1f} times smaller, {faster:.1f} times faster" + _price(paired),
        answer,
        drawing,
        results,
        _bars(results),
        (Panel("Quality against bytes", (drawing, quality_against_bytes(results, NAMES))),),
        _notes(results),
        COMMANDS,
        (("The packed model's training", f"runs/{OURS}/report.html"),),
    )


def _figure(row: Row) -> str:
    metric = metric_named(row.metric)
    return f"{metric.text(row.value)} {metric.interval(row)}".strip()


def _price(paired: Row) -> str:
    """Say what it costs, where it costs anything that can be told."""
    lost = paired.ci_high is not None and paired.ci_high < 0
    return f", AUC {metric_named(paired.metric).text(paired.value)}" if lost else ""


def _verdict(paired: Row) -> str:
    """Say what the interval of a difference means for the packed model."""
    if paired.ci_low is None or paired.ci_high is None:
        return ", too few clicks for an interval"
    if paired.ci_low <= 0 <= paired.ci_high:
        return ", no loss that can be told"
    return ", a gain" if paired.value > 0 else ", a loss"


def _bars(results: Results) -> list[Bars]:
    """Return bytes, microseconds and ROC AUC of all models."""
    measured = {model: Measured.of(results, model) for model in MODELS}
    size = [
        Bar(NAMES[name], one.kilobytes, f"{one.kilobytes:,.0f} kB", ours=name == OURS)
        for name, one in measured.items()
    ]
    speed = [
        Bar(NAMES[name], one.microseconds, f"{one.microseconds:,.0f} \u00b5s", ours=name == OURS)
        for name, one in measured.items()
    ]
    quality = [
        Bar(NAMES[row.model], row.value, _figure(row), row.ci_low, row.ci_high, ours=row.model == OURS)
        for row in results.rows
        if row.metric == "roc_auc" and row.split == "test" and row.model != BEST
    ]
    best = [row.value for row in results.rows if row.model == BEST and row.metric == "roc_auc"]
    note = f"From chance, 0.5, to {best[0]:.4f}, which nothing can beat on these rows." if best else ""
    return [
        Bars("Bytes of the packed model", size),
        Bars(f"Time for {ROWS} rows, one thread", speed, "Median of a call, all in the same engine."),
        Bars("ROC AUC on rows that came later", quality, note, 0.5, best[0] if best else None),
    ]


def _notes(results: Results) -> tuple[str, ...]:
    """Return what a reader must know."""
    best = any(row.model == BEST for row in results.rows)
    known = (
        "The clicks are drawn from known probabilities, so the best possible ROC AUC is known. "
        if best
        else ""
    )
    return (
        f"{known}The bytes are those of the model; its file also holds the vocabulary, which both models share. A longer "
        "log has larger tables, of which more can be saved.",
    )

"""The demo: from a raw click log to the table of a full-precision and a binary DLRM."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recsys_bnn.baselines import logistic_regression
from recsys_bnn.config import EvaluateSettings, small
from recsys_bnn.dataset import Dataset, open_dataset
from recsys_bnn.evaluate import evaluate
from recsys_bnn.prepare import prepare
from recsys_bnn.prepare_config import PrepareConfig
from recsys_bnn.synthetic import CHUNK_ROWS, SyntheticChunk, SyntheticConfig, SyntheticLog
from recsys_bnn.train import train
from seminar_common import bootstrap
from seminar_common.demos import DemoPage, DemoSettings, run_demos
from seminar_common.errors import UserError
from seminar_common.progress import progress, say
from seminar_common.results import Results, Row, merge
from seminar_common.runs import command_line

ROWS = 100_000
CRITEO_FILES = ("recsys/criteo_kaggle_first_10000.txt", "train.txt", "train.txt.gz")


def main(settings: DemoSettings) -> None:
    """Run this topic's demo alone; the function behind ``recsys-bnn demo``."""
    run_demos({"recsys_bnn": demo}, settings)


def demo(folder: Path, data: Path | None) -> DemoPage:
    """Prepare a click log, train both models and measure them; fill ``folder``.

    Args:
        folder: Folder to make.
        data: Folder with a Criteo log; None generates one whose best possible AUC is known.
    """
    if data is None:
        log, probabilities = folder / "log.txt", write_log(folder / "log.txt", SyntheticConfig(ROWS))
        prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=folder / "data", name="synthetic"))
    else:
        log, probabilities = criteo_log(data), None
        prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=folder / "data"))
    dataset = open_dataset(folder / "data")
    bounds = (
        []
        if probabilities is None
        else [_row("best-possible", dataset, probabilities[-len(dataset.rows("test")) :])]
    )
    say("fitting logistic regression")
    bounds.append(_row("logistic-regression", dataset, logistic_regression(dataset)))
    parts = [_train_and_measure(name, bits, folder) for name, bits in (("float", 32), ("binary", 1))]
    results = merge([Results("", tuple(bounds)), *parts], command_line())
    return DemoPage(f"Binary recommender on {dataset.name}", results)


def criteo_log(data: Path) -> Path:
    """Return the Criteo log in the folder ``data``.

    Raises:
        UserError: it holds none.
    """
    for name in CRITEO_FILES:
        if (data / name).is_file():
            return data / name
    raise UserError(
        f"{data}: holds no Criteo log; expected one of {', '.join(CRITEO_FILES)} in it (see docs/data.md)"
    )


def write_log(path: Path, config: SyntheticConfig) -> np.ndarray:
    """Write a generated log in Criteo's text format; return its true click probabilities, float64 [rows]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    probabilities = []
    with path.open("w", encoding="ascii") as file, progress("generating", config.rows) as advance:
        for chunk in SyntheticLog(config).chunks():
            file.writelines(criteo_lines(chunk))
            probabilities.append(chunk.probabilities)
            advance(min(CHUNK_ROWS, len(chunk.labels)))
    return np.concatenate(probabilities)


def criteo_lines(chunk: SyntheticChunk) -> Iterable[str]:
    """Yield a chunk's rows as lines of Criteo's train.txt."""
    columns = zip(chunk.labels.tolist(), chunk.integers.tolist(), chunk.categoricals.tolist(), strict=True)
    for label, integers, categoricals in columns:
        counts = "\t".join("" if value < 0 else str(value) for value in integers)
        yield f"{label}\t{counts}\t" + "\t".join(f"{v:08x}" if v else "" for v in categoricals) + "\n"


def _train_and_measure(name: str, bits: int, folder: Path) -> Results:
    settings = small()
    model = dataclasses.replace(settings.model, embedding_bits=bits, mlp_bits=bits)
    run = folder / "runs" / name
    train(dataclasses.replace(settings, data=folder / "data", out=run, model=model))
    baseline = None if name == "float" else folder / "runs" / "float"
    return evaluate(EvaluateSettings(run=run, baseline=baseline))


def _row(model: str, dataset: Dataset, probabilities: np.ndarray) -> Row:
    """Return the test AUC of a bound or baseline that is no run."""
    labels = dataset.rows("test").labels()
    auc = bootstrap.bootstrap_interval("roc_auc", labels, probabilities, seed=0)
    return Row(model, dataset.name, "test", "roc_auc", auc.value, auc.low, auc.high, n=auc.n)

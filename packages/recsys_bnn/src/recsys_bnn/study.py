"""The reference's table grown up: models x seeds on one data set, with paired differences to the float model."""

import dataclasses
from pathlib import Path

import numpy as np

from recsys_bnn.baselines import logistic_regression
from recsys_bnn.config import PRESETS, StudySettings, TrainSettings
from recsys_bnn.dataset import Dataset, open_dataset
from recsys_bnn.evaluate import PAIRED, QUALITY, cost_rows
from recsys_bnn.predict import load_model, predict
from recsys_bnn.train import WEIGHTS, train
from recsys_bnn.variants import BASELINE, VARIANTS
from seminar_common import bootstrap, files, metrics, runs
from seminar_common.device import choose
from seminar_common.errors import UserError, choices
from seminar_common.progress import say
from seminar_common.report import write_report
from seminar_common.results import Results, Row, write_results
from seminar_common.runs import Run

REFERENCE = "float"


def study(settings: StudySettings) -> Results:
    """Train, predict and compare every model; write ``results.json`` and ``report.html`` into the folder.

    A model and seed that has ended is not trained again, and a killed one goes on from its checkpoint, so a
    study that stopped is continued by the same command, and one with more models or seeds adds to the folder.

    Raises:
        UserError: an unknown model, unusable data, or a folder that holds another study.
    """
    unknown = sorted(set(settings.models) - {*VARIANTS, BASELINE})
    if unknown:
        raise UserError(f"--models {unknown[0]}: no such model; choose {choices([*VARIANTS, BASELINE])}")
    dataset = open_dataset(settings.data)
    _check_folder(settings, dataset)
    predictions = {name: _predictions(name, settings, dataset) for name in settings.models}
    rows = []
    for name, probabilities in predictions.items():
        say(f"measuring {name}")
        rows += _rows(name, probabilities, predictions.get(REFERENCE), settings, dataset)
    results = Results(runs.command_line(), tuple(rows))
    write_results(settings.out / "results.json", results)
    facts = runs.environment(choose(settings.device).threads, data={dataset.name: dataset.fingerprint})
    write_report(
        [(dataset.name, results, None, facts)], settings.out / "report.html", f"Study on {dataset.name}"
    )
    say(f"wrote {settings.out / 'results.json'} and report.html")
    return results


def _check_folder(settings: StudySettings, dataset: Dataset) -> None:
    """Write down what the study is about, or refuse a folder that is about something else."""
    marker, facts = settings.out / "study.json", {"data": dataset.fingerprint, "preset": settings.preset}
    if marker.exists():
        if files.read_json(marker) != facts:
            raise UserError(
                f"{settings.out}: holds a study of other data or another preset; choose another --out"
            )
        return
    files.refuse_existing(settings.out)
    files.write_json(marker, facts)


def train_settings(name: str, seed: int, settings: StudySettings) -> TrainSettings:
    """Return the settings of one run: the preset, changed by the variant."""
    out = settings.out / "runs" / f"{name}-seed{seed}"
    base = PRESETS[settings.preset]()
    base = dataclasses.replace(base, data=settings.data, out=out, seed=seed, device=settings.device)
    return VARIANTS[name](base)


def _predictions(name: str, settings: StudySettings, dataset: Dataset) -> np.ndarray:
    """Return the test probabilities of each seed, [S, n]; they are stored beside the run."""
    if name == BASELINE:
        return logistic_regression(dataset)[None]
    return np.stack([_predict(name, seed, settings, dataset) for seed in settings.seeds])


def _predict(name: str, seed: int, settings: StudySettings, dataset: Dataset) -> np.ndarray:
    chosen = train_settings(name, seed, settings)
    assert chosen.out is not None
    stored = chosen.out / "test-probabilities.npy"
    if not stored.exists():
        run = _train(chosen, chosen.out)
        model = load_model(run, dataset)
        probabilities = predict(model, dataset.rows("test"), next(model.parameters()).device)
        with files.atomic_path(stored) as temporary, temporary.open("wb") as file:
            np.save(file, probabilities)
    return np.load(stored)


def _train(chosen: TrainSettings, folder: Path) -> Run:
    run = Run(folder)
    if (run.checkpoints / WEIGHTS).exists():
        return run
    if (folder / runs.MARKER).exists():
        return train(dataclasses.replace(PRESETS[chosen.preset](), resume=folder))
    return train(chosen)


def _rows(
    name: str,
    probabilities: np.ndarray,
    reference: np.ndarray | None,
    settings: StudySettings,
    dataset: Dataset,
) -> list[Row]:
    labels = dataset.rows("test").labels()
    seeds = None if name == BASELINE else settings.seeds

    def row(metric: str, interval: bootstrap.Interval, baseline: str | None = None) -> Row:
        value, low, high = interval.value, interval.low, interval.high
        return Row(
            name, dataset.name, "test", metric, value, low, high, n=interval.n, seeds=seeds, baseline=baseline
        )

    resampling = {"seed": 0, "resamples": settings.resamples}
    rows = [row(m, bootstrap.bootstrap_interval(m, labels, probabilities, **resampling)) for m in QUALITY]
    error = float(np.mean([metrics.calibration_error(labels, each) for each in probabilities]))
    rows.append(Row(name, dataset.name, "test", "calibration_error", error, n=len(labels), seeds=seeds))
    if reference is not None and name != REFERENCE:
        # One fit of a baseline stands against each seed of the reference.
        ours = np.broadcast_to(probabilities, reference.shape)
        rows += [
            row(
                f"{m}_difference",
                bootstrap.paired_bootstrap(m, labels, ours, reference, **resampling),
                REFERENCE,
            )
            for m in PAIRED
        ]
    return rows if name == BASELINE else [*rows, *_cost(name, settings, dataset)]


def _cost(name: str, settings: StudySettings, dataset: Dataset) -> list[Row]:
    folder = train_settings(name, settings.seeds[0], settings).out
    assert folder is not None
    return [
        dataclasses.replace(row, seeds=settings.seeds)
        for row in cost_rows(load_model(Run(folder), dataset), name, dataset.name)
    ]

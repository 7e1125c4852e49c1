"""The reference's table grown up: models x seeds on one data set, with paired differences to the float model."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys_bnn.data.data_card import data_sections
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.stored_runs import stored_settings
from recsys_bnn.evaluate import PAIRED, QUALITY, cost_rows
from recsys_bnn.model.trained import load_model, predict
from recsys_bnn.settings.training import PRESETS, StudySettings, TrainSettings
from recsys_bnn.study_models.baselines import logistic_regression
from recsys_bnn.study_models.variants import ABLATIONS, BASELINE, FLOAT, VARIANTS, Variant
from recsys_bnn.train import train
from seminar_common import bootstrap, files, metrics, runs
from seminar_common.device import choose
from seminar_common.errors import UserError, choices
from seminar_common.identity import code_digest, require_same
from seminar_common.progress import say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row
from seminar_common.runs import Run
from seminar_common.settings import to_dict
from seminar_common.training import WEIGHTS

BEST = "best-possible"
"""The true probabilities of generated rows."""
WHOLE = "whole recipe"
SHOWN = ("roc_auc", "log_loss", "calibration_error", "size_mb", "train_rows_per_s", "roc_auc_difference")
"""What a terminal has room for; the report has every figure."""
MAKE_FIGURES = (
    "recsys_bnn.study_models.baselines",
    "recsys_bnn.model.bitorch_engine",
    "recsys_bnn.data.dataset",
    "recsys_bnn.model.layers",
    "recsys_bnn.model.dlrm",
    "recsys_bnn.training.optimizers",
    "recsys_bnn.model.post_training",
    "recsys_bnn.model.trained",
    "recsys_bnn.model.quantizers",
    "recsys_bnn.training.batch_norms",
    "recsys_bnn.train",
    "seminar_common.training",
)
"""The code that kept weights and probabilities depend on; a study of another version of it is not added to."""
_ALL = VARIANTS | ABLATIONS


def study(settings: StudySettings) -> Results:
    """Train, predict and compare every model; publish the figures in the folder.

    Seed after seed, each model is trained and measured; the table is written anew after every seed. A model and
    seed that has ended is not trained again, and a killed one goes on from its checkpoint, so a study that stopped
    is continued by the same command, and one with more models or seeds adds to the folder.

    Raises:
        UserError: an unknown model, unusable data, or a folder that holds another study.
    """
    names = _names(settings)
    if settings.data is None or settings.out is None:
        raise UserError("--data and --out: give the folder that `recsys-bnn prepare` wrote, and one to make")
    dataset = open_dataset(settings.data)
    _check_folder(settings, dataset)
    results = Results("")
    for count, seed in enumerate(settings.seeds, start=1):
        for name in names:
            if name in _ALL:
                _predictions(name, seed, settings, dataset)
        say(f"measuring seed {seed}")
        part = dataclasses.replace(settings, seeds=settings.seeds[:count])
        results = _Measured(part, dataset, names).results()
        _publish(settings, dataset, results)
    return results


def _names(settings: StudySettings) -> list[str]:
    names = [*(settings.models or (*VARIANTS, BASELINE)), *(ABLATIONS if settings.ablate else ())]
    unknown = sorted(set(names) - {*_ALL, BASELINE})
    if unknown:
        raise UserError(f"--models {unknown[0]}: no such model; choose {choices([*_ALL, BASELINE])}")
    return list(dict.fromkeys(names))


def _check_folder(settings: StudySettings, dataset: Dataset) -> None:
    """Write down what the study is about, or refuse a folder that is about something else."""
    marker = _folder(settings) / "study.json"
    facts = {
        "data_fingerprint": dataset.fingerprint,
        "preset": settings.preset,
        **to_dict(settings.model),
        **to_dict(settings.optimization),
        "code": code_digest(*MAKE_FIGURES),
    }
    if marker.exists():
        require_same(files.read_json(marker), facts, _folder(settings), "choose another --out")
        return
    files.refuse_existing(_folder(settings))
    files.write_json(marker, facts)


def _recipe(settings: StudySettings) -> dict[str, Any]:
    return {"model": to_dict(settings.model), "optimization": to_dict(settings.optimization)}


def _folder(settings: StudySettings) -> Path:
    assert settings.out is not None
    return settings.out


def _publish(settings: StudySettings, dataset: Dataset, results: Results) -> None:
    facts = runs.environment(choose(settings.device).threads, data={dataset.name: dataset.fingerprint})
    section = Section(dataset.name, results, _recipe(settings), facts)
    title, card = f"Study on {dataset.name}", data_sections(dataset.description)
    publish(_folder(settings), title, section, *card, shown=SHOWN)


def run_folder(name: str, seed: int, settings: StudySettings) -> Path:
    """Return the run folder of a variant and seed."""
    return _folder(settings) / "runs" / f"{name}-seed{seed}"


def train_settings(name: str, seed: int, settings: StudySettings) -> TrainSettings:
    """Return the settings of one run: the preset, changed by the variant."""
    variant = _ALL[name]
    out = run_folder(name, seed, settings)
    base = dataclasses.replace(
        PRESETS[settings.preset](),
        data=settings.data,
        out=out,
        seed=seed,
        device=settings.device,
        model=settings.model,
        optimization=settings.optimization,
    )
    init, teacher = (
        run_folder(other, seed, settings) if other else None for other in (variant.init, variant.teacher)
    )
    return variant.change(dataclasses.replace(base, init=init, teacher=teacher))


def _predictions(name: str, seed: int, settings: StudySettings, dataset: Dataset) -> np.ndarray:
    """Return the test probabilities of one run, [n], after training it if need be; they are stored beside it."""
    run = _trained(name, seed, settings, dataset)
    stored = run.folder / "test-probabilities.npy"
    if not stored.exists():
        model = load_model(run, dataset)
        device = next(model.parameters()).device
        files.write_array(stored, predict(model, dataset.rows("test"), device))
    return np.load(stored)


def _trained(name: str, seed: int, settings: StudySettings, dataset: Dataset) -> Run:
    """Return the ended run of a variant, after training it and what it starts or learns from."""
    run, chosen = Run(run_folder(name, seed, settings)), train_settings(name, seed, settings)
    if (run.folder / runs.MARKER).exists():
        _check_same_recipe(run, chosen, dataset)
    if (run.checkpoints / WEIGHTS).exists():
        return run
    for other in {_ALL[name].init, _ALL[name].teacher} - {""}:
        _trained(other, seed, settings, dataset)
    if (run.folder / runs.MARKER).exists():
        return train(dataclasses.replace(PRESETS[settings.preset](), resume=run.folder))
    return train(chosen)


def _check_same_recipe(run: Run, chosen: TrainSettings, dataset: Dataset) -> None:
    stored = _origin(stored_settings(run), run.config()["data_fingerprint"])
    require_same(
        stored, _origin(chosen, dataset.fingerprint), run.folder, "remove it, or choose another --out"
    )


def _origin(settings: TrainSettings, data_fingerprint: str) -> dict[str, Any]:
    """Return what the weights of a run depend on; the runs beside it by name, as the folder may have moved."""
    init, teacher = (folder and folder.name for folder in (settings.init, settings.teacher))
    own = {"seed": settings.seed, "init": init, "teacher": teacher, "data_fingerprint": data_fingerprint}
    return {**to_dict(settings.model), **to_dict(settings.optimization), **own}


class _Measured:
    """The figures of all models over the seeds that have ended."""

    def __init__(self, settings: StudySettings, dataset: Dataset, names: Sequence[str]):
        self.settings, self.dataset = settings, dataset
        self.labels = dataset.rows("test").labels()
        self.known = {
            name: np.stack([_predictions(name, seed, settings, dataset) for seed in settings.seeds])
            for name in names
            if name in _ALL
        }
        if BASELINE in names:
            self.known[BASELINE] = self._baseline()

    def _baseline(self) -> np.ndarray:
        stored = _folder(self.settings) / f"{BASELINE}.npy"
        if not stored.exists():
            files.write_array(stored, logistic_regression(self.dataset)[None])
        return np.load(stored)

    def results(self) -> Results:
        """Return the table."""
        best = self.dataset.rows("test").probabilities()
        rows = [row for name in self.known for row in self._rows(name)]
        if best is not None:
            rows += self._quality(BEST, best[None], {})
        return Results(runs.command_line(), tuple(rows))

    def _rows(self, name: str) -> Iterator[Row]:
        variant = _ALL.get(name, Variant(name))
        facts: dict[str, Any] = (
            {} if name == BASELINE else {"seeds": self.settings.seeds, "ablation": self._ablation(variant)}
        )
        yield from self._quality(variant.model, self.known[name], facts)
        for other in dict.fromkeys((FLOAT, variant.model, *variant.rivals)):
            if other in self.known and other != name:
                yield from self._paired(variant.model, self.known[name], other, facts)
        if name in _ALL:
            yield from self._cost(name, facts)

    def _ablation(self, variant: Variant) -> str | None:
        """Return what is changed; a model that stands beside its own steps says that it is whole."""
        ablated = {ABLATIONS[name].model for name in self.known if name in ABLATIONS}
        return variant.ablation or (WHOLE if variant.model in ablated else None)

    def _quality(self, model: str, probabilities: np.ndarray, facts: dict[str, Any]) -> Iterator[Row]:
        for metric in QUALITY:
            interval = bootstrap.bootstrap_interval(metric, self.labels, probabilities, **self._resampling())
            yield self._row(model, metric, interval, facts)
        error = float(np.mean([metrics.calibration_error(self.labels, each) for each in probabilities]))
        dataset, n = self.dataset.name, len(self.labels)
        yield Row(model, dataset, "test", "calibration_error", error, n=n, **facts)

    def _paired(self, model: str, ours: np.ndarray, baseline: str, facts: dict[str, Any]) -> Iterator[Row]:
        theirs = self.known[baseline]
        ours = np.broadcast_to(ours, theirs.shape)  # one fit of logistic regression stands against each seed
        for metric in PAIRED:
            interval = bootstrap.paired_bootstrap(metric, self.labels, ours, theirs, **self._resampling())
            yield self._row(model, f"{metric}_difference", interval, facts | {"baseline": baseline})

    def _resampling(self) -> dict[str, int]:
        return {"seed": 0, "resamples": self.settings.resamples}

    def _row(self, model: str, metric: str, interval: bootstrap.Interval, facts: dict[str, Any]) -> Row:
        value, low, high = interval.value, interval.low, interval.high
        return Row(model, self.dataset.name, "test", metric, value, low, high, n=interval.n, **facts)

    def _cost(self, name: str, facts: dict[str, Any]) -> Iterator[Row]:
        variant, dataset = _ALL[name], self.dataset.name
        folders = [Run(run_folder(name, seed, self.settings)) for seed in self.settings.seeds]
        for row in cost_rows(load_model(folders[0], self.dataset), variant.model, dataset):
            yield dataclasses.replace(row, **facts)
        speeds = [r["rows_per_cpu_s"] for run in folders for r in run.logged() if "rows_per_cpu_s" in r]
        if speeds:
            # By the processor's clock, so that other jobs on the machine don't count.
            speed = float(np.median(speeds))
            yield Row(variant.model, dataset, "", "train_rows_per_s", speed, unit="1/s", **facts)

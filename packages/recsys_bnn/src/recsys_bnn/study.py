"""The reference's table grown up: models x seeds on one data set, with paired differences to the float model."""

import dataclasses
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recsys_bnn.data.data_card import data_sections
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.stored_runs import stored_settings
from recsys_bnn.evaluate import Measured, cost_rows, intervals, paired_intervals, remarks
from recsys_bnn.model.layers import LEAST_ROWS, rows_to_keep
from recsys_bnn.model.trained import kept_rows, load_model, predict
from recsys_bnn.settings.training import PRESETS, StudySettings, TrainSettings
from recsys_bnn.study_models.baselines import logistic_regression
from recsys_bnn.study_models.variants import ABLATIONS, BASELINE, FLOAT, VARIANTS, Variant
from recsys_bnn.train import train
from recsys_bnn.training.complete import complete_settings
from seminar_common import files, metrics, runs
from seminar_common.checkpoints import load_tensors, save_tensors
from seminar_common.device import choose
from seminar_common.display import at_chance
from seminar_common.errors import UserError, choices
from seminar_common.files import fingerprint
from seminar_common.identity import Facts, code_digest, require_same
from seminar_common.progress import say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row
from seminar_common.runs import Run
from seminar_common.settings import to_dict
from seminar_common.training import WEIGHTS, DivergedError

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
    "recsys_bnn.training.passes",
    "recsys_bnn.train",
    "seminar_common.training",
)
"""The code that kept weights and probabilities depend on; a study of another version of it is not added to."""
_ALL = VARIANTS | ABLATIONS


@files.one_at_a_time
def study(settings: StudySettings) -> Results:
    """Train, predict and compare every model; publish the figures in the folder.

    Seed after seed, each model is trained and measured; the table is written anew after every seed. A model and
    seed that has ended is not trained again, and a killed one goes on from its checkpoint, so a study that stopped
    is continued by the same command, and one with more models or seeds adds to the folder.

    A model that diverges, with any seed, is left out of the table, which says so.

    Raises:
        UserError: an unknown model, unusable data, a folder that holds another study, or no model that can be measured.
    """
    names = _names(settings)
    if settings.data is None or settings.out is None:
        raise UserError("--data and --out: give the folder that `recsys-bnn prepare` wrote, and one to make")
    dataset = open_dataset(settings.data)
    _check_folder(settings, dataset)
    dataset.verify()
    dataset.require_both_classes(*settings.optimization.fit_on.split("+"))
    notes = {"": remarks(dataset, ["test"])}
    results = Results("")
    for count, seed in enumerate(settings.seeds, start=1):
        for name in [each for each in names if each in _ALL and each not in notes]:
            try:
                _predictions(name, seed, settings, dataset)
            except DivergedError as error:
                notes[name] = (f"{name} is left out: {error}.",)
                say(notes[name][0])
        say(f"measuring seed {seed}")
        part = dataclasses.replace(settings, seeds=settings.seeds[:count])
        left = [name for name in names if name not in notes]
        if not left:
            raise UserError(f"{settings.out}: every model diverged; lower --learning-rate in another --out")
        results = _Measured(part, dataset, left).results(tuple(n for some in notes.values() for n in some))
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
    facts = {"data_fingerprint": dataset.fingerprint, "weights": fingerprint(run.checkpoints / WEIGHTS)}

    def compute() -> np.ndarray:
        model = load_model(run, dataset)
        return predict(model, dataset.rows("test"), next(model.parameters()).device)

    return _kept(run.folder / "test-probabilities.safetensors", facts, compute)


def _kept(path: Path, facts: Facts, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the probabilities, [n], that are stored with ``facts``; with none or others they are computed and stored.

    Raises:
        UserError: the file is not as it was written.
    """
    if path.exists():
        tensors, stored = load_tensors(path)
        if stored == facts:
            return tensors["probabilities"].numpy()
    probabilities = compute()
    save_tensors(path, {"probabilities": torch.from_numpy(probabilities)}, facts)
    return probabilities


def _trained(name: str, seed: int, settings: StudySettings, dataset: Dataset) -> Run:
    """Return the ended run of a variant, after training it and what it starts or learns from."""
    run = Run(run_folder(name, seed, settings))
    chosen = complete_settings(train_settings(name, seed, settings), dataset)
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


def _variant(name: str) -> Variant:
    return _ALL.get(name, Variant(name))


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
        path = _folder(self.settings) / f"{BASELINE}.safetensors"
        facts = {"data_fingerprint": self.dataset.fingerprint}
        return _kept(path, facts, lambda: logistic_regression(self.dataset))[None]

    def results(self, notes: tuple[str, ...] = ()) -> Results:
        """Return the table, with ``notes`` and those on models that learned nothing."""
        quality = {name: list(self._quality(name)) for name in self.known}
        learned = {name: rows for name, rows in quality.items() if not any(map(at_chance, rows))}
        rows = [row for name in self.known for row in (*quality[name], *self._others(name, learned))]
        best = self.dataset.rows("test").probabilities()
        if best is not None:
            rows += self._quality_rows(BEST, best[None], {})
        nothing = tuple(
            f"{name} learned nothing that these rows show: the interval of its ROC AUC holds 0.5. No figure of it is "
            "in bold, and no model is compared with it."
            for name in self.known
            if name not in learned
        )
        return Results(runs.command_line(), tuple(rows), notes=(*notes, *self._short_tables(), *nothing))

    def _short_tables(self) -> Iterator[str]:
        """Say which hashed or thresholded models have more rows than their name says, since the log is short."""
        for name in filter(_ALL.__contains__, self.known):
            settings = stored_settings(Run(run_folder(name, self.settings.seeds[0], self.settings)))
            share = settings.model.hashed_share * settings.optimization.kept_share
            rows = sum(kept_rows(self.dataset, settings.optimization.min_count))
            kept = rows_to_keep(rows, len(self.dataset.cardinalities), share)
            if share < 1 and kept > share * rows:
                yield (
                    f"{name} keeps {kept:,} of {rows:,} table rows, {LEAST_ROWS} a field: the log is too short for "
                    f"the {share * rows:,.0f} of its name, which would tell no values apart."
                )

    def _facts(self, name: str) -> dict[str, Any]:
        """Return what the rows of a model say besides their figure."""
        if name == BASELINE:
            return {}
        return {"seeds": self.settings.seeds, "ablation": self._ablation(_ALL[name])}

    def _quality(self, name: str) -> Iterator[Row]:
        yield from self._quality_rows(_variant(name).model, self.known[name], self._facts(name))

    def _others(self, name: str, rivals: Container[str]) -> Iterator[Row]:
        """Yield the paired differences to those of the model's rivals that are in ``rivals``, and what it costs."""
        variant, facts = _variant(name), self._facts(name)
        for other in dict.fromkeys((FLOAT, variant.model, *variant.rivals)):
            if other in rivals and other != name:
                yield from self._paired(variant.model, self.known[name], other, facts)
        if name in _ALL:
            yield from self._cost(name, facts)

    def _ablation(self, variant: Variant) -> str | None:
        """Return what is changed; a model that stands beside its own steps says that it is whole."""
        ablated = {ABLATIONS[name].model for name in self.known if name in ABLATIONS}
        return variant.ablation or (WHOLE if variant.model in ablated else None)

    def _quality_rows(self, model: str, probabilities: np.ndarray, facts: dict[str, Any]) -> Iterator[Row]:
        for measured in intervals(self.labels, probabilities, **self._resampling()):
            yield self._row(model, measured, facts)
        if metrics.has_value("calibration_error", self.labels):
            error = float(np.mean([metrics.calibration_error(self.labels, each) for each in probabilities]))
            dataset, n = self.dataset.name, len(self.labels)
            yield Row(model, dataset, "test", "calibration_error", error, n=n, **facts)

    def _paired(self, model: str, ours: np.ndarray, baseline: str, facts: dict[str, Any]) -> Iterator[Row]:
        theirs = self.known[baseline]
        ours = np.broadcast_to(ours, theirs.shape)  # one fit of logistic regression stands against each seed
        for measured in paired_intervals(self.labels, ours, theirs, **self._resampling()):
            yield self._row(model, measured, facts | {"baseline": baseline})

    def _resampling(self) -> dict[str, int]:
        return {"seed": 0, "resamples": self.settings.resamples}

    def _row(self, model: str, measured: Measured, facts: dict[str, Any]) -> Row:
        metric, interval = measured
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

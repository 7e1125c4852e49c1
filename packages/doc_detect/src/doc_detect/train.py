"""Fit a detector to pages."""

import copy
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from doc_detect.coco import CocoSet
from doc_detect.detectors.base import Detector, Target, build_detector
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.onnx import named_model
from doc_detect.detectors.scoring import Scoring, read_scoring, write_scoring
from doc_detect.detectors.torch import TorchDetector
from doc_detect.detectors.trained import stored_settings, trained_as
from doc_detect.figures.calibration import fit_scoring
from doc_detect.figures.findings import quick_figures
from doc_detect.settings.training import PRESETS, ModelConfig, TrainSettings
from doc_detect.training.optimization import LARGEST_GRADIENT, blend, make_optimizer, update_average
from doc_detect.training.pages import TrainingPages, collate, open_held_out, open_training, own_labels
from seminar_common import runs, seeds
from seminar_common.checkpoints import load_weights
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import progress, say
from seminar_common.runs import Run
from seminar_common.training import (
    TrainingShell,
    has_ended,
    learning_rate_factor,
    module_weights,
    open_or_resume,
    refuse_uneven_batch,
    start_run,
)

BATCH_NORM_MOMENTUM = 0.03
"""Weight of a new batch in the running statistics of batch normalisation: batches of four pages are noisy."""
LAYERS = ("engine", "architecture", "backbone", "channels", "head_convs", "folded", "kept", "kept_levels")
"""Settings of a model that its weights depend on, besides the classes."""


def train(settings: TrainSettings) -> Run:
    """Train a detector, or go on with a killed run; return its run folder.

    The folder then holds ``checkpoints/model.safetensors``, the moving average of the weights, and ``scoring.json``,
    what its scores mean, where the pages have held-out ones. The final weights of a resumed run are those of an
    unbroken one, bit for bit on the CPU with the same number of threads.

    Raises:
        UserError: unusable settings, data or run folder, or a loss that is no longer finite.
    """
    run, settings = open_or_resume(settings, PRESETS, stored_settings)
    if settings.data is None:
        raise UserError("--data is missing: give the folder that `doc-detect synth` wrote, or labelled pages")
    pages = open_training(settings.data, settings.map)
    validation = open_held_out(settings.data, settings.map)
    if run is None:
        init = None if settings.init is None else named_model(settings.init)
        settings = dataclasses.replace(settings, out=_new_folder(settings), init=init)
    else:
        _require_same_pages(run, pages)
        if has_ended(run):
            return run
    start = initial_detector(settings)
    settings = dataclasses.replace(settings, model=start.detector.config)
    _check_labels(start.detector, pages)
    fabric = launch(settings.device)
    refuse_uneven_batch(settings.optimization.batch_size, fabric)
    run = run or _start(fabric, settings, pages)
    Trainer(fabric, run, settings, start, pages, validation).fit()
    say(f"trained {settings.name}: {run.folder}")
    return run


def _new_folder(settings: TrainSettings) -> Path:
    folder = settings.out or runs.default_folder("doc_detect", "train", settings.preset, settings.seed)
    runs.refuse_existing(folder)
    return folder


def _require_same_pages(run: Run, pages: CocoSet) -> None:
    now = {"data_fingerprint": pages.fingerprint}
    require_same(run.config(), now, run.folder, f"make the pages {pages.path} again, or start a new run")


def _start(fabric: Fabric, settings: TrainSettings, pages: CocoSet) -> Run:
    assert settings.out is not None
    facts = {"model": settings.name, "dataset": pages.name, "data_fingerprint": pages.fingerprint}
    config = runs.envelope("doc-detect", "train", settings, **facts, pages=len(pages.pages))
    return start_run(fabric, settings.out, config, data={pages.name: pages.fingerprint})


@dataclass(frozen=True)
class Start:
    """What a training begins with."""

    detector: Detector
    scoring: Scoring = Scoring()
    """What the scores mean, until held-out pages say it anew, and the margin that people leave."""


def initial_detector(settings: TrainSettings) -> Start:
    """Return a new detector, or that of ``settings.init`` with its weights.

    It looks at pages as ``settings.model`` says, but its layers are those of ``settings.init``.

    Raises:
        UserError: a file or run that can't be trained further, has no weights yet, or detects other classes.
    """
    if settings.init is None:
        return Start(build_detector(settings.model, settings.seed))
    if settings.init.is_dir():
        run = runs.open_run(settings.init)
        config = _with_layers(settings, trained_as(run).model)
        detector = build_detector(config)
        load_weights(detector, module_weights(run, "average"), settings.init)
        return _keeping(settings, Start(detector, read_scoring(settings.init)))
    from doc_detect.detectors.from_onnx import load_onnx

    loaded = load_onnx(settings.init)
    loaded.detector.config = _with_layers(settings, loaded.detector.config)
    return _keeping(settings, Start(loaded.detector, loaded.scoring))


def _keeping(settings: TrainSettings, start: Start) -> Start:
    """Return ``start``, or a detector that goes on finding ``settings.model.kept`` as that one does.

    Raises:
        UserError: that one keeps other classes, or is no FCOS.
    """
    kept, levels, theirs = settings.model.kept, settings.model.kept_levels, start.detector.config
    if not kept or (kept, levels) == (theirs.kept, theirs.kept_levels):
        return start
    if theirs.kept:
        raise UserError(
            f"--init {settings.init}: keeps {' '.join(theirs.kept)} at {theirs.kept_levels} levels already; "
            "leave --kept and --kept-levels out to go on so"
        )
    if not isinstance(start.detector, FCOSDetector):
        raise UserError(f"--init {settings.init}: is a {theirs.architecture}; --kept goes with fcos alone")
    config = dataclasses.replace(theirs, kept=kept, kept_levels=levels, weights="none")
    detector = build_detector(config)
    assert isinstance(detector, FCOSDetector)
    detector.keep(start.detector)
    return Start(detector, start.scoring)


def _with_layers(settings: TrainSettings, theirs: ModelConfig) -> ModelConfig:
    """Return the model of ``settings`` with the layers of another one that detects the same classes."""
    if theirs.labels != settings.model.labels:
        names = " ".join(theirs.labels)
        raise UserError(f"--init {settings.init}: detects other classes; give --labels {names}")
    return dataclasses.replace(settings.model, **{name: getattr(theirs, name) for name in LAYERS})


def _check_labels(detector: Detector, pages: CocoSet) -> None:
    """Raise a UserError if the detector can't learn from what ``pages`` label."""
    missing = [name for name in detector.labels if name not in pages.labelled]
    if len(missing) == len(detector.labels):
        raise UserError(
            f"{pages.path}: labels none of {', '.join(missing)}; choose other --labels, or map its names with --map NAME=CLASS"
        )
    if missing and not detector.partly_labelled:
        raise UserError(
            f"{pages.path}: does not label {', '.join(missing)}; leave them out of --labels, "
            "or use --architecture fcos, which learns from partly labelled pages"
        )
    if not any((own_labels(page.labels, detector.labels) >= 0).any() for page in pages.pages):
        raise UserError(
            f"{pages.path}: has no object of {', '.join(detector.labels)}, so there is nothing to learn; "
            "choose other --labels, or map its names with --map NAME=CLASS"
        )


def recalibrated(earlier: Scoring, fitted: Scoring, kept: tuple[str, ...]) -> Scoring:
    """Return what was fitted, with the margins of before and with what scores of the classes in ``kept`` meant then."""
    calibration = {label: pair for label, pair in fitted.calibration.items() if label not in kept}
    calibration |= {label: pair for label, pair in earlier.calibration.items() if label in kept}
    return dataclasses.replace(fitted, calibration=calibration, margin=earlier.margin)


class Trainer:
    """One training run: batches, steps, validation, and the moving average of the weights."""

    def __init__(
        self,
        fabric: Fabric,
        run: Run,
        settings: TrainSettings,
        start: Start,
        pages: CocoSet,
        validation: CocoSet | None,
    ):
        detector = start.detector
        self.fabric, self.settings, self.pages, self.detector = fabric, settings, pages, detector
        self.validation, self.scoring = validation, start.scoring
        config = settings.optimization
        for module in detector.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = BATCH_NORM_MOMENTUM
        self.average = copy.deepcopy(detector).to(fabric.device).eval()
        # Taken before a resumed run puts its own weights there.
        self.first = copy.deepcopy(detector).to(fabric.device) if settings.init_share else None
        self.model, self.optimizer = fabric.setup(detector, make_optimizer(detector, config))
        kept = {"model": detector, "average": self.average}
        self.shell = TrainingShell(fabric, run, config.steps, kept, [self.optimizer])
        self.started = (time.perf_counter(), time.process_time(), 0)

    def fit(self) -> None:
        """Run the steps that remain and write the weights."""
        self.shell.restore()
        cpu = time.process_time() - self.shell.earlier_cpu_s
        self.started = (time.perf_counter(), cpu, self.shell.step)
        with progress(f"training {self.settings.name}", self.shell.steps) as advance:
            advance(self.shell.step)
            self.model.train()
            for images, targets in self._batches():
                loss = self._train_step(images, targets)
                advance(1, f"loss {loss:.3f}")
                self._after_step()
        if self.first is not None:
            blend(self.average, self.first, self.settings.init_share)
        self._calibrate()
        self.shell.finish("average")

    def _calibrate(self) -> None:
        """Write what the scores of the moving average mean; before the weights, so that a finished run has both."""
        if self.fabric.is_global_zero:
            scoring = self.scoring
            if self.validation is not None:
                say(f"calibrating scores on {len(self.validation.pages)} held-out pages")
                detector = TorchDetector(self.average, self.fabric.device)
                scoring = recalibrated(
                    scoring, fit_scoring(detector, self.validation), self.average.config.kept
                )
            if scoring != Scoring():
                write_scoring(scoring, self.shell.run.folder)
        self.fabric.barrier()

    def _batches(self) -> DataLoader:
        """Return the batches of this process from the current step on."""
        config, world = self.settings.optimization, self.fabric.world_size
        data = TrainingPages(
            self.pages,
            self.detector.labels,
            config,
            self.settings.degradation,
            self.settings.seed,
            self.settings.model.trim,
        )
        numbers = range(self.shell.step * config.batch_size + self.fabric.global_rank, len(data), world)
        return DataLoader(
            data,
            batch_size=config.batch_size // world,
            sampler=numbers,
            collate_fn=collate,
            num_workers=self.settings.loaders,
        )

    def _train_step(self, images: list[Tensor], targets: list[Target]) -> float:
        config, step, device = self.settings.optimization, self.shell.step, self.fabric.device
        self.shell.set_learning_rates(learning_rate_factor(step, config.steps, config.warmup))
        losses = self._losses(
            [image.to(device) for image in images], [target.to(device) for target in targets]
        )
        loss = torch.stack(list(losses.values())).sum()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.model, self.optimizer, max_norm=LARGEST_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad()
        update_average(self.average, self.detector, step, config.ema_decay)
        self.shell.end_step({name: value.item() for name, value in losses.items()})
        return loss.item()

    def _losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        # Detectors that sample at random draw from the global generator: the step's own seed makes a resumed run
        # draw as an unbroken one.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(
                seeds.derive(self.settings.seed, "step", self.shell.step, self.fabric.global_rank)
            )
            return self.model(images, targets)

    def _after_step(self) -> None:
        settings, step, last = self.settings, self.shell.step, self.shell.step == self.shell.steps
        if step % settings.log_every == 0 or last:
            self._log_losses()
        if settings.validate_every and (step % settings.validate_every == 0 or last):
            self._validate()
        if step % settings.checkpoint_every == 0 and not last:
            self.shell.checkpoint()

    def _log_losses(self) -> None:
        """Log the mean losses since the last time, over all processes, and the speed."""
        means = self.shell.mean_losses()
        wall, cpu, first = self.started
        pages = (self.shell.step - first) * self.settings.optimization.batch_size
        record = {f"loss_{name}": value for name, value in means.items()} | {"loss": sum(means.values())}
        record["pages_per_s"] = round(pages / (time.perf_counter() - wall), 2)
        self.shell.log({**record, "cpu_s": round(time.process_time() - cpu, 1)})

    def _validate(self) -> None:
        """Log AP and AP50 of the moving average on the first validation pages, where there are any."""
        if self.fabric.is_global_zero and self.validation is not None:
            detector = TorchDetector(self.average, self.fabric.device)
            figures = quick_figures(detector, self.validation, self.settings.validation_pages)
            self.shell.log({f"val_{name}": value for name, value in figures.items()})
            text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            say(f"step {self.shell.step} of {self.shell.steps}: validation {text}")
        self.fabric.barrier()

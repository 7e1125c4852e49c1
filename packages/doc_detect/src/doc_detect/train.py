"""Fit a detector to pages."""

import copy
import dataclasses
import math
import time
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from doc_detect.coco import CocoSet
from doc_detect.detectors.base import Detector, Target, build_detector
from doc_detect.detectors.trained import WEIGHTS, stored_settings
from doc_detect.settings.training import PRESETS, OptimizationConfig, TrainSettings
from doc_detect.training.pages import TrainingPages, collate, open_training, open_validation
from seminar_common import runs, seeds
from seminar_common.checkpoints import (
    flatten_optimizer,
    load_tensors,
    load_weights,
    save_tensors,
    unflatten_optimizer,
)
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.files import remove
from seminar_common.progress import progress, say
from seminar_common.runs import Run
from seminar_common.settings import to_dict

RESUME = "resume.safetensors"


def train(settings: TrainSettings) -> Run:
    """Train a detector, or go on with a killed run; return its run folder.

    The folder then holds ``checkpoints/model.safetensors``: the moving average of the weights. The final weights
    of a resumed run are those of an unbroken one, bit for bit on the CPU with the same number of threads.

    Raises:
        UserError: unusable settings, data or run folder, or a loss that is no longer finite.
    """
    run, settings = _open(settings)
    if settings.data is None:
        raise UserError("--data is missing: give the folder that `doc-detect synth` wrote, or a COCO file")
    pages = open_training(settings.data)
    if run is None:
        settings = dataclasses.replace(settings, out=_new_folder(settings))
    elif _has_ended(run, pages):
        return run
    detector = initial_detector(settings)
    _check_labels(detector, pages)
    fabric = launch(settings.device)
    if settings.optimization.batch_size % fabric.world_size:
        raise UserError(
            f"--batch-size {settings.optimization.batch_size}: must be a multiple of the {fabric.world_size} processes"
        )
    if run is None:
        run = _create(settings, pages, fabric)
    Trainer(fabric, run, settings, detector, pages).fit()
    say(f"trained {settings.name}: {run.folder}")
    return run


def _open(settings: TrainSettings) -> tuple[Run | None, TrainSettings]:
    """Return the run to resume with its stored settings, or None and the given settings."""
    if settings.resume is None:
        return None, settings
    if settings != dataclasses.replace(PRESETS[settings.preset](), resume=settings.resume):
        raise UserError("--resume goes on with the settings of the run; leave out the other options")
    run = runs.open_run(settings.resume)
    return run, stored_settings(run)


def _new_folder(settings: TrainSettings) -> Path:
    folder = settings.out or runs.default_folder("doc_detect", "train", settings.preset, settings.seed)
    runs.refuse_existing(folder)
    return folder


def _has_ended(run: Run, pages: CocoSet) -> bool:
    if run.config()["data_fingerprint"] != pages.fingerprint:
        raise UserError(
            f"{pages.path}: not the pages that {run.folder} was started on (the fingerprints differ); "
            "make the same pages again, or start a new run"
        )
    ended = (run.checkpoints / WEIGHTS).exists()
    if ended:
        say(f"{run.folder}: its training has ended already")
    return ended


def initial_detector(settings: TrainSettings) -> Detector:
    """Return a new detector, with the weights of the run in ``settings.init`` if there is one.

    Raises:
        UserError: that run has no weights yet, or they are of another architecture or other labels.
    """
    detector = build_detector(settings.model, settings.seed)
    if settings.init is not None:
        other = runs.open_run(settings.init)
        if stored_settings(other).model.labels != settings.model.labels:
            raise UserError(
                f"--init {settings.init}: detects other classes; give --labels as that run has them"
            )
        ended, resumable = other.checkpoints / WEIGHTS, other.checkpoints / RESUME
        tensors, _ = load_tensors(ended if ended.exists() else resumable)
        load_weights(
            detector, tensors if ended.exists() else _with_prefix(tensors, "average."), settings.init
        )
    return detector


def _check_labels(detector: Detector, pages: CocoSet) -> None:
    """Raise a UserError if the detector can't learn from what ``pages`` label."""
    missing = [name for name in detector.labels if name not in pages.labelled]
    if len(missing) == len(detector.labels):
        raise UserError(f"{pages.path}: labels none of {', '.join(missing)}; choose other --labels")
    if missing and not detector.partly_labelled:
        raise UserError(
            f"{pages.path}: does not label {', '.join(missing)}; leave them out of --labels, "
            "or use --architecture fcos, which learns from partly labelled pages"
        )


def _create(settings: TrainSettings, pages: CocoSet, fabric: Fabric) -> Run:
    assert settings.out is not None
    config = {
        "command": "train",
        "model": settings.name,
        "dataset": pages.name,
        "pages": len(pages.pages),
        "data_fingerprint": pages.fingerprint,
        "settings": to_dict(settings),
    }
    run = Run(settings.out)
    if fabric.is_global_zero:
        facts = runs.environment(torch.get_num_threads(), data={pages.name: pages.fingerprint})
        run = runs.create(settings.out, config, facts)
    fabric.barrier()
    return run


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Return the share of the peak learning rate at ``step`` of ``total``: a linear rise, then a cosine to zero."""
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Move the average's weights and statistics towards the model's.

    Early on, when the weights still change much, the average is over the last tenth of the steps.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value.to(mean), weight)
        else:
            mean.copy_(value)


def make_optimizer(detector: Detector, config: OptimizationConfig) -> torch.optim.Optimizer:
    """Return AdamW with a learning rate for the backbone and one for the rest."""
    groups = detector.parameter_groups(config.backbone_learning_rate, config.learning_rate)
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


class Trainer:
    """One training run: steps, logging, validation and checkpoints."""

    def __init__(self, fabric: Fabric, run: Run, settings: TrainSettings, detector: Detector, pages: CocoSet):
        self.fabric, self.run, self.settings, self.pages = fabric, run, settings, pages
        config = settings.optimization
        for module in detector.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = config.batch_norm_momentum
        self.average = copy.deepcopy(detector).to(fabric.device).eval()
        optimizer = make_optimizer(detector, config)
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.model, self.optimizer = fabric.setup(detector, optimizer)
        self.step = 0
        self.losses: list[dict[str, float]] = []
        self.started = (time.perf_counter(), time.process_time(), 0)

    def fit(self) -> None:
        """Run the steps that remain and write the weights."""
        self._restore()
        total = self.settings.optimization.steps
        self.started = (time.perf_counter(), time.process_time(), self.step)
        with progress(f"training {self.settings.name}", total) as advance:
            advance(self.step)
            self.model.train()
            for images, targets in self._batches():
                loss = self._train_step(images, targets)
                advance(1, f"loss {loss:.3f}")
                self._after_step(total)
        if self.fabric.is_global_zero:
            save_tensors(self.run.checkpoints / WEIGHTS, self.average.state_dict(), {"step": self.step})
            remove(self.run.checkpoints / RESUME)
        self.fabric.barrier()

    def _batches(self) -> DataLoader:
        """Return the batches of this process from the current step on."""
        config, world = self.settings.optimization, self.fabric.world_size
        data = TrainingPages(
            self.pages,
            self._plain.labels,
            config,
            self.settings.degradation,
            self.settings.seed,
            self.settings.model.trim,
        )
        numbers = range(self.step * config.batch_size + self.fabric.global_rank, len(data), world)
        return DataLoader(
            data,
            batch_size=config.batch_size // world,
            sampler=numbers,
            collate_fn=collate,
            num_workers=self.settings.workers,
        )

    def _train_step(self, images: list[Tensor], targets: list[Target]) -> float:
        config = self.settings.optimization
        factor = learning_rate_factor(self.step, config.steps, config.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        device = self.fabric.device
        losses = self._losses(
            [image.to(device) for image in images], [target.to(device) for target in targets]
        )
        loss = torch.stack(list(losses.values())).sum()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.model, self.optimizer, max_norm=config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        update_average(self.average, self._plain, self.step, config.ema_decay)
        self.step += 1
        self.losses.append({name: value.item() for name, value in losses.items()})
        return loss.item()

    def _losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        # Detectors that sample at random draw from the global generator: the step's own seed makes a resumed run
        # draw as an unbroken one.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(self.settings.seed, "step", self.step, self.fabric.global_rank))
            return self.model(images, targets)

    def _after_step(self, total: int) -> None:
        settings = self.settings
        if self.step % settings.log_every == 0 or self.step == total:
            self._log_losses()
        if settings.validate_every and (self.step % settings.validate_every == 0 or self.step == total):
            self._validate()
        if self.step % settings.checkpoint_every == 0 and self.step < total:
            self._checkpoint()

    def _log_losses(self) -> None:
        """Log the mean losses since the last time, over all processes, and the speed."""
        names = list(self.losses[0])
        means = torch.tensor([[losses[name] for name in names] for losses in self.losses]).mean(dim=0)
        means = cast(Tensor, self.fabric.all_reduce(means, reduce_op="mean"))
        self.losses = []
        if not torch.isfinite(means).all():
            raise UserError(
                f"{self.run.folder}: the loss is no longer finite at step {self.step}; lower --learning-rate. "
                "The last good checkpoint was kept"
            )
        wall, cpu, first = self.started
        speed = (self.step - first) * self.settings.optimization.batch_size / (time.perf_counter() - wall)
        record = {f"loss_{name}": value for name, value in zip(names, means.tolist(), strict=True)}
        record |= {"loss": means.sum().item(), "pages_per_s": round(speed, 2)}
        self._log({**record, "cpu_s": round(time.process_time() - cpu, 1)})

    def _log(self, record: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            self.run.log({"step": self.step, **record})

    def _validate(self) -> None:
        """Log AP and AP50 of the moving average on the first validation pages, where there are any."""
        from doc_detect.evaluate import quick_figures

        assert self.settings.data is not None
        folder = self.settings.data
        if self.fabric.is_global_zero and folder.is_dir() and (folder / "val.json").exists():
            pages = open_validation(folder)
            figures = quick_figures(self.average, pages, self.settings.validation_pages, self.fabric.device)
            self._log({f"val_{name}": value for name, value in figures.items()})
            text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            say(f"step {self.step} of {self.settings.optimization.steps}: validation {text}")
        self.fabric.barrier()

    @property
    def _plain(self) -> Detector:
        """The detector inside Fabric's (and DDP's) wrappers."""
        model: Any = self.model
        while not isinstance(model, Detector):
            model = model.module
        return model

    def _checkpoint(self) -> None:
        """Write all that the next step depends on; the random numbers depend on the seed and the step alone."""
        if not self.fabric.is_global_zero:
            return
        if not all(math.isfinite(value) for losses in self.losses for value in losses.values()):
            return  # the next log ends the run; the last good checkpoint stays
        tensors = {f"model.{name}": tensor for name, tensor in self._plain.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        state, facts = flatten_optimizer(self.optimizer.state_dict())
        tensors |= {f"optimizer.{name}": tensor for name, tensor in state.items()}
        position = {"step": self.step, "losses": self.losses, "optimizer": facts}
        save_tensors(self.run.checkpoints / RESUME, tensors, position)

    def _restore(self) -> None:
        path = self.run.checkpoints / RESUME
        if not path.exists():
            if self.fabric.is_global_zero:
                self.run.cut_log(0)
            return
        tensors, facts = load_tensors(path)
        load_weights(self._plain, _with_prefix(tensors, "model."), path)
        load_weights(self.average, _with_prefix(tensors, "average."), path)
        state = _with_prefix(tensors, "optimizer.")
        self.optimizer.load_state_dict(unflatten_optimizer(state, facts["optimizer"]))
        self.step, self.losses = facts["step"], facts["losses"]
        if self.fabric.is_global_zero:
            self.run.cut_log(self.step)
            say(f"resuming {self.run.folder} at step {self.step} of {self.settings.optimization.steps}")


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

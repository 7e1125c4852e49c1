"""Pretrain a detector's backbone and pyramid on scans without labels: the command ``pretrain``."""

import copy
import dataclasses
import time
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from doc_detect.adaptation.target import Listed, Reader, TargetPage, decode_pages, list_pages
from doc_detect.detectors.base import build_detector
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.from_onnx import load_onnx
from doc_detect.detectors.onnx import named_model
from doc_detect.detectors.scoring import Scoring, read_scoring, write_scoring
from doc_detect.detectors.trained import DETECTOR, load_detector, refuse_kept
from doc_detect.pages import ReadOptions
from doc_detect.predictions import FAILURES
from doc_detect.pretraining.base import Method, Problem, distance, make_method, spread
from doc_detect.pretraining.windows import Windows, batch
from doc_detect.settings.pretraining import FEWEST_PAGES, PRETRAIN_PRESETS, PretrainSettings
from doc_detect.settings.training import ModelConfig
from doc_detect.train import BATCH_NORM_MOMENTUM, Start
from doc_detect.training.optimization import LARGEST_GRADIENT, update_average
from seminar_common import failures, runs, seeds
from seminar_common.checkpoints import load_tensors, load_weights, save_tensors
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.files import remove, write_json
from seminar_common.identity import require_same
from seminar_common.progress import progress, say
from seminar_common.runs import Run
from seminar_common.settings import from_dict, to_dict
from seminar_common.training import (
    TrainingShell,
    has_ended,
    learning_rate_factor,
    open_or_resume,
    start_run,
)

WORK = "work"
"""In a run folder until it has ended: the start's weights and the decoded pages."""
FACTS = "pretraining.json"
"""In a run folder: the verdict, with the figures that decided."""
PROBED = 4
"""Batches of windows on which it is looked whether features still differ."""
COLLAPSED = 0.2
"""Share of the start's spread of features below which they count as collapsed."""
LEAST_SPREAD = 0.02
"""Spread below which they do whatever the start's was."""
Verdict = Literal["pretrained", "the loss did not fall", "collapsed, kept the start"]


def pretrain(settings: PretrainSettings) -> Run:
    """Pretrain on the pages of ``settings.images``, or go on with a killed run; return its run folder.

    The folder then holds what a run of `train` holds, ``pretraining.json`` with the verdict, and ``failures.csv`` where
    pages could not be read. The heads are those of the start. A run whose features have collapsed holds the start's weights.

    Raises:
        UserError: unusable settings, detector, pages or run folder, or a loss that is no longer finite.
    """
    run, settings = open_or_resume(settings, PRETRAIN_PRESETS, stored_pretraining)
    if run is not None and has_ended(run):
        remove(run.folder / WORK)
        return run
    if not settings.images:
        raise UserError("--images is missing: give the scans to learn from")
    if run is None:
        init = settings.init if settings.is_new else named_model(settings.init)
        settings = dataclasses.replace(settings, out=_new_folder(settings), init=init)
    fabric = launch(settings.device)
    if fabric.world_size > 1:
        raise UserError("pretrain works in one process: start it without torchrun")
    listed = list_pages(settings.images, settings.pages, settings.seed)
    _refuse_few(len(listed.refs), settings)
    data = {"data_fingerprint": listed.fingerprint, "pages": len(listed.refs)}
    if run is None:
        run = _start(fabric, settings, open_start(settings), data)
    else:
        way_out = "bring back the pages as they were, or start a new run"
        require_same(run.config(), data, run.folder, way_out)
    _Pretraining(fabric, run, settings, listed).finish()
    return run


def stored_pretraining(run: Run) -> PretrainSettings:
    """Return the settings that a run of `pretrain` was made with.

    Raises:
        UserError: the run is of another command, topic or version.
    """
    return runs.stored_settings(run, PretrainSettings, "doc-detect", "pretrain")


def _new_folder(settings: PretrainSettings) -> Path:
    folder = settings.out or runs.default_folder("doc_detect", "pretrain", settings.preset, settings.seed)
    runs.refuse_existing(folder)
    return folder


def _refuse_few(count: int, settings: PretrainSettings) -> None:
    if count < FEWEST_PAGES:
        images = " ".join(map(str, settings.images))
        raise UserError(
            f"--images {images}: {count} pages that can be read; {FEWEST_PAGES} or more are needed"
        )


def open_start(settings: PretrainSettings) -> Start:
    """Return the detector to start from, and what its scores mean.

    Raises:
        UserError: there is none, its architecture can't be pretrained, or options of a new detector come with it.
    """
    if settings.is_new:
        config = dataclasses.replace(settings.model, weights=cast(Any, settings.init.name))
        return Start(build_detector(config, settings.seed))
    if settings.model != PRETRAIN_PRESETS[settings.preset]().model:
        raise UserError(
            f"--init {settings.init}: has layers and classes of its own; leave out the options of the model"
        )
    if not settings.init.is_dir():
        loaded = load_onnx(settings.init)
        refuse_kept(loaded.detector, settings.init)
        return Start(loaded.detector, loaded.scoring)
    detector = load_detector(runs.open_run(settings.init))
    if not isinstance(detector, FCOSDetector):
        raise UserError(
            f"--init {settings.init}: is a {detector.config.architecture}; pretrain works with fcos alone"
        )
    refuse_kept(detector, settings.init)
    return Start(detector, read_scoring(settings.init))


def _start(fabric: Fabric, settings: PretrainSettings, start: Start, data: dict[str, Any]) -> Run:
    assert settings.out is not None
    first = settings.images[0].absolute()
    name = first.stem if first.is_file() else first.name
    detector = dataclasses.replace(start.detector.config, weights="none")
    more = {"model": settings.name, "dataset": name, DETECTOR: to_dict(detector)}
    config = runs.envelope("doc-detect", "pretrain", settings, **data, **more)
    run = start_run(fabric, settings.out, config, data={name: data["data_fingerprint"]})
    _keep_start(run, start)
    return run


def _keep_start(run: Run, start: Start) -> None:
    save_tensors(run.folder / WORK / "start.safetensors", start.detector.state_dict())
    if start.scoring != Scoring():
        write_scoring(start.scoring, run.folder)


def verdict_of(before: float, after: float, losses: tuple[float, float]) -> tuple[Verdict, str]:
    """Return what is to be said of a pretraining, and the reason in one line.

    Args:
        before: Spread of the start's features over places (:func:`doc_detect.pretraining.base.spread`).
        after: The same of the features that were learned.
        losses: The task's loss, without the anchor, as it was logged first and last.
    """
    first, last = losses
    figures = f"the spread of features went from {before:.2f} to {after:.2f}, the loss from {first:.3f} to {last:.3f}"
    if not after > max(LEAST_SPREAD, COLLAPSED * before):
        return "collapsed, kept the start", figures
    return ("pretrained" if last < first else "the loss did not fall"), figures


class _Pretraining:
    """One pretraining: pages, steps, verdict."""

    def __init__(self, fabric: Fabric, run: Run, settings: PretrainSettings, listed: Listed):
        self.fabric, self.run, self.settings = fabric, run, settings
        self.clock = time.process_time()
        self.start = self._restored_start().to(fabric.device).eval().requires_grad_(False)
        pages = self._decode(listed)
        _refuse_few(len(pages), settings)
        self.windows = Windows(pages, settings)
        self.method = self._method()
        self.student = self._student()
        self.average = copy.deepcopy(self.start)
        optimizer = self._optimizer()
        self.pyramid, optimizer = fabric.setup(self.student.backbone, optimizer)
        self.optimizer = optimizer
        kept: dict[str, nn.Module] = {"model": self.student, "average": self.average}
        if self.method.own is not None:
            kept["own"] = self.method.own
        self.shell = TrainingShell(fabric, run, settings.fitting.steps, kept, [optimizer])

    def _restored_start(self) -> FCOSDetector:
        stored = self.run.folder / WORK / "start.safetensors"
        if not stored.exists():  # killed before it was written
            _keep_start(self.run, open_start(self.settings))
        config = from_dict(ModelConfig, self.run.config()[DETECTOR], self.run.folder / runs.MARKER)
        detector = build_detector(config)
        load_weights(detector, load_tensors(stored)[0], stored)
        return cast(FCOSDetector, detector)

    def _decode(self, listed: Listed) -> list[TargetPage]:
        settings, config, table = self.settings, self.start.config, self.run.folder / FAILURES
        if listed.failures:
            failures.add(table, listed.failures)
        reader = Reader(config.size, config.trim, ReadOptions(settings.pdf_pixels, settings.max_megapixels))
        folder = self.run.folder / WORK / "pages"
        pages = decode_pages(listed.refs, folder, reader, settings.work, settings.page_timeout, table)
        if table.exists():
            say(f"{len(failures.read(table)):,} could not be read: see {table}")
        return pages

    def _method(self) -> Method:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(self.settings.seed, "own"))
            method = make_method(Problem(self.start.backbone, self.windows, self.settings))
        if method.own is not None:
            method.own.to(self.fabric.device)
        return method

    def _student(self) -> FCOSDetector:
        """Return the detector that learns: its backbone and pyramid, not its heads."""
        student = copy.deepcopy(self.start)
        student.backbone.requires_grad_(True)
        for module in student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = BATCH_NORM_MOMENTUM
        if self.settings.is_new and self.settings.init.name == "none":
            student.backbone.frozen = []  # random strokes are no strokes: all is learned
        for module in student.backbone.frozen:
            module.requires_grad_(False)
        return student

    def _optimizer(self) -> torch.optim.Optimizer:
        config = self.settings.fitting
        groups = self.student.parameter_groups(config.backbone_learning_rate, config.learning_rate)
        if self.method.own is not None:
            groups.append({"params": list(self.method.own.parameters()), "lr": config.learning_rate})
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay)

    def finish(self) -> None:
        """Do the steps that remain, and write what the run is for."""
        self._fit()
        before, after = self._spread(self.start), self._spread(self.average)
        logged = [record for record in self.run.logged() if "loss" in record]
        losses = (logged[0]["task"], logged[-1]["task"])
        verdict, reason = verdict_of(before, after, losses)
        if verdict == "collapsed, kept the start":
            self.average.load_state_dict(self.start.state_dict())
        say(f"{verdict}: {reason}")
        seconds = round(self.shell.earlier_cpu_s + time.process_time() - self.clock, 1)
        facts: dict[str, Any] = {"verdict": verdict, "reason": reason, "method": self.settings.method}
        facts |= {"spread": [before, after], "losses": list(losses), "pages": len(self.windows.pages)}
        facts |= {"init": self.settings.init.name, "steps": self.shell.steps, "cpu_s": seconds}
        write_json(self.run.folder / FACTS, facts)
        self.shell.finish("average")
        remove(self.run.folder / WORK)
        say(f"pretrained in {seconds:.0f} CPU seconds; next: doc-detect train --init {self.run.folder}")

    def _fit(self) -> None:
        self.shell.restore()
        started = time.process_time() - self.shell.earlier_cpu_s
        with progress(f"pretraining by {self.settings.method}", self.shell.steps) as advance:
            advance(self.shell.step)
            self.student.train()
            while self.shell.step < self.shell.steps:
                advance(1, f"loss {self._step():.3f}")
                step, last = self.shell.step, self.shell.step == self.shell.steps
                if step % self.settings.log_every == 0 or last:
                    self._log(started)
                if step % self.settings.checkpoint_every == 0 or last:
                    self.shell.checkpoint()

    def _log(self, started: float) -> None:
        means = self.shell.mean_losses()
        record = {f"loss_{name}": value for name, value in means.items()}
        task = sum(value for name, value in means.items() if name != "anchor")
        record |= {"loss": sum(means.values()), "task": task, "spread": self._spread(self.average)}
        self.shell.log({**record, "cpu_s": round(time.process_time() - started, 1)})

    def _step(self) -> float:
        config, step = self.settings.fitting, self.shell.step
        self.shell.set_learning_rates(learning_rate_factor(step, config.steps, config.warmup))
        losses = self.method.losses(self.pyramid, self.average.backbone, step)
        if self.settings.anchor and not self.settings.is_new:
            losses["anchor"] = self.settings.anchor * self._anchor(step)
        loss = torch.stack(list(losses.values())).sum()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.pyramid, self.optimizer, max_norm=LARGEST_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad()
        update_average(self.average, self.student, step, config.ema_decay)
        self.shell.end_step({name: value.item() for name, value in losses.items()})
        return loss.item()

    def _anchor(self, step: int) -> Tensor:
        """Return how far features of clean pages are from those of the start, which its heads can read.

        Source: Romero et al. 2015, "FitNets"; against forgetting as in Li & Hoiem 2016, "Learning without Forgetting".
        """
        pixels = batch(self.windows.clean(step)).to(self.fabric.device)
        with torch.no_grad():
            wanted = self.start.backbone(pixels)
        return distance(self.pyramid(pixels), wanted)

    @torch.no_grad()
    def _spread(self, detector: FCOSDetector) -> float:
        """Return how much a detector's features differ from place to place, on windows of no step."""
        values = []
        for number in range(PROBED):
            squares = self.windows.clean(self.settings.fitting.steps + number)
            values.append(spread(detector.backbone(batch(squares).to(self.fabric.device))))
        return sum(values) / len(values)

"""The steps of a method of adaptation: optimizer, moving average, checkpoints."""

import copy
import time
from typing import Any

import torch
from lightning_fabric import Fabric

from doc_detect.adaptation.base import Method
from doc_detect.adaptation.watch import Watch
from doc_detect.detectors.backbones import early_modules
from doc_detect.detectors.base import Detector
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.settings.adaptation import AdaptSettings
from doc_detect.training.optimization import LARGEST_GRADIENT, make_optimizer, update_average
from seminar_common import seeds
from seminar_common.progress import progress
from seminar_common.runs import Run
from seminar_common.training import TrainingShell, learning_rate_factor


class Steps:
    """The steps of a method: optimizer, moving average, checkpoints."""

    def __init__(
        self,
        fabric: Fabric,
        run: Run,
        settings: AdaptSettings,
        source: Detector,
        method: Method,
        watch: Watch,
    ):
        self.fabric, self.settings, self.method, self.watch = fabric, settings, method, watch
        self.student = copy.deepcopy(source).requires_grad_(True)
        _freeze(self.student, settings.frozen_stages)
        self.average = copy.deepcopy(source)
        optimizer: Any = make_optimizer(self.student, settings.optimization)
        kept: dict[str, torch.nn.Module] = {"model": self.student, "average": self.average}
        if method.own is not None:
            optimizer.add_param_group(
                {"params": list(method.own.parameters()), "lr": settings.optimization.learning_rate}
            )
            kept["own"] = method.own.to(fabric.device)
        self.model, optimizer = fabric.setup(self.student, optimizer)
        self.optimizer = optimizer
        self.shell = TrainingShell(fabric, run, method.steps, kept, [optimizer])

    def fit(self, started: float) -> Detector:
        """Do the steps that remain; return the moving average.

        Args:
            started: Where :func:`time.process_time` stood when this process began the adaptation, s.
        """
        self.shell.restore()
        started -= self.shell.earlier_cpu_s
        with progress(f"adapting by {self.settings.method}", self.shell.steps) as advance:
            advance(self.shell.step)
            self.model.train()
            while self.shell.step < self.shell.steps:
                advance(1, f"loss {self._step():.3f}")
                step, last = self.shell.step, self.shell.step == self.shell.steps
                if step % self.settings.log_every == 0 or last:
                    means = self.shell.mean_losses()
                    record = {f"loss_{name}": value for name, value in means.items()}
                    record |= {"loss": sum(means.values())}
                    self.shell.log({**record, "cpu_s": round(time.process_time() - started, 1)})
                if step % self.settings.checkpoint_every == 0 or last:
                    self.shell.log(self.watch.look(self.average))
                    self.shell.checkpoint()
        return self.average

    def _step(self) -> float:
        config, step = self.settings.optimization, self.shell.step
        self.shell.set_learning_rates(learning_rate_factor(step, config.steps, config.warmup))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(self.settings.seed, "step", step))
            losses = self.method.losses(self.model, self.average, step)
        loss = torch.stack(list(losses.values())).sum()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.model, self.optimizer, max_norm=LARGEST_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad()
        update_average(self.average, self.student, step, config.ema_decay)
        self.shell.end_step({name: value.item() for name, value in losses.items()})
        return loss.item()


def _freeze(detector: Detector, stages: int) -> None:
    """Fix the first ``stages`` stages of the backbone, which see strokes and not what is on pages."""
    assert isinstance(detector, FCOSDetector)
    for module in early_modules(detector.backbone.network, stages):
        module.requires_grad_(False)

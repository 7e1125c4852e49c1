"""The shell of a training: opens or resumes a run, guards the loss, writes checkpoints and restores them.

A trainer keeps what is its own: batches, the step, validation. Everything that the next step depends on stands in
one atomic file, ``checkpoints/resume.safetensors``; random numbers depend on the seed and the step alone. So a
resumed run ends with the weights of an unbroken one, bit for bit on the CPU with the same number of threads.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from seminar_common import runs
from seminar_common.checkpoints import (
    flatten_optimizer,
    load_tensors,
    load_weights,
    save_tensors,
    unflatten_optimizer,
)
from seminar_common.errors import UserError
from seminar_common.files import fingerprint, remove
from seminar_common.progress import say
from seminar_common.runs import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor, nn
    from torch.optim import Optimizer

WEIGHTS = "model.safetensors"
"""In a run's checkpoints once its training has ended: the weights to use."""
RESUME = "resume.safetensors"
"""In a run's checkpoints while it trains: everything that the next step depends on."""
SCHEMA = 2
"""Form of what stands in RESUME."""
CONFIG = "config"
"""Among the facts of WEIGHTS: the digest of the run's ``config.json`` as the training ended."""
T = TypeVar("T")


class DivergedError(UserError):
    """A training whose loss or weights are no longer of use."""


def open_or_resume(
    settings: T,
    presets: Mapping[str, Callable[[], T]],
    stored: Callable[[Run], T],
    movable: Sequence[str] = (),
) -> tuple[Run | None, T]:
    """Return the run that ``settings.resume`` names with its own settings, or None and ``settings``.

    A resumed run computes with the threads it was started with, for other threads give other bits.

    Args:
        settings: of a train command, with the fields ``resume``, ``device`` and, where there are presets, ``preset``.
        presets: The command's presets; one without presets has its settings under the empty name.
        stored: Returns the settings that a run was started with.
        movable: Fields with the place of something that may have moved since; one that is given replaces the
            run's own.

    Raises:
        UserError: there is no such run, or options were given that a resumed run can't take.
    """
    given: Any = settings
    if given.resume is None:
        return None, settings
    moved = {name: getattr(given, name) for name in movable}
    usual = presets[getattr(given, "preset", "")]()
    if given != dataclasses.replace(cast(Any, usual), resume=given.resume, **moved):
        but = f" but --{' and --'.join(movable)}" if movable else ""
        raise UserError(f"--resume goes on with the settings of the run; leave out the other options{but}")
    run = runs.open_run(given.resume)
    original: Any = stored(run)
    threads = original.device.threads or run.environment().get("threads", 0)
    device = dataclasses.replace(original.device, threads=threads)
    changes = {name: value for name, value in moved.items() if value is not None}
    return run, dataclasses.replace(original, device=device, **changes)


def has_ended(run: Run) -> bool:
    """Say whether the training of ``run`` has ended; if so, tell the user."""
    ended = (run.checkpoints / WEIGHTS).exists()
    if ended:
        say(f"{run.folder}: its training has ended already")
    return ended


def final_weights(run: Run) -> "tuple[dict[str, Tensor], Path]":
    """Return the weights of a run that has ended, and their file.

    Raises:
        UserError: the training has not ended, the file is damaged, or it or the settings beside it were changed.
    """
    path = run.checkpoints / WEIGHTS
    if not path.exists():
        command = run.config().get("command", "train")
        raise UserError(
            f"{run.folder}: its training has not ended; go on with `{command} --resume {run.folder}` first"
        )
    tensors, facts = load_tensors(path)
    _require_unchanged(run, facts)
    return tensors, path


def _require_unchanged(run: Run, facts: Mapping[str, Any]) -> None:
    """Raise a UserError if the settings of ``run`` are not those that it ended with, by the ``facts`` of its weights."""
    config = run.folder / runs.MARKER
    if CONFIG not in facts:
        say(
            f"{run.folder}: an earlier version trained it and stored no digests, so that a change in its weights or "
            "settings can't be noticed; train it again to have them checked"
        )
    elif facts[CONFIG] != fingerprint(config):
        raise UserError(
            f"{config}: was changed after the training; bring back the file as it was, or train again"
        )


def module_weights(run: Run, module: str) -> "dict[str, Tensor]":
    """Return the weights that a run ended with, or those of ``module`` in its last checkpoint.

    Raises:
        UserError: the run has neither.
    """
    ended = run.checkpoints / WEIGHTS
    if ended.exists():
        return load_tensors(ended)[0]
    return _with_prefix(load_tensors(run.checkpoints / RESUME)[0], f"{module}.")


def start_run(fabric: "Fabric", folder: Path, config: dict[str, Any], **facts: Any) -> Run:
    """Make the run folder, from the first process alone.

    Args:
        fabric: A launched Fabric.
        folder: The run folder.
        config: What :func:`seminar_common.runs.envelope` returned.
        facts: More for ``environment.json``, such as the fingerprints of the data.
    """
    import torch

    if fabric.is_global_zero:
        runs.create(folder, config, runs.environment(torch.get_num_threads(), **facts))
    fabric.barrier()
    return Run(folder)


def refuse_uneven_batch(batch_size: int, fabric: "Fabric") -> None:
    """Raise a UserError unless every process gets as many examples of a batch."""
    if batch_size % fabric.world_size:
        raise UserError(f"--batch-size {batch_size}: must be a multiple of the {fabric.world_size} processes")


def learning_rate_factor(step: int, total: int, warmup: float, schedule: str = "cosine") -> float:
    """Return the share of the peak learning rate at ``step`` of ``total``.

    A linear rise over the share ``warmup`` of the steps, then a cosine to zero (Loshchilov & Hutter 2017, SGDR,
    equation 5, without restarts); with the schedule "constant" the peak.
    """
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


class TrainingShell:
    """Position, losses, log and checkpoints of one training run.

    Every process calls every method at the same steps: :meth:`end_step`, :meth:`mean_losses`,
    :meth:`require_finite`, :meth:`checkpoint` and :meth:`finish` talk to the others.
    """

    def __init__(
        self,
        fabric: "Fabric",
        run: Run,
        steps: int,
        modules: "Mapping[str, nn.Module]",
        optimizers: "Sequence[Optimizer]",
        largest_loss: float = math.inf,
        way_out: str = "lower --learning-rate",
    ):
        """Make the shell of a run at its first step.

        Args:
            fabric: A launched Fabric.
            run: The run folder.
            steps: Steps of the whole training.
            modules: What has weights to keep, by name, without Fabric's wrappers.
            optimizers: The optimizers, as Fabric returned them.
            largest_loss: A loss above it ends the run as one that is not finite does.
            way_out: What to do about such a loss, as a part of the message.
        """
        self.largest_loss, self.way_out = largest_loss, way_out
        self.fabric, self.run, self.steps = fabric, run, steps
        self.modules, self.optimizers = dict(modules), list(optimizers)
        self.peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.step = 0
        self.losses: list[dict[str, float]] = []
        self.earlier_cpu_s = 0.0
        """CPU seconds that the last line of the log before a stop gives (``cpu_s``)."""

    def set_learning_rates(self, factor: float) -> None:
        """Set every group's learning rate to ``factor`` times its peak."""
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

    def end_step(self, losses: Mapping[str, float]) -> None:
        """Count a step and keep its losses until the next :meth:`mean_losses`.

        Raises:
            DivergedError: a loss of any process is not finite, or too large.
        """
        self.step += 1
        self.losses.append(dict(losses))
        worst = max(losses.values(), key=lambda loss: (not math.isfinite(loss), loss), default=0.0)
        self._refuse(not worst <= self.largest_loss or not math.isfinite(worst), f"the loss is {worst:.3g}")

    def mean_losses(self) -> dict[str, float]:
        """Return the mean of each loss since the last call, over all processes."""
        import torch

        names = list(self.losses[0])
        means = torch.tensor([[losses[name] for name in names] for losses in self.losses]).mean(dim=0)
        means = cast("Tensor", self.fabric.all_reduce(means, reduce_op="mean"))
        self.losses = []
        return dict(zip(names, means.tolist(), strict=True))

    def log(self, record: Mapping[str, Any]) -> None:
        """Append a line with the present step to the run's log, from the first process alone."""
        if self.fabric.is_global_zero:
            self.run.log({"step": self.step, **record})

    def checkpoint(self) -> None:
        """Write everything that the next step depends on.

        Raises:
            DivergedError: a weight of any process is not finite; the last good checkpoint stays.
        """
        self.require_finite()
        if not self.fabric.is_global_zero:
            return
        tensors: dict[str, Tensor] = {}
        facts: dict[str, Any] = {"schema": SCHEMA, "step": self.step, "losses": self.losses, "optimizers": []}
        for name, module in self.modules.items():
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for index, optimizer in enumerate(self.optimizers):
            state, optimizer_facts = flatten_optimizer(optimizer.state_dict())
            tensors |= {f"optimizer{index}.{key}": value for key, value in state.items()}
            facts["optimizers"].append(optimizer_facts)
        save_tensors(self.run.checkpoints / RESUME, tensors, facts)

    def restore(self) -> None:
        """Go back to the last checkpoint, or to the start where there is none; the log is cut to it.

        Raises:
            UserError: the checkpoint is damaged, of another architecture or of another version.
        """
        path = self.run.checkpoints / RESUME
        if path.exists():
            tensors, facts = load_tensors(path)
            if facts.get("schema") != SCHEMA:
                raise UserError(
                    f"{path}: another version wrote it, which this one can't go on from; train again"
                )
            for name, module in self.modules.items():
                load_weights(module, _with_prefix(tensors, f"{name}."), path)
            for index, optimizer in enumerate(self.optimizers):
                state = _with_prefix(tensors, f"optimizer{index}.")
                optimizer.load_state_dict(unflatten_optimizer(state, facts["optimizers"][index]))
            self.step, self.losses = facts["step"], facts["losses"]
            say(f"resuming {self.run.folder} at step {self.step} of {self.steps}")
        if self.fabric.is_global_zero:
            self.run.cut_log(self.step)
            spent = [record["cpu_s"] for record in self.run.logged() if "cpu_s" in record]
            self.earlier_cpu_s = spent[-1] if spent else 0.0
            for unfinished in self.run.checkpoints.glob(".*.tmp"):  # of a process that was killed as it wrote
                remove(unfinished)

    def finish(self, module: str) -> None:
        """Write the weights of the module of that name as the run's own, and drop the checkpoint.

        Raises:
            DivergedError: a weight of any process is not finite; the last good checkpoint stays.
        """
        self.require_finite()
        if self.fabric.is_global_zero:
            weights = self.modules[module].state_dict()
            facts = {"step": self.step, CONFIG: fingerprint(self.run.folder / runs.MARKER)}
            save_tensors(self.run.checkpoints / WEIGHTS, weights, facts)
            remove(self.run.checkpoints / RESUME)
        self.fabric.barrier()

    def require_finite(self) -> None:
        """Raise a DivergedError in every process if a weight of any one is not finite.

        A trainer calls it before it validates, for a figure of weights that are not finite is none.
        """
        fine = all(map(_is_finite, self.modules.values()))
        self._refuse(not fine, "some weights are not finite")

    def _refuse(self, bad: bool, what: str) -> None:
        """Raise a DivergedError in every process if something is bad in any one.

        One process alone must not decide: it would leave the others waiting for it, and the mean of the gradients
        has carried its NaN into their weights already.
        """
        import torch

        if self.fabric.world_size > 1:
            anywhere = self.fabric.all_reduce(torch.tensor(float(bad)), reduce_op="sum")
            what, bad = what if bad else "another process has diverged", bool(cast("Tensor", anywhere).item())
        if bad and self.fabric.world_size > 1:
            # One that ended now would break the connection by which another still gets the sum; and one that is broken here
            # has been heard.
            with contextlib.suppress(RuntimeError):
                self.fabric.barrier()
        if bad:
            raise DivergedError(
                f"{self.run.folder}: {what} at step {self.step}; {self.way_out} in a new run. {self._kept()}"
            )

    def _kept(self) -> str:
        there = (self.run.checkpoints / RESUME).exists()
        return "The last good checkpoint was kept" if there else "There was no checkpoint yet"


def _is_finite(module: "nn.Module") -> bool:
    tensors = (value for value in module.state_dict().values() if value.dtype.is_floating_point)
    return all(bool(value.isfinite().all()) for value in tensors)


def _with_prefix(tensors: "Mapping[str, Tensor]", prefix: str) -> "dict[str, Tensor]":
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

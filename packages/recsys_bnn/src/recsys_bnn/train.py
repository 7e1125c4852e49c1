"""Fit a DLRM to prepared rows."""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from recsys_bnn.data.dataset import Batch, Dataset, Rows, open_dataset
from recsys_bnn.data.stored_runs import stored_settings
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.layers import SeededDropout
from recsys_bnn.model.post_training import quantize_after_training
from recsys_bnn.model.trained import OverflowingError, build_model, load_model, predict, rows_at_once
from recsys_bnn.settings.training import PRESETS, OptimizationConfig, TrainSettings
from recsys_bnn.training import sharded_tables
from recsys_bnn.training.batch_norms import settle_batch_norms, settled
from recsys_bnn.training.complete import complete_settings
from recsys_bnn.training.ftrl import FTRL
from recsys_bnn.training.memory import require_memory
from recsys_bnn.training.optimizers import RowAdam, RowwiseAdagrad
from recsys_bnn.training.passes import choose_passes
from recsys_bnn.training.sharded_tables import ShardedRows
from seminar_common import bootstrap, metrics, runs, seeds
from seminar_common.device import launch
from seminar_common.display import metric_named
from seminar_common.errors import UserError
from seminar_common.files import fingerprint
from seminar_common.identity import require_same
from seminar_common.progress import progress, say
from seminar_common.runs import Run
from seminar_common.training import (
    WEIGHTS,
    DivergedError,
    TrainingShell,
    has_ended,
    learning_rate_factor,
    open_or_resume,
    refuse_uneven_batch,
    start_run,
)

CALIBRATION_ROWS = 16_384
"""Training rows that fit the scales of a model that starts from another one."""
LARGEST_LOSS = 20.0
"""Log loss of a step, in nats, above which a training has diverged: the model would give what happened a chance
below e^-20, less than a 32-bit probability can tell from none."""
WAY_OUT = "lower --learning-rate or --embedding-learning-rate"


def train(settings: TrainSettings) -> Run:
    """Train a model, or go on with a killed run; return its run folder.

    The folder then holds ``checkpoints/model.safetensors``. The final weights of a resumed run are those of
    an unbroken one, bit for bit on the CPU with the same number of threads.

    Raises:
        UserError: unusable settings, data or run folder, or a training that diverged.
    """
    run, settings = open_or_resume(settings, PRESETS, stored_settings)
    if settings.data is None:
        raise UserError("--data is missing: give the folder that `recsys-bnn prepare` wrote")
    dataset = open_dataset(settings.data)
    if run is not None:
        if has_ended(run):
            return run
        _check_same_origin(run, settings, dataset)
    else:
        settings = dataclasses.replace(settings, out=_new_folder(settings))
    settings = complete_settings(settings, dataset)
    require_memory(settings, dataset)
    dataset.verify()
    rows = _training_rows(settings, dataset)
    teacher = _load_other(settings.teacher, "--teacher", dataset)
    fabric = launch(settings.device)
    refuse_uneven_batch(settings.optimization.batch_size, fabric)
    if settings.tables == "torchrec":
        sharded_tables.check(settings, fabric.world_size, fabric.device)
    model = initial_model(settings, dataset, rows)
    if run is None:
        passes = _passes(settings, dataset, teacher, fabric)
        run = _create(settings, dataset, model, fabric, passes)
    settings = _of_passes(settings, run.config().get("passes", settings.optimization.epochs))
    Trainer(fabric, run, settings, model, teacher, rows, dataset).fit()
    say(f"trained {settings.model.name}: {run.folder}")
    return run


def _new_folder(settings: TrainSettings) -> Path:
    """Return the folder to make, refused before anything is computed if it holds something."""
    folder = settings.out or runs.default_folder("recsys_bnn", "train", settings.preset, settings.seed)
    runs.refuse_existing(folder)
    return folder


def _create(settings: TrainSettings, dataset: Dataset, model: DLRM, fabric: Fabric, passes: int) -> Run:
    assert settings.out is not None
    config = runs.envelope(
        "recsys-bnn",
        "train",
        settings,
        model=settings.model.name,
        dataset=dataset.name,
        data_fingerprint=dataset.fingerprint,
        vocabulary=dataset.vocabulary,
        passes=passes,
        **_other_weights(settings),
        table_rows=model.embedding.cardinalities.tolist(),
    )
    return start_run(fabric, settings.out, config, data={dataset.name: dataset.fingerprint})


def _check_same_origin(run: Run, settings: TrainSettings, dataset: Dataset) -> None:
    """Raise a UserError unless the data and the other runs are those that ``run`` was started with."""
    facts = {"data_fingerprint": dataset.fingerprint, **_other_weights(settings)}
    require_same(run.config(), facts, run.folder, "bring back what it was started with, or start a new run")


def _other_weights(settings: TrainSettings) -> dict[str, str | None]:
    """Return the fingerprints of the weights that a run starts from and of those that it learns from."""
    folders = {"init_weights": settings.init, "teacher_weights": settings.teacher}
    files_ = {name: folder and folder / "checkpoints" / WEIGHTS for name, folder in folders.items()}
    return {name: fingerprint(file) if file and file.exists() else None for name, file in files_.items()}


def _training_rows(settings: TrainSettings, dataset: Dataset) -> Rows:
    splits = settings.optimization.fit_on.split("+")
    rows = dataset.rows(*splits)
    if len(rows) < settings.optimization.batch_size:
        raise UserError(
            f"{dataset.folder}: {len(rows)} training rows don't fill one batch of "
            f"{settings.optimization.batch_size}; lower --batch-size"
        )
    dataset.require_both_classes(*splits)
    return rows


def embedding_schedule(settings: TrainSettings) -> str:
    """Return the schedule of the tables' learning rate, ``cosine`` or ``constant``."""
    model, config = settings.model, settings.optimization
    if config.embedding_schedule != "auto":
        return config.embedding_schedule
    steady = config.embedding_optimizer == "rowwise-adagrad" and model.embedding_bits == 32
    return "constant" if steady else "cosine"


def initial_model(settings: TrainSettings, dataset: Dataset, rows: Rows) -> DLRM:
    """Return a model with new weights, or with those of the run in ``settings.init`` at this model's bits."""
    source = _load_other(settings.init, "--init", dataset)
    if source is not None:
        order = seeds.numpy_generator(settings.seed, "calibration")
        most = max(settings.optimization.batch_size, rows_at_once(rows, CALIBRATION_ROWS))
        batch = next(rows.batches(min(len(rows), most), generator=order))
        return quantize_after_training(source, settings.model, batch)
    model = build_model(settings, dataset)
    if settings.tables == "torchrec":
        sharded_tables.shard_tables(model)
    model.reset_parameters(seeds.torch_generator(settings.seed, "weights"), float(rows.labels().mean()))
    return model


def _of_passes(settings: TrainSettings, passes: int, **changes: Any) -> TrainSettings:
    optimization = dataclasses.replace(settings.optimization, epochs=passes, **changes)
    return dataclasses.replace(settings, optimization=optimization)


def _passes(settings: TrainSettings, dataset: Dataset, teacher: DLRM | None, fabric: Fabric) -> int:
    """Return the passes to make: those of the settings, or those that the validation rows speak for."""
    first, labels = settings.optimization.epochs, dataset.rows("val").labels()
    rows = dataset.rows("train")
    if settings.optimization.choose_passes != "yes" or len(rows) < settings.optimization.batch_size:
        return first
    settings = dataclasses.replace(settings, checkpoint_every=sys.maxsize)

    def losses(passes: int) -> np.ndarray | None:
        trial = _of_passes(settings, passes, fit_on="train")
        model = initial_model(trial, dataset, rows)
        assert settings.out is not None
        try:
            probabilities = Trial(
                fabric, Run(settings.out), trial, model, teacher, rows, dataset
            ).probabilities()
        except (DivergedError, OverflowingError):
            return None
        return metrics.log_losses(labels, probabilities)

    return choose_passes(first, labels, losses)


def _load_other(folder: Path | None, option: str, dataset: Dataset) -> DLRM | None:
    """Return the model of the ended run that an option names, or None."""
    if folder is None:
        return None
    try:
        return load_model(runs.open_run(folder), dataset)
    except UserError as error:
        raise UserError(f"{option} {error}") from error


class Trainer:
    """The steps of one training run and their validation; the shell keeps the rest."""

    def __init__(
        self,
        fabric: Fabric,
        run: Run,
        settings: TrainSettings,
        model: DLRM,
        teacher: DLRM | None,
        rows: Rows,
        dataset: Dataset,
    ):
        self.fabric, self.settings, self.rows, self.dataset = fabric, settings, rows, dataset
        self.teacher = None if teacher is None else teacher.to(fabric.device)
        optimizers = make_optimizers(model, settings.optimization)
        # DDP can't average sparse gradients, so the table stays out of it and is averaged in _share_table_gradient.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, ["embedding.weight"])
        self.plain = model
        self.model, *self.optimizers = fabric.setup(model, *optimizers)
        self.dropouts = [m for m in self.model.modules() if isinstance(m, SeededDropout)]
        self.steps_per_epoch = len(rows) // settings.optimization.batch_size
        steps = self.steps_per_epoch * settings.optimization.epochs
        self.shell = TrainingShell(
            fabric, run, steps, {"model": model}, self.optimizers, LARGEST_LOSS, WAY_OUT
        )

    def fit(self) -> None:
        """Run the steps that remain and write the weights."""
        shell = self.shell
        shell.restore()
        self._learn(f"training {self.settings.model.name}")
        settle_batch_norms(self.plain, self.rows, self.settings, self.fabric.device)
        if self.plain.first_order is not None:
            self.plain.first_order.round_to_codes()
        with sharded_tables.brought_back(self.plain, shell.run.checkpoints):
            shell.finish("model")

    def _learn(self, what: str) -> None:
        shell = self.shell
        with progress(what, shell.steps) as advance:
            advance(shell.step)
            while shell.step < shell.steps:
                self._epoch(shell.step // self.steps_per_epoch, advance)

    def _epoch(self, epoch: int, advance: Any) -> None:
        settings, shell = self.settings, self.shell
        generator = seeds.numpy_generator(settings.seed, "order", epoch)
        config, skip = settings.optimization, shell.step % self.steps_per_epoch
        batches = self.rows.batches(
            config.batch_size,
            generator=generator,
            in_time=config.order == "time",
            drop_last=True,
            start=skip,
        )
        if config.fresh_tables == "yes" and epoch and not skip:
            self._renew_tables(epoch)
        self.model.train()
        started, first = self._clocks(), shell.step
        for batch in batches:
            loss = self._train_step(batch)
            shell.end_step({"loss": loss})
            advance(1, f"loss {loss:.4f}")
            if shell.step % settings.log_every == 0:
                wall, processor = (now - then for now, then in zip(self._clocks(), started, strict=True))
                rows = (shell.step - first) * config.batch_size
                speeds = {"rows_per_s": round(rows / wall), "rows_per_cpu_s": round(rows / processor)}
                self._log({**shell.mean_losses(), **speeds})
            if shell.step % self.steps_per_epoch == 0:
                self._validate(epoch + 1)
            if shell.step % settings.checkpoint_every == 0 and self.plain.embedding.elsewhere is None:
                shell.checkpoint()

    @staticmethod
    def _clocks() -> tuple[float, float]:
        """Return the time in seconds by the wall clock, and by the processor: that of all threads together."""
        return time.perf_counter(), time.process_time()

    def _train_step(self, batch: Batch) -> float:
        self._set_learning_rates()
        mine = slice(self.fabric.global_rank, None, self.fabric.world_size)
        device = self.fabric.device
        for index, dropout in enumerate(self.dropouts):
            path = ("dropout", index, self.shell.step, self.fabric.global_rank)
            dropout.generator = seeds.torch_generator(self.settings.seed, *path, device=str(device))
        features = batch.integers[mine].to(device), batch.categoricals[mine].to(device)
        loss = F.binary_cross_entropy_with_logits(self.model(*features), self._targets(batch, mine, features))
        self.fabric.backward(loss)
        self._share_table_gradient()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    def _set_learning_rates(self) -> None:
        config, (step, steps) = self.settings.optimization, (self.shell.step, self.shell.steps)
        self.shell.set_learning_rates(learning_rate_factor(step, steps, config.warmup))
        if config.fresh_tables == "yes":
            step, steps = step % self.steps_per_epoch, self.steps_per_epoch
        factor = learning_rate_factor(step, steps, config.warmup, embedding_schedule(self.settings))
        if self.plain.first_order is not None:
            [first_order] = self.optimizers[1].param_groups
            first_order["lr"] = config.first_order_rate
        [table] = self.optimizers[-1].param_groups
        table["lr"] = config.embedding_learning_rate * factor

    def _renew_tables(self, epoch: int) -> None:
        """Draw new tables and forget what their optimizer knew of the old ones.

        Source: Liu et al. 2023, "Multi-Epoch Learning for Deep Click-Through Rate Prediction Models" (MEDA).
        """
        embedding = self.plain.embedding
        embedding.reset_parameters(seeds.torch_generator(self.settings.seed, "tables", epoch))
        if isinstance(embedding.elsewhere, ShardedRows):
            embedding.elsewhere.forget()
        for optimizer in self.optimizers:
            optimizer.state.pop(embedding.weight, None)

    def _share_table_gradient(self) -> None:
        """Give every process the mean over processes of the table's sparse gradient."""
        processes = self.fabric.world_size
        if processes == 1 or self.plain.embedding.elsewhere is not None:
            return
        table = self.plain.embedding.weight
        assert table.grad is not None
        # Not coalesced, so that every process has as many entries, one for each row of its part and each field; but for
        # lists, where zeros fill up what others have more.
        rows, values = table.grad._indices()[0], table.grad._values()
        if self.plain.list_widths:
            rows, values = self._filled_up(rows, values)
        rows = cast(Tensor, self.fabric.all_gather(rows)).flatten()
        values = cast(Tensor, self.fabric.all_gather(values)).flatten(0, 1) / processes
        table.grad = torch.sparse_coo_tensor(rows[None], values, table.shape)

    def _filled_up(self, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Repeat the first entry, with zeros, until there are as many as in the process with most."""
        counts = cast(Tensor, self.fabric.all_gather(torch.tensor(len(rows), device=rows.device)))
        more = int(counts.max()) - len(rows)
        return torch.cat([rows, rows[:1].expand(more)]), F.pad(values, (0, 0, 0, more))

    def _targets(self, batch: Batch, mine: slice, features: tuple[Tensor, Tensor]) -> Tensor:
        labels = batch.labels[mine].to(self.fabric.device)
        if self.teacher is None:
            return labels
        with torch.no_grad():
            return distillation_targets(
                labels, self.teacher(*features), self.settings.optimization.distillation
            )

    def _log(self, record: dict[str, Any]) -> None:
        self.shell.log({"epoch": round(self.shell.step / self.steps_per_epoch, 4), **record})

    def _validate(self, epoch: int) -> None:
        """Log loss and AUC of the validation rows, where they have them, unless they are learned from."""
        if self.settings.optimization.fit_on != "train":
            return
        self.shell.require_finite()
        rows = self.dataset.rows("val")
        labels, known = rows.labels(), {}
        with settled(self.plain, self.rows, self.settings, self.fabric.device) as model:
            probabilities = predict(model, rows, self.fabric.device)
        for name, metric in (("log_loss", metrics.log_loss), ("roc_auc", metrics.roc_auc)):
            if metrics.has_value(name, labels):
                known[name] = metric(labels, probabilities)
        if known:
            self._log({f"val_{name}": value for name, value in known.items()})
        figures = ", ".join(f"{metric_named(name).name} {value:.4f}" for name, value in known.items())
        why = bootstrap.remark(labels) if len(known) < 2 else ""
        say(f"epoch {epoch}: validation: " + "; ".join(filter(None, [figures, why])))


class Trial(Trainer):
    """A training that is only measured on the validation rows: it writes nothing."""

    def probabilities(self) -> np.ndarray:
        """Train, and return the click probability of each validation row, float64 of shape [n]."""
        passes, name = self.settings.optimization.epochs, self.settings.model.name
        self._learn(f"trying {passes} passes of {name}")
        with settled(self.plain, self.rows, self.settings, self.fabric.device) as model:
            return predict(model, self.dataset.rows("val"), self.fabric.device)

    def _log(self, record: dict[str, Any]) -> None:
        """Write no log: the run doesn't exist yet."""

    def _validate(self, epoch: int) -> None:
        """Measure at the end alone."""
        self.shell.require_finite()


def distillation_targets(labels: Tensor, teacher_logits: Tensor, share: float) -> Tensor:
    """Return clicks [B] mixed with ``share`` of the teacher's probabilities.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, at temperature 1. The
    cross-entropy is linear in its target, so mixing the targets mixes the two losses.
    """
    return torch.lerp(labels, torch.sigmoid(teacher_logits), share)


def make_optimizers(model: DLRM, config: OptimizationConfig) -> list[torch.optim.Optimizer]:
    """Return AdamW for the MLPs and scales, FTRL for first-order weights, and at last the optimizer of the tables.

    The latter takes sparse gradients and leaves other rows alone.

    Scales are logarithms: they learn ten times faster than weights and never decay, which would pull each
    towards a scale of one.
    """
    table, rows, scales = model.embedding.weight, model.embedding.elsewhere, model.scales()
    first_order = [] if model.first_order is None else list(model.first_order.parameters())
    apart = {id(parameter) for parameter in (table, *scales, *first_order)}
    groups: list[dict[str, Any]] = [{"params": [p for p in model.parameters() if id(p) not in apart]}]
    if scales:
        groups.append({"params": scales, "lr": 10 * config.learning_rate, "weight_decay": 0.0})
    sparse = {"adam": RowAdam, "rowwise-adagrad": RowwiseAdagrad}[config.embedding_optimizer]
    optimizers = [
        torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay, fused=True),
        rows.optimizer
        if isinstance(rows, ShardedRows)
        else sparse([table], lr=config.embedding_learning_rate),
    ]
    if first_order:
        # Each pass adds its gradients to the leader, so the penalty grows with the passes to weigh the same.
        features = len(model.embedding.cardinalities) + model.integer_count
        penalty = config.first_order_l2 * features * max(config.epochs, 1)
        optimizers.insert(1, FTRL(first_order, config.first_order_rate, penalty, config.batch_size))
    return optimizers

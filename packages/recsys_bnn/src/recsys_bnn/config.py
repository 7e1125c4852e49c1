"""Settings of every command, and the presets. Imports nothing heavy, so that ``--help`` is quick."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError

Bits = Literal[32, 1]
"""Bits of a value; 32 is full precision, 1 is its sign."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and bits of a DLRM."""

    embedding_dim: int = 16
    """Values of an embedding row, D."""
    bottom_mlp: tuple[int, ...] = (512, 256, 64)
    """Hidden sizes of the MLP over the integer features; a layer of size D follows."""
    top_mlp: tuple[int, ...] = (512, 256)
    """Hidden sizes of the MLP over the interactions; the logit follows."""
    embedding_bits: Bits = 32
    """Bits of an embedding value."""
    mlp_bits: Bits = 32
    """Bits of the top MLP's weights; its activations follow unless --activation-bits says otherwise."""
    bottom_mlp_bits: Bits = 32
    """Bits of the bottom MLP's weights and activations."""
    activation_bits: Literal[0, 32, 1] = 0
    """Bits of the top MLP's activations; 0 takes those of its weights."""
    float_layers: tuple[Literal["top-first", "top-last"], ...] = ()
    """Layers of the top MLP that stay in full precision."""
    dropout: float = 0.0
    """Share of the hidden values of both MLPs dropped in training."""
    embedding_init: float = 0.0
    """Standard deviation of new embedding rows; 0 draws them from U(-a, a) with a = sqrt(1 / rows of the field)."""

    def __post_init__(self) -> None:
        if min(self.embedding_dim, *self.bottom_mlp, *self.top_mlp) < 1:
            raise UserError("--embedding-dim, --bottom-mlp and --top-mlp: every size must be 1 or more")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout {self.dropout}: must lie in [0, 1)")
        if self.embedding_init < 0:
            raise UserError(f"--embedding-init {self.embedding_init}: a standard deviation is 0 or more")

    @property
    def resolved_activation_bits(self) -> int:
        """Bits of the top MLP's activations."""
        return self.activation_bits or self.mlp_bits

    @property
    def name(self) -> str:
        """The model's name in every table: `float`, `binary`, or the bits of embeddings, weights and activations."""
        bits = (self.embedding_bits, self.mlp_bits, self.resolved_activation_bits)
        if not self.float_layers and self.bottom_mlp_bits == 32:
            if bits == (32, 32, 32):
                return "float"
            if bits == (1, 1, 1):
                return "binary"
        kept = "".join(f"-float-{layer}" for layer in sorted(self.float_layers))
        return f"mixed-e{bits[0]}-b{self.bottom_mlp_bits}-w{bits[1]}-a{bits[2]}{kept}"


@dataclass(frozen=True)
class OptimizationConfig:
    """How a model is fitted."""

    epochs: int = 1
    """Passes over the training rows."""
    batch_size: int = 2048
    """Rows of a step, over all processes."""
    learning_rate: float = 1e-3
    """Peak learning rate of the MLPs (AdamW)."""
    embedding_learning_rate: float = 1e-3
    """Peak learning rate of the embeddings (Adam on the rows of the batch)."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of the MLPs."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak; a cosine to zero follows."""
    min_count: int = 0
    """Values seen fewer times than this in training share the out-of-vocabulary row; 0 keeps what `prepare` kept."""
    fit_on: Literal["train", "train+val"] = "train"
    """Rows to learn from. `train+val` is for a final fit, when nothing is left to choose on the validation rows."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise UserError("--epochs must be 1 or more and --batch-size 2 or more")
        if self.learning_rate <= 0 or self.embedding_learning_rate <= 0:
            raise UserError("--learning-rate and --embedding-learning-rate must be above 0")
        if not 0 <= self.warmup <= 1 or self.weight_decay < 0 or self.min_count < 0:
            raise UserError(
                "--warmup must lie in [0, 1]; --weight-decay and --min-count must not be negative"
            )


@dataclass(frozen=True)
class TrainSettings:
    """Train a DLRM on prepared rows.

    Binary embeddings and top MLP: --embedding-bits 1 --mlp-bits 1. A killed run goes on with --resume RUN.
    """

    data: Path | None = None
    """Folder that `prepare` wrote."""
    out: Path | None = None
    """Run folder to make; by default runs/recsys_bnn/train-PRESET-seedK-TIME."""
    resume: Path | None = None
    """Run folder to go on with: its settings are used again and no other option is needed."""
    preset: Literal["smoke", "small", "paper"] = "small"
    """Size and recipe; the options below change single values of it."""
    seed: int = 0
    """Seed of the weights, the order of the rows and the dropout."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: int = 500
    """Steps between two checkpoints that --resume can go on from."""
    model: ModelConfig = field(default_factory=ModelConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        if self.log_every < 1 or self.checkpoint_every < 1:
            raise UserError("--log-every and --checkpoint-every must be 1 or more")


@dataclass(frozen=True)
class EvaluateSettings:
    """Measure a trained model on the validation and test rows; writes RUN/results.json and RUN/report.html."""

    run: Path
    """Run folder that `train` wrote."""
    data: Path | None = None
    """Prepared folder to measure on, if not the one the model was trained on."""
    baseline: Path | None = None
    """Another run, e.g. the full-precision one: the paired differences to it are added."""
    resamples: int = 1000
    """Bootstrap resamples behind each 95% interval."""
    seed: int = 0
    """Seed of the bootstrap."""
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: an interval needs 100 or more")


def smoke() -> TrainSettings:
    """A tiny model and one short pass: seconds on a CPU, for tests and a first look."""
    model = ModelConfig(embedding_dim=8, bottom_mlp=(32,), top_mlp=(32,))
    optimization = OptimizationConfig(batch_size=128)
    return TrainSettings(
        preset="smoke", log_every=10, checkpoint_every=20, model=model, optimization=optimization
    )


def small() -> TrainSettings:
    """The reference's architecture with a recipe for thousands of rows."""
    return TrainSettings(preset="small")


def paper() -> TrainSettings:
    """The reference's setting for the full Criteo log (batch 8192, Adam, cosine, 10 epochs). Not yet run at that size."""
    return TrainSettings(preset="paper")


PRESETS: Mapping[str, Callable[[], TrainSettings]] = {"small": small, "smoke": smoke, "paper": paper}
"""Presets of `train` by name; the first is the default."""

"""Settings of every command, and the presets. Imports nothing heavy, so that ``--help`` is quick."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from recsys_bnn.settings.bits import Bits, LayerBits, MLPBits, mlp_bits, model_name
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError

FOLLOW = -1
"""In place of a number: it follows the length of the log (:mod:`recsys_bnn.settings.log_length`)."""
_OR_FOLLOW = "-1, where an option takes it, follows the log's length"


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and bits of a DLRM."""

    embedding_bits: Bits = 32
    """Bits of an embedding value."""
    mlp_bits: Bits = 32
    """Bits of the top MLP's weights; its activations follow unless --activation-bits says otherwise."""
    activation_bits: Literal[0, 32, 8, 4, 2, 1] = 0
    """Bits of the inputs of the top MLP's layers; 0 takes those of its weights."""
    embedding_dim: int = 16
    """Values of an embedding row, D."""
    bottom_mlp: tuple[int, ...] = (512, 256, 64)
    """Hidden sizes of the MLP over the integer features; a layer of size D follows."""
    top_mlp: tuple[int, ...] = (512, 256)
    """Hidden sizes of the MLP over the interactions; the logit follows."""
    dropout: float = 0.0
    """Share of the hidden values of both MLPs dropped in training; -1 follows the log's length."""
    missing_flags: bool = False
    """Tell the bottom MLP, beside each integer, whether it is missing; else a missing one is just the mean."""
    first_order: bool = False
    """Add a weight for each frequent value and each integer to the logit, beside the interactions (Wide & Deep)."""
    bottom_mlp_bits: Bits = 32
    """Bits of the weights and inputs of the bottom MLP's layers."""
    layer_bits: tuple[str, ...] = ()
    """Layers with bits of their own, as LAYER=WEIGHTS/ACTIVATIONS: top.0=8/8 top.last=32 bottom.first=8/32."""
    thresholds: int = 1
    """Signs that tell an input of a layer with 1-bit activations, each with a learned threshold and its own weights."""
    embedding_scale: Literal["auto", "field", "group", "row"] = "auto"
    """Scales of the tables: learned for each field, or for 16 groups of its values by frequency (group), or
    stored with each row. auto is field for 2 to 8 bits and none for 1."""
    hot_bits: Literal[0, 32, 8, 4, 2] = 0
    """Bits of the values in the hot rows, those of the most frequent values of each field; 0 for --embedding-bits."""
    hot_share: float = 0.01
    """With --hot-bits: share of all table rows that are hot, as many in each field that has so many."""
    hashed_share: float = 1.0
    """Share of the table rows to keep by hashing: fields with more values than a common cap share that many rows."""
    embedding_init: float = 0.0
    """Standard deviation of new embedding rows; 0 draws them from U(-a, a) with a = sqrt(1 / rows of the field)."""
    quantizer: Literal["lsq", "dorefa"] = "lsq"
    """How values become 2, 4 or 8 bits: lsq learns the steps, dorefa spans a fixed range."""
    engine: Literal["native", "bitorch"] = "native"
    """Whose binary layers: this package's, or BITorch's with the recipe of its example, which has signs alone."""

    def __post_init__(self) -> None:
        if min(self.embedding_dim, *self.bottom_mlp, *self.top_mlp) < 1:
            raise UserError("--embedding-dim, --bottom-mlp and --top-mlp: every size must be 1 or more")
        if not 0 <= self.dropout < 1 and self.dropout != FOLLOW:
            raise UserError(
                f"--dropout {self.dropout}: must lie in [0, 1), or be -1 to follow the log's length"
            )
        if not 0 < self.hashed_share <= 1 or not 0 <= self.hot_share <= 1 or self.thresholds < 1:
            raise UserError(
                "--hashed-share must lie in (0, 1], --hot-share in [0, 1]; --thresholds must be 1 or more"
            )
        if not self.hot_bits and self.hot_share != ModelConfig.hot_share:
            raise UserError(
                f"--hot-share {self.hot_share:g}: says how many rows have --hot-bits; give that as well, or leave both out"
            )
        if self.embedding_init < 0:
            raise UserError(f"--embedding-init {self.embedding_init}: a standard deviation is 0 or more")
        learned = self.embedding_scale in ("field", "group") and 1 < self.embedding_bits < 32
        if self.quantizer == "dorefa" and learned:
            raise UserError(
                f"--embedding-scale {self.embedding_scale}: dorefa learns no scales; take auto or row, or --quantizer lsq"
            )
        _ = self.name  # refuses --layer-bits that make no sense
        if self.engine == "bitorch":
            self._check_bitorch()

    def _check_bitorch(self) -> None:
        layers = {*self.top_bits.layers, *self.bottom_bits.layers}
        if not layers <= {(1, 1), (32, 32)} or self.embedding_bits not in (1, 32):
            raise UserError("--engine bitorch: tables, and weights with activations, have 1 or 32 bits")
        if self.embedding_scale != "auto":
            raise UserError(
                f"--engine bitorch --embedding-scale {self.embedding_scale}: BITorch has no scales"
            )

    @property
    def top_bits(self) -> MLPBits:
        """Bits of each layer of the top MLP, from the interactions to the logit."""
        default = LayerBits(self.mlp_bits, self.activation_bits or self.mlp_bits)
        return mlp_bits("top", default, len(self.top_mlp) + 1, self.layer_bits)

    @property
    def bottom_bits(self) -> MLPBits:
        """Bits of each layer of the bottom MLP, from the integers to the dense vector."""
        default = LayerBits(self.bottom_mlp_bits, self.bottom_mlp_bits)
        return mlp_bits("bottom", default, len(self.bottom_mlp) + 1, self.layer_bits)

    @property
    def name(self) -> str:
        """The model's name in every table; it tells the bits of all parts, and nothing else.

        `float`, `8-bit`, `4-bit`, `2-bit` and `binary` have those bits in the tables and in the weights and
        activations of the top MLP, `binary-a4` has 1-bit tables and weights and 4-bit activations; the bottom MLP
        of all of them is float, as the reference's. Any other choice, an 8-bit bottom MLP too, is
        `mixed-eE-bB-wW-aA`: bits of tables, bottom MLP, top weights and top activations, then each layer that has
        bits of its own; `eEhH` has H bits in its hot rows. `bitorch-` stands before the name where the layers are
        BITorch's.
        """
        hot = f"h{self.hot_bits}" if self.hot_bits else ""
        name = model_name(self.embedding_bits, self.top_bits, self.bottom_bits, hot)
        return name if self.engine == "native" else f"bitorch-{name}"


@dataclass(frozen=True)
class OptimizationConfig:
    """How a model is fitted."""

    epochs: int = 1
    """Passes over the training rows; 0 only quantizes the run of --init, -1 follows the log's length."""
    choose_passes: Literal["auto", "yes", "no"] = "no"
    """Choose the passes by the validation rows: trainings on the training rows alone try twice and four times --epochs, or
    half, as long as the log loss falls by more than its standard error. Models of few bits often need more passes
    than float. auto chooses on a short log where --epochs is left open."""
    batch_size: int = 2048
    """Rows of a step, over all processes; -1 follows the log's length."""
    learning_rate: float = 1e-3
    """Peak learning rate of the MLPs (AdamW); -1 follows the log's length."""
    embedding_learning_rate: float = 1e-3
    """Peak learning rate of the embeddings; -1 follows the log's length and --embedding-optimizer."""
    min_count: int = 0
    """Values seen fewer times than this in training share the out-of-vocabulary row; 0 keeps what `prepare` kept, -1
    follows the log's length."""
    fit_on: Literal["train", "train+val"] = "train"
    """Rows to learn from. `train+val` is for a final fit, when nothing is left to choose on the validation rows."""
    embedding_optimizer: Literal["auto", "adam", "rowwise-adagrad"] = "adam"
    """How embeddings learn: Adam on the rows of the batch, or row-wise Adagrad, whose state is 2 D times smaller. auto
    follows the log's length."""
    first_order_rate: float = 0.1
    """With --first-order: learning rate of its weights (alpha of FTRL), which falls by itself."""
    first_order_l2: float = 0.3
    """With --first-order: L2 penalty of its weights, times the number of features; more features say less each."""
    embedding_schedule: Literal["auto", "cosine", "constant"] = "auto"
    """What follows the warm-up of the embeddings' learning rate. auto is constant for 32-bit tables under Adagrad,
    which slows down by itself, row by row: under a cosine the late reads of a rare value would hardly count. It is
    cosine for all others: at a constant rate values of few bits would go on flipping to the end."""
    fresh_tables: Literal["auto", "yes", "no"] = "no"
    """Begin each pass with new tables and keep the MLPs. A second pass over the same tables learns rare values by
    heart; over new ones it finds MLPs that know already what to do with them. auto follows the log's length."""
    order: Literal["auto", "random", "time"] = "random"
    """Order of the rows in a pass: at random, or as they came, shuffled only within a quarter of a million. In a
    single pass over clicks that drift, the latest rows then count most. auto follows the log's length."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of the MLPs."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak; a cosine to zero follows."""
    kept_share: float = 1.0
    """Share of the table rows to keep: the frequency threshold rises until no more values have a row of their own."""
    distillation: float = 0.5
    """With --teacher: share of the loss that follows the teacher's probabilities; the rest follows the clicks."""

    def __post_init__(self) -> None:
        if self.epochs < FOLLOW or (self.batch_size < 2 and self.batch_size != FOLLOW):
            raise UserError(f"--epochs must be 0 or more and --batch-size 2 or more; {_OR_FOLLOW}")
        if self.choose_passes == "yes" and not self.epochs:
            raise UserError("--choose-passes yes: there is no multiple of --epochs 0")
        rates = (self.learning_rate, self.embedding_learning_rate)
        if any(rate <= 0 and rate != FOLLOW for rate in rates):
            raise UserError(f"--learning-rate and --embedding-learning-rate must be above 0; {_OR_FOLLOW}")
        if not 0 <= self.distillation <= 1:
            raise UserError(f"--distillation {self.distillation}: must lie in [0, 1]")
        if not 0 <= self.warmup <= 1 or self.weight_decay < 0 or self.min_count < FOLLOW:
            raise UserError(
                f"--warmup must lie in [0, 1]; --weight-decay and --min-count must not be negative; {_OR_FOLLOW}"
            )
        if self.first_order_rate <= 0 or self.first_order_l2 < 0:
            raise UserError("--first-order-rate must be above 0 and --first-order-l2 must not be negative")
        if not 0 < self.kept_share <= 1:
            raise UserError(f"--kept-share {self.kept_share}: must lie in (0, 1]")


@dataclass(frozen=True)
class TrainSettings:
    """Train a DLRM on prepared rows.

    Binary embeddings and top MLP: --embedding-bits 1 --mlp-bits 1. A killed run goes on with --resume RUN.
    """

    data: Path | None = None
    """Folder that `prepare` wrote."""
    out: Path | None = None
    """Run folder to make; by default runs/recsys_bnn/train-PRESET-seedK-TIME."""
    preset: Literal["smoke", "small", "medium", "paper"] = "small"
    """Size and recipe; the options below change single values of it."""
    resume: Path | None = None
    """Run folder to go on with: its settings are used again and no other option is needed."""
    init: Path | None = None
    """Ended run, e.g. the full-precision one, whose weights to start from: a second stage of training."""
    teacher: Path | None = None
    """Ended run whose probabilities to learn from, too (distillation)."""
    target_size: str = ""
    """How many times smaller than float the model is to be, as 30x: chooses the bits of all parts, and says which."""
    seed: int = 0
    """Seed of the weights, the order of the rows and the dropout."""
    tables: Literal["whole", "torchrec"] = "whole"
    """Whether every process of torchrun holds all table rows, or TorchRec divides them; the latter needs the environment
    tools/sharded, the CPU and --embedding-optimizer rowwise-adagrad, and --resume then begins anew."""
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
        if not self.optimization.epochs and self.init is None and self.resume is None:
            raise UserError("--epochs 0 trains nothing: give the run to quantize with --init")
        if self.optimization.choose_passes == "yes" and self.tables == "torchrec":
            raise UserError("--choose-passes yes: can't try them with --tables torchrec; give --epochs")
        if self.size_factor is not None and (self.model.name != "float" or self.model.engine != "native"):
            raise UserError(
                "--target-size chooses the bits: give no options of bits and no --engine beside it"
            )

    @property
    def size_factor(self) -> float | None:
        """Megabytes of the float model over those of --target-size, or None without one."""
        if not self.target_size:
            return None
        try:
            factor = float(self.target_size.removesuffix("x"))
        except ValueError:
            factor = 0.0
        if not 1 <= factor < math.inf:
            raise UserError(f"--target-size {self.target_size}: expected how many times smaller, such as 30x")
        return factor


@dataclass(frozen=True)
class EvaluateSettings:
    """Measure a trained model on the validation and test rows; writes results.json and report.html into the run."""

    run: Path
    """Run folder that `train` wrote."""
    data: Path | None = None
    """Prepared folder to measure on, if not the one the model was trained on; `prepare --vocabulary RUN` makes it."""
    baseline: Path | None = None
    """Another run, e.g. the full-precision one: the paired differences to it are added."""
    out: Path | None = None
    """Folder to make for the figures. By default the run keeps them; those of other --data in a folder
    on-NAME-FINGERPRINT of their own."""
    resamples: int = 1000
    """Bootstrap resamples behind each 95% interval."""
    seed: int = 0
    """Seed of the bootstrap."""
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: an interval needs 100 or more")


StudyModel = Literal[
    "float",
    "reference-dlrm",
    "8-bit",
    "mixed-e4h8-b32-w8-a8",
    "4-bit",
    "2-bit",
    "binary",
    "binary-a4",
    "binary-d64",
    "binary-a4-d64",
    "mixed-e1h8-b8-w1-a1",
    "mixed-e1h8-b8-w1-a4",
    "mixed-e1h8-b8-w8-a8",
    "mixed-e1h2-b8-w1-a4",
    "mixed-e1h2-b8-w8-a8",
    "mixed-e1-b8-w1-a4",
    "mixed-e1-b8-w8-a8",
    "bitorch-binary",
    "4-bit-d4",
    "float-d2",
    "float-d1",
    "float-hashed-8x",
    "float-hashed-32x",
    "float-threshold-8x",
    "float-threshold-32x",
    "logistic-regression",
    "float--no-first-order-term",
    "binary--one-sign-an-input",
    "binary-a4--no-scales-in-the-tables",
    "binary-a4--a-scale-a-field",
    "binary-a4--a-scale-a-row",
    "binary-a4--float-activations",
    "binary-a4--float-MLP",
    "binary-a4--tables-by-Adam",
    "binary-a4--from-the-float-weights",
    "binary-a4--distilled-from-float",
    "binary-a4--from-float-and-distilled",
    "4-bit--trained-with-its-bits",
]
"""Models that a study compares: the variants, the baseline, and the steps of the ablation (with two hyphens)."""


@dataclass(frozen=True)
class StudySettings:
    """Compare models over several seeds on one data set; the same command goes on with a study that stopped."""

    data: Path | None = None
    """Folder that `prepare` wrote."""
    out: Path | None = None
    """Folder of the study: a run for each model and seed, results.json and report.html."""
    models: tuple[StudyModel, ...] = ()
    """Models to compare; by default all without two hyphens in their name."""
    ablate: bool = False
    """Add the steps of the ablation to the models."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of each model."""
    preset: Literal["smoke", "small", "medium", "paper"] = "small"
    """Size and recipe of every model; the options below change single values of it, in all models alike."""
    resamples: int = 1000
    """Bootstrap resamples behind each 95% interval."""
    device: DeviceConfig = field(default_factory=DeviceConfig)
    model: ModelConfig = field(default_factory=lambda: small().model)
    optimization: OptimizationConfig = field(default_factory=lambda: small().optimization)

    def __post_init__(self) -> None:
        if not self.seeds:
            raise UserError("--seeds: give at least one")
        if len(set(self.models)) < len(self.models) or len(set(self.seeds)) < len(self.seeds):
            raise UserError("--models and --seeds: name each only once")
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: an interval needs 100 or more")


def smoke() -> TrainSettings:
    """A tiny model and one short pass: seconds on a CPU, for tests and a first look."""
    model = ModelConfig(embedding_dim=8, bottom_mlp=(32,), top_mlp=(32,), first_order=True)
    optimization = OptimizationConfig(batch_size=128)
    return TrainSettings(
        preset="smoke", log_every=10, checkpoint_every=20, model=model, optimization=optimization
    )


def small() -> TrainSettings:
    """MLPs of 64 values and a first-order term, for some thousand rows; the rest follows the log's length."""
    return _following("small", bottom_mlp=(64,), top_mlp=(64,))


def medium() -> TrainSettings:
    """MLPs of 128 and 64 values and a first-order term, for tens of thousands of rows to tens of millions.

    The rest follows the log's length.
    """
    return _following("medium", bottom_mlp=(128,), top_mlp=(128, 64))


def _following(preset: Literal["small", "medium"], **sizes: tuple[int, ...]) -> TrainSettings:
    model = ModelConfig(dropout=FOLLOW, embedding_init=0.01, missing_flags=True, first_order=True)
    optimization = OptimizationConfig(
        epochs=FOLLOW,
        choose_passes="auto",
        batch_size=FOLLOW,
        learning_rate=FOLLOW,
        embedding_learning_rate=FOLLOW,
        min_count=FOLLOW,
        embedding_optimizer="auto",
        fresh_tables="auto",
        order="auto",
        fit_on="train+val",
    )
    return TrainSettings(preset=preset, model=replace(model, **sizes), optimization=optimization)


def paper() -> TrainSettings:
    """The reference's setting for the full Criteo log: batch 8192, Adam, cosine, 10 epochs. Not yet run at that size."""
    return TrainSettings(preset="paper", optimization=OptimizationConfig(epochs=10, batch_size=8192))


PRESETS: Mapping[str, Callable[[], TrainSettings]] = {
    "small": small,
    "smoke": smoke,
    "medium": medium,
    "paper": paper,
}
"""Presets of `train` by name; the first is the default."""


def _study(train: Callable[[], TrainSettings]) -> Callable[[], StudySettings]:
    def settings() -> StudySettings:
        chosen = train()
        return StudySettings(preset=chosen.preset, model=chosen.model, optimization=chosen.optimization)

    settings.__doc__ = train.__doc__
    return settings


STUDY_PRESETS: Mapping[str, Callable[[], StudySettings]] = {
    name: _study(preset) for name, preset in PRESETS.items()
}
"""Presets of `study` by name: those of `train`."""

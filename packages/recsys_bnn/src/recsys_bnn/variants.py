"""The models that a study compares, by name: each changes the study's training settings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from recsys_bnn.config import TrainSettings

Change = Callable[[TrainSettings], TrainSettings]

FLOAT = "float"
BASELINE = "logistic-regression"
"""Hashed logistic regression, which has no run of its own."""


def _identity(settings: TrainSettings) -> TrainSettings:
    return settings


def _model(**values: Any) -> Change:
    """Return a change of single values of the model."""
    return lambda settings: replace(settings, model=replace(settings.model, **values))


def _optimization(**values: Any) -> Change:
    """Return a change of single values of the optimization."""
    return lambda settings: replace(settings, optimization=replace(settings.optimization, **values))


@dataclass(frozen=True)
class Variant:
    """A model of a study."""

    model: str
    """Name of the model in the table."""
    change: Change = _identity
    """What it changes in the study's settings."""
    init: str = ""
    """Variant of the same seed whose weights it starts from."""
    teacher: str = ""
    """Variant of the same seed whose probabilities it learns from."""
    rivals: tuple[str, ...] = ()
    """Variants of about the same megabytes: it gets paired differences to them, too."""
    ablation: str | None = None
    """For a step of the ablation: what is changed in the model."""

    @property
    def parent(self) -> str:
        """The model that a step of the ablation is compared with, also; itself for the others."""
        return self.model


SIZE_1 = ("float-hashed-32x", "float-threshold-32x")
SIZE_4 = ("float-hashed-8x", "float-threshold-8x", "float-d2")

_BINARY = {"embedding_bits": 1, "mlp_bits": 1}


def _staged(name: str, change: Change, rivals: tuple[str, ...] = ()) -> Variant:
    """Return a model that starts from the float one, which also teaches it."""
    return Variant(name, change, init=FLOAT, teacher=FLOAT, rivals=rivals)


_COMPARED = (
    Variant(FLOAT),
    _staged("8-bit", _model(embedding_bits=8, mlp_bits=8)),
    _staged("4-bit", _model(embedding_bits=4, mlp_bits=4), SIZE_4),
    _staged("2-bit", _model(embedding_bits=2, mlp_bits=2)),
    _staged("binary", _model(**_BINARY, thresholds=3), SIZE_1),
    _staged("binary-a4", _model(**_BINARY, activation_bits=4, embedding_scale="group"), SIZE_1),
    Variant("bitorch-binary", _model(**_BINARY, engine="bitorch")),
    _staged("mixed-e1h8-b32-w4-a8", _model(embedding_bits=1, hot_bits=8, mlp_bits=4, activation_bits=8)),
    _staged("mixed-e2-b32-w1-a4", _model(embedding_bits=2, mlp_bits=1, activation_bits=4)),
    Variant("4-bit-d4", _model(embedding_dim=4, embedding_bits=4, mlp_bits=4)),
    Variant("float-d2", _model(embedding_dim=2)),
    Variant("float-d1", _model(embedding_dim=1)),
    Variant("float-hashed-8x", _model(hashed_share=1 / 8)),
    Variant("float-hashed-32x", _model(hashed_share=1 / 32)),
    Variant("float-threshold-8x", _optimization(kept_share=1 / 8)),
    Variant("float-threshold-32x", _optimization(kept_share=1 / 32)),
)
VARIANTS: dict[str, Variant] = {variant.model: variant for variant in _COMPARED}
"""`-dD` is a narrower table: at D = 2 a float row has the bytes of a 4-bit one at D = 16, and a 4-bit row at D = 4
those of a binary one. `-hashed-Nx` and `-threshold-Nx` have one row for N, by hashing and by leaving out rare values."""

ABLATIONS: dict[str, Variant] = {}
"""Steps of the ablation, each a change of one of the models above."""

"""The models that a study compares, by name: each changes the study's training settings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from recsys_bnn.settings.training import TrainSettings

Change = Callable[[TrainSettings], TrainSettings]

FLOAT = "float"
REFERENCE = "reference-dlrm"
"""The float model of BITorch's example: its sizes, no first-order term, no flags of missing integers."""
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


SIZE_1 = ("float-hashed-32x", "float-threshold-32x")
SIZE_4 = ("float-hashed-8x", "float-threshold-8x", "float-d2")
"""Float models of about the megabytes of 1-bit and of 4-bit tables."""

_BINARY = {"embedding_bits": 1, "mlp_bits": 1, "embedding_scale": "group"}
_A4 = _BINARY | {"activation_bits": 4}
_HOT = {"hot_bits": 8, "bottom_mlp_bits": 8}
_PLAIN = {"embedding_bits": 1, "mlp_bits": 1}
_EIGHT_BIT_MLPS = {"bottom_mlp_bits": 8, "mlp_bits": 8}
_TWO_SIGNS = {"hot_bits": 2, "hot_share": 0.02, "bottom_mlp_bits": 8}
_REFERENCE = {
    "bottom_mlp": (512, 256, 64),
    "top_mlp": (512, 256),
    "first_order": False,
    "missing_flags": False,
}


def _quantized(name: str, rivals: tuple[str, ...] = (), **values: Any) -> Variant:
    """Return the float model of the same seed with other bits and no further training."""
    change = _model(**values)
    return Variant(name, lambda settings: _optimization(epochs=0)(change(settings)), FLOAT, rivals=rivals)


_COMPARED = (
    Variant(FLOAT),
    Variant(REFERENCE, _model(**_REFERENCE)),
    _quantized("8-bit", embedding_bits=8, mlp_bits=8),
    _quantized(
        "mixed-e4h8-b32-w8-a8",
        SIZE_4,
        embedding_bits=4,
        embedding_scale="group",
        hot_bits=8,
        hot_share=0.04,
        mlp_bits=8,
    ),
    _quantized("4-bit", SIZE_4, embedding_bits=4, mlp_bits=4, embedding_scale="group"),
    Variant("2-bit", _model(embedding_bits=2, mlp_bits=2, embedding_scale="group")),
    Variant("binary", _model(**_BINARY, thresholds=3), rivals=(*SIZE_1, "bitorch-binary")),
    Variant("binary-a4", _model(**_A4), rivals=SIZE_1),
    Variant(
        "binary-d64",
        _model(**_BINARY, thresholds=3, embedding_dim=64),
        rivals=(*SIZE_4, "bitorch-binary"),
    ),
    Variant("binary-a4-d64", _model(**_A4, embedding_dim=64), rivals=SIZE_4),
    Variant(
        "mixed-e1h8-b8-w1-a1",
        _model(**_BINARY, **_HOT, hot_share=0.0015, thresholds=3),
        teacher=FLOAT,
        rivals=(*SIZE_1, "bitorch-binary"),
    ),
    Variant("mixed-e1h8-b8-w1-a4", _model(**_A4, **_HOT, hot_share=0.005), teacher=FLOAT, rivals=SIZE_1),
    Variant(
        "mixed-e1h8-b8-w8-a8",
        _model(**_BINARY | {"mlp_bits": 8}, **_HOT, hot_share=0.025),
        teacher=FLOAT,
        rivals=SIZE_1,
    ),
    Variant("mixed-e1h2-b8-w1-a4", _model(**_A4, **_TWO_SIGNS), teacher=FLOAT, rivals=SIZE_1),
    Variant(
        "mixed-e1h2-b8-w8-a8", _model(**_BINARY | {"mlp_bits": 8}, **_TWO_SIGNS), teacher=FLOAT, rivals=SIZE_1
    ),
    Variant("mixed-e1-b8-w1-a4", _model(**_A4, bottom_mlp_bits=8), rivals=SIZE_1),
    Variant("mixed-e1-b8-w8-a8", _model(**_BINARY | _EIGHT_BIT_MLPS), rivals=SIZE_1),
    Variant("bitorch-binary", _model(**_PLAIN, engine="bitorch")),
    Variant("4-bit-d4", _model(embedding_dim=4, embedding_bits=4, mlp_bits=4, embedding_scale="group")),
    Variant("float-d2", _model(embedding_dim=2)),
    Variant("float-d1", _model(embedding_dim=1)),
    Variant("float-hashed-8x", _model(hashed_share=1 / 8)),
    Variant("float-hashed-32x", _model(hashed_share=1 / 32)),
    Variant("float-threshold-8x", _optimization(kept_share=1 / 8)),
    Variant("float-threshold-32x", _optimization(kept_share=1 / 32)),
)
VARIANTS: dict[str, Variant] = {variant.model: variant for variant in _COMPARED}
"""`-dD` is a narrower table: at D = 2 a float row has the bytes of a 4-bit one at D = 16, and a 4-bit row at D = 4
those of a binary one; at D = 64 a 1-bit row has those of a 4-bit one at D = 16. `-hashed-Nx` and `-threshold-Nx` have one row for N, by hashing and by leaving out rare values."""

_FLOAT_STEPS = {"no first-order term": _model(first_order=False)}
_BINARY_STEPS = {"one sign an input": _model(**_BINARY)}
_A4_STEPS = {
    "no scales in the tables": _model(**_A4 | {"embedding_scale": "auto"}),
    "a scale a field": _model(**_A4 | {"embedding_scale": "field"}),
    "a scale a row": _model(**_A4 | {"embedding_scale": "row"}),
    "float activations": _model(**_A4 | {"activation_bits": 32}),
    "float MLP": _model(**_BINARY | {"mlp_bits": 32}),
    "tables by Adam": lambda settings: _optimization(
        embedding_optimizer="adam", embedding_learning_rate=5e-3
    )(_model(**_A4)(settings)),
}


def _steps() -> Iterator[Variant]:
    for text, change in _FLOAT_STEPS.items():
        yield Variant(FLOAT, change, ablation=text)
    for text, change in _BINARY_STEPS.items():
        yield Variant("binary", change, ablation=text)
    for text, change in _A4_STEPS.items():
        yield Variant("binary-a4", change, ablation=text)
    a4 = _model(**_A4)
    yield Variant("binary-a4", a4, init=FLOAT, ablation="from the float weights")
    yield Variant("binary-a4", a4, teacher=FLOAT, ablation="distilled from float")
    yield Variant("binary-a4", a4, init=FLOAT, teacher=FLOAT, ablation="from float and distilled")
    trained = _model(embedding_bits=4, mlp_bits=4, embedding_scale="group")
    yield Variant("4-bit", trained, ablation="trained with its bits")


ABLATIONS: dict[str, Variant] = {
    f"{step.model}--{(step.ablation or '').replace(' ', '-')}": step for step in _steps()
}
"""Steps of the ablation, each one change of a model above; paired differences to that model say what it gives."""

"""The models that a study compares, by name: each changes the study's training settings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from recsys_bnn.config import TrainSettings

Change = Callable[[TrainSettings], TrainSettings]


def _model(**values: Any) -> Change:
    """Return a change of single values of the model."""
    return lambda settings: replace(settings, model=replace(settings.model, **values))


VARIANTS: dict[str, Change] = {
    "float": _model(),
    "8-bit": _model(embedding_bits=8, mlp_bits=8),
    "4-bit": _model(embedding_bits=4, mlp_bits=4),
    "2-bit": _model(embedding_bits=2, mlp_bits=2),
    "binary": _model(embedding_bits=1, mlp_bits=1),
    "bitorch-binary": _model(embedding_bits=1, mlp_bits=1, engine="bitorch"),
    "binary-a4": _model(embedding_bits=1, mlp_bits=1, activation_bits=4),
    "mixed-e4-b32-w1-a4": _model(embedding_bits=4, mlp_bits=1, activation_bits=4),
    "mixed-e1-b8-w4-a8": _model(embedding_bits=1, bottom_mlp_bits=8, mlp_bits=4, activation_bits=8),
    "4-bit-d4": _model(embedding_dim=4, embedding_bits=4, mlp_bits=4),
    "float-d1": _model(embedding_dim=1),
}
"""`-dD` is a narrower table: at D = 1 a float row has about the bytes of a binary one at D = 32, and a 4-bit one at
D = 4 those of a binary one at D = 16."""
BASELINE = "logistic-regression"
"""Hashed logistic regression, which has no run of its own."""

"""Settings that follow the length of the log: what a preset leaves open with :data:`FOLLOW` or ``auto``.

How the values were found is told in docs/recsys_study.md. Imports nothing heavy.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recsys_bnn.settings.training import FOLLOW, TrainSettings

LONG = 300_000
"""Rows to learn from that make a log long."""
CROWDED = 0.2
"""Values of all fields for each row: a shorter log with more of them is read too seldom to learn each."""
_BATCHES = 128
"""Steps of a pass, or up to twice as many, within the limits of a batch."""

_CROWDED_STEPS = 300  # in more steps of Adam at these rates, rare values are learned by heart
_MOST_PASSES = 10

_CROWDED: Mapping[str, Any] = {
    "epochs": 1,
    "learning_rate": 1e-3,
    "embedding_learning_rate": 1e-3,
    "embedding_optimizer": "adam",
    "min_count": 20,
    "fresh_tables": "no",
    "order": "random",
}
_SHORT = _CROWDED | {"epochs": 4, "learning_rate": 2e-3, "embedding_learning_rate": 4e-3, "min_count": 0}
_LONG = _SHORT | {
    "epochs": 2,
    "learning_rate": 4e-3,
    "embedding_learning_rate": 0.1,
    "embedding_optimizer": "rowwise-adagrad",
    "fresh_tables": "yes",
    "order": "time",
}


def follow_length(settings: TrainSettings, rows: Mapping[str, int], values: int) -> TrainSettings:
    """Return ``settings`` with every value that was left open.

    Args:
        settings: Settings of a training.
        rows: Rows of each split of the data set.
        values: Values of all fields that have an id of their own.
    """
    length = sum(rows[split] for split in settings.optimization.fit_on.split("+"))
    recipe = _LONG if length >= LONG else _CROWDED if values > CROWDED * length else _SHORT
    given = settings.optimization
    chosen = {**recipe, "batch_size": batch_size(length)}
    if recipe is _CROWDED:
        chosen["epochs"] = round(
            min(max(_CROWDED_STEPS * chosen["batch_size"] / max(length, 1), 1), _MOST_PASSES)
        )
    if given.embedding_optimizer not in ("auto", recipe["embedding_optimizer"]):
        # The other optimizer has rates of its own: Adagrad's first step alone is as long as the rate.
        chosen["embedding_learning_rate"] = 0.1 if given.embedding_optimizer == "rowwise-adagrad" else 1e-3
    filled = {name: value for name, value in chosen.items() if _is_open(getattr(given, name))}
    model = settings.model
    if _is_open(model.dropout):
        model = replace(model, dropout=0.5 if length < LONG else 0.0)
    return replace(settings, model=model, optimization=replace(given, **filled))


def batch_size(rows: int) -> int:
    """Return the power of two from 128 to 1024 that divides a pass over ``rows`` into 128 steps, or a few more."""
    power = int(math.log2(max(rows / _BATCHES, 1)))
    return min(max(2**power, 128), 1024)


def _is_open(value: object) -> bool:
    return value in (FOLLOW, "auto")

"""Settings that follow the length of the log: what a preset leaves open with :data:`FOLLOW` or ``auto``.

How the values were found is told in docs/results/recsys_study.md. Imports nothing heavy.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recsys_bnn.settings.training import FOLLOW, TrainSettings

TINY, LONG = 30_000, 300_000
"""Rows to learn from below which a log is tiny, and from which on it is long."""
CROWDED = 0.2
"""Values of all fields for each row: a shorter log with more of them is read too seldom to learn each."""
_STEPS, _CROWDED_STEPS = (
    128,
    300,
)  # of a pass; a crowded log learns rare values by heart in more than so many in all
_BATCHES = (128, 1024)
_MOST_PASSES = 10
MORE, FEWER = (2, 4), (0.5,)
"""Times the passes of the recipe that ``choose_passes`` tries."""

_SHORT: Mapping[str, Any] = {
    "epochs": 4,
    "learning_rate": 2e-3,
    "embedding_learning_rate": 4e-3,
    "embedding_optimizer": "adam",
    "min_count": 0,
    "fresh_tables": "no",
    "order": "random",
}
_CROWDED = _SHORT | {"epochs": 1, "embedding_learning_rate": 3e-3, "min_count": 50}
_TINY_CROWDED = _CROWDED | {"learning_rate": 1e-3, "embedding_learning_rate": 1e-3, "min_count": 20}
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
    crowded = length < LONG and values > CROWDED * length
    given, recipe = settings.optimization, _recipe(length, crowded)
    if given.embedding_optimizer not in ("auto", recipe["embedding_optimizer"]):
        # The other optimizer has rates of its own: Adagrad's first step alone is as long as the rate.
        recipe["embedding_learning_rate"] = 0.1 if given.embedding_optimizer == "rowwise-adagrad" else 1e-3
    filled = {name: value for name, value in recipe.items() if _is_open(getattr(given, name))}
    if given.choose_passes == "auto":
        open_ = given.epochs == FOLLOW and length < LONG and settings.tables == "whole"
        filled["choose_passes"] = "yes" if open_ else "no"
    model = settings.model
    if _is_open(model.dropout):
        model = replace(model, dropout=0.0 if length >= LONG else 0.2 if crowded and length >= TINY else 0.5)
    return replace(settings, model=model, optimization=replace(given, **filled))


def _recipe(length: int, crowded: bool) -> dict[str, Any]:
    """Return the values of a log of ``length`` rows."""
    size = batch_size(length, _CROWDED_STEPS if crowded else _STEPS)
    if not crowded:
        return {**(_LONG if length >= LONG else _SHORT), "batch_size": size}
    passes = round(min(max(_CROWDED_STEPS * size / max(length, 1), 1), _MOST_PASSES))
    return {**(_TINY_CROWDED if length < TINY else _CROWDED), "batch_size": size, "epochs": passes}


def batch_size(rows: int, steps: int) -> int:
    """Return the power of two from 128 to 1024 that divides a pass over ``rows`` into ``steps``, or a few more."""
    smallest, largest = _BATCHES
    power = int(math.log2(max(rows / steps, 1)))
    return min(max(2**power, smallest), largest)


def _is_open(value: object) -> bool:
    return value in (FOLLOW, "auto")

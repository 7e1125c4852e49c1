"""Bits that make a model so many times smaller than the float one: what ``--target-size`` chooses."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.settings.training import ModelConfig
from seminar_common.cost import size_mb

_EIGHT = {"bottom_mlp_bits": 8, "mlp_bits": 8}
_ONE = {"embedding_bits": 1, "embedding_scale": "group"}
_A4 = {"bottom_mlp_bits": 8, "mlp_bits": 1, "activation_bits": 4}


class Chosen(NamedTuple):
    """Bits, and what they come to."""

    config: ModelConfig
    factor: float
    """How many times smaller than the float model the stored numbers are."""


def choose_bits(
    config: ModelConfig,
    integers: int,
    cardinalities: Sequence[int],
    factor: float,
    values: Sequence[int] | None = None,
) -> Chosen:
    """Return the first of the :func:`candidates` that is ``factor`` times smaller, or else the smallest of them.

    Args:
        config: Sizes of the model, with 32 bits in every part.
        integers: Integer features.
        cardinalities: Table rows of each field.
        factor: Megabytes of the float model over those to have.
        values: Ids of each field, if there are more than table rows.
    """
    float_size = _size(config, integers, cardinalities, values)
    best = Chosen(config, 1.0)
    for changes in candidates():
        tried = replace(config, **changes)
        reached = float_size / _size(tried, integers, cardinalities, values)
        if reached >= factor:
            return Chosen(tried, reached)
        if reached > best.factor:
            best = Chosen(tried, reached)
    return best


def candidates() -> Iterator[dict[str, Any]]:
    """Yield bits from many to few. That fewer lose more AUC is expected; not every pair was measured."""
    yield {"embedding_bits": 8, **_EIGHT}
    yield {"embedding_bits": 4, "embedding_scale": "group", "hot_bits": 8, "hot_share": 0.04, **_EIGHT}
    yield {"embedding_bits": 2, "embedding_scale": "group", **_EIGHT}
    yield {**_ONE, **_EIGHT}
    yield {**_ONE, **_A4}


def _size(
    config: ModelConfig, integers: int, cardinalities: Sequence[int], values: Sequence[int] | None
) -> float:
    with torch.device("meta"):  # sizes without memory
        return size_mb(DLRM(config, integers, cardinalities, values).tensor_sizes())

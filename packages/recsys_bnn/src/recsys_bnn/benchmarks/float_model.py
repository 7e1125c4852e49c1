"""A float packed model as plain matrices, from which every rival is built: all of them have the same weights."""

from dataclasses import dataclass

import numpy as np

from recsys_bnn.runtime.spec import LayerSpec, ModelSpec
from seminar_common.errors import UserError


@dataclass(frozen=True)
class Linear:
    """``y = x @ weight.T + bias``, then a PReLU."""

    weight: np.ndarray
    """float32 [N, K]; the norms around the layer are folded into it, as anyone does who deploys one."""
    bias: np.ndarray
    """float32 [N]."""
    slope: float | None
    """Of the PReLU below zero; None for none."""


@dataclass(frozen=True)
class FloatModel:
    """A DLRM in float32 with one merged table."""

    integers: int
    """I."""
    missing_flags: bool
    bottom: tuple[Linear, ...]
    top: tuple[Linear, ...]
    offsets: np.ndarray
    """First row of each field, int64 [F]."""
    first_weights: np.ndarray | None
    """Weights of the integers in the first-order part, float32 [I] or [2 I]; None without that part."""
    first_bias: float

    @property
    def vectors(self) -> int:
        """Vectors that interact: the dense one and a row of each field."""
        return len(self.offsets) + 1

    @property
    def pairs(self) -> np.ndarray:
        """Row * V + column of each product that is kept, int64 [P]."""
        rows, columns = np.tril_indices(self.vectors, -1)
        return rows * self.vectors + columns


def float_model(spec: ModelSpec) -> FloatModel:
    """Return the matrices of ``spec``.

    Raises:
        UserError: it has a part that the rivals were not written for.
    """
    table = spec.table
    if (
        any(layer.weights.bits < 32 for layer in spec.layers())
        or table.cold.bits < 32
        or table.hot is not None
    ):
        raise UserError("rivals are built from a float model: give --study one")
    if spec.bottom is None or (table.rows != table.cardinalities).any():
        raise UserError("rivals read integers and tables without hashing: give --study such a float model")
    wide = spec.first_order
    return FloatModel(
        spec.integers,
        spec.missing_flags,
        tuple(map(_linear, spec.bottom)),
        tuple(map(_linear, spec.top)),
        table.cold_offsets,
        None if wide is None else wide.integer_weights,
        0.0 if wide is None else wide.bias,
    )


def _linear(layer: LayerSpec) -> Linear:
    return Linear(layer.float_weights() * layer.gain[:, None], layer.bias, layer.slope)


def float_table(spec: ModelSpec) -> np.ndarray:
    """Return the merged table, float32 [R, D]."""
    table = spec.table
    rows = table.cold.floats()
    if table.scale is None:
        return rows
    raise UserError("rivals read float tables without scales: give --study such a float model")


def first_order_table(spec: ModelSpec) -> np.ndarray | None:
    """Return what each id adds to the logit, float32 [R], or None without a first-order part."""
    wide = spec.first_order
    if wide is None:
        return None
    starts, known = np.cumsum(wide.rows) - wide.rows, np.minimum(wide.rows, spec.table.rows)
    added = np.zeros(int(spec.table.rows.sum()), np.float32)
    for field, (start, count) in enumerate(zip(starts, known, strict=True)):
        at = int(spec.table.cold_offsets[field])
        added[at : at + count] = wide.codes[start : start + count] * wide.scale[field]
    return added

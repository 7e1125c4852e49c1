"""A packed model in plain NumPy: what a :class:`~recsys_bnn.runtime.spec.ModelSpec` means, step by step.

Sums of products of whole numbers are exact: in float32 while they stay below 2^24, else in float64.
"""

from collections.abc import Callable

import numpy as np

from recsys_bnn.runtime.spec import (
    CodeInput,
    Codes,
    FirstOrder,
    FloatInput,
    LayerInput,
    LayerSpec,
    ModelSpec,
    SignInput,
    TableSpec,
    check_rows,
)

_BATCH = 4096  # rows at once: the values of a layer then stay within some megabytes
_EXACT = 2**24  # whole numbers up to here are exact in float32

Seen = Callable[[np.ndarray], None]


class NumpyEngine:
    """Runs any spec with NumPy alone.

    Args:
        spec: The model.
    """

    name = "numpy"

    def __init__(self, spec: ModelSpec):
        self.spec = spec
        self._pairs = np.tril_indices(spec.vectors, -1)
        self._lists = None if spec.table.list_widths is None else Lists(spec.table.widths)
        self._weights = {id(layer): _ready_weights(layer) for layer in spec.layers()}

    def logits(self, integers: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return the logits, float32 [B].

        Args:
            integers: Normalised integers, float32 [B, I]; NaN for a missing one.
            ids: Ids within each field, int32 [B, C].
        """
        integers, ids = check_rows(self.spec, integers, ids)
        parts = [
            self._forward(integers[start : start + _BATCH], ids[start : start + _BATCH], _ignore)
            for start in range(0, len(ids), _BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def traced(self, integers: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the logits, and what meets the weights of each layer: whole numbers or floats, [B, K] or [B, T * K]."""
        seen: list[np.ndarray] = []
        return self._forward(*check_rows(self.spec, integers, ids), seen.append), seen

    def _forward(self, integers: np.ndarray, ids: np.ndarray, seen: Seen) -> np.ndarray:
        spec, lists = self.spec, self._lists
        fields = slice(None) if lists is None else lists.fields
        inputs = integer_inputs(integers, spec.missing_flags)
        vectors, dense = look_up(spec.table, known_ids(spec.table, ids, fields), fields), None
        shares = None
        if lists is not None:
            shares = lists.shares(ids)
            vectors = lists.sums(vectors * shares[:, :, None])
        if spec.bottom is not None:
            dense = self._mlp(spec.bottom, inputs, seen)
            vectors = np.concatenate([dense[:, None], vectors], axis=1)
        rows, columns = self._pairs
        products = (vectors @ vectors.transpose(0, 2, 1))[:, rows, columns]
        x = products if dense is None else np.concatenate([dense, products], axis=1)
        logits = self._mlp(spec.top, x, seen)[:, 0]
        if spec.first_order is None:
            return logits
        return logits + first_order(spec.first_order, ids, inputs, fields, shares)

    def _mlp(self, layers: tuple[LayerSpec, ...], x: np.ndarray, seen: Seen) -> np.ndarray:
        for layer in layers:
            x = self._layer(layer, x, seen)
        return x

    def _layer(self, layer: LayerSpec, x: np.ndarray, seen: Seen) -> np.ndarray:
        weights = self._weights[id(layer)]
        values = quantized(layer.inputs, x)
        seen(values)
        acc = (values.astype(weights.dtype) @ weights).astype(np.float32)
        y = acc * layer.gain + layer.bias
        return y if layer.slope is None else np.where(y >= 0, y, np.float32(layer.slope) * y)


def _ignore(values: np.ndarray) -> None:
    """Look at nothing."""


def _ready_weights(layer: LayerSpec) -> np.ndarray:
    """Return the weights [T * K, N] in a dtype whose sums of products are exact."""
    weights = np.ascontiguousarray(layer.float_weights().T)
    largest = layer.weights.count * _magnitude(layer.inputs) * _magnitude(layer.weights)
    return weights.astype(np.float64) if layer.exact and largest >= _EXACT else weights


def _magnitude(numbers: LayerInput | Codes) -> int:
    """Return the greatest magnitude of whole numbers; 1 for signs and floats."""
    return max(map(abs, numbers.range)) if isinstance(numbers, CodeInput | Codes) else 1


def quantized(inputs: LayerInput, x: np.ndarray) -> np.ndarray:
    """Return what x [B, K] is to a layer's weights: whole numbers as int16 [B, K], signs as int16 [B, T * K], or floats."""
    if isinstance(inputs, FloatInput):
        return x
    if isinstance(inputs, SignInput):
        positive = x[:, None, :] >= inputs.threshold
        return np.where(positive, np.int16(1), np.int16(-1)).reshape(len(x), -1)
    codes = np.clip(np.rint(x * inputs.scale + inputs.shift), inputs.low, inputs.high)
    return codes.astype(np.int16) * np.int16(inputs.mul) + np.int16(inputs.add)


Fields = np.ndarray | slice
"""The field of each of the C columns of ids, int64 [C]; a whole slice where each has one."""


class Lists:
    """Which columns of ids belong to which field, where some hold lists.

    Args:
        widths: Columns of each field, int64 [F].
    """

    def __init__(self, widths: np.ndarray):
        self._starts = np.cumsum(widths) - widths
        self.fields = np.repeat(np.arange(len(widths)), widths)

    def shares(self, ids: np.ndarray) -> np.ndarray:
        """Return the share of each id, [B, C], in the mean of its field's items, float32; 0 for no item."""
        there = ids >= 0
        there[:, self._starts] = True
        counts = np.add.reduceat(there, self._starts, axis=1, dtype=np.float32)
        return there / counts[:, self.fields]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of values [B, C, ...] over the columns of each field, [B, F, ...]."""
        return np.add.reduceat(values, self._starts, axis=1)


def known_ids(table: TableSpec, ids: np.ndarray, fields: Fields = slice(None)) -> np.ndarray:
    """Return ids [B, C] with 0, the out-of-vocabulary id, in place of those that a field does not have, int64."""
    return np.where((ids >= 0) & (ids < table.cardinalities[fields]), ids, 0).astype(np.int64)


def look_up(table: TableSpec, known: np.ndarray, fields: Fields = slice(None)) -> np.ndarray:
    """Return the rows of known ids [B, C], float32 [B, C, D]."""
    ids = known % table.rows[fields]
    is_hot = ids < table.hot_rows[fields]
    # A place that a row does not have is read at 0 and then replaced by the row of the other part.
    vectors = _cold(table, ids, np.where(is_hot, 0, ids + table.cold_offsets[fields]), fields)
    if table.hot is None:
        return vectors
    hot = _rows(table.hot, np.where(is_hot, ids + table.hot_offsets[fields], 0))
    if table.hot_scale is not None:
        hot = hot * table.hot_scale[fields, None]
    return np.where(is_hot[:, :, None], hot, vectors)


def _cold(table: TableSpec, ids: np.ndarray, places: np.ndarray, fields: Fields) -> np.ndarray:
    if not len(table.cold):
        return np.zeros((*places.shape, table.dim), np.float32)
    values = _rows(table.cold, places)
    scale = _scales(table, ids, places, fields)
    if scale is not None:
        values = values * scale[:, :, None]
    return (
        values if table.row_bias is None else values + table.row_bias[places].astype(np.float32)[:, :, None]
    )


def _rows(codes: Codes, places: np.ndarray) -> np.ndarray:
    return codes.floats(places.ravel()).reshape(*places.shape, codes.count)


def _scales(table: TableSpec, ids: np.ndarray, places: np.ndarray, fields: Fields) -> np.ndarray | None:
    """Return the scale of each looked-up cold row, float32 [B, C] or broadcast to it; None for 1."""
    if table.scale is None:
        return None
    if table.scale_kind == "field":
        return table.scale[fields][None]
    if table.scale_kind == "row":
        return table.scale[places].astype(np.float32)
    assert table.group_starts is not None
    groups = (table.group_starts[fields] <= ids[:, :, None]).sum(axis=2)
    return table.scale[np.arange(table.fields)[fields], groups]


def integer_inputs(integers: np.ndarray, missing_flags: bool) -> np.ndarray:
    """Return integers [B, I] with 0 for a missing one, and after them the flags if there are some."""
    missing = np.isnan(integers)
    filled = np.where(missing, np.float32(0), integers)
    return np.concatenate([filled, missing.astype(np.float32)], axis=1) if missing_flags else filled


def first_order(
    part: FirstOrder,
    ids: np.ndarray,
    inputs: np.ndarray,
    fields: Fields = slice(None),
    shares: np.ndarray | None = None,
) -> np.ndarray:
    """Return what a first-order part adds to the logits, float32 [B].

    Args:
        part: The part.
        ids: Ids within each field [B, C].
        inputs: Integers without missing ones, and their flags if there are some.
        fields: The field of each column of ids.
        shares: With lists, the share of each id in the mean of its field, [B, C].
    """
    has_code = (ids >= 0) & (ids < part.rows[fields])
    places = np.where(has_code, ids + (np.cumsum(part.rows) - part.rows)[fields], 0)
    codes = np.where(has_code, part.codes[places], 0) if len(part.codes) else np.zeros_like(ids)
    values = codes.astype(np.float32) if shares is None else codes * shares
    return np.float32(part.bias) + values @ part.scale[fields] + inputs @ part.integer_weights

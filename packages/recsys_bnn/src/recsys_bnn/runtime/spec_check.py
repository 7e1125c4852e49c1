"""Whether the arrays of a packed model fit together, so that no kernel reads beyond one of them."""

from collections.abc import Sequence

import numpy as np

from recsys_bnn.runtime.spec import (
    GROUPS,
    CodeInput,
    Codes,
    FirstOrder,
    FloatInput,
    LayerSpec,
    ModelSpec,
    SignInput,
    TableSpec,
)

_DTYPES = {1: np.uint8, 2: np.uint8, 4: np.uint8, 8: np.uint8, 32: np.float32}


def check_spec(spec: ModelSpec) -> None:
    """Raise a ValueError unless all sizes and types are those that :mod:`recsys_bnn.runtime.spec` tells of."""
    inputs = spec.integers * (2 if spec.missing_flags else 1)
    _require((spec.bottom is not None) == (inputs > 0), "a bottom MLP belongs to integers")
    _check_table(spec.table)
    if spec.bottom is not None:
        _check_mlp("bottom", spec.bottom, inputs, spec.table.dim)
    products = spec.vectors * (spec.vectors - 1) // 2
    _check_mlp("top", spec.top, products + spec.table.dim * (spec.bottom is not None), 1)
    if spec.first_order is not None:
        _check_first_order(spec.first_order, spec.fields, inputs)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _array(what: str, array: np.ndarray | None, dtype: type, *shape: int) -> None:
    found = None if array is None else (array.dtype, array.shape)
    _require(found == (np.dtype(dtype), shape), f"{what} is {found}, not {np.dtype(dtype)} {shape}")


def _check_codes(what: str, codes: Codes, rows: int, count: int) -> None:
    _require(
        codes.bits in _DTYPES and codes.count == count, f"{what}: {codes.bits} bits, {codes.count} a row"
    )
    width = count if codes.bits == 32 else -(-count * codes.bits // 8)
    _array(what, codes.data, _DTYPES[codes.bits], rows, width)


def _check_mlp(what: str, layers: Sequence[LayerSpec], inputs: int, outputs: int) -> None:
    for index, layer in enumerate(layers):
        _check_layer(f"{what}.{index}", layer, inputs)
        inputs = layer.outputs
    _require(inputs == outputs and len(layers) > 0, f"{what} gives {inputs} values, not {outputs}")


def _check_layer(what: str, layer: LayerSpec, inputs: int) -> None:
    signs, given = 1, layer.inputs
    if isinstance(given, SignInput):
        signs = len(given.threshold)
        _array(f"{what} thresholds", given.threshold, np.float32, signs, inputs)
    elif isinstance(given, CodeInput):
        _array(f"{what} input scale", given.scale, np.float32, inputs)
        _array(f"{what} input shift", given.shift, np.float32, inputs)
        _require(
            given.bits in (2, 4, 8) and given.high - given.low == 2**given.bits - 1, f"{what} input bits"
        )
    elif isinstance(given, FloatInput) and given.scale is not None:
        _array(f"{what} input scale", given.scale, np.float32, inputs)
    _check_codes(f"{what} weights", layer.weights, layer.outputs, signs * inputs)
    _array(f"{what} gain", layer.gain, np.float32, layer.outputs)
    _array(f"{what} bias", layer.bias, np.float32, layer.outputs)


def _check_table(table: TableSpec) -> None:
    fields = len(table.rows)
    for name in ("cardinalities", "rows", "hot_rows"):
        _array(name, getattr(table, name), np.int64, fields)
    if (widths := table.list_widths) is not None:
        _array("list widths", widths, np.int64, len(widths))
        _require(0 < len(widths) <= fields and bool(np.all(widths > 0)), "list widths")
    _require(fields > 0 and bool(np.all((0 <= table.hot_rows) & (table.hot_rows <= table.rows))), "hot rows")
    _require(bool(np.all((0 < table.rows) & (table.rows <= table.cardinalities))), "rows")
    hot = int(table.hot_rows.sum())
    cold = int(table.rows.sum()) - hot
    _check_codes("cold rows", table.cold, cold, table.dim)
    if table.hot is not None:
        _check_codes("hot rows", table.hot, hot, table.dim)
    _require((table.hot is not None) == (hot > 0), "hot rows")
    if table.hot_scale is not None:
        _array("hot scale", table.hot_scale, np.float32, fields)
    _check_scales(table, fields, cold)


def _check_scales(table: TableSpec, fields: int, cold: int) -> None:
    shapes = {"field": (fields,), "group": (fields, GROUPS), "row": (cold,)}
    if table.scale_kind == "none":
        _require(table.scale is None, "no scale")
    else:
        dtype = np.float16 if table.scale_kind == "row" else np.float32
        _array("scale", table.scale, dtype, *shapes[table.scale_kind])
    if table.scale_kind == "group":
        _array("group starts", table.group_starts, np.int64, fields, GROUPS - 1)
    if table.row_bias is not None:
        _array("row bias", table.row_bias, np.float16, cold)


def _check_first_order(part: FirstOrder, fields: int, inputs: int) -> None:
    _array("first-order rows", part.rows, np.int64, fields)
    _require(bool(np.all(part.rows >= 0)), "first-order rows")
    _array("first-order codes", part.codes, np.int8, int(part.rows.sum()))
    _array("first-order scale", part.scale, np.float32, fields)
    _array("first-order integer weights", part.integer_weights, np.float32, inputs)

"""The NumPy engine against a loop in plain Python over single numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest

from recsys_bnn.runtime.numpy_engine import NumpyEngine
from recsys_bnn.runtime.random_spec import Shape, random_rows, random_spec
from recsys_bnn.runtime.spec import (
    CodeInput,
    Codes,
    FloatInput,
    LayerSpec,
    ModelSpec,
    SignInput,
    TableSpec,
    pack_codes,
    unpack_codes,
)

SHAPES = {
    "float": Shape(),
    "flags": Shape(missing_flags=True, first_order=True),
    "no integers": Shape(integers=0, first_order=True),
    "8-bit": Shape(embedding_bits=8, scale_kind="field", top_bits=(8, 8), bottom_bits=(8, 8)),
    "4-bit, groups": Shape(embedding_bits=4, scale_kind="group", top_bits=(4, 4), dim=5),
    "2-bit, rows": Shape(embedding_bits=2, scale_kind="row", top_bits=(2, 2), dim=3),
    "1-bit, rows": Shape(embedding_bits=1, scale_kind="row", top_bits=(1, 4), dim=9),
    "binary": Shape(embedding_bits=1, scale_kind="group", top_bits=(1, 1), thresholds=3),
    "hot": Shape(embedding_bits=1, scale_kind="group", hot_share=0.4, top_bits=(1, 4), bottom_bits=(8, 8)),
    "hashed, hot floats": Shape(
        embedding_bits=4, scale_kind="field", rows=(4, 7, 3), hot_share=0.5, hot_bits=32
    ),
    "dorefa": Shape(embedding_bits=8, scale_kind="field", top_bits=(8, 8), symmetric=True),
    "few bits on one side": Shape(top_bits=(1, 32), bottom_bits=(32, 4)),
}


def code(codes: Codes, row: int, place: int) -> float:
    if codes.bits == 32:
        return float(codes.data[row, place])
    bit = place * codes.bits
    u = (int(codes.data[row, bit // 8]) >> (bit % 8)) % 2**codes.bits
    return u * codes.mul + codes.add


def embedded(table: TableSpec, field: int, number: int) -> list[float]:
    number = number if 0 <= number < table.cardinalities[field] else 0
    number %= int(table.rows[field])
    hot = int(table.hot_rows[field])
    if number < hot:
        row = sum(map(int, table.hot_rows[:field])) + number
        scale = 1.0 if table.hot_scale is None else float(table.hot_scale[field])
        return [scale * code(table.hot, row, d) for d in range(table.dim)]
    row = (
        sum(int(r) - int(h) for r, h in zip(table.rows[:field], table.hot_rows[:field], strict=True))
        + number
        - hot
    )
    if table.scale_kind == "field":
        scale = float(table.scale[field])
    elif table.scale_kind == "group":
        scale = float(table.scale[field, sum(int(start) <= number for start in table.group_starts[field])])
    else:
        scale = float(table.scale[row]) if table.scale_kind == "row" else 1.0
    bias = 0.0 if table.row_bias is None else float(table.row_bias[row])
    return [scale * code(table.cold, row, d) + bias for d in range(table.dim)]


def inputs_of(layer: LayerSpec, x: list[float]) -> list[float]:
    inputs = layer.inputs
    if isinstance(inputs, FloatInput):
        return (
            x
            if inputs.scale is None
            else [value * float(s) for value, s in zip(x, inputs.scale, strict=True)]
        )
    if isinstance(inputs, SignInput):
        return [
            1.0 if value >= t else -1.0 for row in inputs.threshold for value, t in zip(x, row, strict=True)
        ]
    steps = [round(v * float(s) + float(b)) for v, s, b in zip(x, inputs.scale, inputs.shift, strict=True)]
    return [min(max(step, inputs.low), inputs.high) * inputs.mul + inputs.add for step in steps]


def run(layers: tuple[LayerSpec, ...], x: list[float]) -> list[float]:
    for layer in layers:
        values, x = inputs_of(layer, x), []
        for n in range(layer.outputs):
            acc = sum(value * code(layer.weights, n, k) for k, value in enumerate(values))
            y = acc * float(layer.gain[n]) + float(layer.bias[n])
            x.append(y if layer.slope is None or y >= 0 else layer.slope * y)
    return x


def logit(spec: ModelSpec, integers: np.ndarray, ids: np.ndarray) -> float:
    missing = [math.isnan(value) for value in integers]
    x = [0.0 if gone else float(value) for value, gone in zip(integers, missing, strict=True)]
    x += [float(gone) for gone in missing] if spec.missing_flags else []
    dense = [] if spec.bottom is None else run(spec.bottom, x)
    vectors = [dense] if dense else []
    vectors += [embedded(spec.table, field, int(number)) for field, number in enumerate(ids)]
    pairs = [
        sum(a * b for a, b in zip(vectors[i], vectors[j], strict=True))
        for i in range(len(vectors))
        for j in range(i)
    ]
    total = run(spec.top, dense + pairs)[0]
    if (wide := spec.first_order) is not None:
        total += wide.bias + sum(w * v for w, v in zip(wide.integer_weights, x, strict=True))
        for field, number in enumerate(ids):
            if 0 <= number < wide.rows[field]:
                place = sum(map(int, wide.rows[:field])) + int(number)
                total += float(wide.scale[field]) * int(wide.codes[place])
    return float(total)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_are_those_of_a_loop_over_single_numbers(name: str) -> None:
    rng = np.random.default_rng(0)
    spec = random_spec(SHAPES[name], rng)
    integers, ids = random_rows(spec, 20, rng)
    expected = [logit(spec, *row) for row in zip(integers, ids, strict=True)]
    assert np.std(expected) > 0.05
    got = NumpyEngine(spec).logits(integers, ids)
    # A value at the edge between two codes may round either way; the seed has none.
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [1, 3, 8, 17])
def test_codes_come_back_from_their_bytes(bits: int, count: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 2**bits, (5, count))
    packed = pack_codes(codes, bits)
    assert packed.shape == (5, -(-count * bits // 8)) and packed.dtype == np.uint8
    np.testing.assert_array_equal(unpack_codes(packed, bits, count), codes)
    filled = pack_codes(np.full_like(codes, 2**bits - 1), bits)
    assert sum(int(byte).bit_count() for byte in filled[0]) == count * bits  # the rest of the last byte is 0


def test_the_first_code_of_a_row_stands_in_the_lowest_bits() -> None:
    assert pack_codes(np.array([[1, 0, 0, 0, 0, 0, 0, 0, 1]]), 1).tolist() == [[1, 1]]
    assert pack_codes(np.array([[3, 15, 2]]), 4).tolist() == [[0xF3, 2]]


def test_sums_beyond_the_whole_numbers_of_float32_are_exact() -> None:
    rng = np.random.default_rng(0)
    spec = random_spec(Shape(integers=0, cardinalities=(2,) * 91, dim=1, top=()), rng)
    count, one = spec.top[0].values, np.ones(1, np.float32)
    inputs = CodeInput(8, np.ones(count, np.float32), np.zeros(count, np.float32), -128, 127)
    weights = Codes(rng.integers(192, 256, (1, count), np.uint8), 8, count, 1, -128)
    layer = LayerSpec(inputs, weights, one, one * 0)
    x = rng.integers(64, 128, (1, count))
    exact = int((x * weights.ints().astype(np.int64)).sum())
    assert exact > 2**24
    got = NumpyEngine(replace(spec, top=(layer,)))._layer(layer, x.astype(np.float32), lambda values: None)
    assert got[0, 0] == np.float32(exact)


def test_no_rows_have_no_logits() -> None:
    spec = random_spec(Shape(), np.random.default_rng(0))
    assert NumpyEngine(spec).logits(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)


def test_rows_of_another_shape_are_refused() -> None:
    spec = random_spec(Shape(), np.random.default_rng(0))
    with pytest.raises(ValueError, match="ids of shape"):
        NumpyEngine(spec).logits(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="integers of shape"):
        NumpyEngine(spec).logits(np.zeros((1, 3)), np.zeros((2, 3)))

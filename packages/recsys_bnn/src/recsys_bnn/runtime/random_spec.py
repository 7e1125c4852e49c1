"""Packed models with random numbers, to test engines and to time them on tables that nobody had to train."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_bnn.runtime.spec import (
    GROUPS,
    CodeInput,
    Codes,
    FirstOrder,
    FloatInput,
    LayerInput,
    LayerSpec,
    ModelSpec,
    ScaleKind,
    SignInput,
    TableSpec,
    pack_codes,
)


@dataclass(frozen=True)
class Shape:
    """Sizes and bits of a random model; the defaults are a small one in float."""

    integers: int = 3
    missing_flags: bool = False
    cardinalities: Sequence[int] = (5, 40, 3)
    rows: Sequence[int] | None = None
    """Rows of each field after hashing; None for as many as ids."""
    dim: int = 16
    bottom: Sequence[int] = (8,)
    """Hidden sizes of the bottom MLP; a layer to ``dim`` follows."""
    top: Sequence[int] = (8,)
    """Hidden sizes of the top MLP; the logit follows."""
    bottom_bits: tuple[int, int] = (32, 32)
    """Bits of weights and inputs."""
    top_bits: tuple[int, int] = (32, 32)
    thresholds: int = 1
    """Signs that tell an input of 1 bit."""
    embedding_bits: int = 32
    scale_kind: ScaleKind = "none"
    hot_share: float = 0.0
    """Share of each field's rows that are hot."""
    hot_bits: int = 8
    symmetric: bool = False
    """DoReFa's whole numbers (odd ones, -(2^b - 1) to 2^b - 1) in place of LSQ's."""
    first_order: bool = False
    list_widths: Sequence[int] = ()
    """Ids in a row of each of the last fields, which hold lists."""


def random_spec(shape: Shape, rng: np.random.Generator) -> ModelSpec:
    """Return a model of ``shape``, whose values stay near 1 from layer to layer and whose logits spread."""
    inputs = shape.integers * (2 if shape.missing_flags else 1)
    bottom = _mlp([inputs, *shape.bottom, shape.dim], shape.bottom_bits, shape, rng, True) if inputs else None
    vectors = len(shape.cardinalities) + bool(inputs)
    first = shape.dim * bool(inputs) + vectors * (vectors - 1) // 2
    top = _mlp([first, *shape.top, 1], shape.top_bits, shape, rng, False)
    wide = _first_order(shape, inputs, rng) if shape.first_order else None
    return ModelSpec(shape.integers, shape.missing_flags, bottom, _table(shape, rng), top, wide)


def random_rows(spec: ModelSpec, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return integers [B, I] with missing ones and ids [B, C], unknown ones among them, frequent ones often."""
    integers = rng.standard_normal((count, spec.integers)).astype(np.float32)
    integers[rng.random(integers.shape) < 0.2] = np.nan
    fields = np.repeat(np.arange(spec.fields), spec.table.widths)
    ids = (spec.table.cardinalities[fields] ** rng.random((count, spec.columns))).astype(np.int32) - 1
    ids[rng.random(ids.shape) < 0.05] = -1
    ids[rng.random(ids.shape) < 0.05] = np.iinfo(np.int32).max
    return integers, ids


def random_codes(
    rows: int, count: int, bits: int, rng: np.random.Generator, symmetric: bool = False
) -> Codes:
    """Return random numbers of ``bits`` bits with the whole numbers of LSQ, or symmetric ones of DoReFa."""
    if bits == 32:
        return Codes(rng.standard_normal((rows, count), np.float32), 32, count)
    codes = rng.integers(0, 2**bits, (rows, count), np.uint8)
    if symmetric or bits <= 2:
        return Codes(pack_codes(codes, bits), bits, count, 2, -(2**bits - 1))
    return Codes(pack_codes(codes, bits), bits, count, 1, -(2 ** (bits - 1)))


def _mlp(
    sizes: Sequence[int], bits: tuple[int, int], shape: Shape, rng: np.random.Generator, ends_in_prelu: bool
) -> tuple[LayerSpec, ...]:
    last = len(sizes) - 2
    return tuple(
        _layer(*pair, bits, shape, rng, prelu=ends_in_prelu or index < last)
        for index, pair in enumerate(zip(sizes, sizes[1:], strict=False))
    )


def _layer(
    size_in: int, size_out: int, bits: tuple[int, int], shape: Shape, rng: np.random.Generator, prelu: bool
) -> LayerSpec:
    weight_bits, input_bits = bits
    inputs = _inputs(size_in, input_bits, weight_bits, shape, rng)
    count = size_in * (shape.thresholds if input_bits == 1 else 1)
    weights = random_codes(size_out, count, weight_bits, rng, shape.symmetric)
    spread = count**-0.5 * _typical(inputs) * (1.0 if weight_bits == 32 else _deviation(weights))
    gain = rng.uniform(0.5, 1.5, size_out) * rng.choice([-1, 1], size_out) * count**-1 / spread
    bias = rng.normal(0, 0.5, size_out)
    slope = float(np.float32(rng.choice([0.25, -0.1, 0.0]))) if prelu else None
    return LayerSpec(inputs, weights, gain.astype(np.float32), bias.astype(np.float32), slope)


def _deviation(codes: Codes) -> float:
    """Return the standard deviation of evenly drawn whole numbers."""
    return float(np.std(np.arange(2**codes.bits) * codes.mul + codes.add))


def _typical(inputs: LayerInput) -> float:
    return inputs.range[1] / 3 if isinstance(inputs, CodeInput) else 1.0


def _inputs(count: int, bits: int, weight_bits: int, shape: Shape, rng: np.random.Generator) -> LayerInput:
    if bits == 32:
        scaled = weight_bits < 32
        return FloatInput(rng.uniform(0.5, 2, count).astype(np.float32) if scaled else None)
    if bits == 1:
        thresholds = rng.standard_normal((shape.thresholds, count)).astype(np.float32)
        thresholds[rng.random(thresholds.shape) < 0.02] = np.inf
        thresholds[rng.random(thresholds.shape) < 0.02] = -np.inf
        return SignInput(thresholds)
    odd = shape.symmetric or bits == 2
    low = -(2 ** (bits - 1)) if not shape.symmetric else 0
    mul, add = (2, 1 if not shape.symmetric else -(2**bits - 1)) if odd else (1, 0)
    scale = rng.uniform(0.5, 1.5, count) * 2 ** (bits - 2) * rng.choice([-1, 1], count)
    shift = rng.uniform(-0.5, 0.5, count) + low + 2 ** (bits - 1)
    return CodeInput(
        bits, scale.astype(np.float32), shift.astype(np.float32), low, low + 2**bits - 1, mul, add
    )


def _table(shape: Shape, rng: np.random.Generator) -> TableSpec:
    cardinalities = np.asarray(shape.cardinalities, np.int64)
    rows = cardinalities if shape.rows is None else np.asarray(shape.rows, np.int64)
    hot_rows = (rows * shape.hot_share).astype(np.int64)
    cold_count, hot_count = int((rows - hot_rows).sum()), int(hot_rows.sum())
    cold = _cold(shape, cold_count, rng)
    scale, row_bias = _scales(shape, cold, rng)
    starts = np.ceil(rows[:, None] ** (np.arange(1, GROUPS) / GROUPS)).astype(np.int64)
    hot = random_codes(hot_count, shape.dim, shape.hot_bits, rng, shape.symmetric) if hot_count else None
    hot_scale = _positive(len(rows), hot, rng) if hot is not None else None
    kind = shape.scale_kind
    return TableSpec(
        cardinalities,
        rows,
        hot_rows,
        cold,
        hot,
        kind,
        scale,
        starts if kind == "group" else None,
        row_bias,
        hot_scale,
        np.array(shape.list_widths, np.int64) if shape.list_widths else None,
    )


def _cold(shape: Shape, count: int, rng: np.random.Generator) -> Codes:
    codes = random_codes(count, shape.dim, shape.embedding_bits, rng, shape.symmetric)
    if shape.scale_kind == "row" and 1 < codes.bits < 32:
        return Codes(
            codes.data, codes.bits, codes.count
        )  # whole numbers from 0, as the row's bias says where it begins
    return codes


def _positive(count: int, codes: Codes, rng: np.random.Generator) -> np.ndarray:
    size = 1.0 if codes.bits == 32 else _deviation(codes)
    return (rng.uniform(0.5, 1.5, count) / size).astype(np.float32)


def _scales(
    shape: Shape, cold: Codes, rng: np.random.Generator
) -> tuple[np.ndarray | None, np.ndarray | None]:
    fields = len(shape.cardinalities)
    if shape.scale_kind == "none":
        return None, None
    if shape.scale_kind == "row":
        scale = _positive(len(cold), cold, rng).astype(np.float16)
        bias = rng.uniform(-1, 0, len(cold)).astype(np.float16) if cold.bits > 1 else None
        return scale, bias
    count = fields * (GROUPS if shape.scale_kind == "group" else 1)
    scale = _positive(count, cold, rng)
    return scale.reshape(fields, GROUPS) if shape.scale_kind == "group" else scale, None


def _first_order(shape: Shape, inputs: int, rng: np.random.Generator) -> FirstOrder:
    rows = np.maximum(1, np.asarray(shape.cardinalities, np.int64) // 2)
    codes = rng.integers(-128, 128, int(rows.sum())).astype(np.int8)
    scale = rng.uniform(0.5, 1.5, len(rows)) / 128
    weights = rng.normal(0, 0.1, inputs).astype(np.float32)
    return FirstOrder(float(rng.normal()), rows, codes, scale.astype(np.float32), weights)

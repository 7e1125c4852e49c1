"""The kernels of the C engine, which layers each can run, and how each reads its weights."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys_bnn.runtime.native.structures import (
    CLASSES,
    Arrays,
    Layer,
    Way,
    aligned,
    round_up,
)
from recsys_bnn.runtime.spec import CodeInput, FloatInput, LayerSpec, SignInput

PANEL = 16
KERNELS = (
    "f32",
    "int8 loops",
    "int8 madd16",
    "int8 maddubs",
    "int8 VNNI",
    "int8 AMX",
    "popcount loops",
    "VPOPCNTDQ",
    "sign lookup",
    "code lookup",
)
"""In the order of ``enum kernel`` in common.h."""
INTERACTIONS = ("f32 loops", "int16 loops", "popcount loops", "f32 AVX2", "int16 AVX2", "1-bit AVX2")
"""In the order of ``enum interaction`` in interaction.h."""
REFERENCES = frozenset({"f32", "int8 loops", "popcount loops"})
"""Kernels without special instructions; the others are held against these."""
_INPUTS: dict[type, int] = {FloatInput: 0, CodeInput: 1, SignInput: 2}
_INT16_MOST, _UINT16_MOST, _FLOAT_MOST, _INT32_MOST = 2**15 - 1, 2**16 - 1, 2**24, 2**31 - 1


@dataclass(frozen=True)
class Whole:
    """A layer's whole numbers: an input is ``code * mul + add``, a weight ``weights * weight_mul + weight_add``."""

    weights: np.ndarray
    """[N, depth], 0 in padding; int8."""
    weight_mul: int
    weight_add: int
    most: int
    """Greatest code of an input; the least is 0."""
    mul: int
    add: int
    correction: np.ndarray
    """What the inputs' ``add`` contributes to each output, int64 [N]."""
    bound: int
    """No part of a sum is greater."""


@dataclass(frozen=True)
class Prepared:
    """What all ways of a layer share."""

    spec: LayerSpec
    depth: int
    floats: np.ndarray
    """Weights as floats, [N, depth]."""
    whole: Whole | None
    """None where a side has 32 bits."""

    @property
    def outputs(self) -> int:
        """N."""
        return self.spec.outputs

    @property
    def padded(self) -> int:
        """N up to a multiple of 32."""
        return round_up(self.outputs, 32)

    @property
    def of_one_bit(self) -> bool:
        """Whether the weights are -1 and +1."""
        weights = self.spec.weights
        return self.whole is not None and (weights.bits, weights.mul, weights.add) == (1, 2, -1)

    @property
    def of_signs(self) -> bool:
        """Whether weights and inputs are -1 and +1."""
        return self.of_one_bit and isinstance(self.spec.inputs, SignInput)

    def describe(self) -> str:
        """Return what decides how long the layer takes."""
        inputs = self.spec.inputs
        kind = (
            "f32"
            if isinstance(inputs, FloatInput)
            else f"{inputs.bits}-bit"
            if isinstance(inputs, CodeInput)
            else "signs"
        )
        return f"{self.depth}x{self.outputs} {kind} by {self.spec.weights.bits}-bit"


def prepare(spec: LayerSpec) -> Prepared:
    """Return ``spec`` with its weights in the order in which the engine reads inputs."""
    sections = len(spec.inputs.threshold) if isinstance(spec.inputs, SignInput) else 1
    section = section_stride(spec.values, sections)
    depth = (sections - 1) * section + spec.values
    places = (np.arange(sections)[:, None] * section + np.arange(spec.values)).ravel()
    floats = np.zeros((spec.outputs, depth), np.float32)
    floats[:, places] = spec.float_weights()
    return Prepared(spec, depth, floats, _whole(spec, places, depth) if spec.exact else None)


def section_stride(values: int, sections: int) -> int:
    """Return the distance between the signs of two thresholds."""
    return values if sections == 1 else round_up(values, 32)


def _whole(spec: LayerSpec, places: np.ndarray, depth: int) -> Whole | None:
    ints = spec.weights.ints().astype(np.int64)
    mul, add = _to_int8(spec)
    weights = np.zeros((spec.outputs, depth), np.int8)
    weights[:, places] = (ints - add) // mul
    if isinstance(spec.inputs, CodeInput):
        least, code_mul = spec.inputs.range[0], spec.inputs.mul
        most = spec.inputs.high - spec.inputs.low
    else:
        least, code_mul, most = -1, 2, 1
    bound = 4 * max(abs(least), most * code_mul) * max(map(abs, spec.weights.range)) * depth
    if bound > _INT32_MOST or most > 255:
        return None
    return Whole(weights, mul, add, most, code_mul, least, least * ints.sum(axis=1), bound)


def _to_int8(spec: LayerSpec) -> tuple[int, int]:
    """Return mul and add that bring the weights into int8: those of 8-bit DoReFa reach from -255 to 255."""
    low, high = spec.weights.range
    if -128 <= low and high <= 127:
        return 1, 0
    return spec.weights.mul, spec.weights.add + 2 ** (spec.weights.bits - 1) * spec.weights.mul


# ------------------------------------------------------------------------------------------------------- candidates


def candidates(layer: Prepared) -> list[str]:
    """Return the kernels that can run ``layer`` exactly, apart from what this machine can; one at least."""
    whole = layer.whole
    if whole is None:
        return ["f32"]
    names = ["int8 loops", "int8 madd16", "int8 VNNI", "int8 AMX"]
    if _steps(whole):
        names.append("int8 maddubs")
    if layer.of_one_bit and whole.most <= 15 and layer.depth * whole.most <= _UINT16_MOST:
        names.append("code lookup")
    if layer.of_signs:
        names += ["popcount loops", "VPOPCNTDQ"]
        if layer.depth + 64 <= _UINT16_MOST:
            names.append("sign lookup")
    return names


def _steps(whole: Whole) -> int:
    """Return how many sums of two products an int16 holds one after the other, whatever the inputs; at most 2^14.

    Trained weights use a part of their range, and those of one sign rarely follow each other: 8-bit layers profit.
    """
    quads = round_up(whole.weights.shape[1], 4)
    weights = (
        _rows(whole.weights, len(whole.weights), quads).astype(np.int64).reshape(len(whole.weights), -1, 2, 2)
    )
    sides = [side.sum(axis=3) * whole.most for side in (weights.clip(min=0), -weights.clip(max=0))]
    steps = 2**14
    while steps and max(_greatest_run(side, steps) for side in sides) > _INT16_MOST:
        steps //= 2
    return steps


def _greatest_run(sums: np.ndarray, steps: int) -> int:
    """Return the greatest sum of ``steps`` neighbours from a multiple of ``steps`` on, along axis 1."""
    return int(np.add.reduceat(sums, np.arange(0, sums.shape[1], steps), axis=1).max(initial=0))


# ----------------------------------------------------------------------------------------------------------- packing


def _rows(array: np.ndarray, rows: int, columns: int) -> np.ndarray:
    padded = np.zeros((rows, columns), array.dtype)
    padded[: array.shape[0], : array.shape[1]] = array
    return padded


def _float_panels(layer: Prepared) -> np.ndarray:
    """[N / 16, K, 16]; for one output [K]."""
    if layer.outputs == 1:
        return layer.floats[0]
    rows = _rows(layer.floats, round_up(layer.outputs, PANEL), layer.depth)
    return rows.reshape(-1, PANEL, layer.depth).transpose(0, 2, 1)


def _loop_panels(layer: Prepared) -> np.ndarray:
    """[N / 16, K, 16]."""
    rows = _rows(_int8(layer), layer.padded, layer.depth)
    return rows.reshape(-1, PANEL, layer.depth).transpose(0, 2, 1)


def _quad_panels(layer: Prepared) -> np.ndarray:
    """[N / 16, K / 4, 16, 4], K padded to 64."""
    deep = round_up(layer.depth, 64)
    rows = _rows(_int8(layer), layer.padded, deep)
    return rows.reshape(-1, PANEL, deep // 4, 4).transpose(0, 2, 1, 3)


def _int8(layer: Prepared) -> np.ndarray:
    assert layer.whole is not None
    return layer.whole.weights


def _bits(layer: Prepared, columns: int) -> np.ndarray:
    """Weights as bits, uint8 [padded N, columns]."""
    return _rows((_int8(layer) > 0).astype(np.uint8), layer.padded, columns)


def _words(layer: Prepared) -> np.ndarray:
    """uint64 [N, K / 64]."""
    bits = _bits(layer, round_up(layer.depth, 64))
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint64)


def _word_panels(layer: Prepared) -> np.ndarray:
    """uint64 [N / 8, K / 64, 8]."""
    words = _words(layer)
    return words.reshape(-1, 8, words.shape[1]).transpose(0, 2, 1)


def _nibble_blocks(layer: Prepared, multiple: int) -> np.ndarray:
    """[N / 32, K / 8, 32]: in byte 2j stand the bits of output j, in byte 2j + 1 those of output 16 + j."""
    packed = np.packbits(_bits(layer, round_up(layer.depth, multiple)), axis=1, bitorder="little")
    order = np.arange(32) // 2 + 16 * (np.arange(32) % 2)
    return packed.reshape(-1, 32, packed.shape[1])[:, order].transpose(0, 2, 1)


_PACKING: dict[str, Callable[[Prepared], np.ndarray]] = {
    "f32": _float_panels,
    "int8 loops": _loop_panels,
    "int8 madd16": _quad_panels,
    "int8 maddubs": _quad_panels,
    "int8 VNNI": _quad_panels,
    "int8 AMX": _quad_panels,
    "popcount loops": _words,
    "VPOPCNTDQ": _word_panels,
    "sign lookup": lambda layer: _nibble_blocks(layer, 8),
    "code lookup": lambda layer: _nibble_blocks(layer, 16),
}


# -------------------------------------------------------------------------------------------------------- structures


def way(layer: Prepared, kernel: str, arrays: Arrays) -> Way:
    """Return ``layer`` made ready for ``kernel``."""
    made = Way(kernel=KERNELS.index(kernel))
    made.weights = arrays.address(aligned(_PACKING[kernel](layer)))
    if kernel != "f32":
        assert layer.whole is not None
        _fill_sums(made, layer, layer.whole, kernel, arrays)
    return made


def _fill_sums(made: Way, layer: Prepared, whole: Whole, kernel: str, arrays: Arrays) -> None:
    """Say how a kernel's sums become the sums of products (``Way`` in common.h)."""
    signs = layer.spec.weights.count
    correction = whole.correction
    if kernel in ("popcount loops", "VPOPCNTDQ"):
        made.scale, correction = -2, np.full(layer.outputs, signs)  # of differing bits
    elif kernel == "sign lookup":  # of equal bits, those of the padding among them
        made.scale, correction = 2, np.full(layer.outputs, signs - 2 * round_up(layer.depth, 8))
    elif kernel == "code lookup":  # of codes whose weight's bit is 1
        made.scale, made.row_scale = 2 * whole.mul, -whole.mul
    else:
        made.scale, made.row_scale = whole.mul * whole.weight_mul, whole.mul * whole.weight_add
        made.steps = _steps(whole)
    made.correction = arrays.padded(correction, layer.padded, np.int32)
    made.float_correction = arrays.padded(correction, layer.padded, np.float32)
    made.small = whole.bound < _FLOAT_MOST


def structure(layer: Prepared, ways: list[Way], arrays: Arrays) -> Layer:
    """Return ``layer`` with one way for each class of rows.

    Args:
        layer: The layer.
        ways: One for each of ``CLASSES``.
        arrays: Keeps what the structure points to.
    """
    spec = layer.spec
    made = Layer(
        input=_INPUTS[type(spec.inputs)],
        inputs=spec.values,
        sections=1,
        section=spec.values,
        depth=layer.depth,
        outputs=layer.outputs,
        padded=layer.padded,
        slope=1.0 if spec.slope is None else spec.slope,
        gain=arrays.padded(spec.gain, layer.padded, np.float32),
        bias=arrays.padded(spec.bias, layer.padded, np.float32),
        ways=(Way * len(CLASSES))(*ways),
    )
    if isinstance(spec.inputs, CodeInput):
        _fill_codes(made, spec.inputs, arrays)
    elif isinstance(spec.inputs, SignInput):
        _fill_signs(made, spec.inputs, arrays)
    return made


def _fill_codes(made: Layer, inputs: CodeInput, arrays: Arrays) -> None:
    made.low, made.high, made.mul, made.add = inputs.low, inputs.high, inputs.mul, inputs.add
    count = round_up(len(inputs.scale), 16)
    made.scale = arrays.padded(inputs.scale, count, np.float32)
    made.shift = arrays.padded(inputs.shift, count, np.float32, inputs.low)


def _fill_signs(made: Layer, inputs: SignInput, arrays: Arrays) -> None:
    made.sections, values = inputs.threshold.shape
    made.section = section_stride(values, made.sections)
    made.threshold = arrays.padded(inputs.threshold, round_up(values, 32), np.float32, np.inf)

"""What each quantizer's numbers are as codes.

A quantizer stands here in two tables, by its class: what it stores, and what it makes of a layer's input. One that
stands in neither can't be packed, and a line says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from recsys_bnn.model.quantizers import Quantizer, ScaledQuantizer, ThresholdSigns
from recsys_bnn.model.quantizers.dorefa import DoReFa
from recsys_bnn.model.quantizers.lsq import LSQ, levels, lsq
from recsys_bnn.model.quantizers.row import RowMinMax, RowSign
from recsys_bnn.model.quantizers.sign import ScaledSign, Sign
from recsys_bnn.packing.norms import affine, turning_points
from recsys_bnn.runtime.spec import CodeInput, FloatInput, LayerInput, SignInput
from seminar_common.errors import UserError

_Entry = TypeVar("_Entry")
_BITORCH = "recsys_bnn.model.bitorch_engine", "bitorch."
"""Modules of quantizers that are seen from their results alone, as importing BITorch is left to who uses it."""


@dataclass(frozen=True)
class Stored:
    """Some numbers as codes: ``(u * mul + add) * scale + bias``."""

    codes: np.ndarray
    """u, uint8 [R, N]."""
    mul: int
    add: int
    scale: np.ndarray | None = None
    """float32 or float16, [R]; None where the caller knows it, or for 1."""
    bias: np.ndarray | None = None
    """float16 [R]; None for 0."""


@dataclass(frozen=True)
class CodedInput:
    """What a layer makes of its input."""

    inputs: LayerInput
    scale: float
    """What a whole number of the input stands for."""
    flipped: np.ndarray | None = None
    """Signs that are turned round, so that their weights must be too, bool [T * K]; None for none."""


@torch.no_grad()
def stored(quantizer: nn.Module, x: Tensor, scale: Tensor | None) -> Stored:
    """Return ``x`` [R, N] as the codes of ``quantizer``.

    Args:
        quantizer: A quantizer to fewer than 32 bits.
        x: Weights, or rows of a table.
        scale: Its learned scales for these rows, broadcast against ``x``; None if it has none.

    Raises:
        UserError: nothing is known of such quantizers.
    """
    return _entry(_STORED, quantizer, _observed_signs)(quantizer, x, scale)


@torch.no_grad()
def coded_input(quantizer: nn.Module, norm: nn.BatchNorm1d) -> CodedInput:
    """Return what a batch norm and the ``quantizer`` after it make of a layer's input.

    Raises:
        UserError: nothing is known of such quantizers.
    """
    return _entry(_INPUTS, quantizer, _sign_input)(quantizer, norm)


def _entry(table: Mapping[type, _Entry], quantizer: nn.Module, of_bitorch: _Entry) -> _Entry:
    kind = type(quantizer)
    if kind.__module__.startswith(_BITORCH):
        return of_bitorch
    if kind not in table:
        raise UserError(
            f"quantizer {kind.__name__}: packing knows no codes for it; add it to the tables in {__name__}"
        )
    return table[kind]


def _observed_signs(quantizer: nn.Module, x: Tensor, scale: Tensor | None) -> Stored:
    return Stored((quantizer(x) > 0).numpy().astype(np.uint8), 2, -1)


def _scaled_signs(quantizer: nn.Module, x: Tensor, scale: Tensor | None) -> Stored:
    return Stored((x >= 0).numpy().astype(np.uint8), 2, -1)


def _lsq(quantizer: nn.Module, x: Tensor, scale: Tensor | None) -> Stored:
    assert isinstance(quantizer, LSQ) and scale is not None
    bits = quantizer.use.bits
    lowest, _ = levels(bits)
    codes = (lsq(x, scale, bits) / scale - lowest).round_().numpy().astype(np.uint8)
    return Stored(codes, *_lsq_ints(bits))


def _lsq_ints(bits: int) -> tuple[int, int]:
    """Return ``mul`` and ``add``; with two bits the steps are halves, so that whole numbers tell them."""
    return (2, -3) if bits == 2 else (1, -(2 ** (bits - 1)))


def _lsq_unit(bits: int) -> float:
    """Return the steps of a whole number."""
    return 0.5 if bits == 2 else 1.0


def _dorefa(quantizer: nn.Module, x: Tensor, scale: Tensor | None) -> Stored:
    assert isinstance(quantizer, DoReFa)
    steps = 2**quantizer.use.bits - 1
    codes = ((quantizer(x) + 1) * (steps / 2)).round_().numpy().astype(np.uint8)
    return Stored(codes, 2, -steps)


def _row_min_max(quantizer: nn.Module, x: Tensor, scale: Tensor | None) -> Stored:
    assert isinstance(quantizer, RowMinMax)
    bias, step = quantizer.bias_and_step(x)
    codes = ((quantizer(x) - bias) / step).round_().numpy().astype(np.uint8)
    return Stored(codes, 1, 0, _halves(step), _halves(bias))


def _row_sign(quantizer: nn.Module, x: Tensor, scale: Tensor | None) -> Stored:
    assert isinstance(quantizer, RowSign)
    return Stored((x >= 0).numpy().astype(np.uint8), 2, -1, _halves(quantizer.magnitude(x)))


def _halves(column: Tensor) -> np.ndarray:
    return column.squeeze(-1).half().numpy()


def learned_scale(quantizer: nn.Module) -> Tensor | None:
    """Return the scales that a quantizer has learned, or None if it learns none."""
    return quantizer.scale().detach() if isinstance(quantizer, ScaledQuantizer) else None


def unit(quantizer: nn.Module) -> float:
    """Return what a whole number stands for: in learned scales if there are some, else by itself."""
    if isinstance(quantizer, LSQ):
        return _lsq_unit(quantizer.use.bits)
    return 1 / (2**quantizer.use.bits - 1) if isinstance(quantizer, DoReFa) else 1.0


def _float_input(quantizer: nn.Module, norm: nn.BatchNorm1d) -> CodedInput:
    return CodedInput(FloatInput(), 1.0)


def _lsq_input(quantizer: nn.Module, norm: nn.BatchNorm1d) -> CodedInput:
    assert isinstance(quantizer, LSQ)
    bits, step, before = quantizer.use.bits, float(quantizer.scale()), affine(norm)
    low = -(2 ** (bits - 1))
    half = 0.5 if bits == 2 else 0.0
    inputs = _codes(
        bits, before.scale / step, before.shift / step - half, low, 2 if half else 1, int(2 * half)
    )
    return CodedInput(inputs, step * _lsq_unit(bits))


def _dorefa_input(quantizer: nn.Module, norm: nn.BatchNorm1d) -> CodedInput:
    assert isinstance(quantizer, DoReFa)
    bits, before = quantizer.use.bits, affine(norm)
    steps = 2**bits - 1
    inputs = _codes(bits, before.scale * (steps / 2), (before.shift + 1) * (steps / 2), 0, 2, -steps)
    return CodedInput(inputs, 1 / steps)


def _codes(bits: int, scale: np.ndarray, shift: np.ndarray, low: int, mul: int, add: int) -> CodeInput:
    high = low + 2**bits - 1
    return CodeInput(bits, scale.astype(np.float32), shift.astype(np.float32), low, high, mul, add)


def _sign_input(quantizer: nn.Module, norm: nn.BatchNorm1d) -> CodedInput:
    signs = len(quantizer.thresholds) if isinstance(quantizer, ThresholdSigns) else 1

    def positive(x: np.ndarray) -> np.ndarray:
        return (quantizer(norm(torch.from_numpy(x)[None])) > 0).view(signs, -1).numpy()

    found = [turning_points(lambda x, t=t: positive(x)[t], norm.num_features) for t in range(signs)]
    thresholds, falling = (np.stack(parts) for parts in zip(*found, strict=True))
    return CodedInput(SignInput(thresholds), 1.0, falling.ravel() if falling.any() else None)


_STORED: dict[type, Callable[[nn.Module, Tensor, Tensor | None], Stored]] = {
    Sign: _scaled_signs,
    ScaledSign: _scaled_signs,
    LSQ: _lsq,
    DoReFa: _dorefa,
    RowMinMax: _row_min_max,
    RowSign: _row_sign,
}

_INPUTS: dict[type, Callable[[nn.Module, nn.BatchNorm1d], CodedInput]] = {
    Quantizer: _float_input,
    Sign: _sign_input,
    ThresholdSigns: _sign_input,
    LSQ: _lsq_input,
    DoReFa: _dorefa_input,
}

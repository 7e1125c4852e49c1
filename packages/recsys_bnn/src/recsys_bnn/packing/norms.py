"""Batch norms as scales and shifts, and the inputs at which what follows them changes sign."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

_NORMAL = np.finfo(np.float32).smallest_normal
_LARGEST = np.finfo(np.float32).max


class Affine(NamedTuple):
    """``x * scale + shift``."""

    scale: np.ndarray
    """float64 [K]."""
    shift: np.ndarray
    """float64 [K]."""


def affine(norm: nn.BatchNorm1d) -> Affine:
    """Return what a batch norm does at inference."""
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance, weight, bias = map(
        _float64, (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    scale = weight / np.sqrt(variance + norm.eps)
    return Affine(scale, bias - mean * scale)


def _float64(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def turning_points(positive: Callable[[np.ndarray], np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least input at which each of ``count`` monotone predicates has another answer than below it.

    The points are sought among all floats by bisection, with the arithmetic that was trained, so that no rounding of
    a batch norm moves a single one.

    Args:
        positive: Maps float32 [K] to bool [K], each entry rising or falling in its own input.
        count: K.

    Returns:
        The points, float32 [K], -inf or +inf for a predicate that is always or never true; and whether it falls
        from true to false there, bool [K].
    """
    low, high = (np.full(count, _key(np.float32(end)), np.int64) for end in (-_LARGEST, _LARGEST))
    below, above = positive(_floats(low)), positive(_floats(high))
    while (high - low > 1).any():
        middle = (low + high) // 2
        unchanged = positive(_floats(middle)) == below
        low, high = np.where(unchanged, middle, low), np.where(unchanged, high, middle)
    points = _without_denormals(_floats(high))
    constant = np.where(below, -np.inf, np.inf).astype(np.float32)
    return np.where(below == above, constant, points), below & ~above


def _key(value: np.float32) -> int:
    bits = int(value.view(np.int32))
    return bits if bits >= 0 else bits ^ 0x7FFFFFFF


def _floats(keys: np.ndarray) -> np.ndarray:
    """Return the floats of keys, which are whole numbers in the order of the floats."""
    bits = np.where(keys >= 0, keys, keys ^ 0x7FFFFFFF).astype(np.int32)
    return bits.view(np.float32)


def _without_denormals(points: np.ndarray) -> np.ndarray:
    """Return points that kernels which take denormal numbers for 0 compare alike.

    The inputs that such kernels see are 0 or normal, and for them the answers stay.
    """
    tiny = np.abs(points) < _NORMAL
    return np.where(tiny, np.where(points > 0, _NORMAL, np.float32(0)), points)

"""Loops of a training step, compiled by Numba: where PyTorch would read and write the same values several times.

All take float32 arrays in C order on the CPU. They add in a fixed order, so the same values give the same bits.
"""

import numpy as np
import torch
from numba import njit
from torch import Tensor


def compiled(*tensors: Tensor) -> bool:
    """Say whether the kernels take these tensors; where they don't, PyTorch's operations do the same."""
    fit = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
    return fit and not torch.compiler.is_compiling()


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Return the values of tensors in C order, of their own memory where that is their order already."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def flat(*tensors: Tensor) -> list[np.ndarray]:
    """Return :func:`arrays` of one dimension."""
    return [array.reshape(-1) for array in arrays(*tensors)]


def vectors(first: Tensor, *others: Tensor) -> list[np.ndarray]:
    """Return a flag a vector as [N], and tensors of these vectors as [N, D]."""
    return [first.numpy().reshape(-1), *(array.reshape(-1, array.shape[-1]) for array in arrays(*others))]


@njit(nogil=True, cache=True, error_model="numpy")
def gather(values, places, out) -> None:
    """Write ``values[b, places[p]]`` to ``out`` [B, P], for ``values`` [B, N] and int64 ``places`` [P]."""
    for b in range(len(values)):
        for p in range(len(places)):
            out[b, p] = values[b, places[p]]


@njit(nogil=True, cache=True, error_model="numpy")
def scatter_twice(values, first, second, out) -> None:
    """Write ``values`` [B, P] to ``out`` [B, N] at the int64 places ``first`` [P] and ``second`` [P], zeros elsewhere."""
    for b in range(len(values)):
        out[b] = 0
        for p in range(len(first)):
            out[b, first[p]] = values[b, p]
            out[b, second[p]] = values[b, p]


@njit(nogil=True, cache=True, error_model="numpy")
def choose(first, vectors, others, out) -> None:
    """Write row n of ``vectors`` [N, D] to ``out`` where ``first`` [N] is set, else that of ``others``."""
    for n in range(len(first)):
        source = vectors if first[n] else others
        for d in range(out.shape[1]):
            out[n, d] = source[n, d]


@njit(nogil=True, cache=True, error_model="numpy")
def part(first, rows, vectors, others) -> None:
    """Write row n of ``rows`` [N, D] to ``vectors`` where ``first`` [N] is set, else to ``others``; zeros to the other."""
    for n in range(len(first)):
        for d in range(rows.shape[1]):
            vectors[n, d] = rows[n, d] if first[n] else np.float32(0)
            others[n, d] = np.float32(0) if first[n] else rows[n, d]


@njit(nogil=True, cache=True, error_model="numpy")
def sign(x, out) -> None:
    """Write the signs of ``x`` [N]; zero is positive."""
    for n in range(len(x)):
        out[n] = np.float32(1) if x[n] >= 0 else np.float32(-1)


@njit(nogil=True, cache=True, error_model="numpy")
def sign_backward(x, gradient, to_x) -> None:
    """Write the gradient of ``x`` [N] by that of :func:`sign`: it passes where ``x`` is at most 1 in size."""
    for n in range(len(x)):
        to_x[n] = gradient[n] if abs(x[n]) <= np.float32(1) else np.float32(0)


@njit(nogil=True, cache=True, error_model="numpy")
def signs(x, thresholds, out) -> None:
    """Write the signs of the distances of ``x`` [B, K] to ``thresholds`` [T, K] to ``out`` [B, T, K]; zero is positive."""
    for b in range(x.shape[0]):
        for t in range(thresholds.shape[0]):
            for k in range(x.shape[1]):
                out[b, t, k] = np.float32(1) if x[b, k] >= thresholds[t, k] else np.float32(-1)


@njit(nogil=True, cache=True, error_model="numpy")
def signs_backward(x, thresholds, gradient, to_x, to_thresholds) -> None:
    """Write the gradients of ``x`` [B, K] and ``thresholds`` [T, K] by that of :func:`signs`, [B, T, K].

    It passes where the distance is at most 1.
    """
    to_thresholds[:] = 0
    for b in range(x.shape[0]):
        for k in range(x.shape[1]):
            to_x[b, k] = 0
        for t in range(thresholds.shape[0]):
            for k in range(x.shape[1]):
                inside = abs(x[b, k] - thresholds[t, k]) <= np.float32(1)
                value = gradient[b, t, k] if inside else np.float32(0)
                to_x[b, k] += value
                to_thresholds[t, k] -= value


@njit(nogil=True, cache=True, error_model="numpy")
def lsq(x, step, lowest, highest, offset, out) -> None:
    """Write ``x`` [N, M] rounded to steps [S], those of rows n, n + S, ..., between ``lowest`` and ``highest`` steps, ``offset`` off whole ones."""
    for n in range(x.shape[0]):
        size = step[n % len(step)]
        for m in range(x.shape[1]):
            steps = min(max(x[n, m] / size, lowest), highest)
            out[n, m] = (np.rint(steps - offset) + offset) * size


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc"})
def lsq_backward(x, step, lowest, highest, out, gradient, to_x, to_step) -> None:
    """Write the gradients of ``x`` [N, M] and of each row's step, [N], by that of :func:`lsq`."""
    for n in range(x.shape[0]):
        low, high = lowest * step[n % len(step)], highest * step[n % len(step)]
        total = np.float32(0)
        for m in range(x.shape[1]):
            inside = low < x[n, m] < high
            value = gradient[n, m]
            to_x[n, m] = value if inside else np.float32(0)
            total += value * (out[n, m] - (x[n, m] if inside else np.float32(0)))
        to_step[n] = total


@njit(nogil=True, cache=True, error_model="numpy")
def prelu(x, slope, out) -> None:
    """Write ``x`` [N] where it is above 0, and ``slope`` times it elsewhere."""
    for n in range(len(x)):
        out[n] = x[n] if x[n] > 0 else slope * x[n]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc"})
def prelu_backward(x, slope, gradient, to_x):
    """Write the gradient of ``x`` [N] by that of :func:`prelu`, and return that of the slope."""
    to_slope = np.float32(0)
    for n in range(len(x)):
        above = x[n] > 0
        to_x[n] = gradient[n] if above else slope * gradient[n]
        to_slope += np.float32(0) if above else x[n] * gradient[n]
    return to_slope

"""What the tables' optimizers do to the rows of a batch, compiled by Numba: one pass over the entries of a gradient.

The kernels are for float32 on the CPU and work in the order of the entries, so the same gradient gives the same bits.
"""

import numpy as np
from numba import njit

_FREE = -1


@njit(nogil=True, cache=True, error_model="numpy")
def sum_by_row(entries, values):
    """Return the rows that a sparse gradient names, int64 [R] in the order of their first entry, and their sums [R, D].

    An open-addressing hash table finds the entries of a row, where a sort would move all of them.

    Args:
        entries: Row of each entry, int64 [N].
        values: Gradients, float32 [N, D].
    """
    size = 16
    while size < 2 * len(entries):
        size *= 2
    slots = np.full(size, _FREE, np.int32)  # a row's number among the results
    rows, sums = np.empty(len(entries), np.int64), np.empty_like(values)
    count = 0
    for entry in range(len(entries)):
        row = entries[entry]
        slot = np.int64((np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & (size - 1)
        while slots[slot] != _FREE and rows[slots[slot]] != row:
            slot = (slot + 1) & (size - 1)
        place = slots[slot]
        if place == _FREE:
            slots[slot], rows[count], sums[count] = count, row, values[entry]
            count += 1
        else:
            for d in range(values.shape[1]):
                sums[place, d] += values[entry, d]
    return rows[:count], sums[:count]


@njit(nogil=True, cache=True, error_model="numpy")
def adagrad(table, accumulators, entries, values, lr, eps) -> None:
    """Make a step of row-wise Adagrad: ``a += mean(g^2)``, then ``w -= lr * g / (sqrt(a) + eps)``.

    Args:
        table: Rows w, float32 [R, D], changed in place.
        accumulators: a, float32 [R], changed in place.
        entries: Row of each entry of the gradient, int64 [N].
        values: Gradients, float32 [N, D].
        lr: Learning rate, float32.
        eps: Keeps the division finite, float32.
    """
    rows, sums = sum_by_row(entries, values)
    width = np.float32(table.shape[1])
    for place in range(len(rows)):
        row, square = rows[place], np.float32(0)
        for d in range(table.shape[1]):
            square += sums[place, d] * sums[place, d]
        accumulators[row] += square / width
        rate = lr / (np.sqrt(accumulators[row]) + eps)
        for d in range(table.shape[1]):
            table[row, d] -= rate * sums[place, d]


@njit(nogil=True, cache=True, error_model="numpy")
def adam(table, means, squares, entries, values, step_size, share, square_share, eps) -> None:
    """Make a step of Adam on the rows that a gradient names, and leave the others and their moments alone.

    Args:
        table: Rows, float32 [R, D], changed in place.
        means: First moments, float32 [R, D], changed in place.
        squares: Second moments, float32 [R, D], changed in place.
        entries: Row of each entry of the gradient, int64 [N].
        values: Gradients, float32 [N, D].
        step_size: Learning rate with both corrections of the moments' bias, float32.
        share: 1 - beta 1, the share of the new gradient in its mean, float32.
        square_share: 1 - beta 2, float32.
        eps: Keeps the division finite, float32.
    """
    rows, sums = sum_by_row(entries, values)
    for place in range(len(rows)):
        row = rows[place]
        for d in range(table.shape[1]):
            gradient = sums[place, d]
            means[row, d] += (gradient - means[row, d]) * share
            squares[row, d] += (gradient * gradient - squares[row, d]) * square_share
            table[row, d] -= step_size * means[row, d] / (np.sqrt(squares[row, d]) + eps)

"""Criteo's text to columns in one pass over the bytes, compiled by Numba.

A general CSV reader spends most of its time on cells as strings, which are then read once more as hexadecimal
numbers. Here each byte is looked at once, and eight hexadecimal digits together. The kernel holds no lock, so blocks are parsed in parallel.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from recsys_bnn.data.formats.criteo_columns import (
    CATEGORICALS,
    HEX_DIGITS,
    INTEGERS,
    LINE_FEED,
    MINUS,
    RETURN,
    TAB,
    ZERO,
)

_ONES = np.uint64(0x0101010101010101)
_PAIRS, _QUARTERS, _HALVES = (
    np.uint64(mask) for mask in (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0xFFFFFFFF)
)


@intrinsic
def _eight_bytes(typing, text, at):
    """Return the eight bytes from ``at`` on as one number, the first byte the lowest."""

    def load(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(data, [arguments[1]])
        loaded = builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()))
        loaded.align = 1  # a cell may begin anywhere
        return loaded

    return types.uint64(text, types.int64), load


@njit(nogil=True, cache=True)
def _hexadecimal(text):
    """Read eight hexadecimal digits, lowercase alone, all at once; say whether they are such, and return the number.

    The digits are bytes of one word. A letter has bit 6, and its value is its lower half plus 9. What is no digit does
    not spell itself again from its value, or has one that only letters, or no letters, have.
    """
    letter = (text >> np.uint64(6)) & _ONES
    value = (text & (np.uint64(15) * _ONES)) + np.uint64(9) * letter
    spelled = np.uint64(ord("0")) * _ONES + value + np.uint64(ord("a") - 10 - ord("0")) * letter
    above_nine = ((value + np.uint64(6) * _ONES) >> np.uint64(4)) & _ONES
    above_fifteen = (value >> np.uint64(4)) & _ONES
    good = spelled == text and above_nine == letter and above_fifteen == 0
    value = ((value << np.uint64(4)) | (value >> np.uint64(8))) & _PAIRS
    value = ((value << np.uint64(8)) | (value >> np.uint64(16))) & _QUARTERS
    return good, np.uint32(((value << np.uint64(16)) | (value >> np.uint64(32))) & _HALVES)


@njit(nogil=True, cache=True)
def parse(text, rows, labels, integers, categoricals, valid, labelled) -> bool:  # noqa: C901, a function for each cell halves the speed
    """Fill the columns; return False at the first byte that is not as expected.

    All bits of ``valid`` are set before; those of missing values are cleared here, as fewer are missing than not.
    """
    at = 0
    for row in range(rows):
        byte, others = row >> 3, np.uint8(0xFF ^ (1 << (row & 7)))
        if labelled:
            label = text[at] - ZERO
            if label != 0 and label != 1:
                return False
            labels[row] = label
            at += 1
        for field in range(INTEGERS):
            start = at
            if labelled or field:
                if text[at] != TAB:
                    return False
                start += 1
            at, value = _integer(text, start)
            if at < 0:
                return False
            integers[field, row] = value
            if at == start:
                valid[field, byte] &= others
        for field in range(CATEGORICALS):
            if text[at] != TAB:
                return False
            at += 1
            if text[at] == TAB or text[at] == LINE_FEED or text[at] == RETURN:
                categoricals[field, row] = 0
                valid[INTEGERS + field, byte] &= others
                continue
            if at + HEX_DIGITS >= len(text):
                return False
            good, value = _hexadecimal(_eight_bytes(text, at))  # ty: ignore[missing-argument]
            if not good:
                return False
            at += HEX_DIGITS
            categoricals[field, row] = value
        # Every line ends with a line feed and no cell holds one, so no index is beyond the text.
        if text[at] == RETURN:
            at += 1
        if text[at] != LINE_FEED:
            return False
        at += 1
    return at == len(text)


@njit(nogil=True, cache=True)
def _integer(text, at):
    """Read a whole number of 32 bits; return the place after it, -1 if it is none, and the value."""
    negative = text[at] == MINUS
    first = at + 1 if negative else at
    at, value = first, np.int64(0)
    while True:
        code = np.int64(text[at]) - ZERO
        if code < 0 or code > 9:
            break
        value = value * 10 + code
        if value > 1 << 31:
            return -1, value
        at += 1
    value = -value if negative else value
    if (negative and at == first) or value >= 1 << 31:
        return -1, value
    return at, value

"""Criteo's text to columns in one pass over the bytes, compiled by Numba.

A general CSV reader spends most of its time on cells as strings, which are then read once more as hexadecimal
numbers. Here each byte is looked at once. The kernel holds no lock, so blocks are parsed in parallel.
"""

import numpy as np
from numba import njit

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


@njit(nogil=True, cache=True)
def parse(text, rows, labels, integers, categoricals, valid, digit, labelled) -> bool:  # noqa: C901, a function for each cell halves the speed
    """Fill the columns; return False at the first byte that is not as expected."""
    at = 0
    for row in range(rows):
        byte, bit = row >> 3, np.uint8(1 << (row & 7))
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
            if at > start:
                integers[field, row] = value
                valid[field, byte] |= bit
        for field in range(CATEGORICALS):
            if text[at] != TAB:
                return False
            at += 1
            if text[at] == TAB or text[at] == LINE_FEED or text[at] == RETURN:
                continue  # a missing value
            if at + HEX_DIGITS >= len(text):
                return False
            value, worst = np.uint32(0), np.uint8(0)
            for position in range(at, at + HEX_DIGITS):
                code = digit[text[position]]
                value = np.uint32(value << np.uint32(4)) | np.uint32(code & np.uint8(15))
                worst |= code
            if worst > 15:
                return False
            at += HEX_DIGITS
            categoricals[field, row] = value
            valid[INTEGERS + field, byte] |= bit
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

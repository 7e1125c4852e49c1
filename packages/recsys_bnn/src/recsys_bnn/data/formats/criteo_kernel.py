"""Criteo's text to columns in one pass over the bytes, compiled by Numba.

A general CSV reader spends most of its time on cells as strings, which are then read once more as hexadecimal
numbers. Here each byte is looked at once. The kernel holds no lock, so blocks are parsed in parallel.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from recsys_bnn.data.formats.text import count_lines

LABELS, INTEGERS, CATEGORICALS = 1, 13, 26
_TAB, _LINE_FEED, _RETURN, _MINUS, _ZERO = 9, 10, 13, 45, 48
_HEX_DIGITS = 8
_BAD = 0xFF

_DIGIT = np.full(256, _BAD, np.uint8)  # value of a hexadecimal digit, lowercase alone
_DIGIT[48:58] = np.arange(10)
_DIGIT[97:103] = np.arange(10, 16)


class Columns(NamedTuple):
    """Cells of N rows; validity is a bitmap of N bits a column, least significant first, as Arrow has it."""

    labels: np.ndarray
    """uint8 [N]; 0 where rows have none."""
    integers: np.ndarray
    """int32 [13, N]; 0 where missing."""
    categoricals: np.ndarray
    """Hexadecimal values as numbers, uint32 [26, N]; 0 where missing."""
    valid: np.ndarray
    """Bitmaps of integers and categoricals, uint8 [39, ceil(N / 8)]."""


def parse_columns(text: bytes, *, labelled: bool = True) -> Columns | None:
    """Parse whole lines, each with its line end; return None unless every line is certainly a row.

    Without ``labelled`` a line begins with its first integer.
    """
    rows = count_lines(text)
    columns = Columns(
        np.zeros(rows, np.uint8),
        np.zeros((INTEGERS, rows), np.int32),
        np.zeros((CATEGORICALS, rows), np.uint32),
        np.zeros((INTEGERS + CATEGORICALS, -(-rows // 8)), np.uint8),
    )
    return columns if _parse(np.frombuffer(text, np.uint8), rows, *columns, _DIGIT, labelled) else None


@njit(nogil=True, cache=True)
def _parse(text, rows, labels, integers, categoricals, valid, digit, labelled) -> bool:  # noqa: C901, a function for each cell halves the speed
    """Fill the columns; return False at the first byte that is not as expected."""
    at = 0
    for row in range(rows):
        byte, bit = row >> 3, np.uint8(1 << (row & 7))
        if labelled:
            label = text[at] - _ZERO
            if label != 0 and label != 1:
                return False
            labels[row] = label
            at += 1
        for field in range(INTEGERS):
            start = at
            if labelled or field:
                if text[at] != _TAB:
                    return False
                start += 1
            at, value = _integer(text, start)
            if at < 0:
                return False
            if at > start:
                integers[field, row] = value
                valid[field, byte] |= bit
        for field in range(CATEGORICALS):
            if text[at] != _TAB:
                return False
            at += 1
            if text[at] == _TAB or text[at] == _LINE_FEED or text[at] == _RETURN:
                continue  # a missing value
            if at + _HEX_DIGITS >= len(text):
                return False
            value, worst = np.uint32(0), np.uint8(0)
            for position in range(at, at + _HEX_DIGITS):
                code = digit[text[position]]
                value = np.uint32(value << np.uint32(4)) | np.uint32(code & np.uint8(15))
                worst |= code
            if worst > 15:
                return False
            at += _HEX_DIGITS
            categoricals[field, row] = value
            valid[INTEGERS + field, byte] |= bit
        # Every line ends with a line feed and no cell holds one, so no index is beyond the text.
        if text[at] == _RETURN:
            at += 1
        if text[at] != _LINE_FEED:
            return False
        at += 1
    return at == len(text)


@njit(nogil=True, cache=True)
def _integer(text, at):
    """Read a whole number of 32 bits; return the place after it, -1 if it is none, and the value."""
    negative = text[at] == _MINUS
    first = at + 1 if negative else at
    at, value = first, np.int64(0)
    while True:
        code = np.int64(text[at]) - _ZERO
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

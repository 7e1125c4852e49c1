"""Criteo's text to columns, in one pass over the bytes in C.

Without a C compiler a kernel of Numba does the same, or NumPy where the text is short: to import Numba takes as long as
to parse some ten thousand rows by NumPy.
"""

from typing import NamedTuple

import numpy as np

from recsys_bnn.compiled import rows as in_c
from recsys_bnn.data.formats.text import BLOCK_BYTES, count_lines
from recsys_bnn.data.id_table import is_compiled

LABELS, INTEGERS, CATEGORICALS = 1, 13, 26
WORTH_COMPILING = BLOCK_BYTES * 9 // 10
"""Text that is worth the import of Numba: more will come behind a full block."""
TAB, LINE_FEED, RETURN, MINUS, ZERO = 9, 10, 13, 45, 48
HEX_DIGITS = 8
_BAD = 0xFF
_INTEGER_BYTES = 11

DIGIT = np.full(256, _BAD, np.uint8)
"""Value of a hexadecimal digit, lowercase alone; more than 15 for any other byte."""
DIGIT[48:58] = np.arange(10)
DIGIT[97:103] = np.arange(10, 16)


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
    library = in_c.calls()
    if library:
        columns = _empty(count_lines(text))
        return columns if in_c.criteo(library, text, *columns, labelled=labelled) else None
    if len(text) < WORTH_COMPILING and not is_compiled():
        return parse_short(text, labelled=labelled)
    from recsys_bnn.data.formats.criteo_kernel import parse

    columns = _empty(rows := count_lines(text))
    return columns if parse(np.frombuffer(text, np.uint8), rows, *columns, labelled) else None


def _empty(rows: int) -> Columns:
    """Return columns to be filled, all values there."""
    return Columns(
        np.zeros(rows, np.uint8),
        np.empty((INTEGERS, rows), np.int32),
        np.empty((CATEGORICALS, rows), np.uint32),
        np.full((INTEGERS + CATEGORICALS, -(-rows // 8)), 0xFF, np.uint8),
    )


def parse_short(text: bytes, *, labelled: bool = True) -> Columns | None:
    """Do the same by NumPy, in more memory and time."""
    letters = np.frombuffer(text.replace(b"\r\n", b"\n") if b"\r" in text else text, np.uint8)
    ends = np.flatnonzero((letters == TAB) | (letters == LINE_FEED))
    cells = INTEGERS + CATEGORICALS + labelled
    if len(ends) % cells or (letters == RETURN).any():
        return None
    starts, ends = np.concatenate([[0], ends[:-1] + 1]).reshape(-1, cells), ends.reshape(-1, cells)
    if not (letters[ends] == np.array([TAB] * (cells - 1) + [LINE_FEED])).all():
        return None
    labels = np.zeros(len(ends), np.uint8)
    if labelled:
        labels = letters[starts[:, 0]] - np.uint8(ZERO)
        if not (ends[:, 0] - starts[:, 0] == 1).all() or not (labels <= 1).all():
            return None
        starts, ends = starts[:, 1:], ends[:, 1:]
    integers = _integers(letters, starts[:, :INTEGERS], ends[:, :INTEGERS])
    categoricals = _categoricals(letters, starts[:, INTEGERS:], ends[:, INTEGERS:])
    if integers is None or categoricals is None:
        return None
    valid = np.packbits((ends > starts).T, axis=1, bitorder="little")
    return Columns(labels, *map(np.ascontiguousarray, (integers.T, categoricals.T, valid)))


def _bytes(letters: np.ndarray, starts: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` bytes from each start on, uint8 [..., count]; the last one again beyond the end."""
    return letters[np.minimum(starts[..., None] + np.arange(count), len(letters) - 1)]


def _integers(letters: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray | None:
    sizes = ends - starts
    if (sizes > _INTEGER_BYTES).any():
        return None
    found = _bytes(letters, starts, _INTEGER_BYTES)
    negative = (found[..., 0] == MINUS) & (sizes > 0)
    inside = np.arange(_INTEGER_BYTES) < sizes[..., None]
    inside[..., 0] &= ~negative
    digits = found - np.uint8(ZERO)
    if (inside & (digits > 9)).any() or (negative & (sizes == 1)).any():
        return None
    values = np.zeros(starts.shape, np.int64)
    for place in range(_INTEGER_BYTES):
        values = np.where(inside[..., place], values * 10 + digits[..., place], values)
    values = np.where(negative, -values, values)
    if (values < -(1 << 31)).any() or (values >= 1 << 31).any():
        return None
    return values.astype(np.int32)


def _categoricals(letters: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray | None:
    there = ends > starts
    digits = DIGIT[_bytes(letters, starts, HEX_DIGITS)]
    if not ((ends - starts)[there] == HEX_DIGITS).all() or (digits[there] > 15).any():
        return None
    values = np.zeros(starts.shape, np.uint32)
    for place in range(HEX_DIGITS):
        values = values << np.uint32(4) | digits[..., place]
    return np.where(there, values, np.uint32(0))

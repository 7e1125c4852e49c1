"""Calls of ``src/rows.c``: from raw rows to what a model reads.

To compile it takes a third of a second, once, so that it is worth it for one block of a log. Where there is no compiler,
Numba or NumPy do the same.
"""

import ctypes
import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from recsys_bnn.compiled.build import Program, Unavailable, build, load

PROGRAM = Program(Path(__file__).parent / "src", "rows.c")
_LOCK = threading.Lock()


class Kind(IntEnum):
    """What the values of a column are."""

    READY = 0
    """Four bytes each, as the model reads them."""
    KEYS = 1
    """uint32, to be looked up."""
    COUNTS32 = 2
    """int32, to be looked up in a table of what small counts become."""
    COUNTS64 = 3


@dataclass(frozen=True)
class Values:
    """One column of raw values."""

    kind: Kind
    values: np.ndarray
    """[N]."""
    valid: np.ndarray
    """Bitmap that tells which are not missing, uint8, least significant bit first; empty if none is missing."""
    offset: int = 0
    """Position of the first value in the bitmap."""
    table: np.ndarray | None = None
    """Slots of keys, or float32 [V] by count."""


class Cell(IntEnum):
    """What the cells of a column of text are."""

    SKIPPED = 0
    TEXT = 1
    HEX = 2
    """8 lowercase hex digits, or nothing."""
    WHOLE = 3
    """A whole number of 32 bits, or nothing."""
    INDEX = 4
    """libFM's feature that is present."""


@dataclass(frozen=True)
class Texts:
    """A column of texts."""

    ends: np.ndarray
    """Where each ends, behind a 0, int32 [N + 1]."""
    letters: np.ndarray
    """uint8, at least as many as they have."""


@dataclass(frozen=True)
class Numbers:
    """A column of numbers of 32 bits."""

    values: np.ndarray
    """uint32 [N]; 0 where missing."""
    valid: np.ndarray | None
    """Bitmap, uint8 [ceil(N / 8)]; None if none is missing."""


class _Cells(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        ("missing", ctypes.c_int64),
        ("values", ctypes.c_void_p),
        ("valid", ctypes.c_void_p),
        ("ends", ctypes.c_void_p),
        ("letters", ctypes.c_void_p),
    )


class _Column(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("valid", ctypes.c_void_p),
        ("table", ctypes.c_void_p),
        ("offset", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("kind", ctypes.c_int32),
        ("odd", ctypes.c_int32),
    )


def calls() -> ctypes.CDLL | None:
    """Return the library, compiled now if need be; None where it can't be."""
    with _LOCK:
        return _calls()


@functools.cache
def _calls() -> ctypes.CDLL | None:
    try:
        library = load(build(PROGRAM))
    except Unavailable:
        return None
    pointer, int64 = ctypes.c_void_p, ctypes.c_int64
    for name, result, *arguments in (
        ("rr_lines", int64, pointer, int64),
        ("rr_criteo", ctypes.c_int, pointer, *[int64] * 3, *[pointer] * 4, ctypes.c_int),
        ("rr_table", ctypes.c_int, pointer, *[int64] * 2, pointer, int64, *[ctypes.c_int] * 2),
        ("rr_fill", None, pointer, pointer, int64, pointer, int64),
        ("rr_encode", None, pointer, int64, int64, pointer),
    ):
        call = getattr(library, name)
        call.restype, call.argtypes = result, arguments
    return library


def count_lines(text: bytes) -> int:
    """Return the number of line feeds."""
    library = calls()
    if library:
        return library.rr_lines(text, len(text))
    # bytes.count stops at each one it finds, which is slow for so many.
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))


def criteo(
    library: ctypes.CDLL,
    text: bytes,
    labels: np.ndarray,
    integers: np.ndarray,
    categoricals: np.ndarray,
    valid: np.ndarray,
    *,
    labelled: bool,
) -> bool:
    """Fill columns from whole lines of Criteo's text; return False at the first byte that is not as expected.

    Args:
        library: What :func:`calls` returned.
        text: Lines, each with its line feed.
        labels: uint8 [N], for as many rows as there are line feeds.
        integers: int32 [13, N]; 0 where missing.
        categoricals: uint32 [26, N]; 0 where missing.
        valid: Bitmaps of integers and categoricals, uint8 [39, ceil(N / 8)], all bits set; those of missing values are
            cleared.
        labelled: Whether a line begins with a label.
    """
    places = (array.ctypes.data for array in (labels, integers, categoricals, valid))
    return bool(library.rr_criteo(text, len(text), len(labels), valid.shape[1], *places, labelled))


def table(
    library: ctypes.CDLL, text: bytes, kinds: Sequence[Cell], separator: str, *, quoted: bool
) -> list[Texts | Numbers] | None:
    """Return the columns of a table of text that are not skipped, or None where it is not certainly one.

    Args:
        library: What :func:`calls` returned.
        text: Lines, each with its line feed; whether bytes beyond ASCII are UTF-8 is looked at, too.
        kinds: What the cells of each column are.
        separator: A character of ASCII that stands between cells.
        quoted: Whether a double quote means anything, which makes this give up.
    """
    rows = library.rr_lines(text, len(text))
    found = [_empty(kind, rows, len(text)) for kind in kinds]
    made = (_Cells * len(kinds))(*map(_cells, kinds, found))
    state = library.rr_table(
        text, len(text), rows, ctypes.addressof(made), len(kinds), ord(separator), quoted
    )
    if not state or (state & 2 and not _is_utf8(text)):
        return None
    return [_seen(column, cells.missing) for column, cells in zip(found, made, strict=True) if column]


def _empty(kind: Cell, rows: int, size: int) -> Texts | Numbers | None:
    if kind == Cell.SKIPPED:
        return None
    if kind == Cell.TEXT:
        return Texts(np.empty(rows + 1, np.int32), np.empty(size, np.uint8))
    return Numbers(np.empty(rows, np.uint32), np.full(-(-rows // 8), 0xFF, np.uint8))


def _cells(kind: Cell, column: Texts | Numbers | None) -> _Cells:
    if isinstance(column, Texts):
        return _Cells(kind=kind, ends=column.ends.ctypes.data, letters=column.letters.ctypes.data)
    if isinstance(column, Numbers) and column.valid is not None:
        return _Cells(kind=kind, values=column.values.ctypes.data, valid=column.valid.ctypes.data)
    return _Cells(kind=kind)


def _seen(column: Texts | Numbers, missing: int) -> Texts | Numbers:
    if isinstance(column, Texts):
        return Texts(column.ends, column.letters[: column.ends[-1]])
    return column if missing else Numbers(column.values, None)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def slots(library: ctypes.CDLL, keys: np.ndarray, ids: np.ndarray, size: int, free: int) -> np.ndarray:
    """Return an open-addressing hash table, int32 [``size``, 2], of distinct keys (uint32 [V]) and their ids (int32 [V])."""
    made = np.full((size, 2), free, np.int32)
    library.rr_fill(
        _address(keys, np.uint32), _address(ids, np.int32), len(keys), _address(made, np.int32), size
    )
    return made


def encode(library: ctypes.CDLL, columns: Sequence[Values], out: np.ndarray) -> list[int]:
    """Write columns as rows.

    Args:
        library: What :func:`calls` returned.
        columns: C columns of N values.
        out: float32 or int32 [N, C], C-contiguous; NaN or the id of a missing value where one is missing.

    Returns:
        Numbers of the columns of counts in which some are beyond the table; those are still to be written.
    """
    assert out.itemsize == 4 and out.flags.c_contiguous and all(len(c.values) == len(out) for c in columns)
    made = (_Column * len(columns))(*map(_column, columns))
    library.rr_encode(ctypes.addressof(made), len(columns), len(out), out.ctypes.data)
    return [index for index, column in enumerate(made) if column.odd]


def _column(column: Values) -> _Column:
    table = column.table
    return _Column(
        values=column.values.ctypes.data,
        valid=column.valid.ctypes.data if len(column.valid) else None,
        table=None if table is None else table.ctypes.data,
        offset=column.offset,
        size=0 if table is None else len(table),
        kind=column.kind,
    )


def _address(array: np.ndarray, kind: type) -> int:
    assert array.dtype == kind and array.flags.c_contiguous
    return array.ctypes.data

"""The structures of the C engine (``src/*.h``), and arrays as it reads them."""

import ctypes
from ctypes import c_float, c_int32, c_void_p

import numpy as np

CLASSES = ("1 row", "2 to 8 rows", "more rows")
"""Numbers of rows that a layer may run differently for, as ``class_of`` in engine.c."""
OVERREAD = 64
"""Bytes behind an array that the engine may read."""
_COPIED_BELOW = 2**20


class Way(ctypes.Structure):
    """One kernel with its weights."""

    _fields_ = [
        ("kernel", c_int32),
        ("steps", c_int32),
        ("scale", c_int32),
        ("row_scale", c_int32),
        ("small", c_int32),
        ("unused", c_int32),
        ("weights", c_void_p),
        ("correction", c_void_p),
        ("float_correction", c_void_p),
    ]


class Layer(ctypes.Structure):
    """A layer and its ways to run."""

    _fields_ = [
        *(
            (name, c_int32)
            for name in ("input", "inputs", "sections", "section", "depth", "outputs", "padded")
        ),
        ("mul", c_int32),
        ("add", c_int32),
        *((name, c_float) for name in ("low", "high", "slope", "unused")),
        *((name, c_void_p) for name in ("scale", "shift", "threshold", "gain", "bias")),
        ("ways", Way * len(CLASSES)),
    ]


class Part(ctypes.Structure):
    """The cold or the hot rows."""

    _fields_ = [("base", c_void_p), *((name, c_int32) for name in ("bits", "bytes", "mul", "add"))]


class Table(ctypes.Structure):
    """All tables."""

    _fields_ = [
        *(
            (name, c_int32)
            for name in ("fields", "dim", "lanes", "kind", "has_hot", "hashed", "fixed", "plain")
        ),
        *((name, c_int32) for name in ("vectors", "singles", "lists", "unused")),
        ("parts", Part * 2),
        *((name, c_void_p) for name in ("cardinality", "rows", "hot_rows", "scale", "hot_scale")),
        *(
            (name, c_void_p)
            for name in ("row_scale", "row_bias", "cold_offset", "group_starts", "pair_scale", "widths")
        ),
    ]


class FirstOrder(ctypes.Structure):
    """The wide part."""

    _fields_ = [
        ("bias", c_float),
        ("unused", c_float),
        *((name, c_void_p) for name in ("offset", "rows", "codes", "scale", "integer_weights")),
    ]


class Model(ctypes.Structure):
    """A model."""

    _fields_ = [
        *((name, c_int32) for name in ("integers", "flags", "has_first_order", "block")),
        *((name, c_int32) for name in ("bottoms", "tops", "threads", "unused")),
        ("bottom", c_void_p),
        ("top", c_void_p),
        ("table", Table),
        ("methods", c_int32 * len(CLASSES)),
        ("padding", c_int32),
        ("first", FirstOrder),
        ("slots", c_void_p * 16),
        ("pool", c_void_p),
    ]


SIZES = [ctypes.sizeof(kind) for kind in (Way, Layer, Table, FirstOrder, Model)]


def round_up(count: int, to: int) -> int:
    """Return the least multiple of ``to`` at or above ``count``."""
    return -(-count // to) * to


def aligned(array: np.ndarray, behind: int = OVERREAD) -> np.ndarray:
    """Return a copy at a multiple of 64 bytes, with ``behind`` bytes of 0 behind it."""
    array = np.ascontiguousarray(array)
    memory = np.zeros(array.nbytes + behind + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def readable(array: np.ndarray, alignment: int) -> np.ndarray:
    """Return ``array``, or a copy where it is small or not aligned, or where what is behind it may not be read.

    Memory comes in pages of 4096 bytes at least, so what stands on a page with the array's last byte can be read.
    """
    last = array.ctypes.data + array.nbytes - 1
    same_page = last // 4096 == (last + OVERREAD) // 4096
    good = array.flags.c_contiguous and same_page and array.ctypes.data % alignment == 0
    return array if good and array.nbytes >= _COPIED_BELOW else aligned(array)


class Arrays:
    """Keeps arrays as long as a structure points to them."""

    def __init__(self) -> None:
        self._kept: list[object] = []

    def address(self, array: np.ndarray) -> int:
        """Return the address of ``array``, which is kept."""
        self._kept.append(array)
        return array.ctypes.data

    def padded(self, values: np.ndarray, count: int, dtype: type, fill: float = 0) -> int:
        """Return the address of a copy of ``values`` (last axis) with ``fill`` up to ``count``."""
        values = np.asarray(values)
        padded = np.full((*values.shape[:-1], count), fill, dtype)
        padded[..., : values.shape[-1]] = values
        return self.address(aligned(padded))

    def keep(self, thing: object) -> None:
        """Keep ``thing``."""
        self._kept.append(thing)

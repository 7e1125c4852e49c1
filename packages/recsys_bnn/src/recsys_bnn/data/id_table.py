"""From keys to ids: an open-addressing hash table, compiled by Numba, or a binary search where few rows are asked for.

The table takes one pass over a column, without its distinct keys being sought first as a general dictionary encoding
does. To import Numba takes as long as to search for the ids of some hundred thousand rows.
"""

import sys

import numpy as np

OUT_OF_VOCABULARY, MISSING, FIRST_VALUE = 0, 1, 2
FREE = -1
WORTH_COMPILING = 50_000
"""Rows of a column that are worth the import of Numba."""


def is_compiled() -> bool:
    """Say whether something else has imported Numba already."""
    return "numba" in sys.modules


class IdTable:
    """Ids of distinct keys.

    Args:
        keys: uint32 [V], rising.
        ids: int32 [V].
    """

    def __init__(self, keys: np.ndarray, ids: np.ndarray):
        self._keys, self._ids = keys, ids
        self._slots: tuple[np.ndarray, np.ndarray] | None = None

    def lookup(self, keys: np.ndarray, valid: np.ndarray, offset: int, ids: np.ndarray) -> None:
        """Write the id of each key to ``ids``: ``OUT_OF_VOCABULARY`` for one that has none, ``MISSING`` for a missing key.

        Args:
            keys: uint32 [N].
            valid: Bitmap that tells which keys are not missing, uint8; empty if none is.
            offset: Position of the first key in the bitmap.
            ids: Result, int32 [N].
        """
        if len(keys) >= WORTH_COMPILING or is_compiled():
            from recsys_bnn.data.id_kernel import lookup

            self._slots = self._slots or hash_table(self._keys, self._ids)
            lookup(keys, valid, offset, *self._slots, ids)
        else:
            self.search(keys, valid, offset, ids)

    def search(self, keys: np.ndarray, valid: np.ndarray, offset: int, ids: np.ndarray) -> None:
        """Do the same without Numba."""
        if len(self._keys):
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            np.copyto(ids, np.where(self._keys[places] == keys, self._ids[places], OUT_OF_VOCABULARY))
        else:
            ids[:] = OUT_OF_VOCABULARY
        if len(valid):
            there = np.unpackbits(valid, count=offset + len(keys), bitorder="little")[offset:]
            ids[there == 0] = MISSING


def hash_table(keys: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return slots that hold distinct ``keys`` (uint32 [V]) and their ``ids`` (int32 [V]), at most half of them taken.

    Linear probing from the slot that multiplicative hashing gives (Knuth, The Art of Computer Programming, vol. 3,
    6.4). A free slot has the id ``FREE``. The number of slots is a power of two.
    """
    from recsys_bnn.data.id_kernel import fill

    size = 1 << max(4, (2 * len(keys) - 1).bit_length())
    slot_keys, slot_ids = np.zeros(size, np.uint32), np.full(size, FREE, np.int32)
    fill(keys, ids, slot_keys, slot_ids)
    return slot_keys, slot_ids

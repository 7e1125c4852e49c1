"""From keys to ids: an open-addressing hash table in C, or a binary search where few rows are asked for.

The table takes one pass over a column, without its distinct keys being sought first as a general dictionary encoding
does. Without a C compiler Numba does the same, whose import takes as long as to search for the ids of some hundred
thousand rows.
"""

import sys
from functools import cached_property

import numpy as np

from recsys_bnn.compiled import rows as in_c
from recsys_bnn.compiled.rows import Kind, Values

OUT_OF_VOCABULARY, MISSING, FIRST_VALUE = 0, 1, 2
FREE = -1
WORTH_TABLE = 4096
"""Rows of a column that are worth a table in C."""
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

    def make(self) -> None:
        """Make the table now, so that few rows are looked up in it, too."""
        if self.slots is None:
            _ = self._pair

    @cached_property
    def slots(self) -> np.ndarray | None:
        """The table, as :class:`recsys_bnn.compiled.rows.Values` takes it; None where no C runs."""
        library = in_c.calls()
        if library is None:
            return None
        keys, ids = map(np.ascontiguousarray, (self._keys, self._ids))
        return in_c.slots(library, keys, ids, slot_count(len(keys)), FREE)

    @cached_property
    def _pair(self) -> tuple[np.ndarray, np.ndarray]:
        return hash_table(self._keys, self._ids)

    def lookup(self, keys: np.ndarray, valid: np.ndarray, offset: int, ids: np.ndarray) -> None:
        """Write the id of each key to ``ids``: ``OUT_OF_VOCABULARY`` for one that has none, ``MISSING`` for a missing key.

        Args:
            keys: uint32 [N].
            valid: Bitmap that tells which keys are not missing, uint8; empty if none is.
            offset: Position of the first key in the bitmap.
            ids: Result, int32 [N].
        """
        worth = len(keys) >= WORTH_TABLE or "slots" in self.__dict__
        library = in_c.calls() if worth else None
        if library:
            in_c.encode(library, [Values(Kind.KEYS, keys, valid, offset, self.slots)], ids)
        elif len(keys) >= WORTH_COMPILING or is_compiled():
            from recsys_bnn.data.id_kernel import lookup

            lookup(keys, valid, offset, *self._pair, ids)
        else:
            self.search(keys, valid, offset, ids)

    def search(self, keys: np.ndarray, valid: np.ndarray, offset: int, ids: np.ndarray) -> None:
        """Do the same by a binary search."""
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

    size = slot_count(len(keys))
    slot_keys, slot_ids = np.zeros(size, np.uint32), np.full(size, FREE, np.int32)
    fill(keys, ids, slot_keys, slot_ids)
    return slot_keys, slot_ids


def slot_count(keys: int) -> int:
    """Return the number of slots for so many keys, a power of two."""
    return 1 << max(4, (2 * keys - 1).bit_length())

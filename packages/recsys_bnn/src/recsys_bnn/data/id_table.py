"""From keys to ids: an open-addressing hash table, compiled by Numba.

One pass over a column, without its distinct keys being sought first as a general dictionary encoding does. The
kernel holds no lock, so chunks are encoded in parallel.
"""

import numpy as np
from numba import njit

OUT_OF_VOCABULARY, MISSING, FIRST_VALUE = 0, 1, 2
_FREE = -1


def hash_table(keys: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return slots that hold distinct ``keys`` (uint32 [V]) and their ``ids`` (int32 [V]), at most half of them taken.

    Linear probing from the slot that multiplicative hashing gives (Knuth, The Art of Computer Programming, vol. 3,
    6.4). A free slot has the id -1. The number of slots is a power of two.
    """
    size = 1 << max(4, (2 * len(keys) - 1).bit_length())
    slot_keys, slot_ids = np.zeros(size, np.uint32), np.full(size, _FREE, np.int32)
    _fill(keys, ids, slot_keys, slot_ids)
    return slot_keys, slot_ids


@njit(nogil=True, cache=True)
def lookup(keys, valid, offset, slot_keys, slot_ids, ids) -> None:
    """Write the id of each key to ``ids``: ``OUT_OF_VOCABULARY`` for one that has none, ``MISSING`` for a missing key.

    Args:
        keys: uint32 [N].
        valid: Bitmap that tells which keys are not missing, uint8; empty if none is.
        offset: Position of the first key in the bitmap.
        slot_keys: Keys of :func:`hash_table`.
        slot_ids: Ids of :func:`hash_table`.
        ids: Result, int32 [N].
    """
    for row in range(len(keys)):
        bit = row + offset
        if len(valid) and not (valid[bit >> 3] >> (bit & 7)) & 1:
            ids[row] = MISSING
            continue
        slot = _slot(keys[row], slot_keys, slot_ids)
        ids[row] = OUT_OF_VOCABULARY if slot_ids[slot] == _FREE else slot_ids[slot]


@njit(nogil=True, cache=True)
def _fill(keys, ids, slot_keys, slot_ids) -> None:
    for index in range(len(keys)):
        slot = _slot(keys[index], slot_keys, slot_ids)
        slot_keys[slot], slot_ids[slot] = keys[index], ids[index]


@njit(nogil=True, cache=True)
def _slot(key, slot_keys, slot_ids):
    """Return the slot that holds ``key``, or the free one where it belongs."""
    last = len(slot_keys) - 1
    slot = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & last
    while slot_ids[slot] != _FREE and slot_keys[slot] != key:
        slot = (slot + 1) & last
    return slot

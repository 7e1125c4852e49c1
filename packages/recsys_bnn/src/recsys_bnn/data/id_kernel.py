"""The open-addressing hash table of :mod:`recsys_bnn.data.id_table`, compiled by Numba; it holds no lock."""

import numpy as np
from numba import njit

from recsys_bnn.data.id_table import FREE, MISSING, OUT_OF_VOCABULARY


@njit(nogil=True, cache=True)
def lookup(keys, valid, offset, slot_keys, slot_ids, ids) -> None:
    """Write the id of each key to ``ids``, as :func:`recsys_bnn.data.id_table.lookup` says it."""
    for row in range(len(keys)):
        bit = row + offset
        if len(valid) and not (valid[bit >> 3] >> (bit & 7)) & 1:
            ids[row] = MISSING
            continue
        slot = _slot(keys[row], slot_keys, slot_ids)
        ids[row] = OUT_OF_VOCABULARY if slot_ids[slot] == FREE else slot_ids[slot]


@njit(nogil=True, cache=True)
def fill(keys, ids, slot_keys, slot_ids) -> None:
    """Put distinct keys and their ids into free slots."""
    for index in range(len(keys)):
        slot = _slot(keys[index], slot_keys, slot_ids)
        slot_keys[slot], slot_ids[slot] = keys[index], ids[index]


@njit(nogil=True, cache=True)
def _slot(key, slot_keys, slot_ids):
    """Return the slot that holds ``key``, or the free one where it belongs."""
    last = len(slot_keys) - 1
    slot = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & last
    while slot_ids[slot] != FREE and slot_keys[slot] != key:
        slot = (slot + 1) & last
    return slot

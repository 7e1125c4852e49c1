"""Ids of keys: the tables and the search give the same."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.data import id_table
from recsys_bnn.data.chunks import cells
from recsys_bnn.data.id_table import MISSING, OUT_OF_VOCABULARY, IdTable

keys = st.integers(0, 9) | st.sampled_from([2**31, 2**32 - 1])


@settings(deadline=None)
@given(st.lists(keys, unique=True), st.lists(st.none() | keys, max_size=40), st.integers(0, 9))
def test_a_key_gets_its_id_and_others_those_of_missing_and_unknown(known, column, offset) -> None:
    table = IdTable(np.array(sorted(known), np.uint32), np.arange(2, 2 + len(known), dtype=np.int32))
    ids = {key: id for id, key in enumerate(sorted(known), 2)}
    values = pa.array([None] * offset + column, pa.uint32()).slice(offset)
    expected = [MISSING if key is None else ids.get(key, OUT_OF_VOCABULARY) for key in column]
    for look_up in (table.search, by_numba(table), in_table(table)):
        found = np.empty(len(column), np.int32)
        look_up(*cells(values), found)
        assert found.tolist() == expected


def by_numba(table: IdTable) -> Callable[..., None]:
    from recsys_bnn.data.id_kernel import lookup

    slots = id_table.hash_table(table._keys, table._ids)
    return lambda *column_and_ids: lookup(*column_and_ids[:3], *slots, column_and_ids[3])


def in_table(table: IdTable) -> Callable[..., None]:
    """Look up in the table though there are few keys: in C, or by Numba where there is no compiler."""
    table.make()
    return table.lookup

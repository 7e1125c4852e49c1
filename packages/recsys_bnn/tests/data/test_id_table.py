"""Ids of keys: the compiled table and the search give the same."""

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
    for compiled in (False, True):
        found = np.empty(len(column), np.int32)
        if compiled:
            from recsys_bnn.data.id_kernel import lookup

            lookup(*cells(values), *id_table.hash_table(table._keys, table._ids), found)
        else:
            table.search(*cells(values), found)
        assert found.tolist() == expected

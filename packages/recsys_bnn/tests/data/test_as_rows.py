"""Columns to rows: in C, and by what stands in for it where there is no compiler, bit by bit."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.compiled import rows as rows_in_c
from recsys_bnn.data import as_rows, encoding
from recsys_bnn.data.encoding import Normalisation
from recsys_bnn.data.formats.keys import HexKeys
from recsys_bnn.data.formats.text import count_lines
from recsys_bnn.data.lists import ListIds
from recsys_bnn.data.raw_rows import HashedTextIds, RowEncoder, TextIds
from recsys_bnn.data.vocabulary import FieldVocabulary, HashedVocabulary

ROWS = 300
FEW = np.array([5, 6, 2**32 - 1], np.uint32)
COUNTS = np.zeros(9, np.int64)
PLAIN = (
    FieldVocabulary(FEW, np.array([4, 2, 3], np.int32), COUNTS),
    HashedVocabulary(HexKeys(), COUNTS),
    TextIds(["a", "b"]),
    HashedTextIds(5),
    FieldVocabulary(np.empty(0, np.uint32), np.empty(0, np.int32), COUNTS),
)
FIELDS = (*PLAIN, ListIds(PLAIN[0], 3))
KEYS = st.sampled_from([*FEW.tolist(), 0, 7])
TEXTS = st.sampled_from(["a", "b", "c", ""])
EDGE = st.sampled_from([0, 1, -1, 65535, 65536, 2**31 - 1, -(2**31)]) | st.integers(-9, 300)
LONG = EDGE | st.sampled_from([2**63 - 1, -(2**63), 2**40])
DECIMAL = st.sampled_from([0.0, -0.0, 1.5, -1e300])


def cells(values: st.SearchStrategy, kind: pa.DataType) -> st.SearchStrategy:
    """A column of a few values in their turn, with a beginning that is cut off, or none at all."""
    period = st.lists(st.none() | values, min_size=1, max_size=9)
    column = st.builds(
        lambda some, cut: pa.array((some * (ROWS + 9))[: ROWS + cut], kind).slice(cut),
        period,
        st.integers(0, 9),
    )
    return st.none() | column


COLUMNS = st.tuples(
    cells(EDGE, pa.int32()),
    cells(LONG, pa.int64()),
    cells(DECIMAL, pa.float64()),
    cells(KEYS, pa.uint32()),
    cells(KEYS, pa.uint32()),
    cells(TEXTS, pa.string()),
    cells(TEXTS, pa.string()),
    cells(KEYS, pa.uint32()),
    cells(st.lists(KEYS, max_size=5), pa.list_(pa.uint32())),
)


@settings(deadline=None, max_examples=50)
@given(COLUMNS)
def test_rows_are_the_same_with_and_without_c(columns: Sequence[pa.Array | None]) -> None:
    names = tuple(f"column {i}" for i in range(len(columns)))
    normalisation = Normalisation((0.5, 1.0, -2.0), (1.5, 0.25, 3.0), signed=1)
    encoder = RowEncoder(names[:3], names[3:], ("",) * len(FIELDS), FIELDS, normalisation)
    given_columns = {name: column for name, column in zip(names, columns, strict=True) if column is not None}
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(as_rows, "WORTH_TABLE", 1)
        patch.setattr(encoding, "_WORTH_TABLES", 1)
        found.append(encoder.encode(given_columns, ROWS))
        patch.setattr(rows_in_c, "calls", lambda: None)
        found.append(encoder.encode(given_columns, ROWS))
    for with_c, without in zip(*found, strict=True):
        assert with_c.dtype == without.dtype
        assert with_c.tobytes() == without.tobytes()


def test_a_model_without_integers_has_rows_of_none() -> None:
    for rows in (3, 5000):
        assert Normalisation((), ()).encode_rows([], rows).shape == (rows, 0)


@given(st.lists(st.sampled_from([b"\n", b"\n" * 70, b"x" * 63, b"\0\xff\r", b"\n" * 20_000])))
def test_all_line_feeds_are_counted(parts: list[bytes]) -> None:
    text = b"".join(parts)
    assert count_lines(text) == text.count(b"\n")

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.data.formats.keys import HexKeys, IntegerKeys, TextKeys


def test_hex_digits_and_their_numbers_are_inverse():
    keys = np.array([0, 10, 0x68FD1E64, 2**32 - 1], np.uint32)
    texts = HexKeys().texts(keys)
    assert texts.to_pylist() == ["00000000", "0000000a", "68fd1e64", "ffffffff"]
    assert (HexKeys().keys(texts) == keys).all()


def test_negative_numbers_have_keys_of_their_own():
    texts = pa.array(["-1", "0", "1", "-2147483648", "2147483647"])
    keys = IntegerKeys().keys(texts)
    assert keys.tolist() == [2**32 - 1, 0, 1, 2**31, 2**31 - 1]
    assert IntegerKeys().texts(keys).equals(texts)


def test_texts_are_numbered_as_they_come_and_a_null_stays_one():
    field = TextKeys()
    assert field.column(pa.array(["b", None, "a", "b"])).to_pylist() == [0, None, 1, 0]
    assert field.keys(pa.array(["c", "a"])).tolist() == [2, 1]
    assert field.texts(np.array([2, 0], np.uint32)).to_pylist() == ["c", "b"]


@pytest.mark.parametrize("kind", [HexKeys, IntegerKeys, TextKeys])
def test_no_values_are_no_trouble(kind):
    assert len(kind().keys(pa.array([], pa.string()))) == 0
    assert len(kind().texts(np.array([], np.uint32))) == 0
    assert len(kind().hashes(np.array([], np.uint32))) == 0


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), unique=True, min_size=1))
def test_the_hash_of_a_text_does_not_depend_on_when_it_came(texts):
    one, other = TextKeys(), TextKeys()
    forth, back = one.keys(pa.array(texts)), other.keys(pa.array(texts[::-1]))
    assert (one.hashes(forth) == other.hashes(back)[::-1]).all()
    assert len(set(one.hashes(forth).tolist())) == len(texts)


@pytest.mark.parametrize("kind", [HexKeys, IntegerKeys])
def test_the_hash_of_a_number_is_frozen_as_data_sets_were_hashed_by_it(kind):
    keys = np.array([0, 1, 2**32 - 1], np.uint32)
    assert kind().hashes(keys).tolist() == [16294208416658607535, 10451216379200822465, 8336509955162079680]


def test_hashes_spread_consecutive_numbers_evenly():
    buckets = IntegerKeys().hashes(np.arange(100_000, dtype=np.uint32)) % 100
    counts = np.bincount(buckets.astype(int), minlength=100)
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)

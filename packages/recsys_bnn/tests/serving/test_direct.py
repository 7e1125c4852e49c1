"""The reader in C takes what the plain reader takes, with the same numbers and ids, or leaves it to that one."""

import json
import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgspec")

from recsys_bnn.runtime.packed_file import write_packed
from recsys_bnn.runtime.random_spec import Shape, random_spec
from recsys_bnn.serving import direct
from recsys_bnn.serving.requests import BadRequest
from recsys_bnn.serving.served import Asked, Served, best, served

MOST = 300
KEYS = [0x68FD1E64, 0, 0xFFFFFFFF, 7, 0xFFFFFFFE, 12]  # three of the field `hex`, three of `whole key`
TEXTS = ["u1", "17", "a b"]
VALUES: dict[str, list[Any]] = {
    "age": [0, 3, -5, 123456789012345, None],
    "price": [0, 2.5, -1e-3, 1.25e10, 0.12345678901234567, 1234567.8901234567, None],
    "hex": ["68fd1e64", "68FD1E64", "00000000", "ffffffff", "12345678", "", None],
    "whole key": [7, -2, 12, 2**31 - 1, "7", "-2", "007", "", None],
    "user": ["u1", 17, "17.0", "a b", "nobody", "NA", "", -3, None],
    "bucket": ["68fd1e64", "00000001", "", None],
}
ODD: list[Any] = [
    True,
    [],
    {},
    1.5,
    10**30,
    1e300,
    "x",
    "68fd1e6",
    "68fd1e6g",
    "ü",
    'a"b',
    "é" * 3,
    2**40,
    "-",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Served:
    path = tmp_path_factory.mktemp("direct") / "m.safetensors"
    facts = {
        "format": "table",
        "integer_names": ["age", "price"],
        "categorical_names": list(VALUES)[2:],
        "kinds": ["hex", "integer", "text", "hex"],
        "normalisation": {"mean": [1.0, 0.5], "std": [2.0, 0.3], "kind": "log1p-standardise", "signed": 1},
        "fields": [{"keys": 3}, {"keys": 3}, {"texts": 3}, {"buckets": 11}],
        "missing_numbers": ["", "NA"],
        "missing_texts": ["", "NA"],
        "whole_decimals": True,
        "table_schema": None,
    }
    arrays = {
        "keys": np.array(KEYS, np.uint32),
        "letters": np.frombuffer("".join(TEXTS).encode(), np.uint8),
        "lengths": np.array([len(text) for text in TEXTS], np.int32),
    }
    spec = random_spec(Shape(integers=2, cardinalities=[5, 5, 5, 13], dim=4), np.random.default_rng(0))
    write_packed(path, spec, arrays, {"name": "float", "encoding": facts})
    if direct.library() is None:
        pytest.skip("no C compiler")
    return served(path, "numpy", MOST)


def plain(model: Served, body: bytes, ranks: bool) -> Asked | None:
    """Return what the reader without C finds; None for a bad body."""
    before, model._direct = model._direct, None
    try:
        return model.asked_ranks(body) if ranks else model.asked_scores(body)
    except BadRequest:
        return None
    finally:
        model._direct = before


def agree(model: Served, body: bytes, ranks: bool) -> bool:
    """Compare the two readers; return whether C took the body."""
    found = model._read(body, ranks=ranks)
    if found is None:
        return False
    expected = plain(model, body, ranks)
    assert expected is not None, body
    np.testing.assert_array_equal(found.integers, expected.integers, str(body))
    np.testing.assert_array_equal(found.ids, expected.ids, str(body))
    assert (found.unknown, found.top) == (expected.unknown, expected.top), body
    return True


def drawn(rng: random.Random, ranks: bool, odd: float = 0.0) -> bytes:
    """Return a body with values of all kinds."""
    rows = rng.choice([1, 2, 3, 64, 65, 130])
    own = [name for name in VALUES if not ranks or rng.random() < 0.6] or ["user"]

    def value(name: str) -> Any:
        return rng.choice(ODD if rng.random() < odd / rows else VALUES[name])

    columns: Any = {name: [value(name) for _ in range(rows)] for name in own}
    if rng.random() < 0.5:
        columns = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    parts: dict[str, Any] = {"candidates" if ranks else "rows": columns}
    if ranks:
        parts["context"] = {name: value(name) for name in VALUES if name not in own}
        parts |= {"top": rng.choice([None, 1, rows, 10**6])} if rng.random() < 0.7 else {}
    order = rng.sample(list(parts), len(parts))
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")])
    return json.dumps({name: parts[name] for name in order}, separators=separators).encode()


@pytest.mark.parametrize("ranks", [True, False])
def test_the_usual_form_is_taken_and_means_the_same(model: Served, ranks: bool) -> None:
    rng = random.Random(0)
    for _ in range(30):
        assert agree(model, drawn(rng, ranks), ranks)


@pytest.mark.parametrize("ranks", [True, False])
def test_what_is_odd_or_damaged_means_the_same_or_is_left(model: Served, ranks: bool) -> None:
    rng, taken = random.Random(1), 0
    for _ in range(80):
        body = drawn(rng, ranks, odd=0.1)
        taken += agree(model, body, ranks)
        damaged = bytearray(body)
        place = rng.randrange(len(body))
        damaged[place : place + rng.choice([0, 1, 1, 9])] = rng.choice(
            [b"", b"\0", b'"', b",", b"{", b"]", b"\\", b"9"]
        )
        agree(model, bytes(damaged), ranks)
        agree(model, body[:place], ranks)
    assert 0 < taken < 80


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"rows": []}',
        b'{"rows": {}}',
        b'{"rows": [{}]}',
        b'{"rows": [{"age": 1}]} 2',
        b'{"rows": [{"age": 1}], "rows": [{"age": 1}]}',
        b'{"rows": {"age": [1], "age": [1]}}',
        b'{"rows": [{"age": 1, "age": 1}]}',
        b'{"rows": {"more": [1]}}',
        b'{"rows": {"hex": ["68fd1e64"',
        b'{"rows": {"hex": ["68f',
        b'{"rows": {"hex": ["',
    ],
)
def test_a_body_that_is_no_request_is_left(body: bytes, model: Served) -> None:
    assert model._read(body, ranks=False) is None


def test_rows_beyond_the_limit_are_left(model: Served) -> None:
    row = {name: values[0] for name, values in VALUES.items()}
    assert model._read(json.dumps({"rows": [row] * MOST}).encode(), ranks=False) is not None
    assert model._read(json.dumps({"rows": [row] * (MOST + 1)}).encode(), ranks=False) is None


def test_the_best_are_those_of_a_whole_sort() -> None:
    rng = np.random.default_rng(0)
    for top in (1, 5, 40):
        probabilities = rng.integers(0, 6, 40) / 6
        probabilities[rng.random(40) < 0.1] = np.nan
        expected = np.argsort(-probabilities, kind="stable")[:top]
        np.testing.assert_array_equal(best(probabilities, top), expected)

"""A stored result knows what it was computed from."""

from pathlib import Path

import numpy as np
import pytest

from seminar_common.errors import UserError
from seminar_common.identity import code_digest, digest, require_same

HERE = Path("study/found")


def test_the_digest_knows_values_and_not_the_order_of_names():
    assert digest({"a": 1, "b": "x"}) == digest({"b": "x", "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": np.int64(1), "p": Path("x")}) == digest({"a": 1, "p": "x"})


def test_equal_facts_pass_and_stored_ones_may_say_more():
    require_same({"data": "d1", "size": 32, "note": "old"}, {"data": "d1", "size": np.int64(32)}, HERE, "no")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (None, "study/found: does not say what it was computed from; take another --out"),
        ({"data": "d1"}, "study/found: does not say its image size; take another --out"),
        (
            {"data": "d1", "image_size": 64},
            "study/found: was computed from another image size (64 there, 32 here); take another --out",
        ),
    ],
)
def test_what_differs_is_named_with_the_way_out(stored, message):
    with pytest.raises(UserError) as error:
        require_same(stored, {"data": "d1", "image_size": 32}, HERE, "take another --out")
    assert str(error.value) == message


def test_the_code_of_a_package_changes_its_digest(tmp_path, monkeypatch):
    package = tmp_path / "made_up"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("LIMIT = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_digest("made_up"), code_digest("made_up.part"), code_digest("seminar_common.errors")
    (package / "part.py").write_text("LIMIT = 2\n")
    after = code_digest("made_up"), code_digest("made_up.part"), code_digest("seminar_common.errors")
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]
    with pytest.raises(LookupError):
        code_digest("made_up_too")

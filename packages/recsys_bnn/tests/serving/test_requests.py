import json

import pytest

msgspec = pytest.importorskip("msgspec")

from recsys_bnn.serving.requests import LONGEST, BadRequest, Bodies, Feature  # noqa: E402

FEATURES = [Feature("age", "whole"), Feature("user id", "text"), Feature("C1", "text")]
ROW = {"age": 3, "user id": "u1", "C1": None}


def bodies(max_rows: int = 5) -> Bodies:
    return Bodies(FEATURES, max_rows)


def test_rows_become_columns() -> None:
    body = json.dumps({"rows": [ROW, {"age": 2.5, "user id": 7, "C1": "x"}]}).encode()
    columns, rows = bodies().score(body)
    assert rows == 2
    assert columns == {"age": [3, 2.5], "user id": ["u1", 7], "C1": [None, "x"]}


def test_columns_are_taken_as_they_are() -> None:
    given = {"age": [None, 1], "user id": ["a", "b"], "C1": ["x", "y"]}
    assert bodies().score(json.dumps({"rows": given}).encode()) == (given, 2)


def test_candidates_share_their_context() -> None:
    body = {
        "context": {"user id": "u"},
        "candidates": [{"age": 1, "C1": "a"}, {"age": 2, "C1": "b"}],
        "top": 9,
    }
    asked = bodies().rank(json.dumps(body).encode())
    assert asked.context == {"user id": ("u",)}
    assert asked.candidates == {"age": [1, 2], "C1": ["a", "b"]}
    assert (asked.rows, asked.top) == (2, 2)


def test_all_features_may_stand_in_the_candidates() -> None:
    asked = bodies().rank(json.dumps({"candidates": [ROW]}).encode())
    assert asked.context == {} and asked.top == 1


def wide(**changes: object) -> dict[str, object]:
    return {"rows": [ROW, ROW | changes]}


BAD_SCORES = {
    "": (400, "body: not JSON: Input data was truncated"),
    "[": (422, "body: expected object, got array"),
    '{"rows": [NaN]}': (400, "not JSON"),
    '{"rows": [{"age": NaN}]}': (400, "not JSON"),
    '{"rows": [{"age": Infinity}]}': (400, "not JSON"),
    '{"rows": [{"age": 1e999}]}': (422, "rows[0].age: number out of range"),
    '{"rows": [{"age": 1, "user id": "\\ud800"}]}': (400, "not JSON"),
    "nul\0l": (400, "not JSON"),
    "{'rows': []}": (400, "not JSON"),
    '{"rows": []} x': (400, "not JSON"),
    "null": (422, "body: expected object, got null"),
    "[1]": (422, "body: expected object, got array"),
    '"rows"': (422, "body: expected object, got str"),
    "{}": (422, "body: object missing required field rows"),
    '{"rows": null}': (422, "rows: expected object | array, got null"),
    '{"rows": 1}': (422, "rows: expected object | array, got int"),
    '{"rows": []}': (422, "rows: holds none"),
    '{"rows": {}}': (422, "rows: holds none"),
    '{"rows": {"age": []}}': (422, "rows: holds none"),
    '{"rows": {"age": [1]}}': (422, "user id: missing; give it in each row"),
    '{"rows": {"age": 1}}': (422, "rows.age: expected array"),
    '{"rows": {"age": [1], "C1": ["a", "b"]}}': (422, "rows.C1: 2 values, but rows.age has 1"),
    '{"rows": [], "more": 1}': (422, "body: object contains unknown field more"),
    json.dumps(wide(age="3")): (422, "rows[1].age: expected int | float | null, got str"),
    json.dumps(wide(age=10**400)): (422, "rows[1].age: expected int <= 9223372036854775807"),
    json.dumps(wide(C1=-(10**30))): (422, "rows[1].C1: expected int >= -9223372036854775808"),
    json.dumps(wide(age=True)): (422, "rows[1].age: expected int | float | null, got bool"),
    json.dumps(wide(age=[])): (422, "rows[1].age: expected int | float | null, got array"),
    json.dumps(wide(C1=True)): (422, "rows[1].C1: expected int | float | str | null, got bool"),
    json.dumps(wide(C1={})): (422, "rows[1].C1: expected int | float | str | null, got object"),
    json.dumps(wide(C2="a")): (422, "rows[1]: object contains unknown field C2"),
    json.dumps({"rows": [{"age": 1, "C1": "a"}]}): (422, "rows[0]: object missing required field user id"),
    json.dumps({"rows": [ROW] * 6}): (413, "rows: 6, but a request may hold at most 5"),
    '{"rows": ' + "[" * 100_000: (422, "rows[0]: expected object, got array"),
    '{"rows": [{"age": ' + "[" * 100_000: (422, "rows[0].age: expected"),
    "[" * 100_000: (422, "body: expected object, got array"),
    '{"a": ' * 100_000: (422, "unknown field a"),
}


@pytest.mark.parametrize("body", BAD_SCORES, ids=range(len(BAD_SCORES)))
def test_a_bad_body_of_score_is_refused_in_one_line(body: str) -> None:
    status, message = BAD_SCORES[body]
    with pytest.raises(BadRequest) as refused:
        bodies().score(body.encode())
    assert message in str(refused.value) and refused.value.status == status
    assert "\n" not in str(refused.value) and len(str(refused.value)) <= LONGEST


BAD_RANKS = {
    '{"candidates": [{"age": 1}, {"C1": "a"}]}': "candidates[1].age: missing, but other candidates have it",
    '{"candidates": [{"age": 1, "C1": "a"}]}': "user id: missing; give it in the context or each candidate",
    '{"candidates": [{"age": 1, "C1": "a", "user id": "u"}], "context": {"C1": "b"}}': "C1: is in the context and in",
    '{"candidates": [{"age": 1}], "context": []}': "context: expected object, got array",
    '{"candidates": [{"age": 1}], "context": {"age": [1]}}': "context.age: expected int | float | null, got array",
    '{"candidates": [{"age": 1}], "top": 0}': "top: expected int >= 1",
    '{"candidates": [{"age": 1}], "top": 1.5}': "top: expected int | null, got float",
    '{"candidates": [{"age": 1}], "top": "3"}': "top: expected int | null, got str",
    '{"candidates": [{}]}': "age: missing; give it in the context or each candidate",
    '{"candidates": []}': "candidates: holds none",
    '{"context": {}}': "body: object missing required field candidates",
}


@pytest.mark.parametrize("body", BAD_RANKS, ids=range(len(BAD_RANKS)))
def test_a_bad_body_of_rank_is_refused_in_one_line(body: str) -> None:
    with pytest.raises(BadRequest) as refused:
        bodies().rank(body.encode())
    assert BAD_RANKS[body] in str(refused.value) and refused.value.status == 422


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(BadRequest, match="not JSON"):
        bodies().score(b'{"rows": [{"age": 1, "user id": "\xff"}]}')


def test_a_field_of_a_megabyte_makes_no_message_of_a_megabyte() -> None:
    with pytest.raises(BadRequest) as refused:
        bodies().score(json.dumps({"rows": [{"x\ny" * 300_000: 1}]}).encode())
    assert len(str(refused.value)) <= LONGEST and "\n" not in str(refused.value)


def test_a_text_of_a_megabyte_is_a_text() -> None:
    columns, _ = bodies().score(json.dumps({"rows": [ROW | {"C1": "x" * 1_000_000}]}).encode())
    assert len(columns["C1"][0]) == 1_000_000

import dataclasses
import json
from pathlib import Path

import pytest

from seminar_common.errors import UserError
from seminar_common.results import Curve, Results, Row, merge, read_results, write_results

ROW = Row("binary", "criteo-10k", "test", "roc_auc", 0.73, 0.71, 0.75, n=2000, seeds=(0, 1))


def test_results_survive_the_disk(tmp_path: Path) -> None:
    curve = Curve("roc", "binary", "criteo-10k", "test", (0.0, 1.0), (0.0, 1.0))
    results = Results("recsys-bnn evaluate", (ROW,), (curve,), ("Read this first.",))
    write_results(tmp_path / "results.json", results)
    read = read_results(tmp_path)
    assert read == results


def test_keys_without_a_value_are_left_out(tmp_path: Path) -> None:
    write_results(
        tmp_path / "results.json", Results("c", (Row("float", "d", "", "size_mb", 1.0, unit="MB"),))
    )
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["schema"] == 2
    assert document["rows"] == [
        {"model": "float", "dataset": "d", "split": "", "metric": "size_mb", "value": 1.0, "unit": "MB"}
    ]


def test_a_topic_brings_keys_of_its_own_that_stand_flat_in_the_row(tmp_path: Path) -> None:
    row = dataclasses.replace(ROW, facts={"imbalance": 25.6, "k": "estimated"})
    write_results(tmp_path / "results.json", Results("c", (row,)))
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["rows"][0].items() >= {"model": "binary", "imbalance": 25.6, "k": "estimated"}.items()
    read = read_results(tmp_path)
    assert read.rows == (row,)
    assert read.one(k="estimated", metric="roc_auc") == row
    assert (row.get("imbalance"), row.get("model"), row.get("unheard_of")) == (25.6, "binary", None)


@pytest.mark.parametrize("facts", [{"model": "x"}, {"facts": "x"}, {"curve": [1, 2]}, {"k": None}])
def test_a_topics_key_is_its_own_and_holds_one_thing(facts: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(facts))):
        dataclasses.replace(ROW, facts=facts)


def test_a_table_of_schema_1_is_read_with_the_topics_keys_as_facts(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(
        '{"schema": 1, "command": "c", "rows": [{"model": "m", "dataset": "d", "split": "test",'
        ' "metric": "nmi", "value": 0.5, "unit": "", "seeds": [0, 1], "labels": 20, "k": "true"}], "curves": []}'
    )
    (row,) = read_results(tmp_path).rows
    assert (row.seeds, row.facts) == ((0, 1), {"labels": 20, "k": "true"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Row("float", "d", "test", "roc_auc", value)


@pytest.mark.parametrize(("text", "message"), [
    ('{"schema": 1, "rows": [3]}', "row 1 is not valid"),
    ("[]", "expected a results table"),
    ('{"schema": 3, "rows": []}', "schema 1 or 2, found 3"),
    ('{"schema": 1, "rows": [{"model": "x"}]}', "row 1 is not valid"),
    ('{"schema": 2, "rows": [{"model": "m", "dataset": "d", "split": "", "metric": "x", "value": 1, "own": {}}]}', "own"),
    ('{"schema": 2, "curves": [{"kind": "roc", "typo": 2}]}', "curve 1 is not valid.*typo"),
])  # fmt: skip
def test_a_table_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_results(tmp_path)


def test_one_wants_exactly_one_row() -> None:
    results = Results("c", (ROW, ROW))
    with pytest.raises(LookupError, match="2 rows"):
        results.one(metric="roc_auc")
    with pytest.raises(LookupError, match="0 rows"):
        results.one(metric="accuracy")


def test_merge_keeps_all_rows_in_order() -> None:
    other = Row("float", "criteo-10k", "test", "roc_auc", 0.74)
    merged = merge([Results("a", (ROW,)), Results("b", (other,))], "both")
    assert merged.rows == (ROW, other)
    assert merged.command == "both"

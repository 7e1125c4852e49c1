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
    assert document["schema"] == 1
    assert document["rows"] == [
        {"model": "float", "dataset": "d", "split": "", "metric": "size_mb", "value": 1.0, "unit": "MB"}
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Row("float", "d", "test", "roc_auc", value)


@pytest.mark.parametrize(("text", "message"), [
    ('{"schema": 1, "rows": [3]}', "row 1 is not valid"),
    ("[]", "expected a results table"),
    ('{"schema": 2, "rows": []}', "schema 1, found 2"),
    ('{"schema": 1, "rows": [{"model": "x"}]}', "row 1 is not valid"),
    ('{"schema": 1, "rows": [{"model": "m", "dataset": "d", "split": "", "metric": "x", "value": 1, "typo": 2}]}', "typo"),
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

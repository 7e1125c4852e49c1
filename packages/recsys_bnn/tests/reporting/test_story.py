"""What this topic says of rows, on hand-made ones and on those that are committed."""

from pathlib import Path

import pytest

from recsys_bnn.reporting.story import STORY
from seminar_common.report import report
from seminar_common.results import Results, Row, read_results

KEPT = Path(__file__).parents[4] / "docs" / "results" / "recsys_bnn"
STUDIES = [KEPT / name for name in ("synthetic-5m", "criteo-10k", "ml-100k", "frappe", "inference-study")]


def row(model: str, metric: str, value: float, low=None, high=None, dataset: str = "clicks", **more) -> Row:
    split = "" if metric == "size_mb" else "test"
    return Row(model, dataset, split, metric, value, low, high, n=more.pop("n", 5000), **more)


def model(name: str, size: float, difference: float, low: float, high: float, **more) -> list[Row]:
    return [
        row(name, "size_mb", size, unit="MB", **more),
        row(name, "roc_auc", 0.8 + difference, **more),
        row(name, "roc_auc_difference", difference, low, high, baseline="float", **more),
    ]


FLOAT = [row("float", "size_mb", 30.0, unit="MB"), row("float", "roc_auc", 0.8)]


def answer(question: str, rows: list[Row]):
    ask = next(one for one in STORY.questions if one.text == question)
    return ask.answer([Results("recsys-bnn study", tuple(rows))])


def test_the_smallest_model_without_a_loss_is_named() -> None:
    rows = [
        *FLOAT,
        *model("small", 3.0, 0.0001, -0.0009, 0.0010),  # no room for a loss of 0.001
        *model("smaller", 1.0, -0.0001, -0.0020, 0.0018),  # holds zero, and a loss of 0.002, too
        *model("smallest", 0.5, -0.0100, -0.0110, -0.0090),
    ]
    found = answer("How much smaller at no loss?", rows)
    assert found.sentence == (
        "10.0 times smaller than the float model at no loss of ROC AUC (+0.0001 [−0.0009, +0.0010]): "
        "small on clicks, 3.00\u00a0MB for 30.0\u00a0MB."
    )


def test_where_no_interval_lies_above_the_margin_no_model_is_without_a_loss() -> None:
    rows = [*FLOAT, *model("smaller", 1.0, -0.0001, -0.0020, 0.0018)]
    found = answer("How much smaller at no loss?", rows)
    assert found.sentence.startswith(
        "On clicks no model is surely without a loss: the nearest, smaller, is 30.0 times"
    )
    assert "5,000 examples cannot tell from zero" in found.sentence


def test_a_model_of_a_benchmark_is_no_model_of_a_study() -> None:
    timed = [row("float", "roc_auc", 0.9, engine="torch")]
    found = answer("How much smaller at no loss?", [*FLOAT, *timed, *model("a", 3.0, 0.0, 0.0, 0.0)])
    assert {r.engine for r in found.rows} == {None}
    assert answer("Is it faster?", FLOAT) is None


def test_what_thirty_times_cost_is_set_beside_the_peer() -> None:
    rows = [
        *FLOAT,
        *model("ours", 1.0, -0.0018, -0.0021, -0.0015),
        *model("bitorch-binary", 0.9, -0.03, -0.04, -0.02),
        *model("float-hashed-32x", 1.1, -0.02, -0.03, -0.01),
        row("ours", "roc_auc_difference", 0.018, 0.01, 0.02, baseline="float-hashed-32x"),
    ]
    found = answer("What do 30 times cost?", rows)
    assert (
        "30.0 times smaller than the float model at a loss of 0.0018 [0.0015, 0.0021] ROC AUC"
        in found.sentence
    )
    assert "33.3 times smaller, have a loss of 0.0300 [0.0200, 0.0400] ROC AUC" in found.sentence
    assert "ours is better by +0.0180 [+0.0100, +0.0200] ROC AUC" in found.more[0]
    assert answer("What do 30 times cost?", [*FLOAT, *model("ours", 10.0, 0.0, 0.0, 0.0)]) is None


def test_what_is_counted_is_what_the_differences_say() -> None:
    rows = [
        row("logistic-regression", "roc_auc_difference", d, low, high, name, baseline="float")
        for name, d, low, high in (
            ("a", -0.02, -0.03, -0.01),
            ("b", 0.0, -0.01, 0.01),
            ("c", 0.02, 0.01, 0.03),
        )
    ]
    found = answer("Is the float model a fair reference?", rows)
    assert (
        "surely worse than the float model on 1, surely better on 1, and not told apart on 1."
        in found.sentence
    )
    assert len(found.more) == 3


def test_every_question_has_an_answer_in_the_kept_results() -> None:
    runs = [read_results(folder) for folder in STUDIES]
    assert [question.text for question in STORY.questions if question.answer(runs) is None] == []


def test_nothing_is_said_of_no_rows() -> None:
    assert [question.answer([Results("recsys-bnn study")]) for question in STORY.questions] == [None] * 8


def test_the_kept_results_make_a_seminar_report(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pdfium = pytest.importorskip("pypdfium2")
    out = tmp_path / "report.pdf"
    gaps = report(STUDIES, out, author=["A. Student"])
    assert len(gaps) == 1 and gaps[0].startswith("Introduction, Discussion and Conclusion")
    document = pdfium.PdfDocument(out)
    assert 12 <= len(document) <= 18
    text = " ".join(page.get_textpage().get_text_bounded() for page in document)
    assert "?]" not in text and all(f"[{n}]" in text for n in range(1, len(STORY.references) + 1))

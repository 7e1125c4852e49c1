"""What this topic says of rows, on hand-made ones and on those that are committed."""

from pathlib import Path

import pytest

from gcd_longtail.reporting.story import STORY
from seminar_common.report import report
from seminar_common.results import Results, Row, read_results

KEPT = Path(__file__).parents[4] / "docs" / "results" / "gcd_longtail"
STUDIES = [KEPT / name for name in ("study", "ablation", "k", "loop")]


def row(model: str, metric: str, value: float, low=None, high=None, dataset: str = "photos", **more) -> Row:
    facts = {key: more.pop(key) for key in ("over", "decisions") if key in more}
    split = more.pop("split", "transductive")
    return Row(model, dataset, split, metric, value, low, high, n=500, facts=facts, **more)


def answer(question: str, rows: list[Row]):
    ask = next(one for one in STORY.questions if one.text == question)
    return ask.answer([Results("gcd-longtail study", tuple(rows))])


LEADS = [
    row("ours", "macro_all_gain", value, low, high, dataset, over="ward")
    for dataset, value, low, high in (
        ("a", 0.02, 0.004, 0.036),
        ("b", 0.009, -0.002, 0.02),
        ("c", -0.03, -0.04, -0.02),
    )
]


def test_a_lead_is_counted_by_its_interval() -> None:
    found = answer("Which method groups best?", LEADS)
    assert found.sentence == (
        "Over all classes of unlabelled images ours is surely ahead of the best other method on 1 of 3 data sets, "
        "surely behind on 1, and not told apart on 1; the largest lead is +2.0\u00a0points [+0.4, +3.6] over ward on a."
    )
    assert [text.split()[-1] for text in found.more] == ["better.", "apart.", "worse."]


def test_a_number_that_was_assumed_is_no_number_that_was_found() -> None:
    rows = [
        row("k by hidden-classes", "k_absolute_error", 0.1, dataset="a"),
        row("k by counts", "k_absolute_error", 0.05, dataset="a"),
        row("k by hidden-classes", "k_absolute_error", 0.2, dataset="b"),
        row("k by hidden-classes", "k_absolute_error", 0.0, dataset="c"),
        row("k by hidden-classes", "k_assumed", 1.0, dataset="c"),
    ]
    found = answer("Is the number of classes found?", rows)
    assert "is off by 10.0% (a) to 20.0% (b)" in found.sentence
    assert "of 2 sets no other estimate has a smaller mean error on 1." in found.sentence
    assert "On splits of c nothing could be measured" in found.more[-1]


def test_decisions_are_told_in_their_order_and_beside_other_ways() -> None:
    rows = [
        row("ward", "named_macro_all", 0.43, decisions=0),
        row("ward, decisions", "named_macro_all", 0.73, decisions=50),
        row("ward, decisions", "named_macro_all", 0.58, decisions=25),
        row("ward, random", "named_macro_all", 0.57, decisions=50),
        row(
            "ward, decisions",
            "named_macro_all_difference",
            0.16,
            0.1,
            0.2,
            decisions=50,
            baseline="ward, random",
        ),
    ]
    found = answer("What is naming worth?", rows)
    assert (
        found.sentence
        == "Named accuracy rises from 43.0% without a decision to 58.0% after 25 and 73.0% after 50."
    )
    assert found.more[0].startswith("50 decisions are better by +16.0\u00a0points [+10.0, +20.0]")
    assert found.more[1].endswith("1 better, 0 worse, 0 not told apart.")


def test_a_part_is_left_out_with_intervals_apart_or_not() -> None:
    rows = [
        row("m", "macro_all", 0.44, 0.43, 0.45),
        row("m, no head", "macro_all", 0.40, 0.39, 0.41),
        row("m, no shift", "macro_all", 0.44, 0.43, 0.46),
    ]
    found = answer("What does each part give?", rows)
    assert (
        "has intervals apart in 1: m, no head 40.0% [39.0, 41.0] against 44.0% [43.0, 45.0]" in found.sentence
    )
    assert found.more[0] == "m, no head: −4.0 points of macro accuracy over all classes, the mean of 1 sets."


def test_every_question_has_an_answer_in_the_kept_results() -> None:
    runs = [read_results(folder) for folder in STUDIES]
    assert [question.text for question in STORY.questions if question.answer(runs) is None] == []


def test_nothing_is_said_of_no_rows() -> None:
    assert [question.answer([Results("gcd-longtail study")]) for question in STORY.questions] == [None] * 6


def test_the_kept_results_make_a_seminar_report(tmp_path: Path) -> None:
    pdfium = pytest.importorskip("pypdfium2")
    out = tmp_path / "report.pdf"
    gaps = report(STUDIES, out, author=["A. Student"])
    assert len(gaps) == 1 and gaps[0].startswith("Introduction, Discussion and Conclusion")
    document = pdfium.PdfDocument(out)
    assert 12 <= len(document) <= 18
    text = " ".join(page.get_textpage().get_text_bounded() for page in document)
    assert "?]" not in text and all(f"[{n}]" in text for n in range(1, len(STORY.references) + 1))

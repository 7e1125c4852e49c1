"""What this topic says of rows, on hand-made ones and on those that are committed."""

import dataclasses
from pathlib import Path

import pytest

from doc_detect.reporting.story import STORY
from seminar_common.report import report
from seminar_common.results import Results, Row, read_results

KEPT = Path(__file__).parents[4] / "docs" / "results" / "doc_detect"
STUDIES = [KEPT / name for name in ("historical-test", "adaptation-near", "heldout")]


def row(model: str, metric: str, value: float, low=None, high=None, label=None, **more) -> Row:
    facts = {key: more.pop(key) for key in ("boxes", "verdict", "labels", "pretrained") if key in more}
    subset = more.pop("subset", "all")
    return Row(
        model,
        "books",
        "test",
        metric,
        value,
        low,
        high,
        n=225,
        label=label,
        subset=subset,
        facts=facts,
        **more,
    )


def answer(question: str, rows: list[Row]):
    ask = next(one for one in STORY.questions if one.text == question)
    return ask.answer([Results("doc-detect study", tuple(rows))])


def test_pages_are_told_apart_as_the_rows_of_all_pages_say() -> None:
    rows = [
        row("source-only", "page_f1", 0.811, 0.701, 0.889, "graphic", boxes="drawn"),
        row("source-only", "page_ap", 0.94, 0.875, 0.989, "graphic", boxes="drawn"),
        row("source-only", "page_f1", 0.5, 0.4, 0.6, "graphic", boxes="drawn", subset="manuscript"),
        row("rapid-layout", "page_f1", 0.274, 0.21, 0.342, "graphic"),
    ]
    found = answer("Are pages with an illustration found?", rows)
    assert found.sentence == (
        "On 225 pages of books source-only tells those with an illustration from the others with an F1 of "
        "81.1% [70.1, 88.9], rapid-layout with 27.4% [21.0, 34.2]."
    )
    assert found.more[0] == "The intervals of source-only and rapid-layout do not overlap."


def test_boxes_are_those_that_people_draw_where_both_kinds_are_there() -> None:
    rows = [
        row("source-only", "ap50", value, label="graphic", boxes=boxes)
        for boxes, value in (("ink", 0.765), ("drawn", 0.794))
    ]
    assert "79.4% for illustrations" in answer("Do the boxes fit?", rows).sentence
    assert "76.5% for illustrations" in answer("Do the boxes fit?", rows[:1]).sentence


def test_figures_of_several_splits_are_not_told_as_one() -> None:
    rows = [
        dataclasses.replace(row("shipped", "ap50", 0.1 * n, label="graphic"), split=split)
        for n, split in enumerate(("val", "test", "all"), start=1)
    ]
    found = answer("Do the boxes fit?", rows)
    assert found.sentence == "On books boxes of shipped reach an AP50 of 20.0% for illustrations."
    parts = [
        dataclasses.replace(row("shipped", "ap50", 0.5, subset=subset), split=split)
        for split in ("val", "test")
        for subset in ("printed", "manuscript")
    ]
    assert (
        answer("Where does it fail?", parts).sentence
        == "AP50 is 50.0% on printed pages and 50.0% on manuscript pages."
    )


ADAPTED = [
    row(model, metric, value, low, high, "graphic", boxes="drawn", baseline="source-only")
    for model, metric, value, low, high in (
        ("self-training", "page_f1_difference", 0.089, 0.0, 0.174),
        ("self-training", "ap_difference", 0.031, 0.001, 0.058),
        ("self-training", "ap50_difference", -0.03, -0.05, -0.01),
        ("continued", "ap_difference", -0.033, -0.066, -0.004),
        ("oracle", "ap_difference", 0.017, -0.012, 0.041),
    )
]


def test_adaptation_is_counted_without_its_controls() -> None:
    what = {"label": "graphic", "boxes": "drawn", "baseline": "source-only"}
    others = [
        row("seen", "page_f1_difference", -0.05, -0.1, 0.0, pretrained="seen", **what),
        row("labelled-25", "ap_difference", 0.04, 0.01, 0.06, labels=25, **what),
    ]
    found = answer("Does adaptation without labels help?", [*others, *ADAPTED])
    assert found.sentence == (
        "After self-training without a label the F1 of pages with an illustration changes by "
        "+8.9\u00a0points [0.0, +17.4]; of 3 paired differences to the detector before, "
        "1 better, 1 worse, 1 not told apart."
    )
    assert {one.model for one in found.rows} == {"self-training"}
    control = answer("Is it the method, or further training?", ADAPTED)
    assert "AP changes by −3.3\u00a0points [−6.6, −0.4] for illustrations" in control.sentence
    assert "(oracle) AP changes by +1.7" in answer("What would labels be worth?", ADAPTED).sentence


def test_verdicts_stand_beside_what_changed() -> None:
    rows = [
        row("self-training", "ap50_change", 0.01, -0.01, 0.03, boxes="drawn", verdict="adapted", seeds=(0,)),
        row("self-training", "ap50_change", -0.1, -0.2, -0.01, boxes="drawn", verdict="adapted", seeds=(1,)),
        row("oracle", "ap50_change", 0.1, 0.05, 0.2, boxes="drawn", verdict="no clear gain", seeds=(0,)),
    ]
    found = answer("Does it know whether it helped?", rows)
    assert found.sentence == "Without a label the command says of 2 adaptations: adapted (2)."
    assert "seed 1: adapted, AP50 changes by −10.0\u00a0points [−20.0, −1.0]." in found.more[1]


def test_every_question_has_an_answer_in_the_kept_results() -> None:
    runs = [read_results(folder) for folder in STUDIES]
    assert [question.text for question in STORY.questions if question.answer(runs) is None] == []


def test_nothing_is_said_of_no_rows() -> None:
    assert [question.answer([Results("doc-detect study")]) for question in STORY.questions] == [None] * 8


def test_the_kept_results_make_a_seminar_report(tmp_path: Path) -> None:
    pytest.importorskip("typst")
    pdfium = pytest.importorskip("pypdfium2")
    out = tmp_path / "report.pdf"
    gaps = report(STUDIES, out, author=["A. Student"])
    assert len(gaps) == 1 and gaps[0].startswith("Introduction, Discussion and Conclusion")
    document = pdfium.PdfDocument(out)
    assert 12 <= len(document) <= 18
    text = " ".join(page.get_textpage().get_text_bounded() for page in document)
    assert "?]" not in text and all(f"[{n}]" in text for n in range(1, len(STORY.references) + 1))

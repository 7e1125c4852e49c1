import pytest

pytest.importorskip("faster_coco_eval")

import dataclasses

import numpy as np

from doc_detect.coco import CocoPage
from doc_detect.figures.measured import Measured, interval_notes, subset_of, units
from seminar_common.results import Row

LABELS = ("graphic", "drop_capital")


def page(**facts: str) -> CocoPage:
    return CocoPage("a.jpg", 9, 9, np.zeros((0, 4)), np.zeros(0, np.int64), None, facts)


@pytest.mark.parametrize(
    "facts,subset",
    [
        ({"century": "MSS-15e-Siecle"}, "manuscript"),
        ({"century": "imprime-16e-siecle"}, "printed"),
        ({"kind": "manuscript"}, "manuscript"),
        ({"kind": "print"}, "printed"),
        ({"kind": "catalogue"}, "catalogue"),
        ({"subset": "microfilm"}, "microfilm"),
        ({}, None),
    ],
)
def test_subsets(facts: dict[str, str], subset: str | None) -> None:
    assert subset_of(page(**facts)) == subset


def test_a_page_of_no_known_book_is_drawn_by_itself() -> None:
    pages = [page(), page(book=None), page(book=""), page(book="a"), page(book="a"), page(book="a.jpg")]
    assert len(set(units(pages))) == 5 and units(pages)[3] == units(pages)[4]


def measured(books: list[str | None], labels: list[int]) -> list[Row]:
    """Return the rows of pages with one object each, found on every other page."""
    box, number = np.array([[10.0, 10, 60, 60]]), np.arange(1)
    truth = [
        CocoPage(f"{i}.jpg", 100, 100, box, number + label, None, {"book": book})
        for i, (book, label) in enumerate(zip(books, labels, strict=True))
    ]
    found = [
        dataclasses.replace(page, boxes=box[: i % 2], labels=page.labels[: i % 2], scores=np.full(i % 2, 0.9))
        for i, page in enumerate(truth)
    ]
    return Measured(truth, found, Row("m", "d", "test", "ap", 0.0), 200, 0).rows(LABELS)


def test_pages_whose_book_is_null_have_intervals() -> None:
    rows = [row for row in measured([None] * 8, [0] * 8) if row.metric == "crop_iou"]
    assert [row.ci_low < row.value < row.ci_high for row in rows] == [True]


def test_one_book_alone_has_no_interval_and_a_note_says_so() -> None:
    rows = measured(["a"] * 8, [0] * 8)
    assert {(row.ci_low, row.ci_high) for row in rows} == {(None, None)} and len(interval_notes(rows)) == 1


def test_a_class_of_one_book_has_no_interval_where_the_other_class_has() -> None:
    rows = measured(["a", "a", "b", "b", "c", "c"], [0, 0, 0, 0, 1, 1])
    figures = {row.label: row for row in rows if row.metric == "page_f1"}
    assert figures["graphic"].ci_low is not None and figures["drop_capital"].ci_low is None
    assert interval_notes(rows)


def test_sure_recall_counts_what_is_found_before_precision_falls() -> None:
    """Ten small pictures, six of them found, then two false ones, then another: at a precision of 0.8 six count."""
    box = np.array([[10.0, 10, 15, 15]])  # 5% of the page's height
    scores = [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, None, None, None, 0.2]
    truth = [CocoPage(f"{i}.jpg", 100, 100, box, np.zeros(1, np.int64)) for i in range(10)]
    found = []
    for number, (page, score) in enumerate(zip(truth, scores, strict=True)):
        false = np.array([[60.0, 60, 66, 66]])[: number in (6, 7)]
        boxes = false if score is None else box
        values = np.full(len(boxes), 0.5 if score is None else score)
        labels = np.zeros(len(boxes), np.int64)
        found.append(dataclasses.replace(page, boxes=boxes, labels=labels, scores=values))
    rows = Measured(truth, found, Row("m", "d", "test", "ap", 0.0), 200, 0).rows(LABELS)
    (small,) = [row.value for row in rows if row.metric == "recall_p80_small"]
    assert small == pytest.approx(0.6)

import pytest

pytest.importorskip("torch")

from pathlib import Path

import numpy as np

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, CocoSet
from doc_detect.figures import calibration
from doc_detect.figures.calibration import fit_calibration, fit_margin
from doc_detect.figures.findings import WINDOW
from seminar_common.errors import UserError

GRAPHIC, INITIAL = class_index("graphic"), class_index("drop_capital")


def test_the_fit_finds_the_line_that_scores_were_drawn_from() -> None:
    generator = np.random.default_rng(0)
    scores = generator.uniform(0.05, 0.95, 60_000)
    line = 2.5 * np.log(scores / (1 - scores)) - 1.2
    pair = fit_calibration(scores, generator.random(60_000) < 1 / (1 + np.exp(-line)))
    assert pair == pytest.approx((2.5, -1.2), abs=0.08)


def test_a_class_with_few_examples_or_scores_that_tell_nothing_stays_raw() -> None:
    scores = np.linspace(0.1, 0.9, 60)
    assert fit_calibration(scores, np.arange(60) < 5) is None
    assert fit_calibration(scores, np.arange(60) < 30) is None  # the worse the score, the more often right


class Fixed:
    """Answers with what it was given; the margin's fit asks for no more."""

    labels = ("graphic", "drop_capital")


def pages(monkeypatch: pytest.MonkeyPatch, books: int, gap: float, side: float = 1000.0) -> CocoSet:
    """Return a set of one page a book with three graphics drawn ``gap`` pixels wider than they are found."""
    ours = np.array([[100, 100, 300, 200], [400, 400, 450, 460], [10, 700, 500, 720.0]])
    drawn = ours + np.array([-gap, -gap, gap, gap])
    truth = tuple(
        CocoPage(f"{i}.png", 1200, 1600, drawn, np.full(3, GRAPHIC), facts={"book": f"b{i}"})
        for i in range(books)
    )
    looked_at: list[str] = []

    def found(_: object, chosen: CocoSet):
        for page in chosen.pages:
            looked_at.append(str(page.facts["book"]))
            seen = CocoPage(page.file_name, 1200, 1600, ours, page.labels, np.full(3, 0.6), {WINDOW: side})
            yield page, seen

    monkeypatch.setattr(calibration, "find_on_pages", found)
    made = CocoSet(Path("drawn.json"), truth, frozenset({"graphic"}), {"looked_at": looked_at})
    return made


def test_the_margin_is_the_gap_as_a_share_of_the_window_on_no_more_pages_than_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = pages(monkeypatch, books=9, gap=3.0)
    margin = fit_margin(Fixed(), given, 6)  # type: ignore[arg-type]
    # Initials, of which there are none, take the gap of all classes together.
    assert margin == {"graphic": pytest.approx(0.003), "drop_capital": pytest.approx(0.003)}
    assert len(given.facts["looked_at"]) == len(set(given.facts["looked_at"])) == 6
    tight = fit_margin(Fixed(), pages(monkeypatch, books=3, gap=-2.0), 6)  # type: ignore[arg-type]
    assert tight == {"graphic": 0.0, "drop_capital": 0.0}


def test_pages_without_objects_that_are_known_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = CocoSet(
        Path("bare.json"), (CocoPage("a.png", 9, 9, np.zeros((0, 4)), np.zeros(0, int)),), frozenset()
    )
    with pytest.raises(UserError, match="no page has one of graphic"):
        fit_margin(Fixed(), given, 6)  # type: ignore[arg-type]

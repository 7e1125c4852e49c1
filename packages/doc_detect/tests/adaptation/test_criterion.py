"""A better detector is told from a worse one without labels."""

import pytest

pytest.importorskip("torch")

from pathlib import Path

import cv2
import numpy as np

from doc_detect.adaptation.criterion import Judgement, agreement, judge
from doc_detect.adaptation.target import TargetPage
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.scoring import Scoring
from doc_detect.pages import Page


def found(*boxes: tuple[float, ...], score: float = 0.9, label: int = 0) -> Detections:
    values = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(values, np.full(len(values), score, np.float32), np.full(len(values), label))


class Made:
    """A detector that finds three things on a page, moved and lost at random as its faults say."""

    name, labels, size, trim, scoring = "made", ("graphic", "stamp"), 128, False, Scoring()

    def __init__(self, wobble: float = 0.0, more: int = 0, moved: float = 0.0, every: int = 1):
        self.wobble, self.more, self.moved, self.every = wobble, more, moved, every
        self.g = np.random.default_rng(0)

    def identity(self) -> dict:
        return {}

    def detect(self, page: Page) -> Detections:
        boxes = np.array([[10.0, 10, 40, 50], [50, 20, 90, 60], [20, 70, 60, 110]])[:: self.every]
        boxes = np.concatenate([boxes, *[boxes + 3 * i for i in range(self.more)]])
        boxes = (
            boxes + self.moved + self.g.normal(0, self.wobble, boxes.shape)
            if self.wobble
            else boxes + self.moved
        )
        return found(*map(tuple, boxes))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[TargetPage]:
    folder: Path = tmp_path_factory.mktemp("pages")
    cv2.imwrite(str(folder / "a.png"), np.full((120, 100, 3), 230, np.uint8))
    return [TargetPage(f"{i}", folder / "a.png", 100, 120, (0, 0, 100, 120)) for i in range(14)]


def verdict(source: Made, adapted: Made, pages: list[TargetPage], losses=None) -> Judgement:
    return judge(source, adapted, pages, ("graphic",), losses)


def test_finds_that_agree_count_by_score_and_overlap() -> None:
    one = found((0, 0, 10, 10), (20, 20, 30, 30))
    assert agreement(one, one) == pytest.approx((3.6, 3.6))
    half = found((0, 0, 10, 6), (20, 20, 30, 30))
    assert agreement(one, half) == pytest.approx((1.8 * 1.6, 3.6))
    assert agreement(one, found((0, 0, 10, 10), label=1)) == pytest.approx((0, 2.7))
    assert agreement(one, found((0, 0, 10, 10), score=0.3))[0] == pytest.approx(0.6)
    assert agreement(found(), found()) == (0, 0)
    assert agreement(one, found((0, 0, 10, 10), score=0.05)) == pytest.approx((0, 1.8))
    twice = found((0, 0, 10, 10), (0, 0, 10, 9))  # the second one has no partner left
    assert agreement(found((0, 0, 10, 10)), twice) == pytest.approx((1.8, 2.7))


def test_a_steadier_detector_is_adapted_and_a_shakier_one_worse(pages: list[TargetPage]) -> None:
    better, worse = (verdict(Made(a), Made(b), pages) for a, b in ((2.5, 0.5), (0.5, 2.5)))
    assert better.verdict == "adapted" and better.interval is not None and better.interval[0] > 0
    assert worse.verdict == "worse, kept the source" and worse.interval is not None and worse.interval[1] < 0
    same = verdict(Made(1.0), Made(1.0), pages)
    assert same.verdict == "no clear gain" and same.source == pytest.approx(same.adapted, abs=0.05)


@pytest.mark.parametrize(
    ("adapted", "reason"),
    [
        (Made(0.1, every=3), "loses graphic: 42 sure finds became 14"),
        (Made(0.1, more=3), "invents graphic: 42 sure finds became 168"),
        (Made(0.1, moved=25), "agrees with its source by"),
    ],
)
def test_a_steady_detector_that_finds_something_else_is_worse(
    pages: list[TargetPage], adapted: Made, reason: str
) -> None:
    judged = verdict(Made(2.0), adapted, pages)
    assert judged.verdict == "worse, kept the source" and reason in judged.reason


def test_a_detector_that_forgets_its_world_is_worse(pages: list[TargetPage]) -> None:
    judged = verdict(Made(2.5), Made(0.5), pages, (1.0, 1.3))
    assert judged.verdict == "worse, kept the source" and "rose from 1.000 to 1.300" in judged.reason
    assert verdict(Made(2.5), Made(0.5), pages, (1.0, 1.05)).verdict == "adapted"


def test_what_people_boxed_may_be_unknown_to_the_source(pages: list[TargetPage]) -> None:
    """A source that knows little of a collection agrees with nothing that learned it from people's boxes."""
    elsewhere, shaky = Made(0.1, moved=25), Made(2.5)
    for adapted, expected in ((elsewhere, "adapted"), (shaky, "no clear gain")):
        assert judge(Made(0.5), adapted, pages, ("graphic",)).verdict == "worse, kept the source"
        assert judge(Made(0.5), adapted, pages, ("graphic",), boxed=True).verdict == expected
    lost = judge(Made(2.0), Made(0.1, every=3), pages, ("graphic",), boxed=True)
    assert lost.verdict == "worse, kept the source"


def test_few_pages_prove_no_gain(pages: list[TargetPage]) -> None:
    assert verdict(Made(2.5), Made(0.5), pages[:5]).verdict == "no clear gain"


def test_pages_on_which_nothing_is_found_say_nothing(pages: list[TargetPage]) -> None:
    class Blind(Made):
        def detect(self, page: Page) -> Detections:
            return found()

    judged = verdict(Blind(), Blind(), pages)
    assert judged.verdict == "no clear gain" and judged.interval is None
    assert verdict(Blind(), Made(), pages).verdict == "worse, kept the source"

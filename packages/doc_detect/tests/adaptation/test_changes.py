"""What adaptation changed can be looked at: `changes.html`."""

import pytest

pytest.importorskip("torch")

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from doc_detect.adaptation.base import Lessons
from doc_detect.adaptation.changes import compare, differing
from doc_detect.adaptation.changes_page import MOST_SHOWN, write_changes
from doc_detect.adaptation.criterion import Judgement, Look, Verdict, judge
from doc_detect.adaptation.target import TargetPage
from doc_detect.adaptation.watch import MOST_WATCHED, Watch
from doc_detect.detectors.detections import Detections
from doc_detect.pages import Page

LABELS = ("graphic", "drop_capital")
NOTHING = Lessons((), (), {}, "")
LESSONS = Lessons(
    ("graphic",),
    (),
    {
        "graphic": {"sure": 1041, "doubtful": 7, "pages": 20},
        "drop_capital": {"sure": 3, "doubtful": 2, "pages": 1},
    },
    "",
)
A, B, C, D = (10, 10, 40, 50), (50, 20, 90, 60), (20, 70, 60, 110), (62, 70, 92, 110)


def found(*finds: tuple[str, float, tuple[float, ...]]) -> Detections:
    boxes = np.array([box for *_, box in finds], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in finds], np.float32)
    return Detections(boxes, scores, np.array([LABELS.index(label) for label, *_ in finds], np.int64))


BEFORE = (("graphic", 0.9, A), ("graphic", 0.6, B), ("graphic", 0.4, C))
AFTER = (
    ("graphic", 0.95, (11, 10, 40, 50)),
    ("graphic", 0.3, B),
    ("graphic", 0.7, C),
    ("drop_capital", 0.8, D),
)
"""Of BEFORE the first one is kept, the second is gone, the third becomes sure; a fourth is new from nothing."""


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("pages") / "a.png"
    cv2.imwrite(str(path), np.full((120, 100, 3), 230, np.uint8))
    return path


def page(picture: Path, name: str = "a.png") -> TargetPage:
    return TargetPage(name, picture, 100, 120, (0, 0, 100, 120))


def look(picture: Path, before: Sequence, after: Sequence, name: str = "a.png") -> Look:
    return Look(page(picture, name), found(*before), found(*after))


def judgement(verdict: Verdict = "adapted") -> Judgement:
    return Judgement(verdict, "because", 12, 0.812, 0.835, (0.001, 0.04), 0.9, {"graphic": (2, 2)})


def written(
    folder: Path, looks: Sequence[Look], judged: Judgement | None = None, lessons: Lessons = LESSONS
) -> str:
    write_changes(folder / "changes.html", looks, LABELS, judged or judgement(), lessons, "my scans")
    return (folder / "changes.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects the tags of a page, with their attributes, and its text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of_class(self, tag: str, name: str) -> list[dict[str, str]]:
        return [facts for kind, facts in self.tags if kind == tag and name in facts.get("class", "").split()]


def test_finds_are_kept_new_or_gone_by_class_place_and_score(picture: Path) -> None:
    compared = compare(look(picture, BEFORE, AFTER), LABELS)
    kinds = {(find.kind, find.label): find.scores for find in compared.finds}
    assert kinds == {
        ("kept", "graphic"): pytest.approx((0.9, 0.95)),
        ("gone", "graphic"): pytest.approx((0.6, 0.3)),
        ("new", "graphic"): pytest.approx((0.4, 0.7)),
        ("new", "drop_capital"): (None, pytest.approx(0.8)),
    }
    assert compared.changed == pytest.approx(0.3 + 0.3 + 0.8)


def test_another_class_at_the_same_place_is_gone_and_new(picture: Path) -> None:
    finds = compare(look(picture, [("graphic", 0.9, A)], [("drop_capital", 0.9, A)]), LABELS).finds
    assert [(find.kind, find.label) for find in finds] == [("new", "drop_capital"), ("gone", "graphic")]


def test_doubtful_finds_alone_are_no_change(picture: Path) -> None:
    compared = compare(look(picture, [("graphic", 0.4, A)], [("drop_capital", 0.3, B)]), LABELS)
    assert compared.finds == () and compared.changed == 0


def test_pages_come_by_how_much_changed_and_empty_ones_are_left_out(picture: Path) -> None:
    looks = [
        look(picture, [], [], "empty"),
        look(picture, [("graphic", 0.9, A)], [("graphic", 0.9, A)], "same"),
        look(picture, [("graphic", 0.9, A)], [("graphic", 0.9, (10, 10, 36, 50))], "moved"),
        look(picture, [("graphic", 0.51, A)], [("graphic", 0.49, A)], "a little"),
        look(picture, [("graphic", 0.9, A)], [], "lost"),
    ]
    names = [each.page.name for each in differing([compare(one, LABELS) for one in looks])]
    assert names == ["lost", "a little", "moved", "same"]


def test_the_page_counts_kept_new_and_gone_and_draws_both_detectors(picture: Path, tmp_path: Path) -> None:
    html = written(tmp_path, [look(picture, BEFORE, AFTER, "b/</title><b>.png"), look(picture, [], [])])
    read = Reader(html)
    rows = re.findall(r"<tr[^>]*data-label=\"(\w+)\".*?</tr>", html, re.DOTALL)
    assert rows == list(LABELS)
    counts = {
        label: [int(value) for value in re.findall(r"data-(?:kept|new|gone)=\"(\d+)\"", row)]
        for label, row in re.findall(r"(?s)data-label=\"(\w+)\"(.*?)</tr>", html)
    }
    assert counts == {"graphic": [1, 1, 1], "drop_capital": [0, 1, 0]}
    drawn = {name: len(read.of_class("rect", name)) for name in ("kept", "new", "gone", "source", "adapted")}
    assert drawn == {"kept": 2, "new": 2, "gone": 1, "source": 2, "adapted": 3}
    (gone,) = read.of_class("rect", "gone")
    assert [float(gone[key]) for key in ("x", "y", "width", "height")] == [50, 20, 40, 40]
    assert len(read.of_class("figure", "page")) == 1
    assert "<b>.png" not in html and "title><b>.png" in read.text
    for part in ("graphic 0.60 → 0.30", "graphic 0.40 → 0.70", "drop_capital – → 0.80"):
        assert part in " ".join(read.text.split())


def test_the_head_says_what_was_learned_from_and_whether_it_helped(picture: Path, tmp_path: Path) -> None:
    text = " ".join(Reader(written(tmp_path, [look(picture, BEFORE, AFTER)])).text.split())
    for part in (
        "my scans",
        "adapted",
        "because",
        "81.2%",
        "83.5%",
        "+2.3 points [0.1, 4.0]",
        "1,041",
        "Kept",
        "New",
        "Gone",
    ):
        assert part in text
    assert "refused" not in text


def test_what_was_refused_is_shown_as_such(picture: Path, tmp_path: Path) -> None:
    judged = judgement("worse, kept the source")
    text = Reader(written(tmp_path, [look(picture, BEFORE, AFTER)], judged)).text
    assert "worse, kept the source" in text and "refused" in text


def test_where_nothing_was_learned_nothing_is_compared(tmp_path: Path) -> None:
    judged = Judgement("nothing to learn, kept the source", "no class has 10 sure finds", 9)
    read = Reader(written(tmp_path, [], judged, NOTHING))
    assert "no class has 10 sure finds" in read.text and not read.of_class("figure", "page")
    assert "Nothing was learned" in read.text and "0.0%" not in read.text


def test_where_no_page_was_held_out_nothing_is_compared(tmp_path: Path) -> None:
    """As where labelled pages alone are learned from."""
    read = Reader(written(tmp_path, [], Judgement("no clear gain", "nothing was found", 0)))
    assert "No page was held out" in read.text and "Nothing was learned" not in read.text


def test_needs_no_network_and_no_other_file(picture: Path, tmp_path: Path) -> None:
    html = written(tmp_path, [look(picture, BEFORE, AFTER)])
    read = Reader(html)
    assert {path.name for path in tmp_path.iterdir()} == {"changes.html"}
    assert "http:" not in html and "https:" not in html and "url(" not in html
    assert not [facts for tag, facts in read.tags if tag in ("script", "a", "iframe")]
    images = [facts["src"] for tag, facts in read.tags if tag == "img"]
    assert images and all(source.startswith("data:image/webp;base64,") for source in images)
    assert "width=device-width" in html and "prefers-color-scheme: dark" in html


def test_of_many_pages_those_that_changed_most_are_shown(picture: Path, tmp_path: Path) -> None:
    count = MOST_SHOWN + 8
    looks = [
        look(picture, [("graphic", 0.9, A)], [("graphic", 0.9, A)] if i % 2 else [], f"{i}.png")
        for i in range(count)
    ]
    shown = [facts["id"] for facts in Reader(written(tmp_path, looks)).of_class("figure", "page")]
    assert len(shown) == MOST_SHOWN == len(set(shown))
    html = (tmp_path / "changes.html").read_text(encoding="utf-8")
    names = re.findall(r'class="file"[^>]*><bdi>(\d+)\.png<', html)
    assert names[: count // 2] == [str(i) for i in range(0, count, 2)]  # those that lost something come first
    assert f'data-kept="{count // 2}"' in html  # all held-out pages are counted


def test_pages_are_named_from_the_folder_that_all_are_in(picture: Path, tmp_path: Path) -> None:
    finds = [("graphic", 0.9, A)]
    looks = [look(picture, finds, [], f"/scans/{book}/1.png") for book in ("one", "two")]
    html = written(tmp_path, [*looks, look(picture, finds, [], "/scans/two/book.pdf#page=3")])
    assert sorted(re.findall(r'class="file"[^>]*><bdi>(.*?)<', html)) == [
        "one/1.png",
        "two/1.png",
        "two/book.pdf#page=3",
    ]
    assert "/scans" not in html


def test_a_wide_page_stays_small(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "large.png"), g.integers(0, 256, (1500, 2400, 3)).astype(np.uint8))
    large = TargetPage("large", tmp_path / "large.png", 4800, 3000, (0, 0, 4800, 3000))
    html = written(tmp_path, [Look(large, found(), found(("graphic", 0.9, (480, 300, 960, 600))))])
    assert len(html) < 400_000
    (box,) = Reader(html).of_class("rect", "new")
    (svg,) = [facts for tag, facts in Reader(html).tags if tag == "svg"]
    width, height = (float(side) for side in svg["viewbox"].split()[2:])
    assert float(box["x"]) / width == pytest.approx(0.1, abs=0.001)
    assert float(box["height"]) / height == pytest.approx(0.1, abs=0.001)


class Made:
    """A detector that finds always the same."""

    def __init__(self, *finds: tuple[str, float, tuple[float, ...]]):
        self.finds, self.looks, self.labels = finds, 0, LABELS

    def detect(self, page: Page) -> Detections:
        self.looks += 1
        return found(*self.finds)


def test_the_judge_hands_on_what_it_saw(picture: Path) -> None:
    looks: list[Look] = []
    before, after = cast(Any, Made(*BEFORE)), cast(Any, Made(*AFTER))
    judge(before, after, [page(picture, str(i)) for i in range(3)], ("graphic",), looks=looks)
    assert [one.page.name for one in looks] == ["0", "1", "2"]
    np.testing.assert_array_equal(looks[0].source.boxes, found(*BEFORE).boxes)
    np.testing.assert_array_equal(looks[2].adapted.scores, found(*AFTER).scores)


def test_sure_finds_are_counted_on_few_pages(picture: Path) -> None:
    def in_use(given: Any) -> Any:
        return given

    detector = cast(Any, Made(*BEFORE))
    watch = Watch([page(picture, str(i)) for i in range(30)], ("graphic",), in_use)
    assert watch.look(detector) == {"held_out_sure_graphic": 2 * MOST_WATCHED}
    assert detector.looks == MOST_WATCHED == 8
    assert {int(each.name) // 10 for each in watch.pages} == {0, 1, 2}  # of the whole collection
    assert Watch([], ("graphic",), in_use).look(detector) == {}
    few = Watch([page(picture)], ("graphic", "drop_capital"), in_use)
    assert few.look(cast(Any, Made(*AFTER))) == {"held_out_sure_graphic": 2, "held_out_sure_drop_capital": 1}

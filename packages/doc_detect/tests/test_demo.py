import pytest

pytest.importorskip("torch")

import dataclasses
import re
from pathlib import Path

import numpy as np
from PIL import Image

from doc_detect import demo as module
from doc_detect.adapt import FACTS
from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, read_coco
from doc_detect.demo import BOXES, SCANS, SOURCE, Measured, main, real_pages, write_negatives
from doc_detect.figures.demo_pictures import cut_outs, gains, right_and_wrong, side_by_side, telling
from doc_detect.predictions import open_predictions
from doc_detect.settings.adaptation import smoke
from doc_detect.synth import synth
from seminar_common.demos import DemoSettings
from seminar_common.errors import UserError
from seminar_common.files import read_json
from seminar_common.results import Results, Row, read_results
from seminar_common.work import WorkConfig


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of two dozen small pages and a few steps, with everything else as it is."""
    pages = dataclasses.replace(module.PAGES, pages=20, long_side=320, val_share=0.4, work=WorkConfig(1))
    steps = dataclasses.replace(smoke().optimization, steps=2)
    monkeypatch.setattr(module, "PAGES", pages)
    monkeypatch.setattr(module, "ADAPTATION", dataclasses.replace(smoke(), optimization=steps))
    monkeypatch.setattr(module, "BOXED", 6)


@pytest.mark.slow
def test_the_demo_goes_from_nothing_to_pages_before_and_after(quick, tmp_path: Path) -> None:
    main(DemoSettings(out=tmp_path / "demo"))
    folder = tmp_path / "demo" / "doc_detect"
    rows = read_results(folder).rows
    assert {row.model for row in rows} == {SOURCE, SCANS, BOXES}
    assert {row.dataset for row in rows} == {"synthetic negatives"} and {row.split for row in rows} == {"val"}
    assert {row.baseline for row in rows if row.metric == "ap50_difference"} == {SOURCE}
    names = [page.name for page in open_predictions(folder / "found")]
    scans = [name for name in names if name.startswith("scans/")]
    assert len(scans) == 8 and f"book.pdf#page={len(names) - len(scans)}" in names
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    for run in ("by-scans", "by-boxes"):
        assert read_json(folder / run / FACTS)["verdict"] in page
    links = re.findall(r'href="(doc_detect/[^"]+)"', page)
    assert len(links) == 4 and all((tmp_path / "demo" / link).is_file() for link in links)


def test_negatives_are_pages_with_their_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = dataclasses.replace(
        module.PAGES, out=tmp_path / "ink", pages=10, long_side=320, work=WorkConfig(1)
    )
    monkeypatch.setattr(module, "PAGES", pages)
    monkeypatch.setattr(module, "BOXED", 2)
    synth(pages)
    target = write_negatives(tmp_path / "ink", tmp_path / "negatives")
    labelled, unseen = read_coco(target.labelled), read_coco(target.unseen)
    assert target.boxed == len(labelled.pages) == 2
    assert len(list(target.learning.iterdir())) + len(unseen.pages) == 10
    assert not {page.file_name for page in labelled.pages} & {page.file_name for page in unseen.pages}
    for page in labelled.pages:
        with Image.open(labelled.image_path(page)) as image:
            assert image.size == (page.width, page.height)
            assert np.asarray(image.convert("L")).mean() < 128  # dark, as paper is on a negative
        assert len(page.boxes)


def page(*boxes: tuple[str, tuple[float, ...]], scores: tuple[float, ...] | None = None) -> CocoPage:
    """A page with boxes xyxy."""
    corners = np.array([box for _, box in boxes], np.float64).reshape(-1, 4)
    labels = np.array([class_index(label) for label, _ in boxes], np.int64)
    return CocoPage("a.jpg", 100, 100, corners, labels, None if scores is None else np.array(scores))


def test_a_find_is_right_if_it_is_sure_of_the_class_and_in_place() -> None:
    here, there = (10.0, 10.0, 50.0, 50.0), (60.0, 60.0, 90.0, 90.0)
    truth = page(("graphic", here), ("drop_capital", there))
    found = page(("graphic", here), ("graphic", there), ("drop_capital", there), scores=(0.9, 0.6, 0.4))
    assert right_and_wrong(truth, found) == (1, 1)  # the second is of another class, the third is unsure
    assert right_and_wrong(truth, page(scores=())) == (0, 0)
    assert right_and_wrong(page(), found) == (0, 2)
    assert gains([truth, truth], [page(scores=())] * 2, [found, page(scores=())]).tolist() == [0, 0]


def test_the_pages_that_gained_most_are_shown_and_one_that_lost() -> None:
    assert telling(np.array([0, 5, -2, 3, 4])) == [1, 4, 3, 2]
    assert telling(np.array([0, 5, 0, 3, 4])) == [1, 4, 3]
    assert telling(np.array([1])) == [0]


def test_two_pages_stand_beside_each_other(tmp_path: Path) -> None:
    Image.new("RGB", (60, 100)).save(tmp_path / "a.jpg")
    image = (tmp_path / "a.jpg").read_bytes()
    drawn = side_by_side(("before & now", "then"), (image, image), "A page")
    assert drawn.image.count(b"data:image/jpeg") == 2 and b"before &amp; now" in drawn.image
    assert [shot.caption for shot in cut_outs([tmp_path / "a.jpg"] * 5, 3)] == ["a"] * 3


def compared(low: float, high: float) -> Measured:
    rows = [
        Row(model, "negatives", "val", metric, value, value - 0.1, value + 0.1, label="graphic")
        for model, value in ((SOURCE, 0.5), (SCANS, 0.52), (BOXES, 0.68))
        for metric in ("ap50", "page_f1")
    ]
    rows += [
        Row(
            model,
            "negatives",
            "val",
            "ap50_difference",
            (low + high) / 2,
            low,
            high,
            label="graphic",
            baseline=SOURCE,
        )
        for model in (SCANS, BOXES)
    ]
    return Measured(None, [None] * 7, {}, Results("", tuple(rows)), 40)


def test_a_gain_is_named_only_where_the_interval_says_so() -> None:
    assert module._gained(compared(0.1, 0.3)) == "50% to 68% with 40 boxed pages"
    assert module._gained(compared(-0.1, 0.3)) == "No clear gain from 40 boxed pages"
    assert "+20.0\u00a0points [+10.0, +30.0] with 40 pages" in module._answer(compared(0.1, 0.3))


def test_a_folder_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="chapbooks_unlabelled"):
        real_pages(tmp_path)


def test_real_pages_are_spread_over_the_set(seminar_data: Path) -> None:
    pages = real_pages(seminar_data)
    assert len(pages) == 40 and len(set(pages)) == 40

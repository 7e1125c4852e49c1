import pytest

pytest.importorskip("torch")

import dataclasses
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from doc_detect import demo as module
from doc_detect.adapt import FACTS
from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, read_coco
from doc_detect.demo import BOXES, SCANS, SOURCE, Measured, main, real_pages, write_negatives
from doc_detect.figures.demo_pictures import (
    cut_outs,
    gains,
    pair,
    right_and_wrong,
    said,
    side_by_side,
    telling,
)
from doc_detect.predictions import open_predictions
from doc_detect.settings.adaptation import smoke
from doc_detect.synth import synth
from doc_detect.training.pages import read_labelled
from seminar_common.demos import DemoSettings
from seminar_common.errors import UserError
from seminar_common.files import read_json
from seminar_common.results import Results, Row, read_results
from seminar_common.work import WorkConfig


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of a dozen small pages and a few steps, with everything else as it is."""
    pages = dataclasses.replace(module.PAGES, pages=14, long_side=320, val_share=0.25, work=WorkConfig(1))
    steps = dataclasses.replace(smoke().optimization, steps=2)
    monkeypatch.setattr(module, "PAGES", pages)
    monkeypatch.setattr(module, "ADAPTATION", dataclasses.replace(smoke(), optimization=steps))
    monkeypatch.setattr(module, "BOXED", 5)
    monkeypatch.setattr(module, "RESAMPLES", 50)
    monkeypatch.setattr("doc_detect.adapt.publish", lambda *args: None)  # the demo shows no report of a run


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
    assert len(scans) > 2 and f"book.pdf#page={len(names) - len(scans)}" in names
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
    target = write_negatives(tmp_path / "ink", tmp_path / "negatives", ("graphic", "drop_capital"))
    labelled, unseen = read_coco(target.labelled), read_coco(target.unseen)
    ink = read_coco(tmp_path / "ink" / "train.json")
    by_name = {Path(page.file_name).stem: page for page in ink.pages}
    assert target.boxed == len(labelled.pages) == 2
    assert len(list(target.learning.iterdir())) + len(unseen.pages) == 10
    assert not {page.file_name for page in labelled.pages} & {page.file_name for page in unseen.pages}
    for page in labelled.pages:
        with Image.open(labelled.image_path(page)) as image:
            assert image.size == (page.width, page.height)
            negative = np.asarray(image).astype(int)
        positive, _ = read_labelled(ink, by_name[Path(page.file_name).stem], 320)
        assert abs(negative + positive.pixels - 255).mean() < 8  # but for JPEG's losses
        assert set(page.labels) & {class_index("graphic"), class_index("drop_capital")}


def page(*boxes: tuple[str, tuple[float, ...]], scores: tuple[float, ...] | None = None) -> CocoPage:
    """A page with boxes xyxy."""
    corners = np.array([box for _, box in boxes], np.float64).reshape(-1, 4)
    labels = np.array([class_index(label) for label, _ in boxes], np.int64)
    return CocoPage("a.jpg", 100, 100, corners, labels, None if scores is None else np.array(scores))


def test_an_illustration_is_found_if_the_find_is_sure_and_in_place() -> None:
    here, there = (10.0, 10.0, 50.0, 50.0), (60.0, 60.0, 90.0, 90.0)
    truth = page(("graphic", here), ("drop_capital", there))
    found = page(("graphic", here), ("graphic", there), ("graphic", there), scores=(0.9, 0.6, 0.4))
    assert right_and_wrong(truth, found) == (1, 1)  # there is an initial, and the last find is unsure
    assert right_and_wrong(truth, page(scores=())) == (0, 0)
    assert right_and_wrong(page(), found) == (0, 2)
    nothing = page(scores=())
    assert gains([truth, truth, page()], [nothing] * 3, [found, nothing, found]).tolist() == [0, 0, -2]
    assert said(truth, found) == "1 of 1 illustrations found, 1 wrong"
    assert said(truth, nothing) == "0 of 1 illustrations found"


def test_the_pages_that_gained_most_are_shown_and_one_that_lost() -> None:
    plain, large = page(), page(("graphic", (0.0, 0.0, 90.0, 90.0)))
    truth = [plain, plain, large, plain, large]
    assert telling(np.array([0, 5, -2, 3, 3]), truth) == [1, 4, 3, 2]
    assert telling(np.array([0, 5, 0, 3, 1]), truth) == [1, 3, 4]
    assert telling(np.array([0, 0, 0, 0, -1]), truth, best=1) == [2, 4]
    assert telling(np.array([-1]), truth[:1]) == [0]


def test_two_pages_stand_beside_each_other(tmp_path: Path) -> None:
    tall, wide = Image.new("RGB", (60, 100)), Image.new("RGB", (100, 60))
    drawn = side_by_side(("before & now", "then"), (tall, wide), "A page")
    assert drawn.image.count(b"data:image/jpeg") == 2 and b"before &amp; now" in drawn.image
    with Image.open(io.BytesIO(pair((tall, wide), "A page").image)) as both:
        assert both.size == (170, 100)
    tall.save(tmp_path / "a.jpg")
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
    assert module._gained(compared(0.1, 0.3)) == "From 50% to 68% by 40 labelled pages"
    assert module._gained(compared(-0.1, 0.3)) == "No clear gain from 40 labelled pages"
    answer = module._answer(compared(0.1, 0.3))
    assert "by +20.0\u00a0points [+10.0, +30.0], to 68.0% [58.0, 78.0]; the scans alone by" in answer


def test_what_got_worse_is_said() -> None:
    plain = compared(0.1, 0.3)
    assert module._elsewhere(plain) == "No figure is worse than before."
    lost = Row(
        BOXES, "negatives", "val", "page_ap_difference", -0.2, -0.3, -0.1, label="stamp", baseline=SOURCE
    )
    whole = Row(BOXES, "negatives", "val", "ap_difference", 0.02, -0.01, 0.05, baseline=SOURCE)
    rows = (*plain.results.rows, whole, lost)
    told = module._elsewhere(dataclasses.replace(plain, results=Results("", rows)))
    assert told.startswith(
        "Over all classes, pages with boxes change AP by +2.0\u00a0points [\u22121.0, +5.0]. "
    )
    assert told.endswith(
        "Worse than before: Page AP of stamp \u221220.0\u00a0points [\u221230.0, \u221210.0]."
    )


def test_a_folder_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="chapbooks_unlabelled"):
        real_pages(tmp_path)


def test_real_pages_are_spread_over_the_set(seminar_data: Path) -> None:
    pages = real_pages(seminar_data)
    assert len(pages) == 40 and len(set(pages)) == 40

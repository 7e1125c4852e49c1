import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, write_coco
from doc_detect.gallery import GalleryPage, Start, main, thumbnail_side, write_gallery
from doc_detect.predict import predict
from doc_detect.settings.job import GallerySettings, PredictSettings
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig


def page(name: str, *detections, source: str = "", size=(300, 400)) -> GalleryPage:
    pixels = np.full((40, 30, 3), 230, np.uint8)
    return GalleryPage(name, pixels, size, detections, source)


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """A gallery of four pages: two with a graphic of 0.9 and 0.4, one with a table, one with nothing."""
    pages = [
        page(
            "a/1.jpg", ("graphic", 0.9, (30, 40, 150, 200)), ("caption", 0.8, (30, 210, 150, 230)), source="a"
        ),
        page("a/2.jpg", ("graphic", 0.4, (10, 10, 290, 390)), source="a"),
        page("b/</script><b>3.jpg", ("table", 0.7, (0, 0, 100, 100)), source="b"),
        page("b/4.jpg", source="b"),
    ]
    out: Path = tmp_path / "gallery.html"
    assert write_gallery(pages, out, "Four <pages>") == 4
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, four: Path) -> Iterator:
    yield from watched(browser, four, viewport={"width": 1000, "height": 800}, accept_downloads=True)


@pytest.fixture
def on_a_phone(browser, four: Path) -> Iterator:
    yield from watched(browser, four, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)


def watched(browser, gallery: Path, **screen) -> Iterator:
    """Open a gallery; afterwards the browser must have had nothing to complain about."""
    context = browser.new_context(**screen)
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    tab.goto(gallery.as_uri())
    yield tab
    context.close()
    assert not problems


def shown(tab) -> list[str]:
    names = tab.locator(".card .name").all_inner_texts()
    positions = tab.locator(".card").evaluate_all(
        "cards => cards.map(c => [parseFloat(c.style.top), parseFloat(c.style.left)])"
    )
    return [name for _, name in sorted(zip(positions, names, strict=True))]


def test_classes_and_score_choose_the_pages(opened) -> None:
    assert len(shown(opened)) == 4
    graphic, table, _ = opened.locator(".chip").all()
    assert [chip.inner_text().split()[0] for chip in opened.locator(".chip").all()] == [
        "graphic",
        "table",
        "caption",
    ]
    graphic.click()  # with a graphic of 0.5 or more
    assert shown(opened) == ["a/1.jpg"]
    assert opened.locator("#count").inner_text() == "1 of 4 pages"
    opened.locator("#score").fill("0.4")
    assert shown(opened) == ["a/1.jpg", "a/2.jpg"]
    graphic.click()  # without
    table.click()  # and with a table
    assert shown(opened) == ["b/</script><b>3.jpg"]
    graphic.click()
    opened.locator("#score").fill("0.75")
    assert shown(opened) == [] and opened.locator("#nothing").is_visible()


def test_boxes_lie_on_the_thumbnail_where_they_lie_on_the_page(opened) -> None:
    image = opened.locator(".card img").first.bounding_box()
    box = opened.locator(".card svg rect").first.bounding_box()
    # 3 : 4 fills the card's height or width; the box is a third to a half of the page.
    scale = min(image["width"] / 300, image["height"] / 400)
    left = image["x"] + (image["width"] - 300 * scale) / 2
    top = image["y"] + (image["height"] - 400 * scale) / 2
    expected = (left + 30 * scale, top + 40 * scale, 120 * scale, 160 * scale)
    found = (box["x"], box["y"], box["width"], box["height"])
    np.testing.assert_allclose(found, expected, atol=4)  # the stroke has its width


def test_the_keyboard_goes_opens_marks_and_saves(opened) -> None:
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("x")
    opened.keyboard.press("Enter")
    assert opened.locator("#view-name").inner_text() == "a/2.jpg"
    assert opened.locator("#view-list li").count() == 0  # 0.4 is under the score
    opened.keyboard.press("[")
    opened.keyboard.press("[")
    assert opened.locator("#view-list li").all_inner_texts() == ["graphic\n0.40"]
    opened.keyboard.press("ArrowRight")
    assert opened.locator("#view-name").inner_text() == "b/</script><b>3.jpg"
    opened.keyboard.press("Escape")
    assert not opened.locator("#viewer").is_visible()
    opened.keyboard.press("m")
    assert shown(opened) == ["a/2.jpg"]
    with opened.expect_download() as download:
        opened.keyboard.press("s")
    assert Path(download.value.path()).read_text() == "a/2.jpg\n"
    opened.keyboard.press("m")
    opened.keyboard.press("1")
    opened.keyboard.press("1")
    assert shown(opened) == ["b/</script><b>3.jpg", "b/4.jpg"]
    opened.keyboard.press("b")
    assert not opened.locator(".card svg").first.is_visible()


def test_search_source_and_order(opened) -> None:
    opened.locator("#source").select_option("b")
    assert len(shown(opened)) == 2
    opened.locator("#source").select_option("")
    opened.locator("#score").fill("0.1")
    opened.locator("#sort").select_option("area")
    assert shown(opened)[0] == "a/2.jpg"
    opened.keyboard.press("/")
    opened.keyboard.type("4.J")
    assert shown(opened) == ["b/4.jpg"]


def test_pages_come_by_most_finds_or_the_best_score_of_the_chosen_class(browser, tmp_path: Path) -> None:
    box = (0, 0, 50, 50)
    pages = [
        page("one.jpg", ("graphic", 0.6, box), ("table", 0.9, box)),
        page("three.jpg", *[("graphic", 0.7, box)] * 2, ("table", 0.6, box)),
        page("sure.jpg", ("graphic", 0.8, box), *[("graphic", 0.3, box)] * 4),
    ]
    write_gallery(pages, tmp_path / "gallery.html", "Three", start=Start("finds", ("graphic",)))
    for tab in watched(browser, tmp_path / "gallery.html", viewport={"width": 1000, "height": 800}):
        assert shown(tab) == ["three.jpg", "one.jpg", "sure.jpg"]  # what scores under 0.5 is not counted
        tab.locator("#sort").select_option("score")
        assert shown(tab) == ["sure.jpg", "three.jpg", "one.jpg"]
        for _ in range(2):  # graphics are no longer asked for
            tab.locator(".chip", has_text="graphic").click()
        tab.locator(".chip", has_text="table").click()
        assert shown(tab) == ["one.jpg", "three.jpg"]
        tab.locator("#sort").select_option("pages")
        assert shown(tab) == ["one.jpg", "three.jpg"] and tab.locator("#sort").input_value() == "pages"


def test_a_phone_has_its_screen_for_the_pages(on_a_phone) -> None:
    def bar() -> float:
        return on_a_phone.locator("header").bounding_box()["height"]

    assert bar() < 60 and not on_a_phone.locator("#controls").is_visible()
    tops = [card.bounding_box()["y"] for card in on_a_phone.locator(".card").all()]
    assert tops[0] == tops[1] < 80  # side by side
    assert on_a_phone.evaluate("document.documentElement.scrollWidth") <= 390
    on_a_phone.locator("#choose").tap()
    assert on_a_phone.locator("#controls").is_visible() and 60 < bar() < 422
    assert on_a_phone.evaluate("document.documentElement.scrollWidth") <= 390
    on_a_phone.locator(".chip", has_text="table").tap()
    on_a_phone.locator("#choose").tap()
    assert bar() < 60 and shown(on_a_phone) == ["b/</script><b>3.jpg"]
    on_a_phone.keyboard.press("/")  # a narrow window on a desk has a keyboard
    on_a_phone.keyboard.type("nothing")
    assert on_a_phone.locator("#search").is_visible() and shown(on_a_phone) == []


def test_on_a_wide_screen_the_controls_are_always_there(opened) -> None:
    assert opened.locator("#search").is_visible() and not opened.locator("#choose").is_visible()


def test_needs_no_network_and_no_other_file(four: Path) -> None:
    text = four.read_text(encoding="utf-8")
    assert text.count("http") == text.count("http://www.w3.org/2000/svg") + text.count("http-equiv")
    assert "<title>Four &lt;pages&gt;</title>" in text and "</script><b>" not in text


def test_five_thousand_pages_open_and_filter_quickly(browser, tmp_path: Path) -> None:
    pages = (page(f"{i}.jpg", ("graphic", i % 1000 / 1000, (0, 0, 100, 100))) for i in range(5000))
    write_gallery(pages, tmp_path / "many.html", "Many", longest=40)
    tab = browser.new_page()
    tab.goto((tmp_path / "many.html").as_uri())
    tab.keyboard.press("1")
    assert tab.locator("#count").inner_text() == "2,500 of 5,000 pages"
    tab.keyboard.press("End")
    # Only what is in view is drawn, however many pages there are.
    assert tab.locator(".card").count() < 100
    assert tab.locator(".card.here .name").inner_text() == "4999.jpg"
    tab.close()


def test_shows_predictions_and_leaves_out_what_is_gone(tiny_model: Path, tmp_path: Path, paint) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for name in ("1.png", "2.png"):
        Image.fromarray(paint(300, 400, graphic=(60, 90, 220, 250))).save(scans / name)
    predict(PredictSettings((scans,), out, tiny_model, page_timeout=0.0, work=WorkConfig(1)))
    (scans / "2.png").unlink()
    main(GallerySettings(predictions=out))
    text = (out / "gallery.html").read_text(encoding="utf-8")
    assert '"n":"1.png"' in text and '"n":"2.png"' not in text
    assert '"u":"../scans/1.png"' in text
    with pytest.raises(UserError, match="--has table: the detector knows graphic"):
        main(GallerySettings(predictions=out, has=("table",)))
    with pytest.raises(UserError, match="neither predictions nor a COCO"):
        main(GallerySettings(predictions=scans))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"pages": 2}, ["0.jpg", "2.jpg"]),  # evenly
        ({"pages": 2, "order": "finds"}, ["1.jpg", "3.jpg"]),
        ({"pages": 2, "order": "score"}, ["2.jpg", "3.jpg"]),
        ({"pages": 1, "order": "area"}, ["0.jpg"]),
        ({"pages": 1, "order": "area", "has": ("table",)}, ["3.jpg"]),
        ({"pages": 9, "has": ("table",)}, ["3.jpg"]),
        (
            {"has": ("table",), "order": "score"},
            ["0.jpg", "1.jpg", "2.jpg", "3.jpg"],
        ),  # all, but not all at first
    ],
)
def test_the_pages_that_are_shown_are_the_first_in_the_order(
    tmp_path: Path, options: dict, names: list[str]
) -> None:
    finds = [
        [("graphic", 0.6, (0, 0, 80, 80))],
        [("graphic", 0.6, (0, 0, 10, 10))] * 3 + [("table", 0.4, (0, 0, 90, 90))],
        [("graphic", 0.9, (0, 0, 20, 20))] + [("graphic", 0.2, (0, 0, 10, 10))] * 5,
        [("table", 0.8, (0, 0, 30, 30)), ("graphic", 0.55, (0, 0, 20, 20))],
    ]
    pages = []
    for number, boxes in enumerate(finds):
        Image.new("RGB", (100, 100), "white").save(tmp_path / f"{number}.jpg")
        labels = np.array([class_index(label) for label, *_ in boxes])
        scores, xyxy = (np.array([box[place] for box in boxes], float) for place in (1, 2))
        pages.append(CocoPage(f"{number}.jpg", 100, 100, xyxy, labels, scores))
    write_coco(tmp_path / "found.json", pages, {})
    main(GallerySettings(predictions=tmp_path / "found.json", **options))
    text = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert [one["n"] for one in data["pages"]] == names
    assert data["start"]["order"] == options.get("order", "pages")
    assert tuple(data["labels"][number] for number in data["start"]["has"]) == options.get("has", ())


def test_a_class_that_no_page_holds_is_said(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100), "white").save(tmp_path / "0.jpg")
    box, label = np.array([[0, 0, 9, 9.0]]), np.array([class_index("table")])
    write_coco(tmp_path / "truth.json", [CocoPage("0.jpg", 100, 100, box, label)], {})
    with pytest.raises(UserError, match="--has woodcut: no class; choose among graphic"):
        main(GallerySettings(predictions=tmp_path / "truth.json", has=("woodcut",)))
    with pytest.raises(UserError, match="no page holds graphic with a score of 0.5"):
        main(GallerySettings(predictions=tmp_path / "truth.json", has=("graphic",), pages=3))
    with pytest.raises(UserError, match="--pages -1"):
        GallerySettings(predictions=tmp_path, pages=-1)


def test_thumbnails_get_smaller_with_the_number_of_pages() -> None:
    sides = [thumbnail_side(pages) for pages in (0, 100, 1000, 5000, 10**6)]
    assert sides == sorted(sides, reverse=True) and sides[0] == 900 and sides[-1] == 200

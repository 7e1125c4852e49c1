"""The page of a discovery, with real clicks and keys in a browser."""

import json
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcd_longtail.figures import gallery
from gcd_longtail.figures.gallery import at_random, centre_middle_edge
from gcd_longtail.figures.thumbnails import thumbnail
from gcd_longtail.reviewing.decisions import UNSURE, Reviewed, read_decisions, replay

CASES = json.loads((Path(__file__).parents[1] / "review" / "cases.json").read_text(encoding="utf-8"))
RUN = "r" * 32
SIZES = {"ant": 6, "bee": 5, "novel-1": 16, "novel-2": 9, "novel-3": 7, "novel-4": 4}
KNOWN = 2


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, make_discovery) -> Path:
    """The gallery of two known and four discovered classes."""
    return make_discovery(tmp_path_factory.mktemp("discovery") / "gallery.html", SIZES, KNOWN)


@pytest.fixture
def tab(browser, page: Path, open_page) -> Iterator:
    with open_page(browser, page.as_uri(), accept_downloads=True) as opened:
        opened.wait_for_selector(".card .tile")
        yield opened


def card(tab, cluster: str):
    return tab.locator(f'.card[data-cluster="{cluster}"]')


def settles(tab, selector: str, text: str) -> None:
    """Wait until an element says ``text``."""
    tab.locator(selector, has_text=text).wait_for()


def full_cards(tab) -> list[str]:
    return [one.get_attribute("data-cluster") for one in tab.locator(".card:not(.slim)").all()]


def saved(tab, tmp_path: Path) -> Path:
    with tab.expect_download() as download:
        tab.keyboard.press("s")
    assert download.value.suggested_filename == "decisions.jsonl"
    file = tmp_path / "decisions.jsonl"
    file.write_bytes(Path(download.value.path()).read_bytes())
    return file


def reviewed(tab, page: Path, tmp_path: Path) -> Reviewed:
    """Return what the saved decisions come to in Python."""
    facts = json.loads((page.parent / "gallery.json").read_text())
    classes = np.repeat(facts["names"], facts["sizes"]).tolist()
    assignments = dict(zip(facts["keys"], classes, strict=True))
    decisions = read_decisions(saved(tab, tmp_path), RUN)
    return replay(decisions, facts["names"], assignments, facts["names"][:KNOWN])


def names(result: Reviewed) -> dict[str, str]:
    return {one.cluster: one.name for one in result.classes if one.settled and not one.rejected}


# ------------------------------------------------------------------------------------------------ the same in two languages


@pytest.fixture(scope="module")
def script(browser) -> Iterator:
    blank = browser.new_page()
    blank.add_script_tag(content=gallery._template("replay.js"))
    yield blank
    blank.close()


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["what"])
def test_decisions_come_to_the_same_as_in_python(script, case: dict) -> None:
    got = script.evaluate(
        """([run, lines]) => {
          const { classes, images, labels, forbidden } = replay(lines, run.names, Object.entries(run.assignments), run.known);
          return { images: Object.fromEntries(images), labels: Object.fromEntries(labels), forbidden: forbidden.sort(),
            classes: classes.map((one) => [one.cluster, one.name, one.named, one.settled, one.rejected]) };
        }""",
        [CASES["run"], case["decisions"]],
    )
    expected = case["expected"]
    assert got["classes"] == expected["classes"]
    assert got["images"] == CASES["run"]["assignments"] | expected["images"]
    assert got["labels"] == expected["labels"]
    assert got["forbidden"] == expected["forbidden"]


def test_the_images_that_stand_for_a_class_are_the_same_as_in_python(tab) -> None:
    numbers = list(range(40, 97))
    for size, most in ((57, 12), (11, 12), (2, 12), (57, 3), (14, 12)):
        got = tab.evaluate("([list, most]) => centreMiddleEdge(list, most)", [numbers[:size], most])
        assert got == [[numbers[i] for i in part] for part in centre_middle_edge(size, most)]
    for salt in (0, 1, 7):
        got = tab.evaluate("([list, salt]) => atRandom(list, 12, salt)", [numbers, salt])
        assert got == at_random(np.array(numbers), 12, salt).tolist()


def test_a_random_dozen_is_drawn_evenly() -> None:
    counts = np.zeros(60)
    for salt in range(400):
        counts[at_random(np.arange(60), 12, salt)] += 1
    assert counts.sum() == 400 * 12 and 50 < counts.min() and counts.max() < 115  # 80 each, deviation 8


# ------------------------------------------------------------------------------------------------ naming, merging, ...


def test_the_largest_discovered_group_comes_first_with_centre_middle_and_edge(tab) -> None:
    assert full_cards(tab) == ["novel-1", "novel-2", "novel-3", "novel-4"]
    assert card(tab, "novel-1").locator("h4").all_inner_texts() == ["Centre", "Middle", "Edge"]
    numbers = [int(one.get_attribute("data-image")) for one in card(tab, "novel-1").locator(".tile").all()]
    assert [number - 11 for number in numbers] == [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15]
    assert tab.locator("#progress").inner_text() == "0 of 4 discovered groups settled"


def test_a_name_typed_with_the_keyboard_is_kept_over_a_reload_and_undone(tab, page, tmp_path) -> None:
    tab.keyboard.press("n")
    tab.keyboard.type("fox")
    tab.keyboard.press("Enter")
    assert card(tab, "novel-1").locator(".said").inner_text() == "novel-1: fox"
    assert tab.locator("#progress").inner_text() == "1 of 4 discovered groups settled"
    assert tab.locator(".card.here").get_attribute("data-cluster") == "novel-2"  # goes on with the next one
    tab.reload()
    tab.wait_for_selector(".card .tile")
    assert full_cards(tab) == ["novel-2", "novel-3", "novel-4"]
    result = reviewed(tab, page, tmp_path)
    assert names(result) == {"novel-1": "fox"} and len(result.labels) == 12
    tab.locator("#undo").click()
    assert tab.locator("#progress").inner_text() == "0 of 4 discovered groups settled"
    assert names(reviewed(tab, page, tmp_path)) == {}
    tab.reload()
    tab.wait_for_selector(".card .tile")
    tab.locator("#redo").click()
    assert names(reviewed(tab, page, tmp_path)) == {"novel-1": "fox"}
    assert tab.locator("#redo").is_disabled()


def test_undo_and_redo_go_step_by_step(tab) -> None:
    for key in "yry":  # novel-1 kept, novel-2 no category, novel-3 kept
        tab.keyboard.press(key)
    settled = lambda: tab.locator("#progress").inner_text()[0]  # noqa: E731
    assert settled() == "3"
    tab.keyboard.press("Control+z")
    tab.keyboard.press("u")
    tab.keyboard.press("u")
    assert settled() == "0" and tab.locator("#undo").is_disabled()
    tab.keyboard.press("Control+Shift+z")
    tab.keyboard.press("Shift+U")
    assert settled() == "2" and "no category" in card(tab, "novel-2").inner_text()
    tab.keyboard.press("u")
    tab.locator("#scope").select_option("todo")
    card(tab, "novel-4").get_by_role("button", name="Keep").click()
    assert tab.locator("#redo").is_disabled()  # something else was decided


def test_the_end_says_what_comes_next(tab) -> None:
    for _ in range(4):
        assert tab.locator(".nothing").count() == 0
        tab.keyboard.press("y")
    assert "Save your decisions to a file" in tab.locator(".nothing").inner_text()
    assert tab.locator(".slim").count() == 4
    card(tab, "novel-2").get_by_role("button", name="Look again").click()
    card(tab, "novel-2").locator(".tile").first.wait_for()


def test_a_click_merges_with_what_is_alike_and_the_larger_one_stays(tab, page, tmp_path) -> None:
    row = card(tab, "novel-3").locator(".alike").filter(has_text="novel-2")
    row.get_by_role("button", name="Merge").click()
    result = reviewed(tab, page, tmp_path)
    assert "novel-3" not in {one.cluster for one in result.classes}
    assert len(result.members()["novel-2"]) == 16
    assert len(result.labels) == 10  # seven that were shown, and three small ones
    assert card(tab, "novel-3").count() == 0
    tab.locator("#toast button").click()  # Undo
    assert card(tab, "novel-3").count() == 1
    assert len(reviewed(tab, page, tmp_path).classes) == 6


def test_a_name_that_is_there_puts_a_group_into_that_class(tab, page, tmp_path) -> None:
    field = card(tab, "novel-4").locator(".name")
    field.fill("ant")
    field.press("Enter")
    assert tab.locator("#toast").inner_text().startswith("novel-4 went into ant")
    assert len(reviewed(tab, page, tmp_path).members()["ant"]) == 10


def test_clicked_images_become_a_group_or_leave_theirs_or_get_a_class(tab, page, tmp_path) -> None:
    tiles = card(tab, "novel-1").locator(".tile .pick")
    tiles.nth(0).click()
    tiles.nth(2).click(modifiers=["Shift"])  # and all between
    assert tab.locator("#chosen-count").inner_text() == "3 images in novel-1"
    tab.locator('[data-do="split"]').click()
    tab.locator("#question button.main").click()  # no name yet
    tab.locator("#chosen").wait_for(state="hidden")  # a question closes before its answer is taken
    assert card(tab, "novel-1b").locator(".facts").first.inner_text() == "3 images"
    card(tab, "novel-2").locator(".pick").nth(1).click()
    tab.keyboard.press("x")
    card(tab, "novel-2").locator(".pick").nth(1).click()
    tab.keyboard.press("i")
    tab.keyboard.type("bee")
    tab.keyboard.press("Enter")
    tab.locator("#chosen").wait_for(state="hidden")
    result = reviewed(tab, page, tmp_path)
    sizes = {cluster: len(keys) for cluster, keys in result.members().items()}
    assert sizes == {
        "ant": 6,
        "bee": 6,
        "novel-1": 13,
        "novel-1b": 3,
        "novel-2": 7,
        "novel-3": 7,
        "novel-4": 4,
    }
    assert list(result.images.values()).count(UNSURE) == 1 and len(result.forbidden) == 1
    assert tab.locator('[data-view="unsure"] b').inner_text() == str(tab.evaluate("unsureImages().length"))
    for _ in range(3):
        tab.keyboard.press("u")
    assert len(reviewed(tab, page, tmp_path).classes) == 6


def test_a_chosen_image_is_no_example_of_the_name(tab, page, tmp_path) -> None:
    card(tab, "novel-1").locator(".pick").nth(3).click()
    key = card(tab, "novel-1").locator(".pick img").nth(3).get_attribute("alt")
    tab.keyboard.press("n")
    tab.keyboard.type("fox")
    tab.keyboard.press("Enter")
    labels = reviewed(tab, page, tmp_path).labels
    assert len(labels) == 11 and key not in labels


def test_a_gesture_over_two_groups_is_undone_at_once(tab) -> None:
    card(tab, "novel-1").locator(".pick").first.click()
    card(tab, "novel-2").locator(".pick").first.click()
    assert tab.locator("#chosen-count").inner_text() == "2 images in 2 groups"
    tab.keyboard.press("x")
    assert tab.evaluate("now.unsure.length") == 2 and tab.evaluate("store.lines.length") == 2
    tab.keyboard.press("u")
    assert tab.evaluate("now.unsure.length") == 0


def test_decisions_are_read_from_a_file_and_those_of_another_run_are_not(tab, page, tmp_path) -> None:
    tab.keyboard.press("y")
    file = saved(tab, tmp_path)
    text = file.read_text()
    tab.evaluate("localStorage.clear()")
    tab.reload()
    tab.wait_for_selector(".card .tile")
    assert tab.locator("#progress").inner_text()[0] == "0"
    tab.locator("#file").set_input_files(file)
    settles(tab, "#progress", "1 of 4")
    for damaged, message in (
        (text.replace(RUN, "s" * 32), "another run"),
        (text[:-9] + "\n", "line 2 is damaged"),
    ):
        file.write_text(damaged)
        tab.locator("#file").set_input_files(file)
        tab.wait_for_function(
            "text => document.getElementById('toast').textContent.includes(text)", arg=message
        )
    assert tab.locator("#progress").inner_text()[0] == "1"


def test_another_tab_sees_what_was_decided(tab) -> None:
    other = tab.context.new_page()
    other.goto(tab.url)
    other.wait_for_selector(".card .tile")
    tab.keyboard.press("y")
    settles(other, "#progress", "1 of 4")


# ------------------------------------------------------------------------------------------------ looking


def test_all_images_of_a_group_open_and_close(tab) -> None:
    tab.keyboard.press("o")
    assert tab.locator(".whole .tile").count() == 16
    tab.locator(".whole select").select_option("edge")
    assert tab.locator(".whole .tile").first.get_attribute("data-image") == str(11 + 15)
    tab.get_by_role("button", name="Choose all here").click()
    assert tab.locator("#chosen-count").inner_text() == "16 images in novel-1"
    tab.keyboard.press("Escape")
    tab.keyboard.press("o")
    assert len(full_cards(tab)) == 4


def test_a_random_dozen_and_another(tab) -> None:
    def shown() -> list[str]:
        card(tab, "novel-1").locator(".tile").first.wait_for()  # pictures come as a card comes into view
        return card(tab, "novel-1").locator(".tile").evaluate_all("all => all.map(one => one.dataset.image)")

    tab.keyboard.press("d")
    first = shown()
    assert card(tab, "novel-1").locator("h4").all_inner_texts() == ["At random"]
    tab.keyboard.press("Shift+D")
    assert len(first) == len(shown()) == 12 and first != shown()
    tab.keyboard.press("d")
    shown()
    assert card(tab, "novel-1").locator("h4").count() == 3


def test_search_order_and_scope(tab) -> None:
    tab.locator("#sort").select_option("alike")
    order = full_cards(tab)
    assert order in (
        ["novel-1", "novel-2", "novel-3", "novel-4"],
        ["novel-4", "novel-3", "novel-2", "novel-1"],
    )
    tab.locator("#sort").select_option("doubt")
    assert sorted(full_cards(tab)) == sorted(order)
    tab.locator("#scope").select_option("known")
    assert full_cards(tab) == ["ant", "bee"] or full_cards(tab) == ["bee", "ant"]
    assert "2 labelled" in card(tab, "ant").inner_text()
    tab.keyboard.press("/")
    tab.keyboard.type("NOVEL-2/003")
    assert full_cards(tab) == ["novel-2"]
    card(tab, "novel-2").locator("h4", has_text="Found").wait_for()
    tab.locator("#search").fill("no such thing")
    assert "No group and no file" in tab.locator(".nothing").inner_text()


def test_an_image_is_looked_at_with_its_file_and_told_where_it_belongs(tab, page, tmp_path) -> None:
    card(tab, "novel-2").locator(".tile").first.hover()
    card(tab, "novel-2").locator(".zoom").first.click()
    name = tab.locator("#view-name").inner_text()
    assert re.fullmatch(r"novel-2/\d+\.png", name)
    link = tab.locator("#view-link").get_attribute("href")
    assert (page.parent / urllib.parse.unquote(link)).resolve() == (page.parent / "images" / name).resolve()
    assert (page.parent / link).is_file()
    assert tab.locator("#view-facts").inner_text().startswith("in novel-2 · 1 of 9 from the centre")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#view-name").inner_text() != name
    tab.keyboard.press("x")
    assert tab.locator("#view-facts").inner_text().startswith("taken out of its group")
    tab.keyboard.press("Escape")
    assert len(reviewed(tab, page, tmp_path).forbidden) == 1


def test_an_unsure_image_is_answered(tab, page, tmp_path) -> None:
    card(tab, "novel-1").locator(".pick").first.click()
    tab.keyboard.press("x")
    tab.locator('[data-view="unsure"]').click()
    first = tab.locator(".single").first
    assert "You took it out of its group" in first.inner_text() and "novel-1\n" not in first.inner_text()
    first.locator(".answer").first.click()
    result = reviewed(tab, page, tmp_path)
    assert UNSURE not in result.images.values() and len(result.labels) == 1


def test_a_label_that_looks_wrong_is_shown_and_corrected(
    browser, tmp_path, make_discovery, open_page
) -> None:
    sizes = {"ant": 12, "bee": 12, "novel-1": 8}
    generator, classes = np.random.default_rng(1), np.repeat(np.arange(3), list(sizes.values()))
    at = np.stack([np.arange(3) * 2.0, np.arange(3) ** 1.5, np.zeros(3)], 1)
    features = (at[classes] + generator.normal(0, 0.2, (32, 3))).astype(np.float32)
    features[1] = at[1]  # called an ant, and looks like a bee
    page = make_discovery(tmp_path / "gallery.html", sizes, 2, features=features)
    with open_page(browser, page.as_uri(), accept_downloads=True) as tab:
        assert tab.locator('[data-view="labels"]').inner_text() == "Doubtful labels 1"
        tab.locator('[data-view="labels"]').click()
        assert tab.locator(".single .pick").get_attribute("title") == "ant/001.png\nlabelled"
        assert tab.locator(".answer b").all_inner_texts() == ["ant", "bee"]
        tab.locator(".answer", has_text="bee").click()
        assert "No label is in doubt" in tab.locator(".nothing").inner_text()
        assert tab.evaluate("now.home[numberOf.get('ant/001.png')]") == "bee"


def test_the_map_chooses_by_a_drag_and_opens_by_a_name(tab) -> None:
    tab.locator('[data-view="map"]').click()
    box = tab.locator("#map").bounding_box()
    tab.mouse.move(box["x"] + 12, box["y"] + 12)  # the corners are round
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] - 9, box["y"] + box["height"] - 9)
    tab.mouse.up()
    assert tab.locator("#chosen-count").inner_text() == "47 images in 6 groups"
    tab.keyboard.press("Escape")
    x1, y1, x2, y2 = tab.evaluate("canvas.names[0]")
    tab.mouse.click(box["x"] + (x1 + x2) / 2, box["y"] + (y1 + y2) / 2)
    assert tab.locator(".whole").get_attribute("data-cluster") == "novel-1"


def test_help_names_every_key(tab) -> None:
    tab.keyboard.press("?")
    told = set(" ".join(tab.locator("#help kbd").all_inner_texts()).lower().split())
    keys = {key.lower() for key in tab.evaluate("Object.keys(KEYS)")}
    assert keys - told == {"arrowleft", "arrowright", "escape"}
    tab.keyboard.press("Escape")
    assert not tab.locator("#help").is_visible()


# ------------------------------------------------------------------------------------------------ what the page says and shows


def test_purity_is_shown_with_its_doubt_where_there_is_a_confidence(
    browser, tmp_path, make_discovery, open_page
) -> None:
    confidence = np.repeat([0.9, 0.9, 0.6, 0.95, 0.5, 0.5], list(SIZES.values()))
    page = make_discovery(tmp_path / "gallery.html", SIZES, KNOWN, confidence=confidence)
    with open_page(browser, page.as_uri()) as tab:
        # 16 images count as 6.4, for they are right or wrong together
        assert "about 60% right (26 to 86)" in card(tab, "novel-1").inner_text()
        assert "60% sure" in card(tab, "novel-1").locator(".pick").first.get_attribute("title")
        tab.locator("#sort").select_option("doubt")
        assert full_cards(tab)[:3] == ["novel-3", "novel-4", "novel-1"]


def test_no_purity_is_made_up(tab) -> None:
    assert "right (" not in tab.locator("#view").inner_text()


def test_what_was_settled_before_is_not_asked_again(browser, tmp_path, make_discovery, open_page) -> None:
    page = make_discovery(tmp_path / "gallery.html", SIZES, KNOWN, settled=("novel-2", "ant"))
    with open_page(browser, page.as_uri()) as tab:
        assert full_cards(tab) == ["novel-1", "novel-3", "novel-4"]
        tab.locator("#scope").select_option("settled")
        assert sorted(full_cards(tab)) == ["ant", "novel-2"]


def test_a_page_without_a_run_is_only_looked_at(browser, tmp_path, make_discovery, open_page) -> None:
    page = make_discovery(tmp_path / "gallery.html", SIZES, KNOWN, run="")
    with open_page(browser, page.as_uri()) as tab:
        assert not tab.locator("#save").is_visible() and tab.locator(".naming").count() == 0
        tab.keyboard.press("y")
        card(tab, "novel-1").locator(".pick").first.click()
        assert tab.locator("#viewer").is_visible() and tab.evaluate("store.lines.length") == 0


def test_over_the_limit_pictures_come_from_the_files(browser, tmp_path, make_discovery, open_page) -> None:
    page = make_discovery(tmp_path / "gallery.html", SIZES, KNOWN, thumbnails=20)
    text = page.read_text()
    assert text.count('<script type="text/plain" id="t') == 20
    with open_page(browser, page.as_uri()) as tab:
        tab.keyboard.press("o")
        tab.wait_for_function(
            "[...document.querySelectorAll('.whole img')].every(one => one.naturalWidth > 0)"
        )
        kinds = tab.locator(".whole .pick img").evaluate_all("all => all.map(one => one.src.slice(0, 5))")
        assert set(kinds) == {"data:", "file:"} and len(kinds) == 16


def test_wide_and_tall_pictures_are_whole_and_legible(browser, tmp_path, make_discovery, open_page) -> None:
    page = tmp_path / "gallery.html"
    make_discovery(page, {"ant": 3, "novel-1": 3}, 1)
    images = tmp_path / "images" / "novel-1"
    Image.new("RGB", (449, 67), "navy").save(images / "000.png")
    Image.new("RGB", (67, 449), "navy").save(images / "001.png")
    make = np.asarray(Image.open(images / "000.png"))
    with Image.open(__import__("io").BytesIO(thumbnail(make))) as small:
        assert small.size == (290, 43)
    page.write_text(page.read_text().replace('"thumbnails":[0,1,2,3,4,5]', '"thumbnails":[]'))
    with open_page(browser, page.as_uri()) as tab:
        tab.wait_for_selector(".very-wide")
        wide, tall = (tab.locator(kind).bounding_box() for kind in (".very-wide", ".very-tall"))
        assert wide["width"] > 200 and tall["height"] > 200


def test_a_phone_needs_no_sideways_scrolling(browser, page, open_page) -> None:
    screen = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with open_page(browser, page.as_uri(), **screen) as tab:
        tab.wait_for_selector(".card .tile")
        assert not tab.locator("#controls").is_visible()
        tab.locator(".card .pick").first.tap()
        assert tab.locator("#chosen").is_visible()
        tab.locator('[data-do="clear"]').tap()
        tab.locator("#choose").tap()
        for view in ("groups", "unsure", "map"):
            tab.locator(f'[data-view="{view}"]').tap()
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_needs_no_network_and_hostile_names_do_nothing(browser, tmp_path, make_discovery, open_page) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    page = make_discovery(tmp_path / "gallery.html", {"ant": 3, evil.replace("/", "|"): 4}, 1)
    text = page.read_text()
    assert "<title>Made-up &lt;discovery&gt;</title>" in text and "<img src=x" not in text
    assert "http://" not in text and "https://" not in text
    asked: list[str] = []
    with open_page(browser, "about:blank") as tab:
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("dialog", lambda dialog: pytest.fail(dialog.message))
        tab.goto(page.as_uri())
        tab.wait_for_selector(".card .tile")
        tab.keyboard.press("n")
        tab.keyboard.type("<b>bold</b>")
        tab.keyboard.press("Enter")
        assert "<b>bold</b>" in tab.locator(".slim").inner_text()
    assert all(url.startswith(("file:", "data:")) for url in asked)

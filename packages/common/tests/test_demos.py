import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from seminar_common.demo_page import Bar, Bars, Panel, Shot, Story, page
from seminar_common.demos import MARKER, STORY, DemoSettings, run_demos
from seminar_common.device import choose_threads
from seminar_common.errors import UserError
from seminar_common.results import Results, Row, read_results

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 5"><rect width="4" height="5" fill="var(--ink)"/></svg>'
PNG = bytes.fromhex(  # one pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000"
    "000049454e44ae426082"
)


def small_story(folder: Path, data: Path | None) -> Story:
    (folder / "found").mkdir(parents=True)
    (folder / "found" / "gallery.html").write_text("<p>A gallery</p>")
    rows = (Row("float", str(data), "test", "roc_auc", 0.7123, 0.70, 0.72),)
    return Story(
        "A topic",
        "How small & fast?",
        "9 times smaller",
        "It has 71 kB in place of 669 kB.",
        Shot(SVG, "Two squares"),
        Results("demo", rows),
        (Bars("Bytes", (Bar("full", 669, "669 kB"), Bar("packed", 71, "71 kB", 60, 80, ours=True))),),
        (
            Panel(
                "Pages", (Shot(PNG, "A page <with> boxes"), Shot(SVG, "Another")), "Before and after.", True
            ),
        ),
        ("It did not gain.",),
        (
            (
                "Pack your own model:",
                "recsys-bnn pack --run runs/float --out " + 20 * "a-very-long-name" + ".bin",
            ),
        ),
        (("Gallery & more", "found/gallery.html"),),
    )


def test_every_topic_gets_a_folder_and_one_page_tells_of_them_all(tmp_path: Path) -> None:
    index = run_demos({"one": small_story, "two": small_story}, DemoSettings(out=tmp_path / "out"))
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    made = ["found/gallery.html", "report.html", "results.json", "story.json"]
    assert names == [MARKER, "index.html", *(f"{topic}/{name}" for topic in ("one", "two") for name in made)]
    assert read_results(tmp_path / "out" / "two").one(metric="roc_auc").value == 0.7123
    text = index.read_text()
    assert text.count("It has 71 kB in place of 669 kB.") == 4  # on a card and in a story, of two topics
    assert text.count("How small &amp; fast?") == 4 and text.count("A page &lt;with&gt; boxes") == 4
    assert "0.7123" in (tmp_path / "out" / "one" / "report.html").read_text()


def test_the_links_of_the_page_lead_somewhere(tmp_path: Path) -> None:
    index = run_demos({"one": small_story}, DemoSettings(out=tmp_path / "out"))
    text = index.read_text()
    links = re.findall(r'href="([^"#]+)"', text)
    assert {link for link in links if not link.startswith("data:")} == {
        "one/found/gallery.html",
        "one/report.html",
    }
    assert all((index.parent / link).is_file() for link in links if not link.startswith("data:"))
    assert '<a class="card" href="#one">' in text and '<article id="one">' in text


def test_bars_are_as_long_as_their_values_and_intervals_lie_on_them(tmp_path: Path) -> None:
    index = run_demos({"one": small_story}, DemoSettings(out=tmp_path / "out"))
    story = json.loads((index.parent / "one" / STORY).read_text())
    full, packed = story["bars"][0]["bars"]
    assert full["width"] == 100 and full["interval"] is None
    assert packed["width"] == pytest.approx(100 * 71 / 669, abs=0.01)
    assert packed["interval"] == pytest.approx([100 * 60 / 669, 100 * 20 / 669], abs=0.02)


def test_bars_may_start_at_chance_and_end_at_the_best_possible() -> None:
    from seminar_common.demo_page import content

    group = Bars("AUC", (Bar("float", 0.7, "0.7", 0.45, 0.9),), start=0.5, end=0.75)
    story = content(Story("a", "b", "c", "d", Shot(SVG, "e"), Results(""), (group,)))
    (bar,) = story["bars"][0]["bars"]
    assert bar["width"] == 80 and bar["interval"] == [0, 100]  # what lies outside is cut off


def test_real_data_is_handed_on(tmp_path: Path) -> None:
    index = run_demos({"one": small_story}, DemoSettings(out=tmp_path / "out", data=tmp_path))
    assert read_results(tmp_path / "out" / "one").rows[0].dataset == str(tmp_path)
    assert "data that it made itself" not in index.read_text()


def test_one_number_of_threads_is_for_all_demos_and_for_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    seen = []

    def demo(folder: Path, data: Path | None) -> Story:
        seen.append((choose_threads()[0], os.environ["OMP_NUM_THREADS"]))
        return small_story(folder, data)

    run_demos({"one": demo, "two": demo}, DemoSettings(out=tmp_path / "out", threads=3))
    assert seen == [(3, "3"), (3, "3")]
    assert "OMP_NUM_THREADS" not in os.environ
    assert "demo: 3 threads (asked for)" in capsys.readouterr().err
    with pytest.raises(UserError, match="--threads -1"):
        DemoSettings(threads=-1)


# -------------------------------------------------------------------------------------------------- going on


class Dying:
    """A demo that is stopped on its way the first time, and counts how often it is run."""

    def __init__(self, by: type[BaseException]):
        self.by, self.runs = by, 0

    def __call__(self, folder: Path, data: Path | None) -> Story:
        self.runs += 1
        if self.runs == 1:
            folder.mkdir(parents=True)
            (folder / "half-done.txt").touch()
            raise self.by("stopped")
        return small_story(folder, data)


def test_a_demo_that_was_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/seminar", "demo"])
    out, first, second = tmp_path / "a folder", Dying(KeyboardInterrupt), Dying(KeyboardInterrupt)
    first.runs = 1  # it finishes at once
    settings = DemoSettings(out=out, data=tmp_path, threads=2)
    with pytest.raises(KeyboardInterrupt):
        run_demos({"one": first, "two": second}, settings)
    said = capsys.readouterr().err
    assert f"Go on with: seminar demo --out '{out}' --data {tmp_path} --threads 2" in said
    assert not (out / "index.html").exists() and (out / "two" / "half-done.txt").exists()
    index = run_demos({"one": first, "two": second}, settings)
    said = capsys.readouterr().err
    assert (
        "== one (1 of 2): finished before, kept" in said
        and "two: was stopped on the way, is made anew" in said
    )
    assert (first.runs, second.runs) == (2, 2)
    assert not (out / "two" / "half-done.txt").exists()
    assert index.read_text().count('<article id="') == 2


def test_what_a_topic_could_not_do_leaves_the_others(tmp_path: Path) -> None:
    settings = DemoSettings(out=tmp_path / "out")
    with pytest.raises(UserError, match="stopped"):
        run_demos({"one": small_story, "two": Dying(UserError)}, settings)
    assert (tmp_path / "out" / "one" / STORY).exists() and not (tmp_path / "out" / "two" / STORY).exists()


def test_a_finished_demo_is_shown_again_as_it_was(tmp_path: Path) -> None:
    demo, settings = Dying(KeyboardInterrupt), DemoSettings(out=tmp_path / "out")
    demo.runs = 1
    before = run_demos({"one": demo}, settings).read_text()
    assert run_demos({"one": demo}, settings).read_text() == before
    assert demo.runs == 2


@pytest.mark.parametrize(
    ("change", "named"), [({"threads": 2}, "number of threads"), ({"data": True}, "data")]
)
def test_other_settings_are_refused(tmp_path: Path, change: dict, named: str) -> None:
    run_demos({"one": small_story}, DemoSettings(out=tmp_path / "out"))
    other = {"data": tmp_path} if "data" in change else change
    with pytest.raises(UserError, match=rf"out: was computed from another {named} .*, or another --out"):
        run_demos({"one": small_story}, DemoSettings(out=tmp_path / "out", **other))


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(UserError, match="not overwritten"):
        run_demos({"one": small_story}, DemoSettings(out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_missing_data_folder_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        run_demos({"one": small_story}, DemoSettings(out=tmp_path / "out", data=tmp_path / "absent"))
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")  # playwright runs once at a time in a process, and other packages use it, too
def browser() -> Iterator:
    """A headless Chromium; tests that need one are skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_a_phone_shows_it_without_scrolling_sideways_and_a_desk_shows_three_cards_at_once(
    browser, tmp_path: Path
) -> None:
    demos = {"one": small_story, "two": small_story, "three": small_story}
    index = run_demos(demos, DemoSettings(out=tmp_path / "out"))
    asked: list[str] = []
    for width, height in ((390, 844), (1280, 800)):
        tab = browser.new_page(viewport={"width": width, "height": height})
        problems: list[str] = []
        tab.on("console", lambda message, problems=problems: problems.append(message.text))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(index.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        boxes = [card.bounding_box() for card in tab.query_selector_all(".card")]
        assert len({box["y"] for box in boxes}) == (3 if width == 390 else 1)
        if width == 1280:
            assert max(box["y"] + box["height"] for box in boxes) < height
        assert not problems
        tab.close()
    assert {url for url in asked if not url.startswith("data:")} == {index.as_uri()}


def test_dark_is_dark(browser, tmp_path: Path) -> None:
    index = run_demos({"one": small_story}, DemoSettings(out=tmp_path / "out"))
    shades = []
    for scheme in ("light", "dark"):
        tab = browser.new_page(color_scheme=scheme)
        tab.goto(index.as_uri())
        shades.append(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        tab.close()
    light, dark = (sum(map(int, re.findall(r"\d+", shade))) for shade in shades)
    assert dark < 200 < 600 < light


def test_the_page_says_how_long_it_took() -> None:
    story = {
        **json.loads(json.dumps({"name": "a", "question": "b", "gained": "c", "answer": "d"})),
        "card": {"svg": "<svg></svg>", "caption": "e"},
        **{key: [] for key in ("bars", "panels", "notes", "commands", "links")},
    }
    long, short = ({**story, "seconds": s, "processor_seconds": s} for s in (170.0, 61.0))
    assert "in 4 minutes" in page({"one": long, "two": short}, True)
    assert "on one topic in 61 seconds" in page({"one": short}, True)

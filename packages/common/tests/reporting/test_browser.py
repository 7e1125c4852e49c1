"""What a reader sees of a page: on a phone, in the dark and on paper."""

import shutil

import pytest

pytest.importorskip("matplotlib")
from seminar_common import report
from seminar_common.results import Results, write_results


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page_file(tmp_path, told):
    metrics = ("roc_auc", "accuracy", "log_loss", "normalized_entropy", "calibration_error", "size_mb")
    rows = [
        told.row(f"model-{n}-with-a-long-name", metric, 0.7 + n / 100, 0.6, 0.8)
        for n in range(30)
        for metric in metrics
    ]
    results = Results(told.results.command + " --option" * 60, (*told.results.rows, *rows))
    write_results(tmp_path / "study" / "results.json", results)
    report.write_pictures(
        tmp_path / "study", [report.Picture(b"\xff\xd8\xff", "scans__" * 30 + ".jpg: found nothing")]
    )
    (tmp_path / "study" / "report.md").write_text(
        f"# Discussion\n\n{'Long' * 100}\n\n| a | b |\n|---|---|\n| c | d |\n"
    )
    report.report([tmp_path / "study"], tmp_path / "report.html")
    return f"file://{tmp_path / 'report.html'}"


def opened(browser, address, width=1280, **how):
    page = browser.new_page(viewport={"width": width, "height": 844}, **how)
    page.errors = []
    page.on("console", lambda message: page.errors.append(message.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    return page


def test_a_phone_scrolls_tables_and_not_the_page(browser, page_file):
    page = opened(browser, page_file, 390)
    for folded in page.query_selector_all("details"):
        folded.evaluate("one => one.open = true")
    page.wait_for_timeout(50)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.query_selector_all(".more-to-scroll")
    assert wide
    for box in wide:
        assert box.evaluate("one => one.scrollWidth > one.clientWidth")
        assert "scroll" in box.evaluate("one => getComputedStyle(one, '::before').content")
    for caption in page.query_selector_all("figcaption"):
        assert caption.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert page.errors == []
    page.close()


def test_a_table_that_fits_says_nothing_of_scrolling(browser, page_file):
    page = opened(browser, page_file)
    short = page.query_selector(".table .scroll")
    assert short.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert not short.evaluate("one => one.classList.contains('more-to-scroll')")
    page.close()


def test_the_dark_page_has_light_letters(browser, page_file):
    shades = {}
    for scheme in ("light", "dark"):
        page = opened(browser, page_file, color_scheme=scheme)
        for part in ("color", "backgroundColor"):
            rgb = page.evaluate(f"getComputedStyle(document.body).{part}")
            shades[scheme, part] = sum(map(int, rgb.removeprefix("rgb(").removesuffix(")").split(",")))
        page.close()
    assert shades["light", "color"] < 200 < 600 < shades["light", "backgroundColor"]
    assert shades["dark", "backgroundColor"] < 200 < 600 < shades["dark", "color"]


def test_a_first_screen_has_the_answers(browser, page_file):
    page = opened(browser, page_file)
    answer = page.query_selector(".answers li").bounding_box()
    assert answer["y"] + answer["height"] < 400
    assert page.query_selector("figure").bounding_box()["y"] < 844
    page.close()


def test_on_paper_everything_is_open(browser, page_file, tmp_path):
    page = opened(browser, page_file)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
    hidden = "[...document.querySelectorAll('.scroll')].filter(o => getComputedStyle(o).overflowX != 'visible').length"
    assert page.evaluate(hidden) == 0
    page.close()

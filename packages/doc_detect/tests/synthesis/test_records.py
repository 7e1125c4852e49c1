"""Records and articles: tables that stand apart, and rows and columns that are no table."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from doc_detect.settings.synth import SynthSettings
from doc_detect.synth import make_page
from doc_detect.synthesis import fonts
from doc_detect.synthesis.canvas import Canvas, ink_box
from doc_detect.synthesis.layouts import article, lookalikes, modern, records
from doc_detect.synthesis.layouts.materials import Materials


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials(fonts.FontBook(fonts.find_faces(None, False), "train"))


@pytest.mark.parametrize("draw", lookalikes.LOOKALIKES, ids=lambda f: f.__name__)
def test_what_looks_like_a_table_is_recorded_as_none(draw, materials: Materials) -> None:
    for seed in range(4):
        g = np.random.default_rng(seed)
        canvas, made = Canvas.blank(600, 450), modern.design(600, materials, g, "english", (50, 60))
        draw(canvas, (40, 40, 370, 520), made, g)
        assert canvas.ink.min() < 120
        assert not {name for name, _ in canvas.objects} & {"table", "graphic", "drop_capital", "caption"}


def test_loose_lines_to_fill_in_are_nothing(materials: Materials) -> None:
    g = np.random.default_rng(0)
    canvas, made = Canvas.blank(600, 450), modern.design(600, materials, g, "english", (50, 60))
    end = lookalikes.lines_to_fill(canvas, (40, 40, 370, 520), made, made.bold, g)
    assert canvas.ink.min() < 120 and not canvas.objects and 400 < end <= 560


def test_tables_of_one_page_stand_apart(materials: Materials) -> None:
    several = 0
    for seed in range(40):
        canvas = records.page(500, materials, np.random.default_rng(seed))
        found = [box for name, box in canvas.objects if name == "table"]
        several += len(found) > 1
        for a, b in combinations(found, 2):
            assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1]), seed
        for x0, y0, x1, y1 in found:
            crop = canvas.ink[int(y0) : int(y1), int(x0) : int(x1)].min(axis=2)
            assert all(side.min() < 216 for side in (crop[0], crop[-1], crop[:, 0], crop[:, -1])), seed
    assert several > 5


def test_records_stand_upright_and_lie_on_their_side(materials: Materials) -> None:
    sizes = [records.page(400, materials, np.random.default_rng(s)).ink.shape[:2] for s in range(24)]
    assert {max(size) for size in sizes} == {400}
    assert {height > width for height, width in sizes} == {True, False}


def test_a_turned_page_turns_its_boxes() -> None:
    canvas = Canvas.blank(60, 100)
    canvas.place(np.zeros((10, 30), np.uint8), 5, 7, "table")
    turned = records._turned(canvas)
    assert turned.ink.shape == (100, 60, 3)
    assert turned.objects == [("table", ink_box(turned.ink))]


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_world_of_records_has_tables_and_pages_without(split: str, tmp_path: Path) -> None:
    mine = Materials(fonts.FontBook(fonts.find_faces(None, False), split))
    settings = SynthSettings(tmp_path, world="record", long_side=300, system_fonts=False)
    pages = [make_page(page, settings, mine) for page in range(30)]
    counts = [sum(name == "table" for name, _ in record["objects"]) for _, record in pages]
    assert {record["kind"] for _, record in pages} == {"record"}
    assert counts.count(0) > 2 and max(counts) > 2 and sum(counts) > 30
    assert all(max(image.shape) <= 300 for image, _ in pages)


def test_articles_have_figures_and_tables_with_captions(materials: Materials) -> None:
    names: list[str] = []
    for seed in range(36):
        canvas = article.page(500, materials, np.random.default_rng(seed))
        names += [name for name, _ in canvas.objects]
        for _, (x0, y0, x1, y1) in canvas.objects:
            assert 0 <= x0 < x1 <= canvas.width and 0 <= y0 < y1 <= canvas.height
    assert names.count("table") > 9 and names.count("graphic") > 9
    assert names.count("caption") > 0.8 * (names.count("table") + names.count("graphic"))

"""Tables and forms: one box round their ink, with title and notes outside."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from doc_detect.synthesis import fonts
from doc_detect.synthesis.art import figures
from doc_detect.synthesis.canvas import Canvas, ink_box
from doc_detect.synthesis.layouts import modern, table_recipes, tables
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.layouts.table_recipes import Content, Room, Row
from doc_detect.synthesis.layouts.titled import titled_table
from doc_detect.synthesis.text import Style
from doc_detect.synthesis.words import Writer

AREA = (40.0, 30.0, 400.0, 480.0)


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials(fonts.FontBook(fonts.find_faces(None, False), "train"))


def style(materials: Materials, g: np.random.Generator, name: str = "roman") -> Style:
    return Style(materials.face(g, name, bold=False, figures=True), 11, 14)


@pytest.mark.parametrize("recipe", table_recipes.RECIPES)
def test_a_table_is_one_box_round_all_its_ink(recipe: str, materials: Materials) -> None:
    for seed in range(25):
        g = np.random.default_rng(seed)
        canvas, set_in = (
            Canvas.blank(560, 480),
            style(materials, g, "typewriter" if seed % 5 == 0 else "roman"),
        )
        entry = style(materials, g, "italic") if seed % 2 else None
        end = tables.table(canvas, AREA, set_in, Writer(g, "english"), g, recipe, entry, seed % 5 == 0)
        ((label, box),) = canvas.objects
        assert label == "table" and box == ink_box(canvas.ink), (recipe, seed)
        assert end == box[3] <= AREA[1] + AREA[3] + 4
        assert AREA[0] - 4 <= box[0] < box[2] <= AREA[0] + AREA[2] + 4
        assert box[3] - box[1] > 20 and box[2] - box[0] > 40


def test_the_names_of_the_rows_are_in_the_table(materials: Materials) -> None:
    """The leftmost words are as much the table's as its numbers, rules or no rules."""
    g = np.random.default_rng(0)
    content = table_recipes.statistics(
        Room(400, 20, fonts.load(style(materials, g).face, 11), Writer(g, "english")), g
    )
    assert all(row.cells[0] or row.role == "space" for row in content.rows)
    assert {len(row.cells) for row in content.rows} == {len(content.align)}


def test_columns_that_do_not_fit_are_left_out_whole() -> None:
    rows = [Row(("a", "1", "2", "3")), Row(("b", "4", "5", "6"))]
    content = Content(rows, (0, 1, 1, 1), [("", "x", "y", "z")], [(1, 2, "both"), (3, 3, "last")])
    kept = content.first_columns(2)
    assert [row.cells for row in kept.rows] == [("a", "1"), ("b", "4")]
    assert kept.heads == [("", "x")] and kept.spans == [(1, 1, "both")] and kept.align == (0, 1)


def test_a_title_stands_above_and_notes_below(materials: Materials) -> None:
    seen = set()
    for seed in range(60):
        g = np.random.default_rng(seed)
        canvas = Canvas.blank(560, 480)
        made = modern.design(560, materials, g, "english", (60, 70))
        end = titled_table(canvas, (40, 30, 400, 480), made, g)
        boxes = {name: [box for label, box in canvas.objects if label == name] for name, _ in canvas.objects}
        (table,) = boxes["table"]
        for caption in boxes.get("caption", []):
            assert caption[3] <= table[1] + 2, seed
        for note in boxes.get("main_text", []):
            assert table[3] <= note[1] + 1 and note[3] <= end + made.small.leading, seed
        seen |= set(boxes)
    assert seen == {"table", "caption", "main_text"}


@pytest.mark.parametrize("height", [10, 60, 100])
def test_no_title_is_printed_where_no_table_has_room(height: int, materials: Materials) -> None:
    for seed in range(10):
        g = np.random.default_rng(seed)
        canvas, made = Canvas.blank(900, 480), modern.design(900, materials, g, "english", (60, 70))
        end = titled_table(canvas, (40, 30, 400, height), made, g)
        assert end == 30 and canvas.ink.min() == 255 and not canvas.objects


def test_a_form_with_boxes_is_a_table_empty_or_filled_in(materials: Materials) -> None:
    for seed in range(10):
        g = np.random.default_rng(seed)
        canvas, entry = Canvas.blank(560, 480), style(materials, g, "italic") if seed % 2 else None
        tables.form(canvas, AREA, style(materials, g), Writer(g, "english"), g, entry)
        assert canvas.objects == [("table", ink_box(canvas.ink))]


def test_types_without_figures_set_no_numbers() -> None:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    without = fonts.Face(str(folder / "STIXSizOneSymReg.ttf"), "Old", "roman", False)
    with_them = fonts.Face(str(folder / "DejaVuSerif.ttf"), "New", "roman", False)
    book = fonts.FontBook([without, with_them], "train")
    drawn = {
        figures_too: {
            book.choose(np.random.default_rng(s), "roman", figures=figures_too).family for s in range(20)
        }
        for figures_too in (False, True)
    }
    assert drawn == {False: {"Old", "New"}, True: {"New"}}


@pytest.mark.parametrize(
    "make", sorted(set(figures.FIGURES), key=lambda f: f.__name__), ids=lambda f: f.__name__
)
def test_figures_have_the_size_asked_for(make, materials: Materials) -> None:
    for seed in range(5):
        for size in ((90, 400), (300, 120), (260, 300), (24, 24)):
            art = make(*size, np.random.default_rng(seed), materials.face(np.random.default_rng(0), "sans"))
            again = make(*size, np.random.default_rng(seed), materials.face(np.random.default_rng(0), "sans"))
            assert art.shape == (*size, 3) and art.min() < 200 and np.array_equal(art, again)

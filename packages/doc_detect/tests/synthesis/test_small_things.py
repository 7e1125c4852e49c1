"""Small ornament on printed and written pages, what only looks like it, and what is no page at all."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from doc_detect.settings.synth import SynthSettings, World
from doc_detect.synth import find_sources, make_page
from doc_detect.synthesis.art import fleurons, initials, manuscript, ornament
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts import early_print, flow, manuscripts, marks, nonpages, ornaments
from doc_detect.synthesis.layouts.kinds import WORLDS
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import Setting, Style, set_block
from doc_detect.synthesis.words import Writer

RED = (220, 0, 0)


@pytest.fixture(scope="module")
def materials() -> Materials:
    """What pages can be made of with matplotlib's fonts."""
    return find_sources(SynthSettings(Path("none"), system_fonts=False)).materials("train")


def reds(canvas: Canvas) -> int:
    """Count the pixels that are clearly red."""
    signed = canvas.ink.astype(int)
    return int(((signed[..., 0] - signed[..., 2]) > 100).sum())


def apart(boxes: list) -> bool:
    """Say whether no two boxes overlap."""
    pairs = [(a, b) for k, a in enumerate(boxes) for b in boxes[k + 1 :]]
    return all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for a, b in pairs)


# --- what is a graphic


@pytest.mark.parametrize("seed", range(12))
def test_small_ornament_has_ink_and_the_wanted_size(seed: int, materials: Materials) -> None:
    g = np.random.default_rng(seed)
    face = materials.face(g, "sans")
    piece = fleurons.piece(30, g, face)
    assert piece.shape[0] == 30 and piece.min() < 100
    for size in ((6, 40), (25, 250), (40, 90)):
        strip = fleurons.strip(*size, g, face)
        assert strip.shape == size and strip.min() < 100
    composed = fleurons.pieces(80, 200, g, face)
    assert composed.min() < 100 and composed.shape[0] <= 88 and composed.shape[1] <= 230
    single = fleurons.small(40, 100, g, face)
    assert single.min() < 120 and single.shape[0] <= 40 and single.shape[1] <= 100


@pytest.mark.parametrize("make", [ornament.arabesque, ornament.tailpiece], ids=lambda f: f.__name__)
def test_no_speck_stretches_an_ornaments_box(make) -> None:
    for seed in range(25):
        art = make(120, 160, np.random.default_rng(seed))
        grown = cv2.dilate((art < 200).astype(np.uint8), np.ones((7, 7), np.uint8))
        areas = cv2.connectedComponentsWithStats(grown)[2][1:, cv2.CC_STAT_AREA]
        assert areas.min() > 0.015 * areas.max(), seed


def test_a_heading_with_a_large_first_letter_is_centred(materials: Materials) -> None:
    style = Style(materials.face(np.random.default_rng(0), "roman"), 30, 40)
    for text in ("IIIIIIIIIIII", "WWWWWWWWWWWW"):
        canvas = Canvas.blank(200, 700)
        flow._large_first(canvas, text, 350, 60, style, np.random.default_rng(0))
        ((_, (x0, _, x1, _)),) = canvas.objects
        assert abs((x0 + x1) / 2 - 350) < 10


def test_many_graphics_of_printed_pages_are_small_and_some_are_on_every_scale(
    materials: Materials, tmp_path: Path
) -> None:
    sides = []
    for seed in range(90):
        canvas = early_print.page(420, materials, np.random.default_rng(seed))
        boxes = [box for name, box in canvas.objects if name == "graphic"]
        sides += [min(x1 - x0, y1 - y0) / canvas.height for x0, y0, x1, y1 in boxes]
    small = np.mean([0.02 <= side < 0.08 for side in sides])
    assert len(sides) > 60 and 0.45 < small < 0.8
    assert any(side > 0.15 for side in sides) and any(0.08 < side < 0.15 for side in sides)


@pytest.mark.parametrize("seed", range(10))
def test_strips_round_a_page_are_objects_apart_that_leave_room_for_the_text(
    seed: int, materials: Materials
) -> None:
    g = np.random.default_rng(seed)
    canvas = Canvas.blank(900, 600)
    style = Style(materials.face(g, "roman"), 18, 22)
    x, y, width, height = ornaments.borders(canvas, (60, 80, 480, 720), style, style.face, materials, g)
    boxes = [box for _, box in canvas.objects]
    assert 1 <= len(boxes) <= 4 and {name for name, _ in canvas.objects} == {"graphic"}
    assert apart([*boxes, (x, y, x + width, y + height)])
    assert width > 300 and height > 500


@pytest.mark.parametrize("seed", range(8))
def test_a_row_has_a_box_for_each_of_its_cuts(seed: int, materials: Materials) -> None:
    g = np.random.default_rng(seed)
    canvas = Canvas.blank(900, 600)
    style = Style(materials.face(g, "roman"), 18, 22)
    writer = Writer(g, "latin")
    end = ornaments.row(canvas, (50, 100, 500, 200), style, materials, writer, g, "woodcut")
    boxes = [box for name, box in canvas.objects if name == "graphic"]
    assert 2 <= len(boxes) <= 6 and apart(boxes)
    assert all(100 <= box[1] and box[3] <= end for box in boxes)


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_beside_text_is_no_longer_than_its_paragraph(seed: int, materials: Materials) -> None:
    g = np.random.default_rng(seed)
    manner = replace(early_print.book(1200, materials, g).manner, cut_share=9.0, initial_share=0.0)
    style = replace(manner.style, size=14, leading=16)
    manner = replace(manner, style=style, paragraph=(5, 6), setting=Setting())
    canvas = Canvas.blank(1200, 500)
    area = (40, 40, 420, 5 * style.leading)
    flow._paragraph(canvas, area, False, manner, materials, Writer(g, "latin"), g)
    boxes = [box for name, box in canvas.objects if name == "graphic"]
    assert len(boxes) == 1 and boxes[0][3] <= 40 + 5.1 * style.leading


def test_text_runs_beside_a_small_cut(materials: Materials) -> None:
    g = np.random.default_rng(3)
    made = early_print.book(800, materials, g)
    manner = replace(made.manner, cut_share=2.0, initial_share=0.0, paragraph=(20, 30), heading_share=0.0)
    canvas = Canvas.blank(800, 500)
    flow.fill_column(canvas, (40, 40, 420, 700), manner, materials, Writer(g, "latin"), g)
    boxes = [box for name, box in canvas.objects if name == "graphic"]
    beside = [
        b for b in boxes if b[0] < 50 and b[2] < 300 and canvas.ink[int(b[1]) : int(b[3]), 320:].min() < 100
    ]
    assert beside
    for _x0, y0, x1, y1 in beside:  # a gap without ink lies between the cut and the text
        assert canvas.ink[int(y0) + 4 : int(y1) - 4, int(x1) : int(x1) + 3].min() > 200


@pytest.mark.parametrize(("lines", "label"), [(20, True), (60, False)])
def test_a_line_filler_is_a_graphic_where_it_is_high_enough(
    lines: int, label: bool, materials: Materials
) -> None:
    g = np.random.default_rng(1)
    leading = 900 / lines
    style = Style(materials.face(g, "roman"), leading * 0.8, leading)
    manner = replace(
        early_print.book(900, materials, g).manner, style=style, setting=Setting(), filler_share=1.0
    )
    manner = replace(
        manner, initial_share=0.0, sign_share=0.0, cut_share=0.0, paragraph=(2, 4), heading_share=0.0
    )
    manner = replace(manner, picture_share=0.0, ornament_share=0.0, asterisk_share=0.0)
    canvas = Canvas.blank(900, 600)
    flow.fill_column(canvas, (50, 50, 500, 800), manner, materials, Writer(g, "latin"), g)
    fillers = [box for name, box in canvas.objects if name == "graphic"]
    assert bool(fillers) == label
    signed = canvas.ink.astype(int)
    assert (np.ptp(signed, axis=2) > 60).any(), "they are painted in any case"
    for x0, y0, x1, y1 in fillers:
        assert x1 <= 551 and y1 - y0 >= 0.015 * canvas.height and x1 - x0 > y1 - y0


@pytest.mark.parametrize("seed", range(6))
def test_figures_in_margins_stand_beside_the_text(seed: int, materials: Materials) -> None:
    g = np.random.default_rng(seed)
    made = manuscripts.codex(800, materials, g)
    painted = manuscripts.Illuminated(materials.fonts)
    canvas = Canvas.blank(made.height, made.width)
    manuscripts._drolleries(canvas, made, painted, g)
    x, y, width, height = made.frame
    assert apart([*(box for _, box in canvas.objects), (x, y, x + width, y + height)])


# --- what is none


@pytest.mark.parametrize("kind", ["type", "paraph", "versal"])
def test_signs_of_one_line_are_ink_without_a_label(kind: str, materials: Materials) -> None:
    g = np.random.default_rng(2)
    manner = replace(early_print.book(800, materials, g).manner, sign_kinds=(kind,), sign_colours=(RED,))
    canvas = Canvas.blank(800, 500)
    width = flow._sign(canvas, (50, 50), manner, g)
    assert not canvas.objects and canvas.ink.min() < 200
    rows = np.flatnonzero((canvas.ink.min(axis=2) < 215).any(axis=1))
    assert rows[-1] - rows[0] < 1.5 * manner.style.leading and 0 < width < 8 * manner.style.leading


def test_paraphs_and_versals_have_their_height() -> None:
    g = np.random.default_rng(0)
    face = find_sources(SynthSettings(Path("none"), system_fonts=False)).faces[0].path
    for _ in range(10):
        for art in (initials.paraph(24, RED, g), initials.versal("M", 24, face, g)):
            assert art.shape[0] == 24 and art.shape[2] == 3 and art.min() < 200
        assert manuscript.line_filler(20, 200, g).shape == (20, 200, 3)


def test_letters_set_off_by_colour_are_in_the_text_and_no_objects(materials: Materials) -> None:
    style = Style(materials.face(np.random.default_rng(0), "roman"), 18, 22)
    seen = []
    for setting in (Setting(), Setting(accent_share=0.5, accents=(RED,), signs="¶")):
        canvas = Canvas.blank(400, 400)
        g = np.random.default_rng(1)
        set_block(canvas, (20, 20, 360, 360), style, setting, Writer(g, "latin"), g)
        seen.append(reds(canvas))
        assert not canvas.objects
    assert seen[0] == 0 and seen[1] > 200


@pytest.mark.parametrize("seed", range(15))
def test_rules_braces_hands_and_asterisks_are_no_objects(seed: int, materials: Materials) -> None:
    g = np.random.default_rng(seed)
    canvas = Canvas.blank(800, 500)
    style = Style(materials.face(g, "sans"), 20, 24)
    below = marks.rule(canvas, 50, 100, 400, g)
    assert 100 < below < 140 and canvas.ink[95:140].min() < 120 and canvas.ink[140:].min() == 255
    marks.asterisks(canvas, 50, 200, 400, style, g)
    rows = np.flatnonzero((canvas.ink[150:].min(axis=2) < 215).any(axis=1))
    assert len(rows) and np.ptp(rows) < 0.02 * canvas.height
    before = canvas.ink.copy()
    marks.beside(canvas, (120, 60, 280, 680), 24, materials, g)
    assert not np.array_equal(canvas.ink, before) and not canvas.objects


# --- what is no page


KINDS = (nonpages.board, nonpages.chart, nonpages.targets, nonpages.handled, nonpages.cover, nonpages.spine)
KINDS += (nonpages.marbled, nonpages.leaf, nonpages.pastedown, nonpages.slip, nonpages.folder, nonpages.glass)


@pytest.mark.parametrize("draw", KINDS, ids=lambda f: f.__name__)
def test_every_kind_of_no_page_is_drawn_without_objects(draw, materials: Materials) -> None:
    inked = 0
    for seed in range(10):
        canvas = Canvas.blank(300, 260 if seed % 2 else 420)
        draw(canvas, materials, np.random.default_rng(seed))
        assert canvas.objects == [] and canvas.ink.dtype == np.uint8
        inked += canvas.ink.std() > 0.5
    assert inked >= 8 if draw is not nonpages.leaf else inked >= 5


def test_a_world_of_no_pages_has_no_objects(materials: Materials, tmp_path: Path) -> None:
    for page in range(25):
        settings = SynthSettings(tmp_path, world="nonpage", long_side=300)
        image, record = make_page(page, settings, materials)
        assert record["objects"] == [] and record["kind"] == "nonpage" and max(image.shape[:2]) > 200


def test_every_world_can_be_asked_for() -> None:
    assert set(get_args(World)) == set(WORLDS)

"""Figures and leafwork that come out of fonts, from fonts made here."""

from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from doc_detect.synth import Sources
from doc_detect.synthesis.art import ornament
from doc_detect.synthesis.art.pictographs import find_pictographs, pictograph
from doc_detect.synthesis.art.shapes import Scene
from doc_detect.synthesis.fonts import FontBook, find_faces
from doc_detect.synthesis.layouts import flow

RING = [(0, 0, 600, 800), (100, 100, 500, 700)]
"""A frame 600 wide and 800 tall, its hole 100 inside."""


def write_font(path: Path, family: str, glyphs: dict[str, list[tuple[int, int, int, int]]]) -> None:
    """Write a font whose glyphs are rectangles (x1, y1, x2, y2); the second and later are cut out of the first."""
    builder = FontBuilder(1000, isTTF=True)
    names = {sign: f"g{number}" for number, sign in enumerate(glyphs)}
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(sign): name for sign, name in names.items()})
    drawn = {".notdef": _outline([(0, 0, 300, 300)])}
    drawn |= {names[sign]: _outline(boxes) for sign, boxes in glyphs.items()}
    builder.setupGlyf(drawn)
    builder.setupHorizontalMetrics(dict.fromkeys(drawn, (700, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def _outline(boxes: list[tuple[int, int, int, int]]):
    pen = TTGlyphPen(None)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        corners = [(x1, y1), (x1, y2), (x2, y2), (x2, y1)]
        corners = corners if number == 0 else corners[::-1]
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
    return pen.glyph()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    signs = {chr(0x13000 + k): RING for k in range(40)} | {"x": RING}
    write_font(tmp_path / "signs.ttf", "Test Egyptian Hieroglyphs", signs)
    bars = [(0, 0, 900, 900), *[(10, y, 890, y + 10) for y in range(20, 880, 30)]]
    letters = {"A": bars, "D": [(0, 0, 500, 700)], "N": [(0, 0, 300, 700)]}
    write_font(tmp_path / "initials.ttf", "Test Initials", letters)
    return tmp_path


def test_a_figure_stands_where_it_was_put_and_has_its_hole_apart(folder: Path) -> None:
    (figure, *_) = find_pictographs([str(folder / "signs.ttf")])
    outer, hole = pictograph(figure, 2.0, 0.9, 0.5, np.random.default_rng(0))
    assert outer.points[:, 1].max() == pytest.approx(0.9, abs=0.01)
    assert np.ptp(outer.points[:, 1]) == pytest.approx(0.5, abs=0.01)
    assert outer.points[:, 0].mean() == pytest.approx(2.0, abs=0.05)
    assert np.ptp(hole.points[:, 1]) == pytest.approx(0.5 * 0.75, abs=0.02)
    assert hole.tone > outer.tone, "what lines enclose is lighter than the lines"


def test_figures_are_held_out_and_get_into_scenes(folder: Path) -> None:
    sources = Sources(find_faces(folder, False), ())
    train, val = sources.materials("train"), sources.materials("val")
    assert len(train.pictographs) + len(val.pictographs) == 40 and val.pictographs
    assert not {f.sign for f in train.pictographs} & {f.sign for f in val.pictographs}
    generator = np.random.default_rng(0)
    scenes = [train.scene(1.0, generator) for _ in range(20)]
    assert all(isinstance(scene, Scene) for scene in scenes)
    framed = [s for scene in scenes for s in scene.shapes if len(s.points) == 4 and s.colour == (45, 35, 30)]
    assert framed, "some scenes hold the font's ring"


def test_pictures_fonts_set_no_text(folder: Path) -> None:
    book = FontBook(find_faces(folder, False), "train")
    styles = ("roman", "italic", "blackletter", "hand", "sans")
    assert not any("Hieroglyphs" in f.family for style in styles for f in book.faces(style))


def test_leafwork_is_cut_from_letters_of_many_strokes_alone(folder: Path) -> None:
    face = str(folder / "initials.ttf")
    assert ornament.leafy_letters(face) == ("A",)
    field = ornament.cutting(60, 200, np.random.default_rng(0), face)
    assert field is not None and field.shape == (60, 200) and field.min() < 60 and field.max() > 200
    assert ornament.cutting(60, 200, np.random.default_rng(0), str(folder / "signs.ttf")) is None


def test_an_ornate_font_prints_the_letters_that_it_has(folder: Path) -> None:
    """A font of initials that lacks a letter showed the box of a missing glyph, 300 by 300, in its place."""
    sources = Sources(find_faces(folder, False), ())
    materials, generator = sources.materials("train"), np.random.default_rng(1)
    from doc_detect.synthesis.layouts.early_print import book

    manner = book(800, materials, generator).manner
    assert manner.ornate_face == str(folder / "initials.ttf")
    widths = {flow.draw_initial("ornate", 90, manner, materials, generator).shape[1] / 90 for _ in range(30)}
    known = (1.0, 5 / 7, 3 / 7)
    assert all(min(abs(width - k) for k in known) < 0.03 for width in widths)
    assert len(widths) == 3

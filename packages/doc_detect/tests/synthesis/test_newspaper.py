"""Newspapers: an advertisement is no picture, a strip is one, and text flows round both."""

import numpy as np
import pytest

from doc_detect.classes import CLASSES
from doc_detect.synthesis import fonts
from doc_detect.synthesis.canvas import Box, Canvas
from doc_detect.synthesis.layouts import modern, newspaper
from doc_detect.synthesis.layouts.materials import Materials


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials(fonts.FontBook(fonts.find_faces(None, False), "train"))


def setting(seed: int, materials: Materials) -> tuple[Canvas, modern.Design, np.random.Generator]:
    g = np.random.default_rng(seed)
    return Canvas.blank(700, 500), modern.design(700, materials, g, "english", (80, 100)), g


def names(canvas: Canvas) -> list[str]:
    return [name for name, _ in canvas.objects]


def overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def test_letters_and_frames_of_advertisements_are_no_pictures(
    materials: Materials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the cut taken away, nothing of an advertisement is a picture or an initial."""
    monkeypatch.setattr(newspaper, "_cut", lambda canvas, area, materials, g: area)
    for seed in range(30):
        canvas, made, g = setting(seed, materials)
        newspaper._advertisement(canvas, (100, 100, 260, 300), made, materials, g)
        assert canvas.ink.min() < 100
        assert set(names(canvas)) <= {"main_text", "title"}


def test_the_cut_in_an_advertisement_is_one_picture(materials: Materials) -> None:
    counts = []
    for seed in range(30):
        canvas, made, g = setting(seed, materials)
        newspaper._advertisement(canvas, (100, 100, 260, 300), made, materials, g)
        counts.append(names(canvas).count("graphic"))
        for name, (x0, y0, x1, y1) in canvas.objects:
            if name == "graphic":
                assert x0 > 100 and y0 > 100 and x1 < 361 and y1 < 401, "the cut, not the advertisement"
                assert (x1 - x0) * (y1 - y0) < 0.7 * 260 * 300
    assert set(counts) == {0, 1}


@pytest.mark.parametrize("size", [(400, 90), (400, 200), (300, 300)])
def test_a_strip_is_one_picture(size: tuple[int, int], materials: Materials) -> None:
    for seed in range(8):
        canvas, made, g = setting(seed, materials)
        newspaper._strip(canvas, (40, 60, *size), made, materials, g)
        (box,) = [box for name, box in canvas.objects if name == "graphic"]
        assert box[2] - box[0] > 0.8 * size[0] and set(names(canvas)) <= {"graphic", "title"}


def test_text_flows_round_pictures(materials: Materials) -> None:
    pictures = 0
    for seed in range(12):
        canvas, made, g = setting(seed, materials)
        newspaper._news(canvas, (20, 30, 460, 640), made, materials, g)
        graphics = [box for name, box in canvas.objects if name == "graphic"]
        texts = [box for name, box in canvas.objects if name == "main_text"]
        pictures += len(graphics)
        for picture in graphics:
            area = (picture[2] - picture[0]) * (picture[3] - picture[1])
            for other in graphics:
                assert other is picture or overlap(picture, other) <= 0.02 * area
            inside = [t for t in texts if overlap(picture, t) > 0.05 * area]
            assert not [t for t in inside if t[3] - t[1] < 60], "no paragraph runs over a picture"
    assert pictures > 8


def test_pages_have_what_newspapers_have(materials: Materials) -> None:
    counts: dict[str, int] = {}
    for seed in range(24):
        canvas = newspaper.page(420, materials, np.random.default_rng(seed))
        for name, (x0, y0, x1, y1) in canvas.objects:
            assert 0 <= x0 < x1 <= canvas.width and 0 <= y0 < y1 <= canvas.height
            counts[name] = counts.get(name, 0) + 1
    expected = {"graphic", "drop_capital", "caption", "main_text", "title", "running_title", "page_number"}
    assert expected <= set(counts) <= set(CLASSES)


def test_an_opening_has_a_capital_of_some_lines_and_text_keeps_clear_of_it(materials: Materials) -> None:
    for seed in range(20):
        canvas, made, g = setting(seed, materials)
        below = modern.opening(canvas, (50, 50, 300, 120), made, materials, g)
        (capital,) = [box for name, box in canvas.objects if name == "drop_capital"]
        lines = (capital[3] - capital[1]) / made.body.leading
        assert 1.2 < lines < 4.3 and capital[0] >= 48 and below <= 171
        _, y0, x1, y1 = (round(v) for v in capital)
        assert canvas.ink[y0:y1, x1 : x1 + 1].min() > 120, "a gap lies right of it"


def test_an_area_of_few_lines_has_no_capital(materials: Materials) -> None:
    canvas, made, g = setting(0, materials)
    modern.opening(canvas, (50, 50, 300, made.body.leading * 1.5), made, materials, g)
    assert "drop_capital" not in names(canvas)

"""Wide uniform margins are cut off, what stands on a page never is, and boxes still count the page's own pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from doc_detect.pages import Page, PageRef, read_content, read_page, reading
from doc_detect.pages.trim import content_window, look_closer


def film(leaf: tuple[int, int, int, int], size: tuple[int, int] = (900, 700), white: int = 255) -> np.ndarray:
    """Return a scan [H, W, 3] with lines of text in the rectangle ``leaf`` (x1, y1, x2, y2)."""
    scan = np.full((*size, 3), white, np.uint8)
    x1, y1, x2, y2 = leaf
    generator = np.random.default_rng(0)
    for y in range(y1, y2 - 6, 14):
        strokes = np.repeat(generator.random((1, (x2 - x1) // 8 + 1, 1)) < 0.5, 8, axis=1)
        scan[y : y + 8, x1:x2] = np.where(strokes[:, : x2 - x1], 20, white)
    return scan


@pytest.mark.parametrize("leaf", [(250, 300, 450, 600), (20, 20, 260, 380), (400, 500, 690, 890)])
@pytest.mark.parametrize("white", [255, 110])
def test_the_window_holds_the_page_and_little_more(leaf: tuple[int, int, int, int], white: int) -> None:
    x1, y1, x2, y2 = content_window(film(leaf, white=white))
    assert x1 <= leaf[0] and y1 <= leaf[1] and x2 >= leaf[2] and y2 >= leaf[3] - 14
    assert max(x2 - x1, y2 - y1) < max(leaf[2] - leaf[0], leaf[3] - leaf[1]) + 80


def test_specks_and_a_line_at_the_film_s_edge_are_no_page() -> None:
    scan = film((250, 300, 450, 600))
    scan[:, 3:5] = 0
    scan[100, ::97] = 0
    assert content_window(scan) == pytest.approx(content_window(film((250, 300, 450, 600))), abs=12)


@pytest.mark.parametrize(
    "scan", [film((4, 4, 696, 898)), np.full((900, 700, 3), 250, np.uint8)], ids=["full", "blank"]
)
def test_a_page_that_fills_its_scan_and_a_blank_one_stay_whole(scan: np.ndarray) -> None:
    assert content_window(scan) == (0, 0, 700, 900)


def test_a_lone_ornament_is_not_blown_up_to_the_size_of_a_page() -> None:
    scan = np.full((900, 700, 3), 255, np.uint8)
    scan[400:430:2, 330:370] = 0
    x1, y1, x2, y2 = content_window(scan)
    assert max(x2 - x1, y2 - y1) >= 0.34 * 900
    assert x1 <= 330 and x2 >= 370 and y1 <= 400 and y2 >= 430


def test_a_small_page_is_decoded_larger(tmp_path: Path) -> None:
    scan = film((1000, 1200, 1800, 2400), (3600, 2800))
    path = tmp_path / "film.png"
    cv2.imwrite(str(path), scan)
    page = read_content(PageRef(path), 500)
    assert (page.width, page.height) == (2800, 3600) and max(page.pixels.shape[:2]) == 500
    assert page.window is not None
    x1, y1, x2, y2 = page.window
    assert x1 <= 1000 and y1 <= 1200 and x2 >= 1800 and y2 >= 2386
    assert y2 - y1 < 1500, "three tenths of the scan fill the picture"


def test_boxes_on_the_window_count_the_pixels_of_the_page() -> None:
    page = Page(np.zeros((100, 50, 3), np.uint8), 1000, 2000, (200, 400, 700, 1400))
    boxes = page.to_own(np.array([[0, 0, 50, 100], [10, 20, 30, 40]], np.float32), (50, 100))
    np.testing.assert_allclose(boxes, [[200, 400, 700, 1400], [300, 600, 500, 800]])
    whole = Page(page.pixels, 1000, 2000)
    np.testing.assert_allclose(whole.to_own(np.array([[0, 0, 60, 50]]), (50, 100)), [[0, 0, 1000, 1000]])


def test_a_page_without_wide_margins_is_made_once() -> None:
    asked = []

    def make(side: int) -> np.ndarray:
        asked.append(side)
        return film((4, 4, 696, 898))

    pixels, window = look_closer(make, 900)
    assert asked == [900] and pixels.shape == (900, 700, 3) and window == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("suffix", "decoded"), [("png", 1), ("tif", 1), ("webp", 1), ("jpg", 2)], ids=lambda value: str(value)
)
def test_what_has_been_decoded_whole_is_not_decoded_again(
    suffix: str, decoded: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"film.{suffix}"
    cv2.imwrite(str(path), film((1000, 1200, 1800, 2400), (3600, 2800)))
    real, asked = reading.load_image, []
    monkeypatch.setattr(
        reading, "load_image", lambda *file, **how: asked.append(how["longest"]) or real(*file, **how)
    )
    page = read_content(PageRef(path), 500)
    assert len(asked) == decoded
    # As if each size had been decoded by itself.
    pixels, window = look_closer(lambda side: read_page(PageRef(path), side).pixels, 500)
    np.testing.assert_array_equal(page.pixels, pixels)
    np.testing.assert_allclose(page.window, np.multiply(window, (2800, 3600) * 2))

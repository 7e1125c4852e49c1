"""Pages of photographs: every picture is an object of its own, as far as it is seen; the ground is none."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from doc_detect.settings.synth import DegradeSettings
from doc_detect.synthesis import fonts
from doc_detect.synthesis.art import photographs
from doc_detect.synthesis.art.photographs import ANY, Stock
from doc_detect.synthesis.canvas import Box, Canvas
from doc_detect.synthesis.degrade import degrade
from doc_detect.synthesis.layouts import catalogue, modern, plates
from doc_detect.synthesis.layouts.kinds import KINDS
from doc_detect.synthesis.layouts.materials import Materials


@dataclass(frozen=True)
class Flat(Materials):
    """Materials whose photographs are flat colours, each another one: their pixels can be found again."""

    made: list[tuple[int, int, int]] = field(default_factory=list)

    def photograph(
        self, height: float, width: float, generator: np.random.Generator, stock: Stock = ANY
    ) -> np.ndarray:
        colour = (10 + 3 * len(self.made), 250 - 2 * len(self.made), 40)
        self.made.append(colour)
        return np.full((max(12, round(height)), max(12, round(width)), 3), colour, np.uint8)


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials(fonts.FontBook(fonts.find_faces(None, False), "train"))


def draw(name: str, seed: int, materials: Materials) -> Canvas:
    g = np.random.default_rng(seed)
    canvas = Canvas.blank(640, 460)
    made = modern.design(640, materials, g, "catalogue", (44, 72))
    catalogue.LAYOUTS[name][0](canvas, (46.0, 60.0, 368.0, 520.0), made, materials, g)
    return canvas


def seen(canvas: Canvas, colour: tuple[int, int, int]) -> Box | None:
    rows, columns = np.nonzero((canvas.ink == colour).all(axis=2))
    if not len(rows):
        return None
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


def graphics(canvas: Canvas) -> list[Box]:
    return [box for name, box in canvas.objects if name == "graphic"]


@pytest.mark.parametrize("name", ["bleed", "packed", "contact"])
@pytest.mark.parametrize("seed", range(12))
def test_pictures_that_touch_are_apart(name: str, seed: int, materials: Materials) -> None:
    flat = Flat(materials.fonts)
    canvas = draw(name, seed, flat)
    boxes = graphics(canvas)
    assert len(boxes) == len(flat.made) > 0
    for colour, box in zip(flat.made, boxes, strict=True):
        assert np.abs(np.subtract(seen(canvas, colour) or box, box)).max() <= 1


@pytest.mark.parametrize("seed", range(16))
def test_a_montages_boxes_are_what_is_seen(
    seed: int, materials: Materials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photographs, "bordered", lambda art, g: art)  # what changes a print's colour
    monkeypatch.setattr(plates, "_cast", lambda canvas, mask, at: None)
    flat = Flat(materials.fonts)
    canvas = draw("montage", seed, flat)
    boxes = graphics(canvas)
    assert 2 <= len(boxes) <= len(flat.made)
    extents = [extent for colour in flat.made if (extent := seen(canvas, colour))]
    for box in boxes:
        assert min(np.abs(np.subtract(extent, box)).max() for extent in extents) <= 1


@pytest.mark.parametrize("seed", range(8))
def test_an_album_labels_its_prints_and_not_its_ground(seed: int, materials: Materials) -> None:
    canvas = draw("album", seed, materials)
    boxes = graphics(canvas)
    assert boxes
    full = canvas.width * canvas.height
    assert all((x1 - x0) * (y1 - y0) < 0.98 * full for x0, y0, x1, y1 in boxes)
    covered = np.zeros(canvas.ink.shape[:2], bool)
    for x0, y0, x1, y1 in boxes:
        covered[int(y0) : int(y1), int(x0) : int(x1)] = True
    for name, (x0, y0, x1, y1) in canvas.objects:
        assert 0 <= x0 < x1 <= canvas.width and 0 <= y0 < y1 <= canvas.height, name
    assert not covered[0].any() and not covered[-1].any()


def test_a_dark_ground_stays_dark_in_the_scan(materials: Materials) -> None:
    canvas = Canvas.blank(300, 220)
    plates.ground(canvas, plates.GROUNDS[0], np.random.default_rng(0))
    canvas.paste(np.full((100, 90, 3), 190, np.uint8), 60, 90, "graphic")
    settings = replace(KINDS["catalogue"].degradation, binarized=0.0, background=0.0)
    assert isinstance(settings, DegradeSettings)
    for seed in range(12):
        scan, boxes = degrade(
            canvas.ink, np.array([canvas.objects[0][1]]), np.random.default_rng(seed), settings
        )
        x0, y0, x1, y1 = boxes[0].astype(int)
        inner = scan[y0 + 5 : y1 - 5, x0 + 5 : x1 - 5].mean()
        assert np.median(scan) < 0.6 * inner


def test_a_cut_area_is_covered_without_overlap() -> None:
    for seed in range(20):
        g = np.random.default_rng(seed)
        parts = plates.divided((10, 20, 300, 200), 7, 4, g)
        assert len(parts) == 7
        count = np.zeros((240, 320), int)
        for x, y, width, height in parts:
            assert width > 0 and height > 0
            count[round(y) : round(y + height), round(x) : round(x + width)] += 1
        assert count.max() == 1 and count[20:220, 10:310].mean() > 0.85


@pytest.mark.parametrize("name", list(catalogue.LAYOUTS))
def test_every_layout_of_a_catalogue(name: str, materials: Materials) -> None:
    found = 0
    for seed in range(5):
        canvas = draw(name, seed, materials)
        found += len(graphics(canvas))
        for _, (x0, y0, x1, y1) in canvas.objects:
            assert 0 <= x0 < x1 <= canvas.width and 0 <= y0 < y1 <= canvas.height
    assert found or name == "prices"


def test_what_is_pasted_hides_what_was_there_and_is_cut_at_the_edge() -> None:
    canvas = Canvas.blank(50, 60)
    canvas.ink[:] = 20
    art = np.full((20, 30, 3), 200, np.uint8)
    mask = np.ones((20, 30), bool)
    mask[:5] = False
    assert canvas.paste(art, -10, 40, "graphic", mask) == (0, 45, 20, 50)
    assert (canvas.ink[45:, :20] == 200).all() and (canvas.ink[:45] == 20).all()
    assert canvas.paste(art, 70, 0, "graphic") is None and len(canvas.objects) == 1


def test_knocked_out_letters_are_pale_on_a_dark_ground() -> None:
    canvas, letters = Canvas.blank(20, 20), Canvas.blank(20, 20)
    canvas.ink[:] = 15
    letters.ink[5:8, 5:8] = 0
    letters.add("caption", [(5, 5, 8, 8)])
    canvas.knock_out(letters, (230, 220, 210))
    assert (canvas.ink[6, 6] == (230, 220, 210)).all() and (canvas.ink[0, 0] == 15).all()
    assert canvas.objects == [("caption", (5, 5, 8, 8))]

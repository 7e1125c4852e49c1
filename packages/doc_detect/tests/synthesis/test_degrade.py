"""Degradation: pure, at the wanted size, and with boxes that stay on what they enclose."""

import dataclasses

import numpy as np
import pytest

from doc_detect.settings.synth import DegradeSettings
from doc_detect.synthesis import clutter
from doc_detect.synthesis.degrade import Page, degrade, smooth_noise
from doc_detect.synthesis.layouts.kinds import KINDS, degradation_of

GEOMETRY = DegradeSettings(
    binarized=0, grey=0, bleed_through=0, stains=0, shadow=0, neighbour=0, clutter=0, strength=0
)
"""Only geometry, paper and background."""


def red_page() -> tuple[np.ndarray, np.ndarray]:
    """Return a page with a block of red in it, and the block's box."""
    ink = np.full((400, 300, 3), 255, np.uint8)
    ink[60:180, 40:210] = (255, 0, 0)
    return ink, np.array([[40.0, 60, 210, 180]])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("gutter", [None, 0.5])
def test_boxes_stay_on_their_objects(seed: int, gutter: float | None) -> None:
    ink, boxes = red_page()
    settings = dataclasses.replace(GEOMETRY, curvature=1.0, max_skew=3)
    scan, moved = degrade(ink, boxes, np.random.default_rng(seed), settings, Page(gutter))
    signed = scan.astype(int)
    rows, columns = np.nonzero((signed[..., 0] > 90) & (signed[..., 1] < signed[..., 0] / 3))
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(moved[0] - seen).max() <= 3


@pytest.mark.parametrize("seed", range(20))
def test_the_scan_has_the_wanted_size_and_boxes_lie_in_it(seed: int) -> None:
    ink, boxes = red_page()
    settings = DegradeSettings(long_side=256)
    scan, moved = degrade(ink, boxes, np.random.default_rng(seed), settings, Page(parchment=seed % 2 == 0))
    assert scan.dtype == np.uint8 and scan.shape[2] == 3
    assert abs(max(scan.shape[:2]) - 256) <= 2
    assert moved.shape == (1, 4) and (moved >= 0).all()
    assert (moved[:, [0, 2]] <= scan.shape[1]).all() and (moved[:, [1, 3]] <= scan.shape[0]).all()


def test_the_generator_is_the_only_source_of_chance() -> None:
    ink, boxes = red_page()
    before = ink.copy()
    first, second, other = (
        degrade(ink, boxes, np.random.default_rng(s), DegradeSettings(), Page())[0] for s in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert np.array_equal(ink, before)  # the ink is not touched: the next epoch needs it


def test_a_page_without_objects() -> None:
    _, moved = degrade(red_page()[0], np.zeros((0, 4)), np.random.default_rng(0), DegradeSettings())
    assert moved.shape == (0, 4)


def test_nothing_is_mirrored() -> None:
    """The block lies in the upper left of the page, and must do so in every scan."""
    ink, boxes = red_page()
    for seed in range(10):
        scan, moved = degrade(ink, boxes, np.random.default_rng(seed), DegradeSettings())
        centre = (moved[0, :2] + moved[0, 2:]) / 2 / np.array(scan.shape[1::-1])
        assert centre[0] < 0.65 and centre[1] < 0.5


def test_clutter_comes_into_the_picture_and_moves_no_box() -> None:
    ink, boxes = red_page()
    changed = 0
    for seed in range(12):
        (calm, before), (full, after) = (
            degrade(ink, boxes, np.random.default_rng(seed), dataclasses.replace(GEOMETRY, clutter=share))
            for share in (0.0, 1.0)
        )
        assert np.array_equal(before, after)
        changed += not np.array_equal(calm, full)
    assert changed >= 8


@pytest.mark.parametrize("seed", range(30))
def test_things_lie_neither_on_ink_nor_on_objects(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clutter, "_tape", lambda scene, g: None)  # tape is seen through
    ink, boxes = red_page()
    boxes = np.concatenate([boxes, [[150.0, 250, 290, 390]]])  # an object on white, as a pale picture is
    scene = np.full(ink.shape, 0.5, np.float32)
    clutter.lay(scene, ink, boxes, np.random.default_rng(seed))
    for x0, y0, x1, y1 in boxes.astype(int):
        assert (scene[y0:y1, x0:x1] == 0.5).all()


def test_most_things_find_a_place_on_an_empty_leaf() -> None:
    laid = 0
    for seed in range(20):
        scene = np.full((400, 300, 3), 0.5, np.float32)
        clutter.lay(
            scene, np.full((400, 300, 3), 255, np.uint8), np.zeros((0, 4)), np.random.default_rng(seed)
        )
        laid += not (scene == 0.5).all()
    assert laid >= 15


def test_binarized_pages_are_black_and_white() -> None:
    ink, boxes = red_page()
    settings = dataclasses.replace(GEOMETRY, binarized=1.0, background=0)
    scan, _ = degrade(ink, boxes, np.random.default_rng(3), settings)
    assert np.ptp(scan, axis=2).max() == 0  # no colour
    assert ((scan < 40) | (scan > 215)).mean() > 0.97


@pytest.mark.parametrize("octaves", [1, 3])
def test_noise_has_the_wanted_shape_and_about_unit_deviation(octaves: int) -> None:
    noise = smooth_noise((120, 90), 10, np.random.default_rng(0), octaves)
    assert noise.shape == (120, 90) and noise.dtype == np.float32
    assert 0.4 < noise.std() < 2.0


def test_a_page_that_never_was_on_paper_keeps_its_ink_and_its_boxes() -> None:
    ink = np.full((80, 60, 3), 255, np.uint8)
    ink[20:40, 10:50] = 0
    settings = DegradeSettings(clean=1.0, long_side=40)
    scan, boxes = degrade(ink, np.array([[10, 20, 50, 40.0]]), np.random.default_rng(0), settings)
    assert scan.shape == (40, 30, 3) and set(np.unique(scan)) == {0, 255}
    np.testing.assert_allclose(boxes, [[5, 10, 25, 20]])


def test_each_kind_of_page_has_its_own_way_unless_one_is_asked_for() -> None:
    assert degradation_of("article", DegradeSettings()) == KINDS["article"].degradation
    assert degradation_of("article", DegradeSettings(stains=0.5)) == DegradeSettings(stains=0.5)
    assert degradation_of(None, DegradeSettings()) == DegradeSettings()

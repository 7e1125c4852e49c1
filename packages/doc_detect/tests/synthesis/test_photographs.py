"""Photographs by procedure: they have the statistics of photographs, and what is cut out fits its size."""

import numpy as np
import pytest

from doc_detect.synthesis.art import photographs
from doc_detect.synthesis.art.photographs import Process, Stock
from doc_detect.synthesis.art.subjects import SUBJECTS
from doc_detect.synthesis.canvas import ink_box


@pytest.mark.parametrize("name", list(SUBJECTS))
@pytest.mark.parametrize("size", [(12, 14), (90, 60), (200, 333)])
def test_every_subject_fills_its_rectangle(name: str, size: tuple[int, int]) -> None:
    for seed in range(4):
        art = photographs.photograph(*size, np.random.default_rng(seed), Stock((name,)))
        assert art.shape == (*size, 3) and art.dtype == np.uint8
        assert ink_box(art) == (0, 0, size[1], size[0]), "no side is as light as paper"
        assert art.std() > 2


def test_the_generator_is_the_only_source_of_chance() -> None:
    first, second, other = (photographs.photograph(80, 100, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_power_falls_with_frequency_as_in_photographs() -> None:
    """Real photographs have power about f to the -2; white noise has 0, and flat drawings lie below -2.5."""
    g, slopes = np.random.default_rng(0), []
    for _ in range(24):
        grey = photographs.photograph(128, 128, g)[..., 1].astype(float)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * np.outer(np.hanning(128), np.hanning(128)))) ** 2
        f = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
        rings = [power[(f >= low) & (f < low * 1.5)].mean() for low in (0.02, 0.03, 0.045, 0.07, 0.1, 0.15)]
        slopes.append(np.polyfit(np.log([0.02, 0.03, 0.045, 0.07, 0.1, 0.15]), np.log(rings), 1)[0])
    assert -3.2 < np.median(slopes) < -1.0


def test_photographs_differ_in_key_contrast_and_colour() -> None:
    g = np.random.default_rng(3)
    drawn = [photographs.photograph(60, 80, g).astype(float) for _ in range(60)]
    means = [art.mean() for art in drawn]
    spreads = [art.std() for art in drawn]
    coloured = [np.abs(art - art.mean(axis=2, keepdims=True)).max() > 12 for art in drawn]
    assert np.ptp(means) > 80 and min(spreads) < 25 < 50 < max(spreads)
    assert 0.1 < np.mean(coloured) < 0.7


@pytest.mark.parametrize("make", [photographs.cut_out, photographs.line_cut])
def test_what_has_no_ground_is_whole_and_on_white(make) -> None:
    for seed in range(12):
        art = make(70, 50, np.random.default_rng(seed))
        box = ink_box(art)
        assert box is not None and art.shape[0] <= 70 and art.shape[1] <= 50
        assert max(box[2] - box[0] - 50, box[3] - box[1] - 70) > -16, "it is as large as fits"
        assert art[0].min() > 200 and art[-1].min() > 200, "nothing is cut off at the edge"


@pytest.mark.parametrize("kind", ["oval", "rounded", "arched", "rectangle"])
def test_outlines_touch_the_four_sides(kind: str) -> None:
    mask = photographs.shape_mask(41, 61, kind, np.random.default_rng(0))
    assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()
    assert mask[20, 30] and mask[0, 0] == (kind == "rectangle")


def test_photographs_of_a_stock_are_printed_alike() -> None:
    """In one ink without colour, the ratio of the channels is a function of the lightness alone."""
    g = np.random.default_rng(0)
    sepia = Process(False, (1.0, 0.9, 0.74), 0.8, 0.0, 0.0, 0.0, 1.0, 0.01)
    ratios: dict[int, set[int]] = {}
    for _ in range(6):
        art = photographs.photograph(50, 60, g, Stock(process=sepia))
        for red, _, blue in art.reshape(-1, 3).tolist():
            ratios.setdefault(red, set()).add(blue)
    inner = [blues for red, blues in ratios.items() if red < 205]
    assert len(inner) > 50 and all(len(blues) <= 2 for blues in inner)
    assert min(min(blues) for red, blues in ratios.items() if red == 150) < 120

"""A source page with the look of a target page is still the same page."""

import pytest

pytest.importorskip("torch")

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from doc_detect.adaptation.base import Problem
from doc_detect.adaptation.style import StyledPages, ink_of, paper_of, printed, with_amplitudes
from doc_detect.adaptation.target import TargetPage
from doc_detect.classes import class_index
from doc_detect.detectors.base import build_detector
from doc_detect.detectors.scoring import Scoring
from doc_detect.settings.adaptation import StyleConfig, smoke
from doc_detect.settings.training import ModelConfig, OptimizationConfig
from doc_detect.training.pages import open_training


def scan(seed: int, height: int = 200, width: int = 140) -> np.ndarray:
    """Paper of a colour with a slope of light, lines of text, and a dark picture."""
    g = np.random.default_rng(seed)
    light = np.linspace(1, 0.8, width)[None, :, None]
    pixels = np.array([235, 215, 180]) * light + g.normal(0, 2, (height, width, 1))
    for y in range(20, 110, 8):
        pixels[y : y + 3, 15:125:1] = np.where(g.random((1, 110, 1)) < 0.6, 40, pixels[y : y + 3, 15:125])
    pixels[120:180, 30:100] = 60
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(120, 90), (121, 91), (90, 120)])
@pytest.mark.parametrize("beta", [0.0, 0.02, 0.1])
def test_low_frequencies_have_the_amplitudes_of_the_target_and_all_phases_stay(
    shape: tuple[int, int], beta: float
) -> None:
    g = np.random.default_rng(0)
    ours, theirs = g.integers(0, 256, (*shape, 3)).astype(np.uint8), scan(1)
    got = with_amplitudes(ours, theirs, beta)
    assert got.shape == ours.shape
    same = cv2.resize(theirs, shape[::-1], interpolation=cv2.INTER_AREA)
    centre = [side // 2 for side in shape]
    spectra = [
        np.fft.fftshift(np.fft.fft2(each.astype(float), axes=(0, 1)), axes=(0, 1))
        for each in (got, ours, same)
    ]
    made, source, target = spectra
    reach = int(beta * min(shape))
    low = np.zeros(shape, bool)
    low[centre[0] - reach : centre[0] + reach + 1, centre[1] - reach : centre[1] + reach + 1] = True
    np.testing.assert_allclose(np.abs(made[low]), np.abs(target[low]), rtol=1e-6)
    np.testing.assert_allclose(made[~low], source[~low], atol=1e-5)
    np.testing.assert_allclose(made[low] / np.abs(made[low]), source[low] / np.abs(source[low]), atol=1e-6)
    assert low.sum() == (2 * reach + 1) ** 2


def test_a_picture_in_its_own_style_is_itself() -> None:
    pixels = scan(3)
    np.testing.assert_allclose(with_amplitudes(pixels, pixels, 0.1), pixels, atol=1e-6)


def test_paper_is_a_page_without_its_ink() -> None:
    pixels = scan(0)
    paper = paper_of(pixels, np.random.default_rng(0))
    expected = np.array([235, 215, 180]) * np.linspace(1, 0.8, 140)[None, :, None]
    assert np.abs(paper - expected).mean() < 4 and np.abs(paper - expected).max() < 45
    blank = ~ink_of(pixels)
    assert 0.3 < blank.mean() < 0.9 and np.array_equal(paper[blank], pixels[blank])
    assert not blank[125:175, 35:95].any() and blank[185:, :].all()
    black = np.zeros((60, 40, 3), np.uint8)
    assert paper_of(black, np.random.default_rng(0)).shape == black.shape


def test_ink_darkens_the_paper_where_it_is_and_nowhere_else() -> None:
    ink = np.full((60, 40, 3), 255, np.uint8)
    ink[10:20, 5:30] = 0
    ink[30:40, 5:30] = (200, 100, 50)
    paper = np.full((30, 20, 3), (230, 200, 100), np.uint8)
    leaf = printed(ink, paper, 1.0)
    assert leaf.shape == ink.shape and (leaf[50:] == (230, 200, 100)).all() and not leaf[10:20, 5:30].any()
    np.testing.assert_allclose(
        leaf[35, 10], np.array([230, 200, 100]) * np.array([200, 100, 50]) / 255, atol=1
    )
    assert (printed(ink, paper, 0.0) == (230, 200, 100)).all()
    half = printed(ink, paper, 0.5)[15, 10]
    np.testing.assert_allclose(half, [115, 100, 50], atol=1)


def styled(toy_data: Path, folder: Path, style: StyleConfig) -> StyledPages:
    """Return toy pages in the style of one target page."""
    cv2.imwrite(str(folder / "page.png"), scan(0)[..., ::-1])
    page = TargetPage("scan.jpg", folder / "page.png", 140, 200, (0.0, 0.0, 140.0, 200.0))
    optimization = OptimizationConfig(steps=10, batch_size=2, sizes=(192,), size_jitter=0)
    settings = dataclasses.replace(smoke(), optimization=optimization, style=style)
    labels = ("graphic", "drop_capital")
    source = build_detector(ModelConfig(labels=labels, size=192, head_convs=1, folded=True)).eval()
    return StyledPages(Problem(source, Scoring(), [page], open_training(toy_data), (), settings, folder))


def test_what_is_printed_lies_where_its_boxes_say(toy_data: Path, tmp_path: Path) -> None:
    pages = styled(toy_data, tmp_path, StyleConfig(paper_share=1.0))
    for index in range(8):
        pixels, boxes, labels = pages.shown(index)
        grey = cv2.GaussianBlur(pixels, (0, 0), 1).mean(axis=2)
        (box,) = boxes[labels == class_index("drop_capital")]
        x1, y1, x2, y2 = box.round().astype(int)  # a black disc on paper, two pixels smaller than its box
        place = grey[y1 - 3 : y2 + 3, x1 - 3 : x2 + 3]
        rows, columns = np.nonzero(place < (place.max() + place.min()) / 2)
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) + [x1, y1, x1, y1] - 3
        assert np.abs(seen - box).max() < 4.5
        assert np.array_equal(pages.shown(index)[0], pixels)


def test_a_page_has_the_mean_colour_of_the_target_by_its_low_frequencies(
    toy_data: Path, tmp_path: Path
) -> None:
    pages = styled(toy_data, tmp_path, StyleConfig(paper_share=0.0, fourier_share=1.0, fourier_beta=0.0))
    plain = styled(toy_data, tmp_path, StyleConfig(paper_share=0.0, fourier_share=0.0))
    target = scan(0).mean(axis=(0, 1))
    for index in range(4):
        (before, boxes, labels), (after, more, named) = plain.shown(index), pages.shown(index)
        assert np.array_equal(boxes, more) and np.array_equal(labels, named)
        off = np.abs(after.mean(axis=(0, 1)) - target).mean()
        assert off < 0.5 * np.abs(before.mean(axis=(0, 1)) - target).mean() + 3

"""What is pasted lies where its box says, and on nothing else."""

import pytest

pytest.importorskip("torch")

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from doc_detect.adaptation.base import Problem
from doc_detect.adaptation.composition import APART, ComposedPages, Crop, crops_of, paste
from doc_detect.adaptation.source_pages import SourcePages
from doc_detect.adaptation.target import TargetPage
from doc_detect.classes import class_index
from doc_detect.coco import CocoPage
from doc_detect.detectors.base import build_detector
from doc_detect.detectors.postprocess import box_iou
from doc_detect.detectors.scoring import Scoring
from doc_detect.settings.adaptation import CompositionConfig, smoke
from doc_detect.settings.training import ModelConfig, OptimizationConfig
from doc_detect.training.pages import open_training


@pytest.fixture
def crop(tmp_path: Path) -> Crop:
    """A dark frame with a light inside on brownish paper, on a page of twice the pixels and with a margin cut off."""
    pixels = np.full((200, 140, 3), (210, 190, 150), np.uint8)
    pixels[50:90, 30:80] = (42, 38, 30)
    pixels[60:80, 40:70] = (210, 190, 150)
    cv2.imwrite(str(tmp_path / "page.png"), pixels[..., ::-1])
    page = TargetPage("scan.jpg", tmp_path / "page.png", 320, 440, (20.0, 20.0, 300.0, 420.0))
    box = np.array([30.0, 50, 80, 90]) * 2 + 20
    return Crop(page, box, class_index("graphic"))


def test_ink_is_what_is_left_of_the_light_of_the_paper(crop: Crop) -> None:
    ink, side = crop.ink()
    assert ink.shape == (40, 50, 3) and side == 200
    np.testing.assert_allclose(ink[2, 2], 0.2, atol=0.01)
    np.testing.assert_allclose(ink[20, 25], 1, atol=0.01)


def test_source_pages_get_objects_of_the_target_beside_their_own(
    crop: Crop, toy_data: Path, tmp_path: Path
) -> None:
    settings = dataclasses.replace(
        smoke(),
        optimization=OptimizationConfig(steps=10, batch_size=2, sizes=(192,), size_jitter=0),
        composition=CompositionConfig(pasted=2),
    )
    source = build_detector(ModelConfig(labels=("graphic",), size=192, head_convs=1, folded=True)).eval()
    problem = Problem(source, Scoring(), [crop.page], open_training(toy_data), (), settings, tmp_path)
    plain, composed = SourcePages(problem), ComposedPages(problem, [[crop]])
    added = []
    for index in range(16):
        (before, boxes, labels), (after, more, named) = plain.shown(index), composed.shown(index)
        count = len(boxes)
        assert np.array_equal(more[:count], boxes) and np.array_equal(named[:count], labels)
        assert (named[count:] == class_index("graphic")).all()
        added.append(len(more) - count)
        graphics = more[named == class_index("graphic")]
        overlap = box_iou(graphics, graphics)
        assert (overlap[~np.eye(len(graphics), dtype=bool)] == 0).all()
        changed = np.zeros(before.shape[:2], bool)
        for x1, y1, x2, y2 in more[count:].astype(int):
            changed[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = True
        assert np.array_equal(before[~changed], after[~changed])
        assert not changed.any() or (before != after)[changed].any()
        again = composed.shown(index)
        assert np.array_equal(again[0], after) and np.array_equal(again[1], more)
    assert set(added) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(12))
def test_its_box_is_the_extent_of_its_pixels(crop: Crop, seed: int) -> None:
    page = np.full((300, 200, 3), 240, np.uint8)
    page[100:110, 20:180] = 10  # an object that is there already
    taken = np.array([[20.0, 100, 180, 110]])
    before = page.copy()
    box = paste(page, taken, crop, np.random.default_rng(seed))
    assert box is not None
    x1, y1, x2, y2 = box
    assert (
        0.8 * 75 - 1 <= x2 - x1 <= 1.25 * 75 + 1
    )  # as large as on its page, which has two thirds of the size
    assert np.array_equal(page[100:110], before[100:110]) and (y2 + APART <= 100 or y1 >= 110 + APART)
    outside = np.ones(page.shape[:2], bool)
    outside[y1 - 2 : y2 + 2, x1 - 2 : x2 + 2] = False
    assert np.array_equal(page[outside], before[outside])
    dark = (page.mean(axis=2) < 120) & (before.mean(axis=2) > 120)
    rows, columns = np.nonzero(dark)
    extent = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    np.testing.assert_allclose(extent, box, atol=1)
    inside = page[(y1 + y2) // 2, (x1 + x2) // 2]
    np.testing.assert_allclose(inside, 240, atol=4)  # the paper is that of the page


def test_text_below_is_gone(crop: Crop) -> None:
    page = np.full((300, 200, 3), 240, np.uint8)
    page[::6] = 20
    box = paste(page, np.zeros((0, 4)), crop, np.random.default_rng(0))
    assert box is not None
    x1, y1, x2, y2 = box
    height, width = y2 - y1, x2 - x1
    middle = page[y1 + height * 3 // 10 : y2 - height * 3 // 10, x1 + width * 3 // 10 : x2 - width * 3 // 10]
    assert middle.min() > 200


def test_where_there_is_no_place_nothing_is_pasted(crop: Crop) -> None:
    full, dark = np.full((300, 200, 3), 240, np.uint8), np.full((300, 200, 3), 30, np.uint8)
    assert paste(full, np.array([[0.0, 0, 200, 300]]), crop, np.random.default_rng(0)) is None
    assert paste(dark, np.zeros((0, 4)), crop, np.random.default_rng(0)) is None  # ink would not be seen
    assert (full == 240).all() and (dark == 30).all()


def test_sure_finds_alone_are_crops(crop: Crop) -> None:
    boxes = np.array([[80.0, 120, 180, 200], [10, 10, 30, 30], [50, 50, 90, 90]])
    labels = np.array([class_index(name) for name in ("graphic", "graphic", "stamp")])
    found = CocoPage("scan.jpg", 320, 440, boxes, labels, np.array([0.8, 0.4, 0.9]))
    (graphics, stamps) = crops_of([crop.page], [found], ("graphic", "stamp"), 0.5)
    assert [list(each.box) for each in graphics] == [list(boxes[0])]
    assert [each.label for each in stamps] == [class_index("stamp")]

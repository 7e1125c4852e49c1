"""Which pages come first."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from doc_detect.detectors.detections import Detections
from doc_detect.pages import PageRef
from doc_detect.pages.iiif import Canvas
from doc_detect.selection.books import books_of
from doc_detect.selection.looks import Look, doubt, pooled, read_look
from doc_detect.selection.ranking import ranked, standardised

ONE_BOOK = ["a"] * 50


def pages(count: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8))


def numbers(by, budget, uncertainty, features, books=ONE_BOOK, seed=0) -> list[int]:
    return [c.page for c in ranked(by, budget, uncertainty, features, books, seed)]


def test_a_doubtful_page_comes_before_a_sure_one() -> None:
    features = pages(4)
    features[2] = features[1] + 1e-3  # two alike, one of which is doubtful
    uncertainty = np.array([0.0, 0.1, 5.0, 0.0])
    for by in ("combined", "uncertainty"):
        assert numbers(by, 4, uncertainty, features, ["a"] * 4)[0] == 2
    assert numbers("uncertainty", 4, uncertainty, features, ["a"] * 4) == [2, 1, 0, 3]


@pytest.mark.parametrize("by", ["combined", "diversity"])
def test_copies_of_a_page_come_after_all_others(by: str) -> None:
    features = pages(12)
    features[6:] = features[0]  # six copies of a page
    uncertainty = np.where(np.arange(12) < 6, 0.2, 9.0)
    uncertainty[0] = 9.0  # the most doubtful of all is the copied one
    chosen = numbers(by, 12, uncertainty, features, ["a"] * 12)
    copies = {0, *range(6, 12)}
    assert len(set(chosen)) == 12
    assert len(copies & set(chosen[:6])) == 1 and copies >= set(chosen[6:])


def test_distance_is_taken_from_all_pages_before() -> None:
    line = np.array([[0.0], [1.0], [2.0], [8.0], [9.0], [10.0], [5.0]])
    assert numbers("diversity", 3, np.zeros(7), line, ["a"] * 7) == [
        6,
        0,
        5,
    ]  # the typical one, then both ends
    first, second, third = ranked("diversity", 3, np.zeros(7), line, ["a"] * 7, 0)
    assert first.distance is None
    assert second.distance == pytest.approx(5 / line.std()) == third.distance


def test_books_come_in_turn() -> None:
    features, uncertainty = pages(40), np.ones(40)
    books = ["large"] * 34 + ["a", "b", "c"] * 2
    chosen = numbers("combined", 8, uncertainty, features, books)
    of = [books[page] for page in chosen]
    assert set(of) == {"large", "a", "b", "c"} and of.count("large") <= 4
    alone = [books[page] for page in numbers("uncertainty", 8, uncertainty, features, books)]
    assert alone.count("large") == 8


@pytest.mark.parametrize("by", ["combined", "uncertainty", "diversity", "random"])
def test_labelled_pages_are_as_if_chosen_first_and_do_not_come_again(by) -> None:
    features, uncertainty = pages(), np.random.default_rng(1).uniform(0, 5, 50)
    books = ["a", "b"] * 25
    first = numbers(by, 12, uncertainty, features, books)
    before = first[:5]
    rest = [c.page for c in ranked(by, 7, uncertainty, features, books, 0, before)]
    assert rest == first[5:]


def test_a_page_of_which_nothing_is_doubtful_can_be_chosen_for_its_looks() -> None:
    features = pages(20) * 0.01
    features[7] = 5.0
    assert 7 in numbers("combined", 3, np.where(np.arange(20) == 7, 0.0, 0.5), features, ["a"] * 20)


@pytest.mark.parametrize("by", ["combined", "uncertainty", "diversity", "random"])
def test_a_choice_is_the_same_again_and_a_smaller_one_is_its_beginning(by: str) -> None:
    features, uncertainty = pages(), np.random.default_rng(1).exponential(size=50)
    chosen = numbers(by, 30, uncertainty, features)
    assert chosen == numbers(by, 30, uncertainty, features)
    assert chosen[:10] == numbers(by, 10, uncertainty, features)
    assert len(set(chosen)) == 30
    assert sorted(numbers(by, 50, uncertainty, features)) == list(range(50))


def test_pages_that_all_look_alike_are_chosen_by_their_doubt() -> None:
    uncertainty = np.array([0.1, 3.0, 0.5])
    assert numbers("combined", 3, uncertainty, np.ones((3, 8)), ["a"] * 3) == [1, 2, 0]


def test_features_do_not_depend_on_their_unit_or_number() -> None:
    features = pages()
    np.testing.assert_allclose(standardised(features * 7 + 3), standardised(features), atol=1e-9)
    twice = np.concatenate([features, features, np.ones((50, 3))], axis=1)
    one, other = (np.linalg.norm(np.diff(standardised(f), axis=0), axis=1) for f in (features, twice))
    np.testing.assert_allclose(one, other)


def test_doubt_is_largest_at_one_half_and_counts_ten_finds() -> None:
    assert doubt(np.array([0.5])) == pytest.approx(1)
    assert doubt(np.array([0.75, 0.25])) == pytest.approx(2 * 0.25)
    assert doubt(np.full(9, 0.05)) < 0.1  # much that is surely none is no doubt
    assert doubt(np.zeros(0)) == 0 and doubt(np.array([0.0, 1.0])) == pytest.approx(0, abs=1e-6)
    assert doubt(np.full(100, 0.5)) == pytest.approx(10)


def test_padding_is_not_pooled() -> None:
    maps = [torch.zeros(1, 2, 128 // stride, 96 // stride) for stride in (8, 16, 32)]
    maps += [torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 1, 1)]
    for level, stride in zip(maps, (8, 16, 32, 64, 128), strict=True):
        level[:, 1] = 1
        level[:, :, -(-100 // stride) :] = 50
        level[:, :, :, -(-70 // stride) :] = 50
    np.testing.assert_allclose(pooled(maps, (100, 70)), [0, 1, 0, 1] * 5)


def test_what_was_seen_is_read_back() -> None:
    found = Detections(np.array([[1, 2, 3, 4.5]], np.float32), np.array([0.75], np.float32), np.array([3]))
    look = read_look(Look(found, 1.5, 0.25, np.array([0.125, -2])).record())
    assert look.uncertainty == 1.75 and look.features.tolist() == [0.125, -2]
    assert look.found.boxes.tolist() == [[1, 2, 3, 4.5]] and look.found.labels.tolist() == [3]
    nothing = Look(Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)), 0, 0, np.zeros(2))
    assert len(read_look(nothing.record()).found.boxes) == 0


def test_a_page_is_of_the_book_that_its_place_says(tmp_path) -> None:
    one, other = tmp_path / "scans" / "one", tmp_path / "scans" / "other"
    for folder in (one, other):
        folder.mkdir(parents=True)
        for name in ("a.jpg", "b.jpg"):
            (folder / name).touch()
    (one / "c.pdf").touch()
    refs = [
        PageRef(one / "a.jpg"),
        PageRef(one / "b.jpg"),
        PageRef(other / "a.jpg"),
        PageRef(one / "c.pdf", 2),
    ]
    assert books_of([tmp_path / "scans"], refs) == ["one", "one", "other", "one/c.pdf"]
    assert books_of([one], refs[:2]) == ["one", "one"]
    manifests = [str(tmp_path / name / "manifest.json") for name in ("first", "second")]
    for file in manifests:
        Path(file).parent.mkdir()
        Path(file).touch()
    canvases = [Canvas("id", "label", 1, (10, 20), "manifest", file) for file in manifests]
    shown = [PageRef(one / "a.jpg", canvas=canvas) for canvas in canvases]
    assert books_of([], shown) == ["first/manifest.json", "second/manifest.json"]

import pytest

pytest.importorskip("torch")

import dataclasses

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from doc_detect.classes import class_index
from doc_detect.coco import IGNORED, CocoPage
from doc_detect.figures.coco_metrics import SIZES, coco_pair, match_class, precision_table, set_parameters
from doc_detect.figures.page_metrics import PageScores, crop_fits, page_scores

LABELS = ("graphic", "drop_capital", "caption")


def pages(seed: int, count: int = 25) -> tuple[list[CocoPage], list[CocoPage]]:
    """Return truth and noisy detections: some pages empty, some objects tiny, some regions ignored, scores with ties."""
    generator = np.random.default_rng(seed)
    truth, found = [], []
    for number in range(count):
        objects = 0 if number % 5 == 0 else int(generator.integers(1, 6))
        size = generator.choice([3, 15, 60, 200], (objects, 1)) * generator.uniform(0.7, 1.3, (objects, 2))
        corner = generator.uniform(0, 250, (objects, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        labels = generator.choice([*map(class_index, LABELS), IGNORED], objects)
        truth.append(CocoPage(f"{number}.jpg", 500, 450, boxes, labels))
        found.append(_detections(truth[-1], generator))
    return truth, found


def _detections(page: CocoPage, generator: np.random.Generator) -> CocoPage:
    seen = np.flatnonzero(generator.random(len(page.boxes)) < 0.8)
    size = page.boxes[seen, 2:] - page.boxes[seen, :2]
    near = page.boxes[seen] + generator.normal(0, 0.06, (len(seen), 4)) * np.tile(size, 2)
    corner = generator.uniform(0, 250, (4, 2))
    wrong = np.concatenate([corner, corner + generator.uniform(2, 120, (4, 2))], axis=1)
    boxes = np.concatenate([near, wrong, near + 1])
    labels = np.where(
        generator.random(len(boxes)) < 0.7,
        np.concatenate([page.labels[seen], [0, 1, 1, 0], page.labels[seen]]),
        class_index("caption"),
    )
    labels = np.where(labels == IGNORED, class_index("caption"), labels)
    scores = np.round(generator.random(len(boxes)), 1)
    return dataclasses.replace(page, boxes=boxes, labels=labels, scores=scores)


def pycocotools_table(truth: list[CocoPage], found: list[CocoPage]) -> np.ndarray:
    evaluation = COCOeval(*coco_pair(truth, found, LABELS, COCO), "bbox")
    set_parameters(evaluation.params)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][..., 0]


@pytest.mark.parametrize("seed", range(3))
def test_precision_equals_that_of_pycocotools(seed: int) -> None:
    truth, found = pages(seed)
    ours, theirs = precision_table(truth, found, LABELS), pycocotools_table(truth, found)
    assert ours.shape == (10, 101, len(LABELS), len(SIZES)) and (ours > 0).any()
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_resampled_precision_equals_that_of_repeated_pages(seed: int) -> None:
    truth, found = pages(seed)
    generator = np.random.default_rng(seed)
    # Without ties, whose order COCO leaves to the order of the pages.
    found = [dataclasses.replace(page, scores=generator.random(len(page.boxes))) for page in found]
    for weights in (np.ones(len(truth)), generator.multinomial(len(truth), [1 / len(truth)] * len(truth))):
        repeated = np.repeat(np.arange(len(truth)), weights.astype(int))
        table = precision_table([truth[i] for i in repeated], [found[i] for i in repeated], LABELS)
        for index, label in enumerate(LABELS):
            (ours,) = match_class(truth, found, label).average_precision(weights[None])
            np.testing.assert_allclose(
                ours, table[:, :, index, list(SIZES).index("protocol")].mean(axis=1), atol=1e-9
            )


def test_objects_under_two_hundredths_of_the_page_neither_help_nor_harm() -> None:
    page = CocoPage("a.jpg", 500, 1000, np.array([[0, 0, 100, 19.0], [0, 100, 100, 200]]), np.array([0, 0]))
    found = dataclasses.replace(page, boxes=page.boxes[1:], labels=page.labels[1:], scores=np.array([0.9]))
    missed = precision_table([page], [found], ["graphic"]).mean(axis=(0, 1, 2))
    assert missed[list(SIZES).index("protocol")] == pytest.approx(1)
    assert missed[list(SIZES).index("unfiltered")] < 0.6
    both = dataclasses.replace(page, scores=np.array([0.99, 0.9]))
    assert precision_table([page], [both], ["graphic"]).mean(axis=(0, 1, 2))[0] == pytest.approx(1)
    speck = dataclasses.replace(
        page, boxes=page.boxes + [[300, 500, 300, 500], [0, 0, 0, 0]], scores=both.scores
    )
    assert precision_table([page], [speck], ["graphic"]).mean(axis=(0, 1, 2))[0] == pytest.approx(1)


def test_a_class_without_an_object_has_no_precision() -> None:
    page = CocoPage("a.jpg", 100, 100, np.zeros((0, 4)), np.zeros(0, np.int64))
    found = dataclasses.replace(page, scores=np.zeros(0))
    assert (precision_table([page], [found], ["graphic"]) == -1).all()
    assert np.isnan(match_class([page], [found], "graphic").average_precision(np.ones((1, 1)))).all()


@pytest.mark.parametrize("seed", range(3))
def test_page_figures_equal_those_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    present, scores = generator.random(200) < 0.3, np.round(generator.random(200), 1)
    draws = generator.integers(0, 3, (4, 200))
    ours = PageScores(present, scores)
    each = list(zip(draws, ours.average_precision(draws), ours.f1(draws), strict=True))
    for weights, precision, f1 in each:
        expected = metrics.average_precision_score(present, scores, sample_weight=weights)
        assert precision == pytest.approx(expected)
        assert f1 == pytest.approx(metrics.f1_score(present, scores >= 0.5, sample_weight=weights))


def test_page_scores_are_the_best_of_the_class_and_zero_without_one() -> None:
    truth, found = pages(0)
    ours = page_scores(truth, found, "graphic")
    for number, (page, seen) in enumerate(zip(truth, found, strict=True)):
        assert ours.present[number] == (0 in page.labels)
        assert ours.scores[number] == max(
            [s for s, c in zip(seen.scores, seen.labels, strict=True) if c == 0] or [0]
        )


def test_crops_are_compared_with_the_object_they_fit_best_and_missed_objects_count_zero() -> None:
    boxes = np.array([[0, 0, 100, 100.0], [200, 200, 300, 300]])
    page = CocoPage("a.jpg", 400, 400, boxes, np.array([0, 0]))
    crops = np.array([[0, 0, 100, 50.0], [0, 0, 100, 80], [200, 200, 300, 300]])
    found = dataclasses.replace(page, boxes=crops, labels=np.zeros(3, int), scores=np.array([0.9, 0.5, 0.4]))
    fits = crop_fits([page, page], [found, found], "graphic")
    twice, none = fits.mean(np.array([[1, 1], [0, 0]]))
    assert twice == pytest.approx((0.8 + 0) / 2)  # the third crop is too unsure
    assert np.isnan(none)

"""Several models on the same pages, with the same draws of books."""

import pytest

pytest.importorskip("torch")

import dataclasses
from collections.abc import Sequence

import numpy as np

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage
from doc_detect.figures.coco_metrics import SIZES, precision_table
from doc_detect.figures.measured import units
from doc_detect.figures.paired import Candidate, Paired, influences
from seminar_common.bootstrap import cluster_weights, percentile_interval
from seminar_common.results import Row

LABELS = ("graphic", "drop_capital")
PROTOCOL = list(SIZES).index("protocol")
DRAWS = 40


def pages(count: int = 14) -> list[CocoPage]:
    """Return pages of five books, with one or two objects of each class; every third is a manuscript."""
    generator = np.random.default_rng(3)
    made = []
    for number in range(count):
        corner = generator.uniform(0, 250, (3, 2))
        boxes = np.concatenate([corner, corner + generator.uniform(40, 120, (3, 2))], axis=1)
        labels = np.array([class_index(LABELS[i]) for i in (0, 1, number % 2)])
        facts = {"book": f"b{number % 5}", "kind": "manuscript" if number % 3 == 2 else "print"}
        made.append(CocoPage(f"{number}.jpg", 500, 450, boxes, labels, None, facts))
    return made


def found(truth: list[CocoPage], seed: int, error: float) -> list[CocoPage]:
    """Return what a detector finds whose boxes are off by ``error`` of their size, with some false ones."""
    generator = np.random.default_rng(seed)
    seen = []
    for page in truth:
        size = np.tile(page.boxes[:, 2:] - page.boxes[:, :2], 2)
        near = page.boxes + generator.normal(0, error, page.boxes.shape) * size
        far = np.array([[5.0, 300, 60, 360]] * 2)  # two that are false
        boxes, labels = np.concatenate([near, far]), np.append(page.labels, [*map(class_index, LABELS)])
        scores = generator.random(len(boxes))  # no ties, whose order COCO leaves to the pages
        seen.append(dataclasses.replace(page, boxes=boxes, labels=labels, scores=scores))
    return seen


def candidate(name: str, seeds: tuple[int, ...], truth: list[CocoPage], error: float, **more) -> Candidate:
    start = sum(map(ord, name))
    row = Row(name, "toy", "test", "ap", 0.0, seeds=seeds)
    return Candidate(row, {(seed, 0): found(truth, start + seed, error) for seed in seeds}, **more)


@pytest.fixture(scope="module")
def truth() -> list[CocoPage]:
    return pages()


@pytest.fixture(scope="module")
def models(truth: list[CocoPage]) -> list[Candidate]:
    source = Candidate(Row("source-only", "toy", "test", "ap", 0.0), {None: found(truth, 1, 0.25)})
    return [
        source,
        candidate("self-training", (0, 1), truth, 0.18),
        candidate("oracle", (0, 1), truth, 0.0),
        candidate("kept-0", (1,), truth, 0.22, baselines=("source-only", "self-training")),
    ]


@pytest.fixture(scope="module")
def paired(truth: list[CocoPage], models: list[Candidate]) -> Paired:
    return Paired(truth, models, LABELS, DRAWS)


def one(rows: list[Row], **conditions) -> Row:
    (row,) = [row for row in rows if all(row.get(k) == v for k, v in conditions.items())]
    return row


def precision(truth: Sequence[CocoPage], seen: Sequence[CocoPage], label: str, weights: np.ndarray) -> float:
    """Return AP50 of pages that are there ``weights`` times, by faster-coco-eval."""
    repeated = np.repeat(np.arange(len(truth)), weights.astype(int))
    table = precision_table([truth[i] for i in repeated], [seen[i] for i in repeated], [label])
    return float(table[0, :, 0, PROTOCOL].mean())


def drawn_by_hand(truth: list[CocoPage], model: Candidate, label: str) -> np.ndarray:
    """Return the mean AP50 over a model's runs on every draw."""
    draws = cluster_weights(units(truth).tolist(), DRAWS, 0)
    return np.array(
        [np.mean([precision(truth, seen, label, w) for seen in model.found.values()]) for w in draws]
    )


def test_a_figure_is_the_mean_over_seeds_and_its_interval_that_of_the_mean(
    truth: list[CocoPage], models: list[Candidate], paired: Paired
) -> None:
    rows = paired.rows()
    by_hand = drawn_by_hand(truth, models[1], "drop_capital")
    row = one(rows, model="self-training", metric="ap50", label="drop_capital", subset="all")
    assert row.value == pytest.approx(by_hand[0]) and row.seeds == (0, 1) and row.n == 14
    assert (row.ci_low, row.ci_high) == pytest.approx(percentile_interval(by_hand[1:]))
    singles = [precision(truth, seen, "drop_capital", np.ones(14)) for seen in models[1].found.values()]
    spread = one(rows, model="self-training", metric="ap50_seed_sd", label="drop_capital")
    assert spread.value == pytest.approx(np.std(singles, ddof=1)) and spread.value > 0
    assert not [r for r in rows if r.model in ("source-only", "kept-0") and r.metric == "ap50_seed_sd"]


def test_a_difference_has_the_same_draws_on_both_sides(
    truth: list[CocoPage], models: list[Candidate], paired: Paired
) -> None:
    ours, source = (drawn_by_hand(truth, model, "graphic") for model in (models[1], models[0]))
    row = one(
        paired.rows(),
        model="self-training",
        metric="ap50_difference",
        label="graphic",
        subset="all",
        baseline="source-only",
    )
    assert row.value == pytest.approx(ours[0] - source[0])
    assert (row.ci_low, row.ci_high) == pytest.approx(percentile_interval((ours - source)[1:]))


def test_a_variant_is_compared_over_the_seeds_that_both_have(
    truth: list[CocoPage], models: list[Candidate], paired: Paired
) -> None:
    ours, other = (
        precision(truth, model.found[1, 0], "graphic", np.ones(14)) for model in (models[3], models[1])
    )
    row = one(
        paired.rows(),
        model="kept-0",
        metric="ap50_difference",
        label="graphic",
        subset="all",
        baseline="self-training",
    )
    assert row.value == pytest.approx(ours - other)


def test_printed_pages_and_manuscripts_are_apart_and_whole_leaves_them_out(
    truth: list[CocoPage], models: list[Candidate], paired: Paired
) -> None:
    assert {row.subset for row in paired.rows()} == {"all", "printed", "manuscript"}
    whole = Paired(truth, models, LABELS, DRAWS, whole=True).rows()
    assert {row.subset for row in whole} == {"all"}
    assert [row for row in paired.rows() if row.subset == "all"] == whole


def test_gap_closed_is_a_share_of_the_lead_of_an_oracle_that_leads_for_sure(
    truth: list[CocoPage], models: list[Candidate], paired: Paired
) -> None:
    rows, notes = paired.gap_rows()
    source, ours, oracle = (drawn_by_hand(truth, model, "graphic") for model in models[:3])
    share = (ours - source) / (oracle - source)
    row = one(rows, model="self-training", metric="gap_closed_ap50", label="graphic")
    assert row.value == pytest.approx(share[0]) and not notes
    lead = (oracle - source)[1:]
    assert (lead > 0).all() and (row.ci_low, row.ci_high) == pytest.approx(percentile_interval(share[1:]))
    assert {row.model for row in rows} == {"self-training", "kept-0"}
    assert {row.metric for row in rows} == {"gap_closed_ap50", "gap_closed_ap"}
    assert {row.label for row in rows} == {None, *LABELS}


def test_no_gap_is_closed_where_the_lead_is_not_sure(truth: list[CocoPage], models: list[Candidate]) -> None:
    source = models[0]
    same = Candidate(
        dataclasses.replace(source.row, model="oracle", seeds=(0,)), {(0, 0): source.found[None]}
    )
    rows, (note,) = Paired(truth, [source, models[1], same], LABELS, DRAWS).gap_rows()
    assert not rows and "AP50 of graphic" in note and "the class mean" in note
    assert Paired(truth, models[:2], LABELS, DRAWS).gap_rows() == ([], ())


def test_the_influence_of_a_page_is_the_change_where_it_is_removed(
    truth: list[CocoPage], models: list[Candidate], paired: Paired
) -> None:
    runs = list(models[1].found.values())
    changes = influences(truth, runs, "graphic")
    everywhere = np.ones(len(truth))
    for number in range(len(truth)):
        without = everywhere.copy()
        without[number] = 0
        expected = np.mean(
            [
                precision(truth, seen, "graphic", without) - precision(truth, seen, "graphic", everywhere)
                for seen in runs
            ]
        )
        assert changes[number] == pytest.approx(expected, abs=1e-9)
    row = one(paired.influence_rows(), model="self-training", label="graphic")
    largest = int(np.abs(changes).argmax())
    assert row.value == pytest.approx(changes[largest]) and row.facts["page"] == f"{largest}.jpg"


def test_a_page_that_has_the_only_object_has_no_influence() -> None:
    truth = pages(3)
    empty = dataclasses.replace(truth[0], boxes=np.zeros((0, 4)), labels=np.zeros(0, np.int64))
    truth = [empty, truth[1], empty]
    changes = influences(truth, [found(truth, 0, 0.0)], "drop_capital")
    assert np.isnan(changes[1]) and np.isfinite(changes[[0, 2]]).all()

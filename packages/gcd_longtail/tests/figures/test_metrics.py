import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from gcd_longtail.figures.metrics import (
    Scored,
    accuracy_v1,
    figures,
    intervals,
    k_error,
    match,
    score,
)

NONE = ("many",) * 4


def brute_force(counts: np.ndarray) -> int:
    """Return the most images that any one-to-one assignment of clusters to classes gets right."""
    side = max(counts.shape)
    square = np.zeros((side, side), int)
    square[: counts.shape[0], : counts.shape[1]] = counts
    columns = np.arange(side)
    return max(square[list(order), columns].sum() for order in itertools.permutations(range(side)))


@given(st.integers(1, 5), st.integers(2, 5), st.integers(0, 10_000))
def test_the_assignment_is_the_best_of_all_permutations(clusters: int, classes: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 9, size=(clusters, classes))
    scored = Scored(counts, 1, ("few",) * classes)
    assert scored.hits.sum() == brute_force(counts)


def test_every_figure_of_a_small_case_is_as_counted_by_hand() -> None:
    # Classes 0, 1 are known, 2, 3 novel; cluster 2 holds class 3 and cluster 3 class 2.
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 3])
    clusters = np.array([0, 0, 0, 1, 1, 1, 3, 3, 0, 2])
    got = figures(score(truth, clusters, 2, ("many", "few", "many", "few")))
    assert got["acc_all"] == pytest.approx(8 / 10)
    assert got["acc_known"] == pytest.approx(5 / 6)
    assert got["acc_novel"] == pytest.approx(3 / 4)
    assert got["macro_all"] == pytest.approx((3 / 4 + 1 + 2 / 3 + 1) / 4)
    assert got["macro_known"] == pytest.approx((3 / 4 + 1) / 2)
    assert got["macro_novel_many"] == pytest.approx(2 / 3)
    assert got["macro_novel_few"] == pytest.approx(1)
    assert "macro_novel_medium" not in got  # no such class


@given(st.integers(0, 10_000))
def test_nmi_and_ari_equal_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth, clusters = generator.integers(0, 4, 40), generator.integers(0, 6, 40)
    got = figures(score(truth, clusters, 2, NONE))
    assert got["nmi"] == pytest.approx(normalized_mutual_info_score(truth, clusters))
    assert got["ari"] == pytest.approx(adjusted_rand_score(truth, clusters))


@pytest.mark.parametrize("clusters", [[0, 0, 0], [0, 1, 2]])
@pytest.mark.parametrize("truth", [[0, 0, 0], [0, 1, 2]])
def test_nmi_and_ari_of_single_groups_and_of_singletons_equal_scikit_learn(truth, clusters) -> None:
    got = figures(score(np.array(truth), np.array(clusters), 1, NONE))
    assert got["nmi"] == pytest.approx(normalized_mutual_info_score(truth, clusters))
    assert got["ari"] == pytest.approx(adjusted_rand_score(truth, clusters))


@given(st.integers(0, 10_000))
def test_one_assignment_never_exceeds_one_for_each_part(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scored = score(generator.integers(0, 4, 30), generator.integers(0, 4, 30), 2, NONE, 4)
    v1, v2 = accuracy_v1(scored), figures(scored)
    for part in ("known", "novel"):
        if f"acc_{part}" in v2:
            assert v1[f"acc_{part}_v1"] >= v2[f"acc_{part}"] - 1e-12


def test_v1_counts_one_cluster_for_a_known_and_for_a_novel_class() -> None:
    # All images in one cluster: v2 gives it to one class, v1 to a known class and to a novel one.
    scored = score(np.array([0, 0, 1, 1]), np.zeros(4, int), 1, ("many", "many"))
    assert figures(scored)["acc_known"] + figures(scored)["acc_novel"] == 1
    assert accuracy_v1(scored) == {"acc_known_v1": 1.0, "acc_novel_v1": 1.0}


def test_an_assignment_for_each_shard_inflates_accuracy() -> None:
    """Chance clusters of 16 shards look far better than they are if each shard is matched alone."""
    generator = np.random.default_rng(0)
    truth, clusters = generator.integers(0, 20, 1600), generator.integers(0, 20, 1600)
    whole = figures(score(truth, clusters, 10, ("many",) * 20))["acc_all"]
    shards = [
        figures(score(t, c, 10, ("many",) * 20))["acc_all"]
        for t, c in zip(np.split(truth, 16), np.split(clusters, 16), strict=True)
    ]
    assert whole < 0.1
    assert np.mean(shards) > 2 * whole


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_shards_never_lower_the_accuracy(seed: int, shards: int) -> None:
    generator = np.random.default_rng(seed)
    truth, clusters = generator.integers(0, 4, 60), generator.integers(0, 4, 60)
    parts = zip(np.array_split(truth, shards), np.array_split(clusters, shards), strict=True)
    hits = sum(score(t, c, 2, NONE, 4).hits.sum() for t, c in parts)
    assert hits >= score(truth, clusters, 2, NONE, 4).hits.sum()


def test_more_classes_than_clusters_leave_some_without_a_cluster() -> None:
    scored = score(np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1]), 2, ("many", "medium", "few"))
    assert (scored.matching == -1).sum() == 1
    assert scored.hits.sum() == 3


def test_a_class_without_images_counts_nowhere() -> None:
    scored = score(np.array([0, 0, 2]), np.array([0, 0, 1]), 2, ("many", "few", "many"))
    assert np.isnan(scored.class_accuracy[1])
    assert figures(scored)["macro_known"] == 1
    assert "macro_known_few" not in figures(scored)


def test_matching_ignores_how_clusters_are_numbered() -> None:
    counts = np.random.default_rng(1).integers(0, 50, (6, 6))
    order = np.random.default_rng(2).permutation(6)
    assert (
        counts[match(counts), np.arange(6)].sum() == counts[order][match(counts[order]), np.arange(6)].sum()
    )


def noisy_run(seed: int, n: int = 400, right: float = 0.7) -> Scored:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, n)
    wrong = generator.random(n) > right
    clusters = np.where(wrong, generator.integers(0, 4, n), truth)
    return score(truth, clusters, 2, ("many", "few", "many", "few"), 4)


def test_the_interval_of_one_run_is_that_of_a_binomial() -> None:
    run = noisy_run(0)
    interval = intervals([run], resamples=2000)["acc_all"]
    share = figures(run)["acc_all"]
    error = np.sqrt(share * (1 - share) / run.n)
    assert interval.value == pytest.approx(share)
    assert interval.low == pytest.approx(share - 1.96 * error, abs=0.01)
    assert interval.high == pytest.approx(share + 1.96 * error, abs=0.01)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = 0.7 + 0.3 / 4
    found = [intervals([noisy_run(seed)], seed=seed, resamples=200)["acc_all"] for seed in range(60)]
    assert 0.88 <= np.mean([one.low <= truth <= one.high for one in found]) <= 1


def test_runs_that_differ_widen_the_interval() -> None:
    same = intervals([noisy_run(0), noisy_run(0)])["acc_all"]
    differing = intervals([noisy_run(0, right=0.9), noisy_run(1, right=0.3)])["acc_all"]
    assert differing.high - differing.low > 3 * (same.high - same.low)
    assert differing.n == 800


def test_an_interval_depends_on_its_seed_alone() -> None:
    assert intervals([noisy_run(3)], seed=5) == intervals([noisy_run(3)], seed=5)


def test_k_error_is_signed() -> None:
    assert k_error(12, 10) == pytest.approx(0.2)
    assert k_error(8, 10) == pytest.approx(-0.2)


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        score(np.empty(0, int), np.empty(0, int), 1, ("many", "few"))
    with pytest.raises(ValueError, match="at least one run"):
        intervals([])


@pytest.mark.parametrize(
    ("truth", "clusters", "message"),
    [
        ([0, 1, 1], [0, 1, -1], "clusters must be 0 to 2, not -1 to 1"),
        ([0, 1, 1], [0, 1, 3], "clusters must be 0 to 2, not 0 to 3"),
        ([0, -1, 1], [0, 1, 1], "classes must be 0 to 1, not -1 to 1"),
        ([0, 1, 5], [0, 1, 1], "classes must be 0 to 1, not 0 to 5"),
    ],
)
def test_numbers_out_of_range_are_refused_and_not_counted_elsewhere(
    truth: list[int], clusters: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score(np.array(truth), np.array(clusters), 1, ["many", "few"], 3)

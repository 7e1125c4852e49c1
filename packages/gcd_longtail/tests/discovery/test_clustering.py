import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cut_tree, linkage
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.metrics import adjusted_rand_score

from gcd_longtail.discovery.clustering.kmeans import _draw, kmeans
from gcd_longtail.discovery.clustering.ward import Merges, constrained_ward
from gcd_longtail.settings.methods import KMeansConfig
from seminar_common.errors import UserError


def rows(n: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def lloyd(unlabelled, labelled, labels, start, iterations):
    """Semi-supervised k-means in plain float64: the formula of GCD, section 3.2."""
    centres = start.astype(np.float64)
    everything = np.concatenate([labelled, unlabelled]).astype(np.float64)
    for _ in range(iterations):
        distances = np.square(unlabelled[:, None].astype(np.float64) - centres).sum(2)
        clusters = np.concatenate([labels, distances.argmin(1)])
        centres = np.stack([everything[clusters == k].mean(0) for k in range(len(centres))])
    distances = np.square(unlabelled[:, None].astype(np.float64) - centres).sum(2)
    inertia = distances.min(1).sum() + np.square(labelled - centres[labels]).sum()
    return centres, distances.argmin(1), inertia


@pytest.mark.parametrize("block_values", [1 << 20, 300])
@pytest.mark.parametrize("copy_values", [1 << 20, 1])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_kmeans_equals_a_float64_loop_from_the_same_start(
    block_values: int, copy_values: int, offset: float
) -> None:
    unlabelled, labelled = rows(300, 8) + offset, rows(60, 8, seed=1) + offset
    labels = np.arange(60) % 3
    start = np.concatenate([[labelled[labels == k].mean(0) for k in range(3)], unlabelled[:5]])
    config = KMeansConfig(iterations=12, tolerance=0, block_values=block_values, copy_values=copy_values)
    found = kmeans(unlabelled, 8, labelled=labelled, labels=labels, start=start, config=config)
    centres, assignments, inertia = lloyd(unlabelled, labelled, labels, start, 12)
    np.testing.assert_allclose(found.centres, centres, atol=2e-5)
    assert (found.assignments == assignments).mean() > 0.99  # float32 may break a tie the other way
    assert found.inertia == pytest.approx(inertia, rel=1e-5)


def test_kmeans_without_labels_equals_scikit_learn_from_the_same_start() -> None:
    x = rows(500, 6)
    ours = kmeans(x, 9, start=x[:9], config=KMeansConfig(iterations=300, tolerance=0))
    theirs = SklearnKMeans(9, init=x[:9], n_init=1, tol=0, max_iter=300).fit(x)
    assert adjusted_rand_score(ours.assignments, theirs.labels_) == 1
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-5)


def test_more_starts_never_raise_the_inertia_and_a_seed_decides() -> None:
    x = rows(400, 5)
    one, five = (kmeans(x, 12, seed=3, config=KMeansConfig(inits=n)) for n in (1, 5))
    assert five.inertia <= one.inertia
    np.testing.assert_array_equal(one.centres, kmeans(x, 12, seed=3, config=KMeansConfig(inits=1)).centres)


def test_an_empty_cluster_is_restarted_at_a_far_row() -> None:
    x = np.concatenate([rows(50, 4), rows(50, 4, seed=1) + 20])
    start = np.stack([x[0], np.full(4, 1000.0), np.full(4, -1000.0)]).astype(np.float32)
    found = kmeans(x, 3, start=start)
    assert len(np.unique(found.assignments)) == 3
    assert found.inertia < 0.6 * kmeans(x, 1).inertia


def test_rows_that_are_all_alike_end_in_one_cluster_without_nan() -> None:
    found = kmeans(np.ones((10, 3), np.float32), 3)
    assert np.isfinite(found.centres).all() and found.inertia == pytest.approx(0, abs=1e-6)


def test_labelled_rows_stay_with_their_class_even_where_another_centre_is_nearer() -> None:
    labelled = np.array([[0.0, 0], [10, 0], [10, 0.1], [10, -0.1]], np.float32)
    labels = np.array([0, 1, 1, 0])  # the last one lies among class 1
    found = kmeans(rows(40, 2) * 0.1, 2, labelled=labelled, labels=labels)
    assert found.centres[0][0] > 0.1  # pulled by the labelled row that lies far away
    assert (found.assignments == 0).all()


def test_mini_batches_come_near_full_iterations_and_keep_known_classes() -> None:
    generator = np.random.default_rng(0)
    centres = 6 * generator.normal(size=(10, 8))
    labels = np.arange(6000) % 10
    x = (centres[labels] + generator.normal(size=(6000, 8))).astype(np.float32)
    known = labels < 4
    config = KMeansConfig(
        inits=3, minibatch_above=1000, minibatch_rows=512, minibatch_steps=60, seed_rows=2000
    )
    parts = {"labelled": x[known][:200], "labels": labels[known][:200]}
    fast, full = (kmeans(x, 10, **parts, config=one) for one in (config, KMeansConfig(inits=3)))
    assert fast.inertia < 1.02 * full.inertia
    assert (fast.assignments[known] == labels[known]).mean() > 0.99


def test_kmeans_refuses_what_it_cannot_cluster() -> None:
    x = rows(10, 3)
    with pytest.raises(UserError, match="fewer than the 2 known"):
        kmeans(x, 1, labelled=x, labels=np.arange(10) % 2)
    with pytest.raises(ValueError, match="can't make 11"):
        kmeans(x, 11)
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        kmeans(x, 2)


def test_the_start_of_kmeans_is_as_good_as_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    centres = 3 * generator.normal(size=(60, 8))
    x = (centres[generator.integers(60, size=3000)] + generator.normal(size=(3000, 8))).astype(np.float32)
    config = KMeansConfig(inits=1, iterations=100)
    ours = np.mean([kmeans(x, 60, seed=seed, config=config).inertia for seed in range(8)])
    peer = SklearnKMeans(60, init="k-means++", n_init=1, max_iter=100)
    theirs = np.mean([peer.set_params(random_state=seed).fit(x).inertia_ for seed in range(8)])
    assert ours < 1.01 * theirs


def test_kmeans_draws_by_squared_distance() -> None:
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0])
    generator = np.random.default_rng(0)
    drawn = np.bincount(_draw(weights, 4000, generator), minlength=4) / 4000
    np.testing.assert_allclose(drawn, [0, 0.25, 0, 0.75], atol=0.03)


# ---------------------------------------------------------------------------------------------------- Ward


def brute_force(unlabelled, labelled, labels, gamma, k):
    """Merge the cheapest allowed pair of all, again and again, in float64."""
    known = labels.max() + 1
    groups = [list(labelled[labels == c]) for c in range(known)] + [[row] for row in unlabelled]
    members = [[] for _ in range(known)] + [[i] for i in range(len(unlabelled))]
    while len(groups) > k:
        best = (np.inf, 0, 0)
        for i in range(len(groups)):
            for j in range(i + 1, len(groups)):
                if j >= known:
                    n, m = len(groups[i]), len(groups[j])
                    gap = np.mean(groups[i], 0, dtype=np.float64) - np.mean(groups[j], 0, dtype=np.float64)
                    best = min(best, ((n * m / (n + m)) ** gamma * gap @ gap, i, j))
        _, i, j = best
        groups[i] += groups.pop(j)
        members[i] += members.pop(j)
    clusters = np.empty(len(unlabelled), int)
    for number, one in enumerate(members):
        clusters[one] = number
    return clusters


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.4, 0.7, 1.0]), st.integers(2, 9))
def test_constrained_merging_equals_brute_force(seed: int, gamma: float, k: int) -> None:
    unlabelled, labelled, labels = rows(24, 3, seed), rows(8, 3, seed + 1), np.arange(8) % 2
    ours = constrained_ward(unlabelled, labelled, labels, gamma=gamma).cut(k)
    theirs = brute_force(unlabelled, labelled, labels, gamma, k)
    np.testing.assert_array_equal(ours < 2, theirs < 2)
    np.testing.assert_array_equal(ours[ours < 2], theirs[theirs < 2])
    assert adjusted_rand_score(ours, theirs) == 1


def test_with_one_far_labelled_class_it_is_wards_method() -> None:
    x, far = rows(80, 5), np.full((1, 5), 1000, np.float32)
    ours = constrained_ward(x, far, np.zeros(1, int), gamma=1.0)
    for k in (2, 5, 17):
        assert adjusted_rand_score(ours.cut(k + 1), cut_tree(linkage(x, "ward"), k).ravel()) == 1


def test_merging_mutual_neighbours_at_once_gives_the_same_tree_for_wards_cost() -> None:
    x, labelled, labels = rows(300, 6), rows(40, 6, seed=1), np.arange(40) % 4
    trees = [constrained_ward(x, labelled, labels, gamma=1.0, one_by_one=n) for n in (10, 10_000)]
    for k in (4, 9, 30):
        assert adjusted_rand_score(trees[0].cut(k), trees[1].cut(k)) == 1


def test_every_cut_has_the_known_classes_and_k_clusters_at_most() -> None:
    merges = constrained_ward(rows(50, 4), rows(9, 4, seed=1), np.arange(9) % 3)
    assert merges.heights.shape == (50,)
    for k in (3, 4, 20, 53):
        clusters = merges.cut(k)
        assert clusters.max() < k and len(np.unique(clusters[clusters >= 3])) == k - 3
    with pytest.raises(UserError, match="fewer than the 3 known"):
        merges.cut(2)
    with pytest.raises(ValueError, match="k must be"):
        merges.cut(54)


def test_a_row_that_stands_for_many_weighs_as_many() -> None:
    x = np.array([[0.0], [1.0], [1.9]], np.float32)
    far, label = np.array([[100.0]], np.float32), np.zeros(1, int)
    assert constrained_ward(x, far, label).pairs[0].tolist() == [2, 3]
    heavy = constrained_ward(x, far, label, counts=np.array([1, 50, 50]))
    assert heavy.pairs[0].tolist() == [1, 2]


def test_a_cut_numbers_new_clusters_by_their_first_row() -> None:
    merges = Merges(1, 5, np.array([[2, 4], [0, 1]]), np.array([1.0, 2.0]))
    assert merges.cut(3).tolist() == [0, 1, 2, 1]
    assert merges.cut(5).tolist() == [1, 2, 3, 4]

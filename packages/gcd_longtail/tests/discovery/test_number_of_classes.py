import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from gcd_longtail.discovery import number_of_classes
from gcd_longtail.discovery.number_of_classes import KEstimate, _visible_fraction, estimate
from gcd_longtail.discovery.predictors import unit_rows
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.discovery.spaces import Coordinates, fit_space
from gcd_longtail.settings.methods import EstimateConfig, SpaceConfig
from seminar_common.errors import UserError


def long_tailed(classes: int, known: np.ndarray, seed: int, width: int = 24) -> Problem:
    """Return well-separated classes of 80 to 10 images, those of ``known`` half labelled."""
    generator = np.random.default_rng(seed)
    sizes = np.geomspace(80, 10, classes).astype(int)
    order = np.concatenate([known, np.setdiff1d(np.arange(classes), known)])
    labels = np.repeat(np.arange(classes), sizes[order])
    centres = 2.5 * generator.normal(size=(classes, width))
    features = (centres[labels] + generator.normal(size=(len(labels), width))).astype(np.float32)
    labelled = (labels < len(known)) & (generator.random(len(labels)) < 0.5)
    return Problem(features[labelled], labels[labelled], features[~labelled], len(known))


@pytest.mark.parametrize("classes", [16, 30])
def test_interleaved_known_classes_show_how_many_there_are(classes: int) -> None:
    found = estimate(long_tailed(classes, np.arange(0, classes, 2), seed=1))
    assert abs(found.k - classes) <= 0.15 * classes
    assert found.low <= classes <= found.high


def test_frequent_known_classes_are_no_trap_as_they_are_for_scaling_by_counts() -> None:
    found = estimate(long_tailed(30, np.arange(15), seed=2))
    assert found.criteria["counts"] < 24
    assert abs(found.k - 30) < abs(found.criteria["counts"] - 30)
    assert found.low <= 30 <= found.high
    assert found.extrapolated > 1


def test_no_novel_class_is_not_many_novel_classes() -> None:
    found = estimate(long_tailed(12, np.arange(12), seed=3))
    assert found.k <= 15 and not found.assumed
    assert "there may be none" in found.doubt


def test_where_nothing_can_be_told_apart_the_number_is_an_assumption_and_a_lower_bound() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(600, 16)).astype(np.float32)
    labels = np.arange(200) % 10
    found = estimate(Problem(rows[:200], labels, rows[200:], 10))
    assert found.assumed and found.k == 20 and found.high is None and 10 <= found.low <= 20
    assert "assumed" in found.doubt and found.interval == f"{found.low} or more"


def test_very_many_images_are_counted_by_small_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = long_tailed(20, np.arange(0, 20, 2), seed=1)
    whole = estimate(problem)
    monkeypatch.setattr("gcd_longtail.discovery.clustering.leaves.MOST_NODES", 150)
    monkeypatch.setattr("gcd_longtail.discovery.clustering.leaves.MOST_LABELLED", 150)
    few = estimate(problem)
    assert abs(few.k - whole.k) <= 5 and few != whole


def test_an_estimate_depends_on_its_seed_alone_and_contains_itself() -> None:
    problem = long_tailed(16, np.arange(0, 16, 2), seed=4)
    first, second = estimate(problem, seed=5), estimate(problem, seed=5)
    assert first == second
    assert problem.known <= first.low <= first.k <= first.high
    assert set(first.criteria) == {"counts", "macro_accuracy", "micro_accuracy", "silhouette"}


def test_too_few_known_classes_are_refused() -> None:
    with pytest.raises(UserError, match="3 known classes are too few"):
        estimate(long_tailed(6, np.arange(3), seed=0))


def test_it_says_when_it_does_not_know() -> None:
    sure = KEstimate(100, 90, 110, 1.0, {})
    assert sure.doubt == ""
    assert "2.0 times smaller" in KEstimate(100, 90, 110, 2.0, {}).doubt
    assert "disagree" in KEstimate(100, 60, 160, 1.0, {}).doubt


def test_the_labelled_share_is_read_off_the_clusters_of_hidden_classes() -> None:
    # Ten hidden images with a label, in two clusters of 10 and 15 images, and a stray one among 20 others.
    labelled = np.array([0] * 4 + [1] * 6 + [2] * 2)
    others = np.array([0] * 6 + [1] * 9 + [2] * 38 + [3] * 20)
    found = _visible_fraction(np.concatenate([labelled, others]), np.ones(85), labelled)
    assert found == pytest.approx(0.4)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="--most"):
        EstimateConfig(most=1)


# ---------------------------------------------------------------------------------------------------- spaces


def test_whitening_makes_the_labelled_classes_round() -> None:
    problem = long_tailed(10, np.arange(10), seed=0)
    stretched = Problem(
        problem.labelled * np.linspace(1, 9, 24, dtype=np.float32),
        problem.labels,
        problem.unlabelled * np.linspace(1, 9, 24, dtype=np.float32),
        10,
    )
    space = fit_space(stretched, SpaceConfig(shrinkage=0.01))
    rows = (unit_rows(stretched.labelled) - space.mean) @ space.projection
    means = np.stack([rows[stretched.labels == c].mean(0) for c in range(10)])
    covariance = np.cov((rows - means[stretched.labels]).T) * (len(rows) - 1) / (len(rows) - 10)
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance), 1, atol=0.35)


def test_a_space_gives_unit_vectors_and_its_predictor_lives_in_it() -> None:
    problem = long_tailed(6, np.arange(3), seed=0)
    space = fit_space(problem, SpaceConfig(power=0.5, dimensions=5))
    rows = space.transform(problem.unlabelled)
    assert rows.shape == (len(problem.unlabelled), 5)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    centres = rows[:4]
    nearest = np.square(rows[:, None] - centres).sum(2).argmin(1)
    np.testing.assert_array_equal(space.nearest(centres).predict(problem.unlabelled), nearest)
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0].astype(np.float32)
    np.testing.assert_array_equal(space.cosine(centres @ turned, turned).predict(problem.unlabelled), nearest)


def test_coordinates_give_the_same_space_as_fitting_it() -> None:
    problem = long_tailed(8, np.arange(4), seed=0)
    config = SpaceConfig(power=0.5, dimensions=10, shrinkage=0.3)
    space = fit_space(problem, config)
    every = np.ones(len(problem.labels), bool)
    labelled, unlabelled = Coordinates.of(problem, config).whitened(problem.labels, every)
    np.testing.assert_allclose(labelled, space.transform(problem.labelled), atol=1e-4)
    np.testing.assert_allclose(unlabelled, space.transform(problem.unlabelled), atol=1e-4)


def test_the_estimate_is_the_same_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, looked_at = long_tailed(16, np.arange(0, 16, 2), seed=1, width=300), []

    def look(seen: number_of_classes._Seen, *others: object) -> number_of_classes._Round:
        looked_at.append(seen.coordinates.unlabelled.tobytes())
        return real(seen, *others)  # ty: ignore[invalid-argument-type]

    real = number_of_classes._look
    monkeypatch.setattr(number_of_classes, "_look", look)
    found = []
    for threads in (1, 2, 2):
        with threadpool_limits(threads, user_api="blas"):
            found.append(estimate(problem, EstimateConfig(rounds=2)))
    assert found[0] == found[1] == found[2]
    assert len(set(looked_at)) == 1  # to the last bit

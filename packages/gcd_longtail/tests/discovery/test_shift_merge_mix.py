"""The parts of our method, each against an independent computation, and the whole on a made-up long tail."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.neighbors import NearestNeighbors

from gcd_longtail.discovery.clustering.learned_merge import Clusters, Example, learn, majority, merge_down
from gcd_longtail.discovery.clustering.mixture import fit_mixture
from gcd_longtail.discovery.clustering.neighbours import nearest_neighbours, shifted
from gcd_longtail.discovery.holdouts import holdouts
from gcd_longtail.discovery.methods import make_method
from gcd_longtail.discovery.methods.head import Training
from gcd_longtail.discovery.methods.shift_merge_mix import ShiftMergeMix
from gcd_longtail.discovery.predictors import FusedPredictor, from_arrays, unit_rows
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.discovery.trust import margins
from gcd_longtail.figures.metrics import figures, score
from gcd_longtail.settings.methods import HeadConfig, ShiftMergeMixConfig, SimGCDConfig
from seminar_common.errors import UserError
from seminar_common.metrics import roc_auc

CLASSES, KNOWN = 16, 8
QUICK = ShiftMergeMixConfig(holdouts=2, head=SimGCDConfig(head=HeadConfig(epochs=3)))


def long_tail(seed: int, spread: float = 0.8) -> tuple[Problem, np.ndarray]:
    """Return classes of 120 to 6 images, every second one known, and the classes of the unlabelled images."""
    generator = np.random.default_rng(seed)
    sizes = np.geomspace(120, 6, CLASSES).astype(int)
    number = np.concatenate([np.arange(0, CLASSES, 2), np.arange(1, CLASSES, 2)])
    labels = np.repeat(np.arange(CLASSES), sizes[number])
    centres = generator.normal(size=(CLASSES, 12))
    rows = (centres[labels] + spread / 2 * generator.normal(size=(len(labels), 12))).astype(np.float32)
    labelled = (labels < KNOWN) & (generator.random(len(labels)) < 0.5)
    labelled[np.unique(labels, return_index=True)[1][:KNOWN]] = True
    return Problem(rows[labelled], labels[labelled], rows[~labelled], KNOWN), labels[~labelled]


def macro(truth: np.ndarray, clusters: np.ndarray) -> float:
    return figures(score(truth, clusters, KNOWN, ["many"] * CLASSES, CLASSES))["macro_all"]


# -------------------------------------------------------------------------------------------------- neighbours


def test_neighbours_are_those_of_scikit_learn() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(1500, 6)))
    theirs = NearestNeighbors(n_neighbors=6).fit(rows).kneighbors(return_distance=False)[:, :5]
    ours = nearest_neighbours(rows, 5)
    assert np.mean([set(a) == set(b) for a, b in zip(ours, theirs, strict=True)]) > 0.99


def test_labelled_images_have_no_neighbour_of_another_class() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(60, 4)))
    classes = np.array([0, 1, -1] * 20)
    near = classes[nearest_neighbours(rows, 5, classes)]
    assert not (near[classes == 0] == 1).any() and not (near[classes == 1] == 0).any()
    assert (near[classes == -1] >= 0).any()


def test_a_shift_moves_towards_the_mean_of_the_neighbours() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(40, 4)))
    near = nearest_neighbours(rows, 3)
    expected = unit_rows(0.5 * rows + 0.5 * rows[near].mean(1))
    np.testing.assert_allclose(shifted(rows, near, 0.5), expected, atol=1e-6)
    np.testing.assert_allclose(shifted(rows, near, 0.0), rows, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- mixture


def test_the_mixture_has_the_predictive_densities_of_its_own_model() -> None:
    problem, _ = long_tail(0)
    start = np.random.default_rng(1).integers(KNOWN, CLASSES, len(problem.unlabelled))
    mixture, _ = fit_mixture(problem.labelled, problem.labels, problem.unlabelled, start, CLASSES)
    turned = (problem.unlabelled[:5] - mixture.centre) @ mixture.turn
    ours = mixture.log_densities(problem.unlabelled[:5]) / mixture.sharpness
    theirs = np.stack(
        [
            multivariate_normal(mean, np.diag(1 + variance)).logpdf(turned)
            for mean, variance in zip(mixture.means, mixture.variances, strict=True)
        ],
        axis=1,
    )
    np.testing.assert_allclose(ours - ours[:, :1], theirs - theirs[:, :1], atol=2e-2)


def test_the_mixture_does_not_depend_on_the_size_of_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, truth = long_tail(0)
    every = (problem.labelled, problem.labels, problem.unlabelled, truth, CLASSES)
    whole = fit_mixture(*every)[0].means
    monkeypatch.setattr("gcd_longtail.discovery.clustering.mixture.BLOCK", 50)
    np.testing.assert_allclose(fit_mixture(*every)[0].means, whole, atol=1e-4)


def test_a_small_cluster_has_the_wider_density() -> None:
    problem, truth = long_tail(0)
    mixture, _ = fit_mixture(problem.labelled, problem.labels, problem.unlabelled, truth, CLASSES)
    sizes = np.bincount(truth, minlength=CLASSES) + np.bincount(problem.labels, minlength=CLASSES)
    assert mixture.variances[sizes.argmin()].mean() > mixture.variances[sizes.argmax()].mean()


def test_labelled_copies_and_empty_clusters_do_no_harm() -> None:
    problem, truth = long_tail(0)
    copies = np.repeat(problem.labelled[:1], KNOWN, 0)
    mixture, _ = fit_mixture(copies, np.arange(KNOWN), problem.unlabelled, truth, CLASSES + 4)
    assert np.isfinite(mixture.log_densities(problem.unlabelled)).all()


# ----------------------------------------------------------------------------------------------- learned merge


def split_classes(seed: int, known: int = 0) -> tuple[Clusters, np.ndarray, np.ndarray]:
    """Return clusters that cut each of eight classes in two or three, the rows' clusters and the clusters' classes."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(8), 40)
    rows = 3 * generator.normal(size=(8, 6))[labels] + generator.normal(size=(320, 6))
    clusters = labels * 3 + np.where(
        labels % 2, generator.integers(2, size=320), generator.integers(3, size=320)
    )
    links = np.zeros((24, 24))
    near = nearest_neighbours(unit_rows(rows), 10)
    np.add.at(links, (np.repeat(clusters, 10), clusters[near].ravel()), 1)
    classes, _ = majority(clusters, labels, 24, 0)
    return Clusters.of(rows, clusters, links, 24, known), clusters, classes


def test_merging_as_hidden_classes_teach_puts_split_classes_together() -> None:
    examples = []
    for seed in range(1, 9):
        clusters, _, classes = split_classes(seed)
        examples.append(Example(clusters, classes, np.ones(24)))
    assert learn(examples[:1]) is None  # too few pairs for eleven features
    same = learn(examples)
    assert same is not None
    clusters, numbers, classes = split_classes(0)
    merged, path = merge_down(clusters, same, 8)
    alive = np.unique(numbers)
    assert len(np.unique(merged[alive])) == 8
    assert [before for before, _ in path] == list(range(len(alive), 8, -1))
    right = sum(len(np.unique(merged[alive[classes[alive] == c]])) == 1 for c in range(8))
    assert right >= 7


def test_known_clusters_never_merge_with_each_other() -> None:
    clusters, numbers, _ = split_classes(0, known=6)
    merged, _ = merge_down(clusters, lambda pairs: -pairs[:, 0], 8)
    np.testing.assert_array_equal(merged[:6], np.arange(6))
    assert set(merged[np.unique(numbers)]) == {0, 1, 2, 3, 4, 6, 7}  # the known class 5 has no row


def test_merging_keeps_the_statistics_of_the_union() -> None:
    clusters, numbers, _ = split_classes(0)
    links = clusters.links.sum()
    clusters.merge(0, 1)
    assert clusters.sizes[0] == (numbers <= 1).sum() and clusters.sizes.sum() == len(numbers)
    assert clusters.links.sum() == links and not clusters.links[1].any()


def test_nothing_is_learned_where_nothing_is_split() -> None:
    clusters, _, _ = split_classes(0)
    assert learn([Example(clusters, np.arange(24), np.ones(24))]) is None


# ---------------------------------------------------------------------------------------------------- holdouts


def test_holdouts_hide_half_of_the_known_classes_and_show_no_unlabelled_image() -> None:
    problem, _ = long_tail(0)
    seen = {row.tobytes() for row in problem.labelled}
    for one in holdouts(problem, 3, seed=0):
        assert one.problem.known == KNOWN // 2 and one.classes == KNOWN
        assert {row.tobytes() for row in one.problem.features} == seen
        np.testing.assert_array_equal(np.unique(one.truth), np.unique(np.r_[one.truth, KNOWN // 2 : KNOWN]))
    assert not [*holdouts(Problem(problem.labelled[:4], np.arange(4) % 3, problem.unlabelled, 3), 3, 0)]


# --------------------------------------------------------------------------------------------------- the whole


def test_the_method_beats_k_means_on_a_long_tail() -> None:
    ours, theirs = [], []
    for seed in range(3):
        problem, truth = long_tail(seed)
        found = ShiftMergeMix(QUICK).fit(problem, CLASSES, 0)
        ours.append(macro(truth, found.assignments))
        theirs.append(macro(truth, make_method("kmeans").fit(problem, CLASSES, 0).assignments))
    assert np.mean(ours) > np.mean(theirs) + 0.05


def test_a_stored_predictor_says_the_same_and_its_scores_are_probabilities() -> None:
    problem, truth = long_tail(0)
    found = ShiftMergeMix(QUICK).fit(problem, CLASSES, 0).predictor
    assert isinstance(found, FusedPredictor)
    again = from_arrays(found.arrays())
    assert isinstance(again, FusedPredictor)
    np.testing.assert_array_equal(again.scores(problem.unlabelled), found.scores(problem.unlabelled))
    np.testing.assert_allclose(found.probabilities(problem.unlabelled).sum(1), 1, atol=1e-4)
    novel = found.novel_scores(problem.unlabelled)
    assert novel[truth >= KNOWN].mean() > novel[truth < KNOWN].mean() + 0.3
    np.testing.assert_array_equal(again.confidence(problem.unlabelled), found.confidence(problem.unlabelled))
    order = np.concatenate([np.arange(KNOWN), np.arange(CLASSES - 1, KNOWN - 1, -1)])
    np.testing.assert_allclose(
        found.reordered(order).confidence(problem.unlabelled), found.confidence(problem.unlabelled), atol=1e-5
    )
    np.testing.assert_array_equal(
        order[found.reordered(order).predict(problem.unlabelled)], found.predict(problem.unlabelled)
    )


def test_the_same_seed_gives_the_same_discovery() -> None:
    problem, _ = long_tail(0)
    first, second = (ShiftMergeMix(QUICK).fit(problem, CLASSES, 3).assignments for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_head_takes_as_many_steps_on_the_problem_as_on_its_holdouts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem, _ = long_tail(0)
    many = Problem(problem.labelled, problem.labels, np.repeat(problem.unlabelled, 9, axis=0), KNOWN)
    assert len(many.features) > 30 * HeadConfig().batch_size
    steps: list[int] = []
    monkeypatch.setattr(Training, "run", lambda self, loss: steps.append(self.images.steps))
    ShiftMergeMix(ShiftMergeMixConfig(holdouts=2)).fit(many, CLASSES, 0)
    assert len(steps) == 3 and len(set(steps)) == 1


def test_a_cluster_has_signs_of_its_own() -> None:
    problem, _ = long_tail(0, spread=2.0)
    found = ShiftMergeMix(QUICK).fit(problem, CLASSES, 0)
    predictor = found.predictor
    assert isinstance(predictor, FusedPredictor) and predictor.clusters is not None
    novel, relative, odds, *means = predictor.clusters.T
    sizes = np.bincount(found.assignments, minlength=CLASSES)
    np.testing.assert_array_equal(novel, np.arange(CLASSES) >= KNOWN)
    np.testing.assert_allclose(np.exp(relative), (sizes + 1) / sizes.mean(), rtol=1e-5)
    rows, every = predictor.embed(problem.features), np.r_[problem.labels, found.assignments]
    near = NearestNeighbors(n_neighbors=11).fit(rows).kneighbors(return_distance=False)[:, :10]
    shares = (every[near] == every[:, None]).mean(1)[len(problem.labels) :]
    used = sizes > 0
    share = np.bincount(found.assignments, weights=shares, minlength=CLASSES)[used] / sizes[used]
    np.testing.assert_allclose(odds[used], np.log((10 * share + 0.5) / (10 * (1 - share) + 0.5)), atol=0.02)
    signs = predictor.confidence_signs(problem.unlabelled)
    np.testing.assert_array_equal(signs[:, 3:], predictor.clusters[found.assignments])
    of_largest = found.assignments == sizes.argmax()
    np.testing.assert_allclose(signs[of_largest, :2].mean(0), np.array(means)[:, sizes.argmax()], rtol=1e-4)


def test_the_confidence_tells_right_from_wrong_where_classes_overlap() -> None:
    aucs, plain = [], []
    for seed in range(3):
        problem, truth = long_tail(seed, spread=1.6)
        found = ShiftMergeMix(QUICK).fit(problem, CLASSES, 0)
        predictor = found.predictor
        assert isinstance(predictor, FusedPredictor)
        scored = score(truth, found.assignments, KNOWN, ["many"] * CLASSES, CLASSES)
        right = (found.assignments == scored.matching[truth]).astype(int)
        aucs.append(roc_auc(right, predictor.confidence(problem.unlabelled)))
        plain.append(roc_auc(right, margins(predictor, problem.unlabelled, KNOWN)[0]))
    assert np.mean(aucs) > np.mean(plain)


def test_a_predictor_stored_without_signs_of_clusters_is_read() -> None:
    problem, _ = long_tail(0)
    found = ShiftMergeMix(QUICK).fit(problem, CLASSES, 0).predictor
    assert isinstance(found, FusedPredictor)
    arrays = found.arrays()
    del arrays["clusters"]
    arrays["confidence_weights"] = arrays["confidence_weights"][:4]
    before = from_arrays(arrays)
    assert isinstance(before, FusedPredictor)
    own, _ = found.image_signs(problem.unlabelled)
    weights = arrays["confidence_weights"]
    expected = 1 / (1 + np.exp(-(own @ weights[1:] + weights[0])))
    np.testing.assert_allclose(before.confidence(problem.unlabelled), expected, atol=1e-5)


def test_a_predictor_stored_with_six_signs_of_a_cluster_keeps_its_confidence() -> None:
    problem, _ = long_tail(0)
    found = ShiftMergeMix(QUICK).fit(problem, CLASSES, 0).predictor
    assert isinstance(found, FusedPredictor) and found.clusters is not None
    heads = np.linspace(-1, 1, CLASSES, dtype=np.float32)
    arrays = found.arrays()
    arrays["clusters"] = np.column_stack([found.clusters, heads])
    arrays["confidence_weights"] = np.append(weights := found.confidence_weights, np.float32(0.7))
    before = from_arrays(arrays)
    assert isinstance(before, FusedPredictor)
    odds = found.confidence_signs(problem.unlabelled) @ weights[1:] + weights[0]
    expected = 1 / (1 + np.exp(-(odds + 0.7 * heads[found.predict(problem.unlabelled)])))
    np.testing.assert_allclose(before.confidence(problem.unlabelled), expected, atol=1e-5)


@pytest.mark.parametrize(("known", "k"), [(1, 4), (3, 3), (8, 8), (8, 9)])
def test_few_classes_and_no_novel_one_are_fitted_too(known: int, k: int) -> None:
    problem, _ = long_tail(0)
    use = problem.labels < known
    small = Problem(problem.labelled[use], problem.labels[use], problem.unlabelled, known)
    found = ShiftMergeMix(QUICK).fit(small, k, 0)
    assert found.k == k and found.assignments.max() < k


def test_many_images_go_into_small_clusters_first(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, truth = long_tail(0)
    whole = macro(truth, ShiftMergeMix(QUICK).fit(problem, CLASSES, 0).assignments)
    monkeypatch.setattr("gcd_longtail.discovery.clustering.leaves.MOST_NODES", 120)
    monkeypatch.setattr("gcd_longtail.discovery.clustering.leaves.MOST_LABELLED", 60)
    few = macro(truth, ShiftMergeMix(QUICK).fit(problem, CLASSES, 0).assignments)
    assert few > whole - 0.2


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="--shift"):
        ShiftMergeMixConfig(shift=2)
    with pytest.raises(UserError, match="over-cut"):
        ShiftMergeMixConfig(over_cut=0.5)

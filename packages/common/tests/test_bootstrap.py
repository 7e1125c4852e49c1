import pytest

pytest.importorskip("scipy")

import math

import numpy as np
from scipy import stats

from seminar_common.bootstrap import (
    FEWEST,
    Interval,
    _multinomial,
    _resample,
    bootstrap_interval,
    cluster_weights,
    paired_bootstrap,
    percentile_interval,
    remark,
    seed_interval,
)
from seminar_common.metrics import STATISTICS, has_value, roc_auc
from seminar_common.seeds import numpy_generator


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None and interval.high is not None
    return interval.low, interval.high


def width(interval: Interval) -> float:
    low, high = ends(interval)
    return high - low


def two_models(seed, n=1000):
    """Labels and two probabilities that share most of their noise; the first model is the better one."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=n)
    labels = (generator.random(n) < sigmoid(logits)).astype(np.int64)
    good = logits + generator.normal(scale=0.3, size=n)
    return labels, sigmoid(good), sigmoid(good + generator.normal(scale=0.5, size=n))


@pytest.mark.parametrize("metric", STATISTICS)
def test_an_interval_holds_the_metric_of_all_rows(metric):
    labels, probabilities, _ = two_models(0)
    interval = bootstrap_interval(metric, labels, probabilities, seed=0, resamples=200)
    assert interval.value == pytest.approx(
        STATISTICS[metric](labels, probabilities)(np.ones(1000)), abs=1e-12
    )
    low, high = ends(interval)
    assert low < interval.value < high
    assert (interval.n, interval.level) == (1000, 0.95)


def test_an_interval_depends_on_its_seed_and_not_on_the_order_of_rows():
    labels, probabilities, _ = two_models(1)
    first = bootstrap_interval("roc_auc", labels, probabilities, seed=0, resamples=50)
    assert bootstrap_interval("roc_auc", labels[::-1], probabilities[::-1], seed=0, resamples=50) == first
    assert bootstrap_interval("roc_auc", labels, probabilities, seed=1, resamples=50) != first


def test_roc_auc_intervals_cover_the_true_value_as_often_as_they_say():
    # Scores of two normal populations one standard deviation apart: their AUC is Phi(1 / sqrt 2).
    truth, trials, covered = stats.norm.cdf(1 / math.sqrt(2)), 300, 0
    generator = np.random.default_rng(0)
    for trial in range(trials):
        labels = generator.random(200) < 0.3
        scores = sigmoid(generator.normal(size=200) + labels)
        interval = bootstrap_interval("roc_auc", labels, scores, seed=trial, resamples=100, level=0.9)
        covered += interval.low <= truth <= interval.high
    # Three standard errors of a share of 0.9 over 300 trials are 0.052.
    assert covered / trials == pytest.approx(0.9, abs=0.052)


def test_the_width_for_accuracy_is_that_of_a_binomial():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 50_000)  # more than one block of rows
    probabilities = np.where(generator.random(50_000) < 0.8, labels, 1 - labels)
    interval = bootstrap_interval("accuracy", labels, probabilities, seed=0, resamples=1000)
    expected = 2 * 1.96 * math.sqrt(0.8 * 0.2 / 50_000)
    assert width(interval) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("metric", STATISTICS)
def test_a_paired_interval_is_narrower_than_those_of_correlated_models(metric):
    labels, better, worse = two_models(3)
    paired = paired_bootstrap(metric, labels, better, worse, seed=0, resamples=300)
    alone = [bootstrap_interval(metric, labels, p, seed=0, resamples=300) for p in (better, worse)]
    assert paired.value == pytest.approx(alone[0].value - alone[1].value, abs=1e-12)
    unpaired_width = math.hypot(*map(width, alone))
    assert width(paired) < 0.8 * unpaired_width


def test_a_paired_interval_finds_the_better_model():
    labels, better, worse = two_models(4)
    assert roc_auc(labels, better) > roc_auc(labels, worse)
    assert ends(paired_bootstrap("roc_auc", labels, better, worse, seed=0, resamples=300))[0] > 0
    assert ends(paired_bootstrap("roc_auc", labels, worse, better, seed=0, resamples=300))[1] < 0


def test_a_model_does_not_differ_from_itself():
    labels, probabilities, _ = two_models(5)
    interval = paired_bootstrap("log_loss", labels, probabilities, probabilities, seed=0, resamples=20)
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


@pytest.mark.parametrize("metric", ["roc_auc", "normalized_entropy"])
def test_resamples_without_both_classes_are_drawn_again(metric):
    # Of a click in four rows, nearly a third of all resamples have none.
    generator = np.random.default_rng(0)
    drawn = [_resample(generator, np.array([0, 0, 0, 1])) for _ in range(200)]
    assert all(0 < weights[3] < 4 for weights in drawn)
    assert {STATISTICS[metric]([0, 0, 0, 1], [0.1, 0.6, 0.2, 0.5])(weights) for weights in drawn}


@pytest.mark.parametrize("metric", STATISTICS)
@pytest.mark.parametrize("clicks", [1, FEWEST - 1, 200 - FEWEST + 1, 199])
def test_few_rows_of_a_class_have_a_figure_without_an_interval(metric, clicks):
    labels, probabilities = np.arange(200) < clicks, np.linspace(0.9, 0.1, 200)
    alone = bootstrap_interval(metric, labels, probabilities, seed=0, resamples=50)
    paired = paired_bootstrap(metric, labels, probabilities, probabilities / 2, seed=0, resamples=50)
    assert math.isfinite(alone.value) and math.isfinite(paired.value)
    assert {alone.low, alone.high, paired.low, paired.high} == {None}
    assert f"{clicks} of 200 rows are clicks" in remark(labels)


def test_ten_rows_of_each_class_have_an_interval():
    labels = np.arange(200) < FEWEST
    assert bootstrap_interval("accuracy", labels, labels * 0.9, seed=0, resamples=50).low is not None
    assert remark(labels) == ""


def test_rows_of_one_class_have_only_figures_that_need_no_other():
    labels, probabilities = np.zeros(50, int), np.full(50, 0.1)
    assert [name for name in STATISTICS if has_value(name, labels)] == [
        "accuracy",
        "log_loss",
        "calibration_error",
    ]
    interval = bootstrap_interval("log_loss", labels, probabilities, seed=0)
    assert (interval.value, interval.low) == (pytest.approx(-math.log(0.9)), None)
    assert remark(labels) == remark(list(labels))
    assert "none of them clicks" in remark(labels) and "all of them clicks" in remark(1 - labels)
    assert not any(has_value(name, []) for name in STATISTICS)
    assert "no rows" in remark([])


@pytest.mark.parametrize("n", [1, 7, 1000, 100_001])
def test_multinomial_weights_are_n_draws_from_n_rows(n):
    weights = _multinomial(np.random.default_rng(0), n)
    assert weights.shape == (n,)
    assert weights.sum() == n


def test_multinomial_weights_vary_as_single_draws_do_within_and_across_blocks():
    generator = np.random.default_rng(0)
    draws = np.array([_multinomial(generator, 10, block=4) for _ in range(20_000)])
    # Cov(w_i, w_j) = n (delta_ij / n - 1 / n^2), with a standard error of at most 0.011 here.
    np.testing.assert_allclose(np.cov(draws.T), np.eye(10) - 0.1, atol=0.05)


@pytest.mark.parametrize(
    ("metric", "labels", "probabilities", "options", "message"),
    [
        ("auc", [0, 1], [0.1, 0.2], {}, "unknown metric 'auc'; expected accuracy, "),
        ("roc_auc", [0, 1], [0.1], {}, "of one length"),
        ("roc_auc", [1, 1], [0.1, 0.2], {}, "needs both classes"),
        ("log_loss", [0, 1], [0.1, 2.0], {}, "outside"),
        ("roc_auc", [0, 1], [0.1, 0.2], {"resamples": 0}, "resamples must be"),
        ("roc_auc", [0, 1], [0.1, 0.2], {"level": 95}, "level must lie"),
    ],
)
def test_bad_requests_are_refused(metric, labels, probabilities, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(metric, labels, probabilities, seed=0, **options)


def test_a_baseline_of_other_rows_is_refused():
    with pytest.raises(ValueError, match="of one length"):
        paired_bootstrap("roc_auc", [0, 1], [0.1, 0.2], [0.1, 0.2, 0.3], seed=0)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 10, 31, 200])
def test_seed_intervals_are_those_of_scipy(n, level):
    values = np.random.default_rng(n).normal(size=n)
    low, high = stats.t.interval(level, n - 1, loc=values.mean(), scale=stats.sem(values))
    interval = seed_interval(values.tolist(), level=level)
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-9)


def test_equal_values_have_an_interval_of_no_width():
    assert seed_interval([0.75, 0.75, 0.75]) == Interval(0.75, 0.75, 0.75, 3, 0.95)


@pytest.mark.parametrize("values", [[], [0.8], [0.8, math.nan]])
def test_one_seed_has_no_interval(values):
    with pytest.raises(ValueError, match="two finite values or more"):
        seed_interval(values)
    with pytest.raises(ValueError, match="level"):
        seed_interval([0.1, 0.2], level=1.0)


def test_several_seeds_give_the_mean_and_a_wider_interval_where_they_differ() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 500)
    near = np.clip(labels * 0.2 + generator.random((3, 500)) * 0.8, 0, 1)
    far = near.copy()
    far[0] = generator.random(500)  # one seed failed
    values = [roc_auc(labels, row) for row in far]
    interval = bootstrap_interval("roc_auc", labels, far, seed=0, resamples=300)
    assert interval.value == pytest.approx(np.mean(values))
    steady = bootstrap_interval("roc_auc", labels, near, seed=0, resamples=300)
    assert width(interval) > 1.5 * width(steady)


def test_paired_seeds_cancel() -> None:
    # A model against itself differs by nothing, however much its seeds differ among each other.
    generator = np.random.default_rng(0)
    labels, rows = generator.integers(0, 2, 200), generator.random((3, 200))
    interval = paired_bootstrap("roc_auc", labels, rows, rows, seed=0, resamples=100)
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_unequal_numbers_of_seeds_are_refused() -> None:
    labels = np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="one length"):
        paired_bootstrap("roc_auc", labels, np.ones((2, 4)), np.ones((3, 4)), seed=0)


def test_clusters_are_drawn_whole_as_a_plain_loop_draws_them() -> None:
    clusters = ["b", "a", "b", "c", "a", "b"]
    weights = cluster_weights(clusters, 200, seed=3)
    generator = numpy_generator(3, "bootstrap")
    assert weights.shape == (201, 6)
    assert weights[0].tolist() == [1] * 6
    for line in weights[1:]:
        drawn = dict(zip("abc", generator.multinomial(3, [1 / 3] * 3), strict=True))
        assert line.tolist() == [drawn[cluster] for cluster in clusters]


def test_the_spread_over_clusters_is_that_of_their_means() -> None:
    # 40 clusters of 5 equal rows: the mean's standard error is that of 40 values, not of 200.
    values = np.random.default_rng(0).normal(size=40)
    weights = cluster_weights(np.repeat(np.arange(40), 5).tolist(), 4000, seed=0)[1:]
    means = weights @ np.repeat(values, 5) / weights.sum(1)
    assert means.std() == pytest.approx(values.std() / math.sqrt(40), rel=0.05)


def test_two_uses_of_a_seed_draw_apart() -> None:
    rows = range(50)
    assert (cluster_weights(rows, 5, 0) != cluster_weights(rows, 5, 0, "bench")).any()


def test_a_percentile_interval_leaves_out_resamples_without_a_value() -> None:
    samples = np.random.default_rng(1).normal(size=999)
    with_gaps = np.concatenate([[np.nan], samples, [np.nan]])
    ordered = sorted(samples)
    for low, high in (percentile_interval(samples, 0.9), percentile_interval(with_gaps, 0.9)):
        # 5% of 998 steps between 999 values are 49.9 of them.
        assert low == pytest.approx(ordered[49] + 0.9 * (ordered[50] - ordered[49]))
        assert high == pytest.approx(ordered[948] + 0.1 * (ordered[949] - ordered[948]))


@pytest.mark.parametrize(("samples", "level"), [([], 0.95), ([math.nan], 0.95), ([1.0, 2.0], 1.0)])
def test_a_percentile_interval_needs_values_and_a_level(samples, level) -> None:
    with pytest.raises(ValueError, match="resample|level"):
        percentile_interval(samples, level)

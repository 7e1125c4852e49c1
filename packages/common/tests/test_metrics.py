import pytest

pytest.importorskip("sklearn")

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from seminar_common.metrics import (
    STATISTICS,
    accuracy,
    calibration_error,
    calibration_points,
    log_loss,
    normalized_entropy,
    roc_auc,
    roc_points,
)

PLAIN = {
    "roc_auc": roc_auc,
    "accuracy": accuracy,
    "log_loss": log_loss,
    "normalized_entropy": normalized_entropy,
    "calibration_error": calibration_error,
}


def clicks(seed, n=500, levels=20, dtype=np.float64):
    """Labels drawn from their probabilities, of which only ``levels`` different values occur: heavy ties."""
    generator = np.random.default_rng(seed)
    probabilities = generator.integers(0, levels + 1, n) / levels
    labels = (generator.random(n) < probabilities).astype(np.int64)
    labels[:2] = 0, 1
    return labels, probabilities.astype(dtype)


def draw_weights(kind, n):
    generator = np.random.default_rng(7)
    if kind == "none":
        return None
    return generator.integers(0, 4, n) if kind == "integer" else generator.random(n)


@pytest.mark.parametrize("kind", ["none", "integer", "fraction"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("seed", range(5))
def test_roc_auc_agrees_with_scikit_learn_despite_ties(seed, dtype, kind):
    labels, scores = clicks(seed, dtype=dtype)
    weights = draw_weights(kind, len(labels))
    expected = reference.roc_auc_score(labels, scores, sample_weight=weights)
    assert roc_auc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["none", "integer", "fraction"])
@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_log_loss_agree_with_scikit_learn(seed, kind):
    labels, probabilities = clicks(seed)  # 0, 0.5 and 1 are among the levels
    weights = draw_weights(kind, len(labels))
    right = reference.accuracy_score(labels, probabilities >= 0.5, sample_weight=weights)
    assert accuracy(labels, probabilities, weights) == pytest.approx(right, abs=1e-12)
    loss = reference.log_loss(labels, probabilities, sample_weight=weights)
    assert log_loss(labels, probabilities, weights) == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("dtype", [None, np.uint8, np.float32])
def test_roc_auc_of_many_scores_agrees_with_scikit_learn(dtype):
    generator = np.random.default_rng(0)
    scores = generator.normal(size=300_000).astype(np.float32)
    labels = generator.normal(size=300_000) < scores
    weights = (3 * generator.random(300_000)).astype(dtype) if dtype else None
    expected = reference.roc_auc_score(labels, scores, sample_weight=weights)
    assert roc_auc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), max_size=30))
def test_roc_auc_counts_pairs(rows):
    positives = [(score, weight) for label, score, weight in rows if label and weight]
    negatives = [(score, weight) for label, score, weight in rows if not label and weight]
    if not positives or not negatives:
        return
    pairs = [(p - n, v * w) for p, v in positives for n, w in negatives]
    wins = sum(weight * (1.0 if gap > 0 else 0.5 if gap == 0 else 0.0) for gap, weight in pairs)
    labels, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    expected = wins / sum(weight for _, weight in pairs)
    assert roc_auc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)
    repeated = roc_auc(np.repeat(labels, weights), np.repeat(scores, weights))
    assert repeated == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3], 0.5),  # one score for all: every pair is a tie
        ([0, 0, 1], [0.1, 0.2, 0.2], 0.75),  # a single click: one win, one tie
        ([0, 1], [-np.inf, np.inf], 1.0),  # scores are only compared
        ([1, 0], [0.1, 0.9], 0.0),
        ([0, 1], [-0.0, 0.0], 0.5),  # the two zeros are equal
        ([0.0, 1.0], np.array([3, 4]), 1.0),  # float labels, integer scores
    ],
)
def test_roc_auc_by_hand(labels, scores, expected):
    assert roc_auc(labels, scores) == expected


def test_a_probability_of_one_half_predicts_a_click():
    assert accuracy([1, 0], [0.5, 0.5]) == 0.5
    assert accuracy([1, 1], [0.5, np.nextafter(0.5, 0)]) == 0.5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_log_loss_of_a_sure_mistake_is_clipped_at_the_precision_of_the_type(dtype):
    expected = -np.log(np.finfo(dtype).eps.astype(np.float64))
    assert log_loss([1, 0], np.array([0, 1], dtype)) == pytest.approx(expected, rel=1e-6)


def test_log_loss_of_a_long_double_is_clipped_as_a_double():
    assert log_loss([1, 0], np.array([0, 1], np.longdouble)) == log_loss([1, 0], [0.0, 1.0])


def test_log_loss_of_float32_agrees_with_scikit_learn_to_float32():
    labels, probabilities = clicks(0, levels=1000, dtype=np.float32)
    assert log_loss(labels, probabilities) == pytest.approx(
        reference.log_loss(labels, probabilities), rel=1e-5
    )


def test_log_loss_does_not_need_both_classes():
    assert log_loss([1, 1], [0.5, 0.5]) == pytest.approx(np.log(2))


def test_normalized_entropy_is_one_for_the_click_rate_itself():
    assert normalized_entropy([1, 0, 0, 0], [0.25] * 4) == pytest.approx(1, abs=1e-15)


def test_normalized_entropy_divides_by_the_weighted_entropy_of_the_labels():
    labels, probabilities = clicks(1)
    weights = draw_weights("fraction", len(labels))
    rate = np.full(len(labels), np.average(labels, weights=weights))
    expected = log_loss(labels, probabilities, weights) / reference.log_loss(
        labels, rate, sample_weight=weights
    )
    assert normalized_entropy(labels, probabilities, weights) == pytest.approx(expected, abs=1e-12)


def test_equal_probabilities_share_the_bin_that_opens_at_their_value():
    # Of the sorted four, index 2 (0.2) opens the second bin, so that both 0.2 go there with 0.9:
    # (|0 - 0.1| + |2 - 1.3|) / 4.
    assert calibration_error([0, 1, 0, 1], [0.1, 0.2, 0.2, 0.9], bins=2) == pytest.approx(0.2)


def test_a_uniform_bin_holds_its_lower_edge_and_the_last_one_holds_1():
    # 0.5 and 1.0 share the upper bin, 0.4 is alone below: (|1 - 0.4| + |1 - 1.5|) / 3.
    error = calibration_error([1, 0, 1], [0.4, 0.5, 1.0], bins=2, strategy="uniform")
    assert error == pytest.approx((0.6 + 0.5) / 3)


def test_calibration_error_of_one_probability_is_the_gap_to_the_click_rate():
    assert calibration_error([1, 0, 0, 0], [0.5] * 4) == pytest.approx(0.25)


def test_weights_do_not_move_calibration_bins():
    # The first row opens the first bin even when it weighs nothing: (0 * 0.1 + |1 - 0.3| * 3) / 3.
    error = calibration_error([0, 1], [0.1, 0.3], [0, 3], bins=2)
    assert error == pytest.approx(0.7)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_calibration_points_agree_with_scikit_learn(strategy):
    generator = np.random.default_rng(3)
    probabilities = generator.random(1000)  # without ties, where the two handle edges alike
    labels = generator.random(1000) < probabilities
    observed, predicted = calibration_curve(labels, probabilities, n_bins=10, strategy=strategy)
    points = calibration_points(labels, probabilities, bins=10, strategy=strategy)
    np.testing.assert_allclose(points, (predicted, observed), rtol=0, atol=1e-12)


def test_calibration_points_leave_out_empty_bins():
    predicted, observed = calibration_points([0, 1, 1], [0.1, 0.1, 0.9], bins=15, strategy="uniform")
    np.testing.assert_allclose(predicted, [0.1, 0.9])
    np.testing.assert_allclose(observed, [0.5, 1.0])


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_evaluates_its_metric_for_any_weights(name):
    labels, probabilities = clicks(4)
    statistic = STATISTICS[name](labels, probabilities)
    for kind in ("integer", "fraction"):
        weights = draw_weights(kind, len(labels))
        assert statistic(weights) == PLAIN[name](labels, probabilities, weights)


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "log_loss", "normalized_entropy"])
def test_an_integer_weight_repeats_its_row(name):
    labels, probabilities = clicks(5)
    weights = draw_weights("integer", len(labels))
    repeated = PLAIN[name](np.repeat(labels, weights), np.repeat(probabilities, weights))
    assert PLAIN[name](labels, probabilities, weights) == pytest.approx(repeated, abs=1e-12)


BAD_ROWS = [
    ([0, 1], [0.1, 0.2, 0.3], "of one length"),
    ([[0, 1]], [[0.1, 0.2]], "1-D"),
    ([], [], "no rows"),
    ([0, 2], [0.1, 0.2], "1 of 2 are not"),
    ([0, np.nan], [0.1, 0.2], "1 of 2 are not"),
    ([0, 1], [0.1, np.nan], "1 of 2 scores are NaN"),
]


@pytest.mark.parametrize(("labels", "probabilities", "message"), BAD_ROWS)
@pytest.mark.parametrize("function", [*PLAIN.values(), roc_points, calibration_points])
def test_bad_rows_are_refused(function, labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        function(labels, probabilities)


@pytest.mark.parametrize("function", [roc_auc, normalized_entropy, roc_points])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_refused_where_both_are_needed(function, label):
    with pytest.raises(ValueError, match="needs both classes"):
        function([label, label], [0.1, 0.2])


def test_a_class_without_weight_is_a_missing_class():
    with pytest.raises(ValueError, match="needs both classes"):
        roc_auc([0, 1], [0.1, 0.2], [1, 0])


@pytest.mark.parametrize("function", [accuracy, log_loss, normalized_entropy, calibration_error])
def test_logits_are_no_probabilities(function):
    with pytest.raises(ValueError, match="outside"):
        function([0, 1], [-0.1, 1.1])


@pytest.mark.parametrize("weights", [[1], [1, -1], [1, np.nan], [1, np.inf], [0, 0]])
@pytest.mark.parametrize("function", PLAIN.values())
def test_bad_weights_are_refused(function, weights):
    with pytest.raises(ValueError, match="weights must"):
        function([0, 1], [0.1, 0.2], weights)


@pytest.mark.parametrize(
    ("options", "message"), [({"bins": 0}, "at least 1"), ({"strategy": "kmeans"}, "strategy")]
)
def test_bad_bins_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        calibration_error([0, 1], [0.1, 0.2], **options)


def test_roc_points_are_the_curve_of_scikit_learn():
    labels, scores = clicks(6)
    fpr, tpr, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc_points(labels, scores, max_points=10_000), (fpr, tpr), rtol=0, atol=1e-12)


def test_fewer_roc_points_keep_the_ends_and_the_area():
    labels, scores = clicks(7, n=20_000, levels=5000)
    fpr, tpr = roc_points(labels, scores, max_points=50)
    assert 40 <= len(fpr) == len(tpr) <= 50
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc_auc(labels, scores), abs=1e-3)


def test_two_roc_points_are_the_ends_alone():
    fpr, tpr = roc_points([0, 1, 0], [0.1, 0.2, 0.3], max_points=2)
    assert (fpr.tolist(), tpr.tolist()) == ([0, 1], [0, 1])
    with pytest.raises(ValueError, match="at least 2"):
        roc_points([0, 1], [0.1, 0.2], max_points=1)

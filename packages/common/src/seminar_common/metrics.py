"""Metrics of a binary classifier: exact and weighted.

Labels are 0 or 1 (a click), scores and probabilities are 1-D arrays of any float type. Every metric is
``metric(labels, probabilities, weights=None)``. A bootstrap needs a metric for a thousand weight vectors on
the same rows: :data:`STATISTICS` does the sorting, binning and checking once and returns a function of the
weights alone.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Statistic = Callable[[np.ndarray], float]
"""A metric as a function of one weight a row, shape (n,); integer weights count repeated rows."""

Strategy = Literal["quantile", "uniform"]


def roc_auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve: the chance that a click scores above a non-click, ties half.

    Exact, in O(n log n): pairs are counted in integers unless ``weights`` are fractions. Scores are only
    compared, so logits and infinities are fine.

    Source: Hanley & McNeil 1982, "The meaning and use of the area under a ROC curve" (Mann-Whitney form).

    Args:
        labels: 0 or 1, shape (n,).
        scores: larger for a likelier click, shape (n,).
        weights: weight of each row, shape (n,); 1 if not given.

    Raises:
        ValueError: shapes differ, a label is not 0 or 1, a score is NaN, or a class is missing.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    if weights is not None:
        statistic = _roc_auc_statistic(labels, scores)
        return statistic(_check_weights(weights, labels))
    clicked, scores = _check_ranking(labels, scores)
    # Sorting values takes a third of the time of sorting indices, which only weights need.
    positives, negatives = np.sort(scores[clicked]), np.sort(scores[~clicked])
    wins = sum(int(np.searchsorted(negatives, positives, side).sum()) for side in ("left", "right"))
    return wins / (2 * len(positives) * len(negatives))


def accuracy(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the share of rows on the right side of 0.5; a probability of 0.5 or more predicts a click.

    Raises:
        ValueError: shapes differ, a label is not 0 or 1, or a probability is NaN or outside [0, 1].
    """
    return _accuracy_statistic(labels, probabilities)(_check_weights(weights, labels))


def log_loss(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean negative log-likelihood of the labels, in nats.

    As in scikit-learn, probabilities are clipped to [eps, 1 - eps] with the machine precision eps of their
    own type (2.2e-16 for float64, 1.2e-7 for float32); the sum is in float64 whatever the type.

    Raises:
        ValueError: shapes differ, a label is not 0 or 1, or a probability is NaN or outside [0, 1].
    """
    return _log_loss_statistic(labels, probabilities)(_check_weights(weights, labels))


def log_losses(labels: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Return the negative log-likelihood of each label, in nats, float64 of shape (n,); see :func:`log_loss`.

    Raises:
        ValueError: as :func:`log_loss`.
    """
    return _losses(*_check_probabilities(labels, probabilities))


def normalized_entropy(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Return the log loss over that of always predicting the click rate of these rows; below 1 is useful.

    Source: He et al. 2014, "Practical Lessons from Predicting Clicks on Ads at Facebook" (ADKDD), section 2.

    Raises:
        ValueError: as :func:`log_loss`, or a class is missing (the click rate then has no entropy).
    """
    return _normalized_entropy_statistic(labels, probabilities)(_check_weights(weights, labels))


def calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int = 15,
    strategy: Strategy = "quantile",
) -> float:
    """Return the expected calibration error of the click probability.

    That is the gap between mean probability and click rate of a bin, averaged over bins by their weight.
    Equal-mass bins are the default: click rates bunch at low values, where equal widths leave most bins
    empty.

    - ``quantile``: with the n probabilities sorted, bin k of B opens at the one with index floor(k n / B).
      A probability equal to an edge belongs to the bin that opens there, so equal probabilities always
      share a bin; where ties repeat an edge, the bins between stay empty and count nothing.
    - ``uniform``: bin k holds k/B <= p < (k+1)/B, and the last one 1.0 as well.

    Bins come from the rows as they are; ``weights`` do not move the edges.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", Eq. 3, applied to the probability
    of class 1 rather than to the confidence of the predicted class; equal-mass bins as in Nixon et al. 2019.

    Raises:
        ValueError: as :func:`log_loss`, or ``bins`` is below 1, or the strategy is unknown.
    """
    statistic = _calibration_error_statistic(labels, probabilities, bins, strategy)
    return statistic(_check_weights(weights, labels))


def _roc_auc_statistic(labels: ArrayLike, scores: ArrayLike) -> Statistic:
    clicked, scores = _check_ranking(labels, scores)
    positives = _indices_by_score(np.flatnonzero(clicked), scores)
    negatives = _indices_by_score(np.flatnonzero(~clicked), scores)
    # For each click: how many non-clicks score lower, and how many do not score higher.
    lower = np.searchsorted(scores[negatives], scores[positives], "left")
    not_higher = np.searchsorted(scores[negatives], scores[positives], "right")

    def statistic(weights: np.ndarray) -> float:
        positive = weights[positives]
        mass = np.concatenate(([0], np.cumsum(weights[negatives])))
        pairs = positive.sum() * mass[-1]
        if not pairs > 0:
            raise ValueError("ROC AUC needs both classes, but all rows of one class weigh nothing")
        return float(positive @ (mass[lower] + mass[not_higher]) / (2 * pairs))

    return statistic


def _indices_by_score(indices: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return indices[np.argsort(scores[indices], kind="stable")]


def _accuracy_statistic(labels: ArrayLike, probabilities: ArrayLike) -> Statistic:
    clicked, probabilities = _check_probabilities(labels, probabilities)
    right = ((probabilities >= 0.5) == clicked).astype(np.float64)
    return lambda weights: float(weights @ right / weights.sum())


def _log_loss_statistic(labels: ArrayLike, probabilities: ArrayLike) -> Statistic:
    losses = _losses(*_check_probabilities(labels, probabilities))
    return lambda weights: float(weights @ losses / weights.sum())


def _normalized_entropy_statistic(labels: ArrayLike, probabilities: ArrayLike) -> Statistic:
    clicked, probabilities = _check_probabilities(labels, probabilities)
    losses, clicks = _losses(clicked, probabilities), clicked.astype(np.float64)

    def statistic(weights: np.ndarray) -> float:
        total = weights.sum()
        rate = weights @ clicks / total
        if not 0 < rate < 1:
            raise ValueError(f"normalized entropy needs both classes, but the click rate is {rate:g}")
        entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
        return float(weights @ losses / total / entropy)

    return statistic


def _losses(clicked: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return each row's negative log-likelihood in nats, float64 of shape (n,)."""
    is_float = np.issubdtype(probabilities.dtype, np.floating)
    eps = np.finfo(probabilities.dtype if is_float else np.float64).eps
    eps = max(float(eps), float(np.finfo(np.float64).eps))  # a long double's would vanish in float64
    clipped = np.clip(probabilities.astype(np.float64), eps, 1 - eps)
    return -np.log(np.where(clicked, clipped, 1 - clipped))


def _calibration_error_statistic(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 15, strategy: Strategy = "quantile"
) -> Statistic:
    clicked, probabilities = _check_probabilities(labels, probabilities)
    index = _bin_index(probabilities, bins, strategy)
    gaps = clicked - probabilities.astype(np.float64)

    def statistic(weights: np.ndarray) -> float:
        return float(np.abs(np.bincount(index, weights * gaps)).sum() / weights.sum())

    return statistic


STATISTICS: dict[str, Callable[[ArrayLike, ArrayLike], Statistic]] = {
    "roc_auc": _roc_auc_statistic,
    "accuracy": _accuracy_statistic,
    "log_loss": _log_loss_statistic,
    "normalized_entropy": _normalized_entropy_statistic,
    "calibration_error": _calibration_error_statistic,
}
"""From a metric's name in the result table to ``prepare(labels, probabilities) -> statistic(weights)``.

``prepare`` checks, sorts or bins the rows, and raises what the metric raises; the statistic trusts its
weights (one a row, not negative, not all zero). Calibration keeps the bins of the rows given to ``prepare``.
"""

NEED_BOTH_CLASSES = frozenset({"roc_auc", "normalized_entropy"})
"""Metrics that compare clicks with non-clicks, and so have no value where either is missing."""


def has_value(metric: str, labels: ArrayLike) -> bool:
    """Say whether a key of :data:`STATISTICS` has a value on rows with these labels, 0 or 1 of shape (n,)."""
    clicks, n = int(np.count_nonzero(labels)), np.size(labels)
    return 0 < clicks < n if metric in NEED_BOTH_CLASSES else n > 0


def _bin_index(probabilities: np.ndarray, bins: int, strategy: Strategy) -> np.ndarray:
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    if strategy == "quantile":
        edges = np.sort(probabilities)[np.arange(1, bins) * len(probabilities) // bins]
    elif strategy == "uniform":
        edges = np.arange(1, bins) / bins
    else:
        raise ValueError(f"strategy must be 'quantile' or 'uniform', not {strategy!r}")
    return np.searchsorted(edges, probabilities, side="right")


def calibration_points(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 15, strategy: Strategy = "quantile"
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean predicted probability and observed click rate of each bin that holds rows.

    Both have shape (bins in use,) and ascend in the prediction. Bins are those of :func:`calibration_error`,
    which also says what is raised.
    """
    clicked, probabilities = _check_probabilities(labels, probabilities)
    index = _bin_index(probabilities, bins, strategy)
    counts = np.bincount(index)
    used = counts > 0
    predicted, observed = np.bincount(index, probabilities), np.bincount(index, clicked)
    return predicted[used] / counts[used], observed[used] / counts[used]


def roc_points(labels: ArrayLike, scores: ArrayLike, max_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positive rates along the ROC curve, each of shape (at most ``max_points``,).

    Points lie on the exact curve, from (0, 0) to (1, 1), about evenly spaced along it.

    Raises:
        ValueError: as :func:`roc_auc`, or ``max_points`` is below 2.
    """
    if max_points < 2:
        raise ValueError(f"max_points must be at least 2, not {max_points}")
    clicked, scores = _check_ranking(labels, scores)
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    # A threshold can't part rows of one score: the curve has a vertex only where a group of ties ends.
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(ranked))
    positives = np.append(0, np.cumsum(clicked[order])[ends - 1])
    negatives = np.append(0, ends) - positives
    fpr, tpr = negatives / negatives[-1], positives / positives[-1]
    kept = np.unique(np.searchsorted(fpr + tpr, np.linspace(0, 2, max_points)))
    return fpr[kept], tpr[kept]


def _check(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as booleans and scores as an array, both of shape (n,)."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            f"labels and scores must be 1-D and of one length, not {labels.shape} and {scores.shape}"
        )
    if labels.size == 0:
        raise ValueError("there are no rows")
    clicked = labels.astype(bool)
    wrong = np.count_nonzero(clicked != labels)
    if wrong:
        raise ValueError(f"labels must be 0 or 1, but {wrong} of {len(labels)} are not")
    missing = np.count_nonzero(np.isnan(scores))
    if missing:
        raise ValueError(f"{missing} of {len(scores)} scores are NaN")
    return clicked, scores


def _check_ranking(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    clicked, scores = _check(labels, scores)
    if clicked.all() or not clicked.any():
        raise ValueError(f"ROC AUC needs both classes, but all {len(clicked)} labels are {int(clicked[0])}")
    return clicked, scores


def _check_probabilities(labels: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    clicked, probabilities = _check(labels, probabilities)
    outside = np.count_nonzero((probabilities < 0) | (probabilities > 1))
    if outside:
        raise ValueError(
            f"{outside} of {len(probabilities)} probabilities are outside [0, 1]; are they logits?"
        )
    return clicked, probabilities


def _check_weights(weights: ArrayLike | None, labels: ArrayLike) -> np.ndarray:
    """Return weights of shape (n,); ones if there are none."""
    shape = np.shape(labels)
    if weights is None:
        return np.ones(shape, np.int64)
    weights = np.asarray(weights)
    if weights.shape != shape:
        raise ValueError(f"weights must have the shape of the labels, {shape}, not {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (weights > 0).any()):
        raise ValueError("weights must be finite, not negative, and not all zero")
    # Sums in float32 would lose the small weights of a long array.
    return weights.astype(np.float64) if np.issubdtype(weights.dtype, np.floating) else weights

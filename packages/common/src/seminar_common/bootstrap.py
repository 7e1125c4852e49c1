"""Confidence intervals: bootstrap over examples, plain and paired, or over clusters; Student's t over seeds.

On one CPU core a thousand resamples take 0.05 s for 2,000 rows. For a million rows they take 13 s for log loss,
20 s for ROC AUC and 32 s for a paired difference of ROC AUC; time is proportional to rows and to resamples.
Memory is a few dozen bytes a row, whatever the number of resamples.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from seminar_common.errors import choices
from seminar_common.metrics import STATISTICS, Statistic
from seminar_common.seeds import numpy_generator

FEWEST = 10
"""Rows of the rarer class below which a figure has no interval: resamples of a few rows repeat those rows and know
nothing of others. One click would give every model an interval that excludes any other value."""

SeedStatistic = Callable[[np.ndarray, np.ndarray], float]
"""Maps row weights (n,) and the seeds to average over to a figure."""


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval."""

    value: float
    """The figure on all rows, or the mean over seeds."""
    low: float | None
    """Lower end of the interval; None where there are too few rows for one."""
    high: float | None
    """Upper end of the interval; None where there are too few rows for one."""
    n: int
    """Rows, or seeds, that it rests on."""
    level: float
    """Nominal coverage, e.g. 0.95."""


def percentile_interval(samples: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the percentile interval of a figure's bootstrap ``samples``, shape (R,).

    Samples that are NaN are left out: resamples on which the figure has no value.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.

    Raises:
        ValueError: no sample has a value, or the level is outside (0, 1).
    """
    _check_level(level)
    known = np.asarray(samples, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        raise ValueError("an interval needs at least one resample on which the figure has a value")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def cluster_weights(
    clusters: Sequence[Hashable], resamples: int, seed: int, use: str = "bootstrap"
) -> np.ndarray:
    """Return how often each row is there when clusters are drawn, float64 of shape (1 + resamples, n).

    The first line has every row once: it gives the figure itself. Each of the others draws as many clusters as
    there are, with replacement, each with all its rows.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 8: resample the units that are
    independent.

    Args:
        clusters: the cluster of each row, e.g. the book of a page, n names that can be sorted. Rows that are
            independent have a cluster each.
        resamples: number of bootstrap samples.
        seed: with ``use``, names the stream of random numbers.
        use: what the weights are for.
    """
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    generator = numpy_generator(seed, use)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return np.concatenate([np.ones((1, len(member))), drawn[:, member]])


def bootstrap_interval(
    metric: str,
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return a metric with its percentile bootstrap interval over examples.

    With fewer than :data:`FEWEST` rows of either class the figure stands without an interval.

    Calibration error averages absolute gaps, which resampling noise only widens: of a nearly calibrated
    model its resamples lie above the sample's own value, and the interval may leave that value out. Trust
    the paired difference of two models further than either interval.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.

    Args:
        metric: a key of :data:`seminar_common.metrics.STATISTICS`.
        labels: 0 or 1, shape (n,). A resample that lacks a class is drawn again.
        probabilities: of a click, shape (n,), or (S, n) of models that differ in their seed: the metric is then
            the mean over them, and each resample draws rows and, among the S, models.
        seed: the interval depends on it and on the rows, whatever their order (but for ties).
        resamples: number of bootstrap samples of n rows.
        level: nominal coverage.

    Raises:
        ValueError: an unknown metric, fewer than one resample, a level outside (0, 1), or what the metric raises,
            such as a missing class (see :func:`seminar_common.metrics.has_value`).
    """
    labels, probabilities = _by_probability(labels, probabilities)
    statistic = _mean_over_seeds(metric, labels, probabilities)
    return _percentile_interval(statistic, labels, len(probabilities), seed, resamples, level)


def paired_bootstrap(
    metric: str,
    labels: ArrayLike,
    probabilities: ArrayLike,
    baseline_probabilities: ArrayLike,
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return the difference metric(probabilities) - metric(baseline) with its percentile bootstrap interval.

    Each resample has the same rows for both models, so that what is hard for both cancels; with (S, n)
    probabilities of both, the same seeds, too. Arguments and errors are those of :func:`bootstrap_interval`.
    """
    labels, probabilities, baseline = _by_probability(labels, probabilities, baseline_probabilities)
    ours = _mean_over_seeds(metric, labels, probabilities)
    theirs = _mean_over_seeds(metric, labels, baseline)

    def difference(weights: np.ndarray, seeds: np.ndarray) -> float:
        return ours(weights, seeds) - theirs(weights, seeds)

    return _percentile_interval(difference, labels, len(probabilities), seed, resamples, level)


def _by_probability(labels: ArrayLike, *probabilities: ArrayLike) -> list[np.ndarray]:
    """Return labels (n,) and probabilities (S, n) with their rows in ascending order of the first probability.

    The order of rows means nothing to a bootstrap, but in this one ROC AUC reads its weights from memory
    one after the other, which on a million rows is three times as fast.
    """
    labels = np.asarray(labels)
    columns = [np.asarray(column) for column in probabilities]
    shapes = [labels.shape, *(column.shape for column in columns)]
    if labels.ndim != 1 or any(shape != shapes[1] or shape[-1:] != labels.shape for shape in shapes[1:]):
        raise ValueError(f"labels and probabilities must be 1-D and of one length, not {shapes}")
    columns = [np.atleast_2d(column) for column in columns]
    order = np.argsort(columns[0][0], kind="stable")
    return [labels[order], *(column[:, order] for column in columns)]


def _mean_over_seeds(metric: str, labels: np.ndarray, probabilities: np.ndarray) -> SeedStatistic:
    statistics = [_prepare(metric, labels, row) for row in probabilities]

    def mean(weights: np.ndarray, seeds: np.ndarray) -> float:
        return sum(statistics[seed](weights) for seed in seeds) / len(seeds)

    return mean


def _prepare(metric: str, labels: np.ndarray, probabilities: np.ndarray) -> Statistic:
    if metric not in STATISTICS:
        raise ValueError(f"unknown metric {metric!r}; expected {choices(STATISTICS)}")
    return STATISTICS[metric](labels, probabilities)


def _percentile_interval(
    statistic: SeedStatistic, labels: np.ndarray, seeds: int, seed: int, resamples: int, level: float
) -> Interval:
    _check_level(level)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    clicks = labels.astype(np.int64)
    every = np.arange(seeds)
    value = statistic(np.ones(len(clicks), np.int64), every)
    if _rarer(clicks) < FEWEST:
        return Interval(value, None, None, len(clicks), level)
    generator = numpy_generator(seed, "bootstrap")
    values = [
        statistic(_resample(generator, clicks), generator.integers(seeds, size=seeds) if seeds > 1 else every)
        for _ in range(resamples)
    ]
    low, high = percentile_interval(values, level)
    return Interval(value, low, high, len(clicks), level)


def _rarer(clicks: np.ndarray) -> int:
    return min(int(clicks.sum()), len(clicks) - int(clicks.sum()))


def remark(labels: ArrayLike) -> str:
    """Return what a reader must know of figures of these rows: why some, or their intervals, are missing; else "".

    Args:
        labels: 0 or 1, shape (n,).
    """
    clicks = np.asarray(labels).astype(np.int64)
    n, clicked = len(clicks), int(clicks.sum())
    if n == 0:
        return "no rows, so nothing was measured"
    if clicked in (0, n):
        which = "all" if clicked else "none"
        return (
            f"{n:,} rows, {which} of them clicks, so ROC AUC and normalized entropy have no value, "
            "and the other figures no interval"
        )
    if _rarer(clicks) < FEWEST:
        return f"{clicked:,} of {n:,} rows are clicks; an interval needs {FEWEST} of either class, so there is none"
    return ""


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")


def _resample(generator: np.random.Generator, clicks: np.ndarray) -> np.ndarray:
    """Return how often each of n rows is drawn, int64 of shape (n,), summing to n, with both classes there."""
    while True:
        weights = _multinomial(generator, len(clicks))
        if 0 < weights @ clicks < len(clicks):
            return weights


def _multinomial(generator: np.random.Generator, n: int, block: int = 1 << 15) -> np.ndarray:
    """Return counts of n draws from n equally likely rows, int64 of shape (n,).

    Draws are first shared out among blocks of rows and then placed within each. The distribution is the
    same, and every block fits in the cache: time stays proportional to n.
    """
    sizes = np.diff(np.append(np.arange(0, n, block), n))
    shares = generator.multinomial(n, sizes / n)
    parts = [
        np.bincount(generator.integers(size, size=share), minlength=size)
        for size, share in zip(sizes, shares, strict=True)
    ]
    return np.concatenate(parts)


def seed_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return the mean over seeds with Student's t interval, which assumes about normal values.

    Args:
        values: one figure a seed, at least two.
        level: nominal coverage.

    Raises:
        ValueError: fewer than two values, one that is not finite, or a level outside (0, 1).
    """
    _check_level(level)
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"an interval over seeds needs two finite values or more, not {list(values)}")
    n, mean = len(values), float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    margin = float(stdtrit(n - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - margin, mean + margin, n, level)

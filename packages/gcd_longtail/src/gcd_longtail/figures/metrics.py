"""How good a discovery is: clustering accuracy by one global assignment, and what goes with it.

Clusters have no names, so accuracy is that of the best one-to-one assignment of clusters to classes
(Hungarian algorithm; Kuhn 1955). Here there is one assignment, made over all evaluated images at once; figures
for known or novel classes, for frequency groups and for single classes are parts of it. The literature calls that
"v2" (Vaze et al., "Generalized Category Discovery", CVPR 2022, section 4.1). Its "v1" makes an assignment of its
own for the known and for the novel images, in which one cluster may count for a known class and for a
novel one: it is never lower, and stands here only under its own name (:func:`accuracy_v1`). Assignments
for each shard of a data-parallel run, averaged, are inflated for the same reason and are not offered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gcd_longtail.discovery.matching import match
from seminar_common.bootstrap import Interval, percentile_interval
from seminar_common.seeds import numpy_generator


@dataclass(frozen=True)
class Scored:
    """The clusters of some images beside their true classes."""

    counts: np.ndarray
    """Images by cluster and class, int64 [clusters, classes]."""
    known: int
    """Classes 0 .. known-1 are known, the others novel."""
    frequencies: Sequence[str]
    """``many``, ``medium`` or ``few`` of each class."""

    @property
    def n(self) -> int:
        """Number of images."""
        return int(self.counts.sum())

    @cached_property
    def matching(self) -> np.ndarray:
        """Cluster that each class is assigned, int64 [classes]; -1 where there is none left."""
        return match(self.counts)

    @cached_property
    def hits(self) -> np.ndarray:
        """Images of each class that lie in its cluster, int64 [classes]."""
        classes = np.arange(self.counts.shape[1])
        return np.where(self.matching >= 0, self.counts[self.matching, classes], 0)

    @property
    def totals(self) -> np.ndarray:
        """Images of each class, int64 [classes]."""
        return self.counts.sum(0)

    @property
    def class_accuracy(self) -> np.ndarray:
        """Accuracy of each class, float64 [classes]; NaN for a class without images."""
        return ratio(self.hits, self.totals)

    @cached_property
    def masks(self) -> dict[str, np.ndarray]:
        """Which classes each figure is about: ``all``, ``known``, ``novel``, ``known_many``, ``novel_few``, ..."""
        classes = self.counts.shape[1]
        is_known = np.arange(classes) < self.known
        masks = {"all": np.ones(classes, bool), "known": is_known, "novel": ~is_known}
        frequencies = np.array(self.frequencies)
        for part in ("known", "novel"):
            for name in ("many", "medium", "few"):
                masks[f"{part}_{name}"] = masks[part] & (frequencies == name)
        return masks


def score(
    truth: np.ndarray, clusters: np.ndarray, known: int, frequencies: Sequence[str], k: int | None = None
) -> Scored:
    """Count clusters against classes.

    Args:
        truth: true classes, int64 [N], numbered as the split does: known ones first.
        clusters: int64 [N], any numbers from 0.
        known: number of known classes.
        frequencies: ``many``, ``medium`` or ``few`` of each class; its length is the number of classes.
        k: number of clusters, where some may be empty.

    Raises:
        ValueError: arrays of different lengths, none at all, or a class or cluster out of range.
    """
    if truth.shape != clusters.shape or not len(truth):
        raise ValueError(f"truth {truth.shape} and clusters {clusters.shape} must be of one length, above 0")
    rows = int(clusters.max()) + 1 if k is None else k
    # A negative number would count from the end, and so for a class or cluster that is not its own.
    for name, numbers, size in (("classes", truth, len(frequencies)), ("clusters", clusters, rows)):
        if numbers.min() < 0 or numbers.max() >= size:
            raise ValueError(f"{name} must be 0 to {size - 1}, not {numbers.min()} to {numbers.max()}")
    counts = np.zeros((rows, len(frequencies)), np.int64)
    np.add.at(counts, (clusters, truth), 1)
    return Scored(counts, known, tuple(frequencies))


def accuracy_v1(scored: Scored) -> dict[str, float]:
    """Return ``acc_known_v1`` and ``acc_novel_v1``: an assignment of its own for either part, hence optimistic.

    For comparison with papers that report it; Vaze et al. 2022 name both.
    """
    figures = {}
    for part in ("known", "novel"):
        counts = scored.counts[:, scored.masks[part]]
        if counts.sum():
            own = Scored(counts, 0, [""] * counts.shape[1])
            figures[f"acc_{part}_v1"] = float(own.hits.sum() / counts.sum())
    return figures


def figures(scored: Scored) -> dict[str, float]:
    """Return every figure by its name in a results table, fractions; those of empty parts are left out.

    ``acc_*`` is over images (micro), ``macro_*`` the mean of the classes' accuracies.
    """
    named = _accuracies(scored.hits[None], scored.totals[None], scored.masks)
    return {name: float(values[0]) for name, values in named.items()} | _agreement(scored.counts)


def _accuracies(
    hits: np.ndarray, totals: np.ndarray, masks: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return accuracies of [R] resamples from hits and images of each class, both [R, classes]."""
    named = {}
    by_class = ratio(hits, totals)
    for part in ("all", "known", "novel"):
        if totals[:, masks[part]].sum():
            named[f"acc_{part}"] = ratio(hits[:, masks[part]].sum(1), totals[:, masks[part]].sum(1))
    for part, mask in masks.items():
        if totals[:, mask].sum():
            named[f"macro_{part}"] = _mean_of_present(by_class[:, mask])
    return named


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole``, NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean_of_present(values: np.ndarray) -> np.ndarray:
    present = ~np.isnan(values)
    return ratio(np.where(present, values, 0.0).sum(1), present.sum(1).astype(float))


def _agreement(counts: np.ndarray) -> dict[str, float]:
    """Return NMI (arithmetic mean of the entropies) and ARI of a table of clusters and classes."""
    return {"nmi": normalized_mutual_information(counts), "ari": adjusted_rand_index(counts)}


def normalized_mutual_information(counts: np.ndarray) -> float:
    """Return 2 I(U; V) / (H(U) + H(V)) of a table of counts; 1 if both are a single group."""
    joint = counts / counts.sum()
    rows, columns = joint.sum(1), joint.sum(0)
    entropies = _entropy(rows) + _entropy(columns)
    return 1.0 if entropies == 0 else 2 * (entropies - _entropy(joint.ravel())) / entropies


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def adjusted_rand_index(counts: np.ndarray) -> float:
    """Return the Rand index adjusted for chance (Hubert & Arabie 1985, equation 5) of a table of counts."""

    def pairs(values: np.ndarray) -> float:
        values = values.astype(float)
        return float((values * (values - 1) / 2).sum())

    same, rows, columns = pairs(counts.ravel()), pairs(counts.sum(1)), pairs(counts.sum(0))
    total = pairs(np.array([counts.sum()]))
    if total == 0:
        return 1.0
    expected, largest = rows * columns / total, (rows + columns) / 2
    return 1.0 if largest == expected else (same - expected) / (largest - expected)


def k_error(estimated: int, true: int) -> float:
    """Return the error of an estimated number of classes as a signed fraction of the true number."""
    return (estimated - true) / true


# ------------------------------------------------------------------------------------------------- intervals


Measure = Callable[[np.ndarray, np.ndarray, Mapping[str, np.ndarray]], dict[str, np.ndarray]]
"""Maps hits and images of each class in [R] resamples, both [R, classes], and masks of classes to figures [R]."""


def intervals(
    runs: Sequence[Scored],
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
    measure: Measure | None = None,
) -> dict[str, Interval]:
    """Return every figure's mean over ``runs`` with its percentile bootstrap interval over runs and images.

    Each resample draws runs (seeds) with replacement and, within each, images with replacement. The assignment
    of clusters to classes stays the one made on all images: making it anew for each resample would add the
    optimism of fitting to chance. Few runs say little about the spread over seeds: with three of them the
    interval is mostly that of the images.

    Args:
        runs: one or several runs of one method on one data set, each on the images of its own split.
        seed: of the resampling.
        resamples: bootstrap samples.
        level: nominal coverage.
        measure: figures of another protocol; those of :func:`figures` if left out.

    Raises:
        ValueError: no run.
    """
    if not runs:
        raise ValueError("an interval needs at least one run")
    draws = [
        list(_resampled(run, numpy_generator(seed, "discovery", i), resamples, measure))
        for i, run in enumerate(runs)
    ]
    chosen = numpy_generator(seed, "runs").integers(len(runs), size=(resamples, len(runs)))
    exact = [figures(run) if measure is None else _measured(run, measure) for run in runs]
    found = {}
    for name in exact[0]:
        if all(name in values for values in exact):
            by_run = np.stack([np.array([sample[name] for sample in draw]) for draw in draws])
            samples = by_run[chosen, np.arange(resamples)[:, None]].mean(1)
            low, high = percentile_interval(samples, level)
            value = float(np.mean([values[name] for values in exact]))
            n = sum(run.n for run in runs)
            found[name] = Interval(value, low, high, n, level)
    return found


def _measured(run: Scored, measure: Measure) -> dict[str, float]:
    named = measure(run.hits[None], run.totals[None], run.masks)
    return {name: float(values[0]) for name, values in named.items()}


def _resampled(
    run: Scored, generator: np.random.Generator, resamples: int, measure: Measure | None
) -> Iterator[dict[str, float]]:
    """Yield the figures of bootstrap samples of the run's images.

    Images of one cluster and class are interchangeable, so counts of a table are drawn, not images.
    """
    cells = np.flatnonzero(run.counts)
    rows, columns = np.unravel_index(cells, run.counts.shape)
    hit = run.matching[columns] == rows
    tables = generator.multinomial(run.n, run.counts.ravel()[cells] / run.n, size=resamples)
    classes = run.counts.shape[1]
    totals, hits = (_sum_by(columns, values, classes) for values in (tables, tables * hit))
    accuracies = (measure or _accuracies)(hits, totals, run.masks)
    for i, table in enumerate(tables):
        named = {name: float(values[i]) for name, values in accuracies.items()}
        if measure is None:
            full = np.zeros(run.counts.size, np.int64)
            full[cells] = table
            named |= _agreement(full.reshape(run.counts.shape))
        yield named


def _sum_by(group: np.ndarray, values: np.ndarray, groups: int) -> np.ndarray:
    """Return the sums of columns of ``values`` [R, C] by ``group`` [C], [R, groups]."""
    onehot = np.zeros((len(group), groups))
    onehot[np.arange(len(group)), group] = 1
    return values @ onehot

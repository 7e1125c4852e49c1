"""How many classes there are, with an interval: counted in trees in which some known classes play unknown ones.

Half of the known classes, alike in size to the other half, are hidden: their labels are taken away and the
images of all classes are merged (:mod:`gcd_longtail.discovery.clustering.ward`) around the classes that stay known. Where
the tree is cut so that about as many clusters are of hidden classes as there are hidden classes, the other new
clusters are classes that nobody has labelled; how many clusters a hidden class makes there corrects their
number. Unlike a search for the best labelled accuracy, this needs no clean optimum, and unlike scaling the
known classes by the count of images, no assumption that unknown classes are as large as known ones.

At one cut large classes fall into several clusters and small ones are swallowed. So the correction is fitted
against the size of the clusters, in size groups of the hidden classes, and read off at the size of the unknown
classes' clusters. Where that lies beyond the known ones, as in life, where the frequent classes are known, it
is extrapolated, no further than by a factor of two, and the interval says so by its width.

Where next to no new class shows although hidden ones are not found accurately either, nothing is measured: the estimate
then is an assumption, as many unknown classes as known ones, and its interval has no upper end.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from gcd_longtail.discovery.clustering.leaves import leaves_of, some_of_each
from gcd_longtail.discovery.clustering.ward import Merges, constrained_ward
from gcd_longtail.discovery.holdouts import half_of
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.discovery.spaces import Coordinates
from gcd_longtail.settings.methods import EstimateConfig
from seminar_common.errors import UserError
from seminar_common.progress import progress
from seminar_common.seeds import numpy_generator

GROUPS, GROUP = 3, 3  # most size groups of hidden classes, and fewest classes in one
FEWEST = 4
CLASSES_SEEN = 60  # known classes over all rounds, at least
NEAR = 0.25  # cuts count whose clusters of hidden classes are as many as the hidden classes within this share
HARDLY = 1.15  # an estimate below so many times the known classes finds next to nothing new
CLEAR = 0.9  # unless hidden classes are found as accurately as this: then new ones would show, too
ASSUMED = 2  # then so many times the known classes are assumed
MOST_SHIFT = 0.7  # extrapolation in size changes a count by a factor of two at most
VISIBLE = (
    2  # labelled images by which a cluster counts as one of a hidden class; a single one is often a stray
)


@dataclass(frozen=True)
class KEstimate:
    """A number of classes, known ones included, and how far it can be trusted."""

    k: int
    low: int
    """Lower end of the interval, nominally 90%."""
    high: int | None
    """Upper end; None where nothing bounds the number from above."""
    extrapolated: float
    """How far the unknown classes' size lies outside the known classes' sizes, as a factor; 1 is inside."""
    criteria: Mapping[str, int]
    """What other rules say: ``counts``, ``macro_accuracy``, ``micro_accuracy``, ``silhouette``."""
    known: int = 0
    """Number of known classes among them."""
    assumed: bool = False
    """Whether ``k`` is no measurement but an assumption: as many unknown classes as known ones."""

    @property
    def interval(self) -> str:
        """The interval in words."""
        return f"{self.low} or more" if self.high is None else f"{self.low} to {self.high}"

    @property
    def doubt(self) -> str:
        """One sentence on why not to trust the figure, or nothing."""
        if self.assumed:
            return (
                f"hardly any class shows beside the {self.known} known ones. New classes that are small or look like "
                "known ones can't be told apart here, so as many new classes as known ones are assumed, and "
                f"{self.low} is a lower bound; give --k a number if you know better"
            )
        if self.k < HARDLY * self.known:
            return "hardly any class shows beside the known ones, though hidden classes do; there may be none"
        if self.extrapolated > 1.5:
            return (
                f"the clusters of unknown classes are {self.extrapolated:.1f} times smaller than the known "
                "classes; nothing known shows how such classes look"
            )
        if self.high is not None and self.high > 1.5 * self.low:
            return "the hidden known classes disagree on where to cut; label a few images of more classes"
        return ""


@dataclass(frozen=True)
class _Round:
    """One tree with hidden classes, and what is seen at each cut."""

    cuts: np.ndarray  # numbers of clusters, descending, [C]
    owned: np.ndarray  # clusters that show each hidden class, [C, H]
    novel_sizes: list[np.ndarray]  # images of each new cluster that is of no hidden class, by cut
    owners: list[np.ndarray]  # hidden class of each cluster that is of one, by cut
    owner_sizes: list[np.ndarray]  # images of that cluster
    macro: np.ndarray  # accuracy on the hidden classes, [C]
    micro: np.ndarray
    silhouette: np.ndarray  # [C]
    sizes: np.ndarray  # labelled images of each hidden class, [H]
    fraction: float  # share of the images of hidden classes that is labelled


def estimate(problem: Problem, config: EstimateConfig | None = None, seed: int = 0) -> KEstimate:
    """Estimate the number of classes among the images of ``problem``.

    NumPy's matrix products take one thread: several round otherwise than one, which moves a merge of the tree now and
    then, and on small trees they spend more time waiting for each other than working.

    Raises:
        UserError: fewer than four known classes, which can't calibrate anything.
    """
    config = config or EstimateConfig()
    if problem.known < FEWEST:
        raise UserError(
            f"{problem.known} known classes are too few to estimate K: {FEWEST} or more are needed; give --k a number"
        )
    rounds = []
    # Few classes make few different halves with few classes in them, and cost little.
    wanted = max(config.rounds, round(CLASSES_SEEN / problem.known))
    with threadpool_limits(1, user_api="blas"), progress("hiding classes", wanted) as advance:
        seen = _Seen.of(problem, config, seed)
        for number in range(wanted):
            rounds.append(_look(seen, config, numpy_generator(seed, "estimate", number)))
            advance()
    return _conclude(problem, rounds)


# ------------------------------------------------------------------------------------------------ one round


@dataclass(frozen=True)
class _Seen:
    """The images of a problem, or where they are very many, labelled ones and small clusters that stand for all."""

    labels: np.ndarray  # int64 [L]
    coordinates: Coordinates
    weights: np.ndarray  # images of each unlabelled row, [U]
    known: int

    @classmethod
    def of(cls, problem: Problem, config: EstimateConfig, seed: int) -> "_Seen":
        coordinates = Coordinates.of(problem, config.ward.space)
        chosen = some_of_each(problem.labels, seed)
        rows, _, weights = leaves_of(coordinates.unlabelled, seed, problem.device)
        few = Coordinates(coordinates.labelled[chosen], rows, coordinates.shrinkage)
        return cls(problem.labels[chosen], few, weights, problem.known)


def _look(seen: _Seen, config: EstimateConfig, generator: np.random.Generator) -> _Round:
    counts = np.bincount(seen.labels)
    hidden = half_of(counts, generator)
    numbers = np.full(seen.known, -1)
    numbers[np.setdiff1d(np.arange(seen.known), hidden)] = np.arange(seen.known - len(hidden))
    open_labels = numbers[seen.labels]
    labelled, unlabelled = seen.coordinates.whitened(seen.labels, open_labels >= 0)
    hides = open_labels < 0
    rows = np.concatenate([labelled[hides], unlabelled])
    weights = np.concatenate([np.ones(int(hides.sum())), seen.weights])
    merges = constrained_ward(
        rows,
        labelled[~hides],
        open_labels[~hides],
        gamma=config.ward.gamma,
        counts=weights,
        one_by_one=1000,
    )
    place = np.full(seen.known, -1)
    place[hidden] = np.arange(len(hidden))
    return _inspect(merges, rows, weights, place[seen.labels[hides]], counts[hidden], config, seen.known)


def _inspect(
    merges: Merges,
    rows: np.ndarray,
    weights: np.ndarray,
    classes: np.ndarray,
    sizes: np.ndarray,
    config: EstimateConfig,
    known: int,
) -> _Round:
    """Look at the clusters of a range of cuts.

    Args:
        merges: the tree.
        rows: its unlabelled rows, [U, P]; the first ones are of hidden classes.
        weights: images that each stands for, [U].
        classes: hidden class of these first ones.
        sizes: labelled images of each hidden class.
        config: numbers of cuts.
        known: number of known classes, hidden or not.
    """
    most = min(int(config.most * known), merges.nodes - 1)
    cuts = np.unique(np.geomspace(merges.known + 2, most, config.cuts).astype(int))[::-1]
    fraction = _visible_fraction(merges.cut(min(2 * known, most)), weights, classes)
    seen = [_see(merges.cut(k), weights, k, merges.known, classes, len(sizes), fraction) for k in cuts]
    owners, owner_sizes, novel, macro, micro = zip(*seen, strict=True)
    silhouette = np.full(len(cuts), -np.inf)
    for index in range(0, len(cuts), 5):  # it costs more than all else
        silhouette[index] = _simplified_silhouette(rows, weights, merges.cut(cuts[index]), cuts[index])
    return _Round(
        cuts,
        np.stack([np.bincount(one, minlength=len(sizes)) for one in owners]),
        list(novel),
        list(owners),
        list(owner_sizes),
        np.array(macro),
        np.array(micro),
        silhouette,
        sizes,
        fraction,
    )


def _visible_fraction(clusters: np.ndarray, weights: np.ndarray, classes: np.ndarray) -> float:
    """Return which share of the images of hidden classes is labelled, from the clusters that are theirs.

    In a cluster of a hidden class the labelled share is seen, in any other one nearly nothing is: the fraction
    is the median over the clusters above half of itself, found from above.
    """
    shown = np.bincount(clusters[: len(classes)], minlength=clusters.max() + 1)
    sizes = np.bincount(clusters, weights=weights)
    shares = (shown / np.maximum(sizes, 1))[shown >= VISIBLE]
    if not len(shares):
        return len(classes) / float(weights.sum())
    fraction = float(np.quantile(shares, 0.9))
    for _ in range(10):
        fraction = float(np.median(shares[shares > fraction / 2]))
    return fraction


def _see(
    clusters: np.ndarray,
    weights: np.ndarray,
    k: int,
    known: int,
    classes: np.ndarray,
    hidden: int,
    fraction: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Return what :class:`_Round` keeps of a cut, but the silhouette."""
    table = np.zeros((k, hidden))
    np.add.at(table, (clusters[: len(classes)], classes), 1)
    sizes = np.bincount(clusters, weights=weights, minlength=k)
    shown = table.sum(1)
    # Of a hidden class's images the labelled share is seen: a cluster is its own if that suggests a majority.
    own = (shown >= VISIBLE) & (shown > fraction / 2 * sizes) & (np.arange(k) >= known)
    owners = table.argmax(1)[own]
    shares = table / table.sum(0)  # a class counts as much as any other, whatever its size
    row, column = linear_sum_assignment(shares, maximize=True)
    macro = shares[row, column].sum() / hidden
    micro = table[row, column].sum() / len(classes)
    novel = sizes[~own & (np.arange(k) >= known) & (sizes >= VISIBLE)]
    return owners, sizes[own], novel, float(macro), float(micro)


def _simplified_silhouette(rows: np.ndarray, weights: np.ndarray, clusters: np.ndarray, k: int) -> float:
    """Return the mean of 1 - a / b with a, b the distances to the own and the nearest other centroid."""
    sizes = np.bincount(clusters, weights=weights, minlength=k)
    sums = np.zeros((k, rows.shape[1]))
    np.add.at(sums, clusters, rows * weights[:, None])
    centres = (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
    square = np.square(rows).sum(1)[:, None] + np.square(centres).sum(1) - 2 * rows @ centres.T
    distances = np.sqrt(np.maximum(square, 0))
    distances[:, sizes == 0] = np.inf
    index = np.arange(len(rows))
    own = distances[index, clusters].copy()
    distances[index, clusters] = np.inf
    return float(np.average(1 - own / np.maximum(distances.min(1), 1e-12), weights=weights))


# --------------------------------------------------------------------------------------------- the conclusion


def _conclude(problem: Problem, rounds: list[_Round]) -> KEstimate:
    found = np.array([_count(one) for one in rounds])
    counts, outside, doubt = found.mean(0)
    # 1.645 deviations hold 90% of a normal distribution; in logs, for counts are off by a factor, not by a sum.
    spread = 1.645 * math.hypot(float(found[:, 0].std(ddof=1)) / max(counts, 1), float(doubt))
    k = problem.known + counts
    criteria = {
        "counts": _by_counts(problem, rounds),
        "macro_accuracy": _argmax(rounds, lambda one: one.macro),
        "micro_accuracy": _argmax(rounds, lambda one: one.micro),
        "silhouette": _argmax(rounds, lambda one: one.silhouette),
    }
    recovered = float(np.mean([one.macro.max() for one in rounds]))
    if k < HARDLY * problem.known and recovered < CLEAR:
        # To look for no new class would find none. Too many clusters can be merged by hand, too few can't be named.
        low = max(problem.known, math.floor(problem.known + counts * math.exp(-spread)))
        return KEstimate(
            ASSUMED * problem.known,
            low,
            None,
            math.exp(float(outside)),
            criteria,
            problem.known,
            assumed=True,
        )
    low, high = (problem.known + counts * math.exp(sign * spread) for sign in (-1, 1))
    return KEstimate(
        round(k), math.floor(low), math.ceil(high), math.exp(float(outside)), criteria, problem.known
    )


def _count(one: _Round) -> tuple[float, float, float]:
    """Return the new classes of a tree, how far outside in log size they are, and the relative doubt of that.

    Averaged over cuts at which about as many clusters as hidden classes are of hidden classes.
    """
    hidden = len(one.sizes)
    owned = one.owned.sum(1)
    near = np.flatnonzero(np.abs(owned / hidden - 1) <= NEAR)
    if not len(near):
        near = np.array([np.abs(owned - hidden).argmin()])
    found = np.array([_count_at(one, cut) for cut in near])
    counts, outside, doubt = found.T
    doubt = math.hypot(float(np.median(doubt)), float(np.log(counts).std()))
    return float(np.exp(np.log(counts).mean())), float(outside.mean()), doubt


def _count_at(one: _Round, cut: int) -> tuple[float, float, float]:
    smallest = VISIBLE / one.fraction  # what VISIBLE labelled images of a hidden class stand for
    novel = one.novel_sizes[cut][one.novel_sizes[cut] >= smallest]
    if not len(novel):
        return 0.5, 0.0, 1.0  # less than one class; zero has no logarithm
    points = []
    groups = min(GROUPS, max(1, len(one.sizes) // GROUP))
    for group in np.array_split(np.argsort(-one.sizes, kind="stable"), groups):
        mine = np.isin(one.owners[cut], group)
        size = np.log(one.owner_sizes[cut][mine]).mean() if mine.any() else math.log(smallest)
        points.append((size, math.log(max(mine.sum(), 0.5) / len(group))))
    sizes, splits = np.array(points).T
    size = float(np.log(novel).mean())
    # A hidden class makes exp(overall) clusters on the average, and more or fewer of them by its size.
    overall = math.log(max(len(one.owners[cut]), 0.5) / len(one.sizes))
    centre = float(np.log(one.owner_sizes[cut]).mean()) if len(one.owner_sizes[cut]) else size
    slope = _slope(sizes, splits)
    shift = float(np.clip(slope * (size - centre), -MOST_SHIFT, MOST_SHIFT))
    outside = max(0.0, sizes.min() - size, size - sizes.max())
    return len(novel) / math.exp(overall + shift), outside, abs(shift) / 2 + outside / 4


def _slope(sizes: np.ndarray, splits: np.ndarray) -> float:
    """Return by how much a larger class is split into more clusters, 0 to 1; 0 if sizes hardly differ."""
    variance = float(np.square(sizes - sizes.mean()).sum())
    if variance < 0.02:
        return 0.0
    return min(max(float(((sizes - sizes.mean()) * splits).sum()) / variance, 0.0), 1.0)


def _argmax(rounds: list[_Round], curve: Callable[[_Round], np.ndarray]) -> int:
    return round(float(np.mean([one.cuts[curve(one).argmax()] for one in rounds])))


def _by_counts(problem: Problem, rounds: list[_Round]) -> int:
    """Scale the known classes by the number of images: right if unknown classes are as large as known ones."""
    of_known = len(problem.labelled) / float(np.mean([one.fraction for one in rounds]))
    return max(
        problem.known, round(problem.known * (len(problem.labelled) + len(problem.unlabelled)) / of_known)
    )

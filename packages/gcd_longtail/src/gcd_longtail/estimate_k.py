"""How many classes there are, with an interval: counted in trees in which some known classes play unknown ones.

Half of the known classes, alike in size to the other half, are hidden: their labels are taken away and the
images of all classes are merged (:mod:`gcd_longtail.clustering.ward`) around the classes that stay known. Then
it is looked up at which height of the tree the hidden classes come out as as many clusters as they are. What
else the tree has at that height are classes that nobody has labelled. Unlike a search for the best labelled
accuracy, this needs no clean optimum, and unlike scaling the known classes by the count of images, no
assumption that unknown classes are as large as known ones.

Large classes hang together up to a greater height than small ones. So the height is calibrated in three size
groups of the hidden classes, a line through log height against log size is fitted, and the height for the
unknown classes is read off at the size of their clusters. Where that size lies beyond the known ones, as in
life, where the frequent classes are known, the line is extrapolated, and the interval says so by its width.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from gcd_longtail.clustering.ward import Merges, constrained_ward
from gcd_longtail.methods_config import EstimateConfig
from gcd_longtail.problem import Problem
from gcd_longtail.spaces import Coordinates
from seminar_common.errors import UserError
from seminar_common.progress import progress
from seminar_common.seeds import numpy_generator

GROUPS, GROUP = 3, 3  # most size groups of hidden classes, and fewest classes in one
FEWEST = 4
VISIBLE = (
    2  # labelled images by which a cluster counts as one of a hidden class; a single one is often a stray
)


@dataclass(frozen=True)
class KEstimate:
    """A number of classes, known ones included, and how far it can be trusted."""

    k: int
    low: int
    """Lower end of the interval, nominally 90%."""
    high: int
    """Upper end."""
    extrapolated: float
    """How far the unknown classes' size lies outside the known classes' sizes, as a factor; 1 is inside."""
    criteria: Mapping[str, int]
    """What other rules say: ``counts``, ``macro_accuracy``, ``micro_accuracy``, ``silhouette``."""

    @property
    def doubt(self) -> str:
        """One sentence on why not to trust the figure, or nothing."""
        if self.extrapolated > 1.5:
            return (
                f"the clusters of unknown classes are {self.extrapolated:.1f} times smaller than the known "
                "classes; nothing known shows how such classes look"
            )
        if self.high > 1.5 * self.low:
            return "the hidden known classes disagree on where to cut; label a few images of more classes"
        return ""


@dataclass(frozen=True)
class _Round:
    """One tree with hidden classes, and what is seen at each cut."""

    merges: Merges
    cuts: np.ndarray  # numbers of clusters, descending, [C]
    heights: np.ndarray  # log height of each cut, [C]
    owned: np.ndarray  # clusters that show each hidden class, [C, H]
    novel_sizes: list[np.ndarray]  # images of each cluster that shows no hidden class, by cut
    macro: np.ndarray  # accuracy on the hidden classes, [C]
    micro: np.ndarray
    silhouette: np.ndarray  # [C]
    sizes: np.ndarray  # labelled images of each hidden class, [H]


def estimate(problem: Problem, config: EstimateConfig | None = None, seed: int = 0) -> KEstimate:
    """Estimate the number of classes among the images of ``problem``.

    Raises:
        UserError: fewer than four known classes, which can't calibrate anything.
    """
    config = config or EstimateConfig()
    if problem.known < FEWEST:
        raise UserError(
            f"{problem.known} known classes are too few to estimate K: {FEWEST} or more are needed; give --k a number"
        )
    coordinates = Coordinates.of(problem, config.ward.space)
    rounds = []
    with progress("hiding classes", config.rounds) as advance:
        for number in range(config.rounds):
            rounds.append(_look(problem, coordinates, config, numpy_generator(seed, "estimate", number)))
            advance()
    return _conclude(problem, rounds, config)


# ------------------------------------------------------------------------------------------------ one round


def _look(
    problem: Problem, coordinates: Coordinates, config: EstimateConfig, generator: np.random.Generator
) -> _Round:
    counts = np.bincount(problem.labels)
    hidden = _half(counts, generator)
    numbers = np.full(problem.known, -1)
    numbers[np.setdiff1d(np.arange(problem.known), hidden)] = np.arange(problem.known - len(hidden))
    open_labels = numbers[problem.labels]
    labelled, unlabelled = coordinates.whitened(problem.labels, open_labels >= 0)
    hides = open_labels < 0
    rows = np.concatenate([labelled[hides], unlabelled])
    merges = constrained_ward(
        rows, labelled[~hides], open_labels[~hides], gamma=config.ward.gamma, one_by_one=1000
    )
    place = np.full(problem.known, -1)
    place[hidden] = np.arange(len(hidden))
    return _inspect(merges, rows, place[problem.labels[hides]], counts[hidden], config, problem.known)


def _half(counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return one class of each neighbouring pair in the order of size."""
    order = np.argsort(-counts, kind="stable")
    pairs = [order[start : start + 2] for start in range(0, len(order) - 1, 2)]
    return np.array([pair[generator.integers(2)] for pair in pairs])


def _inspect(
    merges: Merges,
    rows: np.ndarray,
    classes: np.ndarray,
    sizes: np.ndarray,
    config: EstimateConfig,
    known: int,
) -> _Round:
    """Look at the clusters of a range of cuts.

    Args:
        merges: the tree.
        rows: its unlabelled rows, [U, P]; the first ones are of hidden classes.
        classes: hidden class of these first ones.
        sizes: labelled images of each hidden class.
        config: numbers of cuts.
        known: number of known classes, hidden or not.
    """
    most = min(int(config.most * known), merges.nodes - 1)
    cuts = np.unique(np.geomspace(merges.known + 2, most, config.cuts).astype(int))[::-1]
    climbing = np.maximum.accumulate(merges.heights)
    seen = [_see(merges.cut(k), k, merges.known, classes, len(sizes)) for k in cuts]
    owned, novel, macro, micro = zip(*seen, strict=True)
    silhouette = np.full(len(cuts), -np.inf)
    for index in range(0, len(cuts), 5):  # it costs more than all else
        silhouette[index] = _simplified_silhouette(rows, merges.cut(cuts[index]), cuts[index])
    return _Round(
        merges,
        cuts,
        np.log(np.maximum([climbing[merges.nodes - k - 1] for k in cuts], 1e-12)),
        np.stack(owned),
        list(novel),
        np.array(macro),
        np.array(micro),
        silhouette,
        sizes,
    )


def _see(
    clusters: np.ndarray, k: int, known: int, classes: np.ndarray, hidden: int
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return what :class:`_Round` keeps of a cut, but the silhouette."""
    table = np.zeros((k, hidden))
    np.add.at(table, (clusters[: len(classes)], classes), 1)
    shown = table.sum(1)
    owner = np.where(shown >= VISIBLE, table.argmax(1), -1)
    owner[:known] = -1
    owned = np.bincount(owner[owner >= 0], minlength=hidden)
    shares = table / table.sum(0)
    row, column = linear_sum_assignment(shares, maximize=True)
    macro = shares[row, column].sum() / hidden
    micro = table[row, column].sum() / len(classes)
    sizes = np.bincount(clusters, minlength=k)
    novel = sizes[(owner < 0) & (np.arange(k) >= known) & (shown == 0) & (sizes >= VISIBLE)]
    return owned, novel, float(macro), float(micro)


def _simplified_silhouette(rows: np.ndarray, clusters: np.ndarray, k: int) -> float:
    """Return the mean of 1 - a / b with a, b the distances to the own and the nearest other centroid."""
    sizes = np.bincount(clusters, minlength=k)
    sums = np.zeros((k, rows.shape[1]))
    np.add.at(sums, clusters, rows)
    centres = (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
    square = np.square(rows).sum(1)[:, None] + np.square(centres).sum(1) - 2 * rows @ centres.T
    distances = np.sqrt(np.maximum(square, 0))
    distances[:, sizes == 0] = np.inf
    index = np.arange(len(rows))
    own = distances[index, clusters].copy()
    distances[index, clusters] = np.inf
    return float(np.mean(1 - own / np.maximum(distances.min(1), 1e-12)))


# --------------------------------------------------------------------------------------------- the conclusion


def _conclude(problem: Problem, rounds: list[_Round], config: EstimateConfig) -> KEstimate:
    sizes, heights = _calibration(rounds)
    slope, centre, level, spread = _line(sizes, heights)
    k = float(np.mean([_k_at(one, level) for one in rounds]))
    size = centre
    for _ in range(3):  # the clusters' size depends on the cut, the cut on their size
        size = math.log(config.labelled_fraction * _novel_size(rounds, k))
        k = float(np.mean([_k_at(one, level + slope * (size - centre)) for one in rounds]))
    outside = max(0.0, sizes.min() - size, size - sizes.max())
    margin = 1.645 * math.hypot(spread, 0.5 * slope * outside)
    height = level + slope * (size - centre)
    low = min(_k_at(one, height + margin) for one in rounds)
    high = max(_k_at(one, height - margin) for one in rounds)
    criteria = {
        "counts": _by_counts(problem, config),
        "macro_accuracy": _argmax(rounds, lambda one: one.macro),
        "micro_accuracy": _argmax(rounds, lambda one: one.micro),
        "silhouette": _argmax(rounds, lambda one: one.silhouette),
    }
    best = max(problem.known, round(k))
    return KEstimate(best, min(best, max(problem.known, low)), max(best, high), math.exp(outside), criteria)


def _calibration(rounds: list[_Round]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each round and size group the log size and the log height at which its count is right."""
    points = []
    for one in rounds:
        groups = min(GROUPS, max(1, len(one.sizes) // GROUP))
        for group in np.array_split(np.argsort(-one.sizes, kind="stable"), groups):
            right = np.flatnonzero(one.owned[:, group].sum(1) <= len(group))
            cut = right[0] if len(right) else -1
            points.append((np.log(one.sizes[group]).mean(), one.heights[cut]))
    sizes, heights = np.array(points).T
    return sizes, heights


def _line(sizes: np.ndarray, heights: np.ndarray) -> tuple[float, float, float, float]:
    """Return slope, centre, value at the centre, and the standard error of a new group's height."""
    centre, level = float(sizes.mean()), float(heights.mean())
    variance = float(np.square(sizes - centre).sum())
    slope = float(((sizes - centre) * (heights - level)).sum()) / variance if variance > 1e-9 else 0.0
    slope = min(max(slope, 0.0), 1.0)
    residuals = heights - level - slope * (sizes - centre)
    return slope, centre, level, float(np.sqrt(np.square(residuals).sum() / max(1, len(sizes) - 2)))


def _k_at(one: _Round, height: float) -> int:
    """Return the number of clusters of a round's tree at a log height."""
    climbing = np.maximum.accumulate(one.merges.heights)
    done = int(np.searchsorted(climbing, math.exp(height), side="right"))
    return max(one.merges.known, one.merges.nodes - done)


def _novel_size(rounds: list[_Round], k: float) -> float:
    """Return the geometric mean size of the clusters that show no hidden class, where there are ``k``."""
    sizes = [one.novel_sizes[int(np.abs(one.cuts - k).argmin())] for one in rounds]
    sizes = np.concatenate([each for each in sizes if len(each)] or [np.ones(1)])
    return float(np.exp(np.log(sizes).mean()))


def _argmax(rounds: list[_Round], curve: Callable[[_Round], np.ndarray]) -> int:
    return round(float(np.mean([one.cuts[curve(one).argmax()] for one in rounds])))


def _by_counts(problem: Problem, config: EstimateConfig) -> int:
    """Scale the known classes by the number of images: right if unknown classes are as large as known ones."""
    of_known = len(problem.labelled) / config.labelled_fraction
    return max(problem.known, round(problem.known * len(problem.features) / of_known))

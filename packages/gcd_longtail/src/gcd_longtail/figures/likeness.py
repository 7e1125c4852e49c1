"""Which classes of a discovery are alike, which of its images lie between two, and where all lie on a map.

Everything is measured in the space of the run's predictor and in blocks of images, so that memory does not grow with
their number.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gcd_longtail.discovery.predictors import Predictor

BLOCK = 8192
"""Images that are embedded at once."""
MOST_ALIKE = 4
"""Classes that are named as alike."""
AROUND = 10
"""Classes by which it is told whether one lies near to all."""


@dataclass(frozen=True)
class Geometry:
    """Where images and classes lie. An empty class lies nowhere: its mean is NaN."""

    means: np.ndarray
    """Mean of each class, float64 [k, P]."""
    sizes: np.ndarray
    """Images of each class, int64 [k]."""
    own: np.ndarray
    """Distance of each image to the mean of its class, float64 [N]."""
    second: np.ndarray
    """The other class whose mean is nearest, int64 [N]; -1 where there is no other."""
    other: np.ndarray
    """Distance to that mean, float64 [N]; infinite where there is no other."""

    @property
    def doubt(self) -> np.ndarray:
        """How far each image lies towards another class, float64 [N]: 0 at the mean of its own, 1 at the other's."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(self.other), 0.0, self.own / np.maximum(self.own + self.other, 1e-12))


def geometry(predictor: Predictor, features: np.ndarray, classes: np.ndarray) -> Geometry:
    """Return the geometry of images, features float32 [N, D], with their ``classes``, int64 [N]."""
    sizes = np.bincount(classes, minlength=predictor.k)
    means = _means(predictor, features, classes, sizes)
    own, other = np.zeros(len(classes)), np.full(len(classes), np.inf)
    second = np.full(len(classes), -1, np.int64)
    for part, embedded in _blocks(predictor, features):
        distances = _distances(embedded, means)
        rows, mine = np.arange(len(distances)), classes[part]
        own[part] = distances[rows, mine]
        distances[rows, mine] = np.inf
        other[part] = distances.min(1)
        second[part] = np.where(np.isinf(other[part]), -1, distances.argmin(1))
    return Geometry(means, sizes, own, second, other)


def _blocks(predictor: Predictor, features: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for start in range(0, len(features), BLOCK):
        part = slice(start, min(start + BLOCK, len(features)))
        yield part, predictor.embed(features[part]).astype(np.float64)


def _means(predictor: Predictor, features: np.ndarray, classes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    from scipy.sparse import csr_array

    sums = None
    for part, embedded in _blocks(predictor, features):
        n = len(embedded)
        member = csr_array((np.ones(n), (classes[part], np.arange(n))), shape=(len(sizes), n))
        sums = (0 if sums is None else sums) + member @ embedded
    assert sums is not None
    with np.errstate(invalid="ignore"):
        return sums / sizes[:, None]


def _distances(points: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return distances, float64 [N, k]; an empty class is infinitely far."""
    there = ~np.isnan(means).any(1)
    held = means[there]
    squared = (points**2).sum(1)[:, None] - 2 * points @ held.T + (held**2).sum(1)
    found = np.full((len(points), len(means)), np.inf)
    found[:, there] = np.sqrt(np.maximum(squared, 0))
    return found


def alike(found: Geometry) -> list[list[int]]:
    """Return for each class up to :data:`MOST_ALIKE` others, the most alike first; none for an empty one.

    A mixture lies near everything. So from twice the distance of two means, the mean distance of each to its own nearest
    :data:`AROUND` is taken off (CSLS, Conneau et al. 2018, made for cosines).
    """
    distances = _distances(np.nan_to_num(found.means), found.means)
    np.fill_diagonal(distances, np.inf)
    nearest = np.sort(distances, axis=1)[:, :AROUND]
    usual = np.where(np.isfinite(nearest), nearest, 0).sum(1) / np.maximum(np.isfinite(nearest).sum(1), 1)
    order = np.argsort(2 * distances - usual, axis=1, kind="stable")[:, :MOST_ALIKE]
    return [
        [int(j) for j in row if size and np.isfinite(distances[i, j])]
        for i, (row, size) in enumerate(zip(order, found.sizes, strict=True))
    ]


def by_likeness(found: Geometry) -> list[int]:
    """Return the classes that hold images, ordered so that those alike stand side by side.

    The order is that of the leaves of the tree by average linkage (Bar-Joseph et al. 2001 turn its branches).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    there = np.flatnonzero(found.sizes)
    if len(there) < 3:
        return there.tolist()
    turned = len(there) <= 500  # turning takes k^3 steps
    return there[leaves_list(linkage(found.means[there], "average", optimal_ordering=turned))].tolist()


def suspicious(found: Geometry, predicted: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """Return labelled images whose features speak for another class, the most suspicious first: image and other class.

    Both have to speak for another one: the predictor, and the class means, that of its own class without the image.

    Args:
        found: the geometry; the class of a labelled image is its label.
        predicted: class of each image by the predictor, int64 [N].
        labels: label of each image, -1 without, int64 [N].
    """
    held = np.flatnonzero(labels >= 0)
    held = held[(predicted[held] != labels[held]) & (found.sizes[labels[held]] > 1)]
    sizes = found.sizes[labels[held]]
    without = found.own[held] * sizes / (sizes - 1)  # |x - (n m - x) / (n - 1)| = |x - m| n / (n - 1)
    ratio = without / np.maximum(found.other[held], 1e-12)
    order = np.argsort(-ratio, kind="stable")
    return [(int(held[i]), int(found.second[held[i]])) for i in order if ratio[i] > 1]


def places(
    found: Geometry, predictor: Predictor, features: np.ndarray, classes: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where classes and the images ``chosen`` lie on a map, float64 [k, 2] and [n, 2], within 0 and 1.

    Classes lie as t-SNE lays out their means: neighbours stay neighbours, far distances mean nothing. An image lies
    around its class; the few that are most in doubt lie up to half way to the class that they are second nearest to.
    """
    there = np.flatnonzero(found.sizes)
    centres = np.full((len(found.sizes), 2), 0.5)
    centres[there] = _unit_square(_layout(found.means[there]))
    gaps = _distances(centres[there], centres[there])
    np.fill_diagonal(gaps, np.inf)
    nearest = gaps.min(1) if len(there) > 1 else np.ones(1)
    room = np.full(len(centres), 0.1)
    room[there] = np.clip(nearest, 0.02, 0.12)
    own = classes[chosen]
    residual = predictor.embed(features[chosen]).astype(np.float64) - found.means[own]
    axes = np.linalg.svd(residual - residual.mean(0), full_matrices=False)[2][:2] if len(chosen) > 2 else None
    around = np.zeros((len(chosen), 2))
    if axes is not None and len(axes) == 2:
        around = residual @ axes.T
        around /= max(float(np.abs(around).std() * 3), 1e-12)
    towards = np.where(found.second[chosen] < 0, own, found.second[chosen])
    rank = np.argsort(np.argsort(found.doubt[chosen])) / max(1, len(chosen) - 1)
    pull = 0.5 * rank[:, None] ** 8
    at = (
        (1 - pull) * centres[own]
        + pull * centres[towards]
        + 0.45 * room[own][:, None] * np.clip(around, -1.5, 1.5)
    )
    return centres, np.clip(at, 0, 1)


def _layout(means: np.ndarray) -> np.ndarray:
    if len(means) < 5 or means.shape[1] < 3:
        centred = means - means.mean(0)
        return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    from sklearn.manifold import TSNE

    perplexity = min(12.0, (len(means) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(means).astype(np.float64)


def _unit_square(points: np.ndarray, margin: float = 0.06) -> np.ndarray:
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    low, high = points.min(0), points.max(0)
    return margin + (1 - 2 * margin) * np.where(
        high > low, (points - low) / np.maximum(high - low, 1e-12), 0.5
    )

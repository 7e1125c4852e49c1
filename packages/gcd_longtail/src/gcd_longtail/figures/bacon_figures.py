"""The figures that BaCon reports, beside ours: its groups of class sizes, and its clusters of the test images.

One assignment of clusters to classes gives accuracies over images: of all, of known classes (*Old*), of novel ones
(*New*), and of three groups of either. Here *many*, *medium* and *few* are thirds of the known and of the novel classes
apart, while ours are thirds of all classes. The standard deviation of the three says how even a method is.

On test images BaCon predicts nothing: it clusters the test images themselves by k-means in the learned space, with as
many clusters as there are classes. So its figures are transductive there, too: the clusters of an image depend on the
other test images. Its log names the epoch with the best of them; here there is no choice.

Source: Bai et al., "Towards Distribution-Agnostic Generalized Category Discovery", NeurIPS 2023, and its official code
(``test`` in ``model/bacon.py``, ``util/cluster_and_log_utils.py``), which gives the same figures from the same clusters.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.discovery.problem import Discovered
from gcd_longtail.figures.discovery_rows import Identity, interval_rows, score_clusters
from gcd_longtail.figures.metrics import Scored, ratio
from gcd_longtail.protocol.data import Data
from gcd_longtail.protocol.split_file import FREQUENCIES
from gcd_longtail.settings.methods import KMeansConfig
from seminar_common.errors import UserError
from seminar_common.results import Row

CLUSTERS = "bacon"
"""Name of the clusters of the test images, beside those of :func:`discovery_rows.clusters_of`."""
HEADLINES = ("bacon_all", "bacon_known", "bacon_novel")
"""Metrics that a command prints."""
NOTE = (
    "bacon_ figures are BaCon's: accuracies over images, groups of size within known and within novel classes. On "
    "the test split they are of k-means on the test images themselves, in the space of the method, as in its code."
)


def clusters(discovery: Discovered, data: Data, seed: int) -> dict[str, np.ndarray]:
    """Return the clusters of the test images by k-means in the space of a method, int64 [T], under :data:`CLUSTERS`.

    The best of ten starts on unit vectors, as scikit-learn's default was for the official code.

    Raises:
        UserError: fewer test images than clusters.
    """
    if not len(data.test):
        return {CLUSTERS: np.empty(0, np.int64)}
    if len(data.test) < discovery.k:
        raise UserError(
            f"--protocol bacon clusters the test images, but {data.folder} has {len(data.test)} of them for "
            f"{discovery.k} clusters; leave it out, or split with more test images"
        )
    embedded = discovery.predictor.embed(data.test)
    unit = embedded / np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), 1e-12)
    return {CLUSTERS: kmeans(unit, discovery.k, seed=seed, config=KMeansConfig(inits=10)).assignments}


def score(found: Mapping[str, np.ndarray], k: int, data: Data) -> dict[str, Scored]:
    """Return the scored images of each split, with BaCon's groups of sizes.

    Args:
        found: ``transductive``, the method's own clusters, and :data:`CLUSTERS`.
        k: number of clusters.
        data: the split of the images.
    """
    groups = size_groups(data.split.train_images, data.split.known)
    scored = score_clusters({"transductive": found["transductive"], "test": found[CLUSTERS]}, k, data)
    return {name: dataclasses.replace(one, frequencies=groups) for name, one in scored.items()}


def size_groups(train_images: np.ndarray, known: int) -> tuple[str, ...]:
    """Return BaCon's group of each class: ``many``, ``medium`` or ``few`` within its part.

    A part's classes are sorted from the largest to the smallest. *Many* has more images than the class after the first
    third, *few* has fewer than the class after the second third; equal sizes so stay together. CIFAR-10 has five classes
    in either part; there the second and the third class are the marks.

    Args:
        train_images: training images of each class, labelled or not, int64 [classes].
        known: classes 0 .. known-1 are known.
    """
    return (
        *_groups_of(train_images[:known], five=known == 5),
        *_groups_of(train_images[known:], five=known == 5),
    )


def _groups_of(sizes: np.ndarray, five: bool) -> Iterator[str]:
    ordered, n = np.sort(sizes)[::-1], len(sizes)
    upper, lower = (1, 2) if five and n > 2 else (n // 3, 2 * n // 3)
    for size in sizes:
        many, few = size > ordered[upper], size < ordered[lower]
        yield FREQUENCIES[0] if many else FREQUENCIES[2] if few else FREQUENCIES[1]


def accuracies(
    hits: np.ndarray, totals: np.ndarray, masks: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return BaCon's figures of [R] resamples, fractions, from hits and images of each class, both [R, classes].

    A group without images is left out, and so is the deviation of its part.
    """
    named = {}
    for part, mask in masks.items():
        if totals[:, mask].sum():
            named[f"bacon_{part}"] = ratio(hits[:, mask].sum(1), totals[:, mask].sum(1))
    for part in ("known", "novel"):
        names = [f"bacon_{part}_{size}" for size in FREQUENCIES]
        if named.keys() >= set(names):
            named[f"bacon_{part}_deviation"] = np.std([named[name] for name in names], axis=0)
    return named


def rows(
    runs: Sequence[Mapping[str, Scored]],
    splits: Sequence[Data],
    identity: Identity,
    resamples: int = 1000,
    seed: int = 0,
) -> Iterator[Row]:
    """Yield BaCon's figures of one method, with their intervals.

    Args:
        runs: what :func:`score` returned for each seed.
        splits: the data of each run, of one data set.
        identity: of the method.
        resamples: bootstrap samples.
        seed: of the bootstrap.
    """
    for split in runs[0]:
        yield from interval_rows(
            [one[split] for one in runs], split, splits, identity, resamples, seed, measure=accuracies
        )

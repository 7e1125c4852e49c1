"""k-means of this package, of scikit-learn and of GCD's official code on the same rows.

The official k-means of GCD takes minutes for a single start, so its time for one is put together from measured
parts: two of its own iterations, and one of its distance computations at the mean number of centres for each
centre that k-means++ draws. It is told to go through the rows by 1,024, as its authors' script does. The
objective is compared from one start after the same number of updates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gcd_longtail.benchmarks import peers
from gcd_longtail.benchmarks.rows import row, timed
from gcd_longtail.discovery.clustering.kmeans import KMeansResult, kmeans
from gcd_longtail.settings.methods import KMeansConfig
from seminar_common.progress import say
from seminar_common.results import Row
from seminar_common.seeds import numpy_generator

UPDATES = 1  # of the centres, after which objectives are compared
OFFICIAL_BLOCK = 1024


@dataclass(frozen=True)
class Points:
    """Rows of a mixture on the unit sphere; the first half of the classes is known and half labelled."""

    unlabelled: np.ndarray
    labelled: np.ndarray
    labels: np.ndarray
    k: int


def make_points(rows: int, width: int, k: int, seed: int) -> Points:
    """Return a long-tailed mixture (imbalance 20) in which classes overlap."""
    generator = numpy_generator(seed, "bench")
    shares = np.geomspace(20, 1, k)
    labels = generator.choice(k, rows, p=generator.permutation(shares / shares.sum()))
    labels[: 2 * k] = np.tile(np.arange(k), 2)
    centres = generator.normal(size=(k, width)).astype(np.float32)
    points = generator.normal(size=(rows, width)).astype(np.float32)
    points += 0.5 * centres[labels]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    labelled = (labels < k // 2) & (generator.random(rows) < 0.5)
    labelled[: k // 2] = True
    return Points(points[~labelled], points[labelled], labels[labelled], k)


def of_this_package(points: Points, seed: int) -> Iterator[Row]:
    """Time one start of semi-supervised k-means."""
    say("semi-supervised k-means, one start, k-means++ included")
    n = len(points.unlabelled) + len(points.labelled)
    seconds, found = timed(lambda: _one_start(points, seed))
    yield row("ss-kmeans", "start_s", seconds, "s", n=n, seeds=(seed,), ours=True)
    yield row("ss-kmeans", "iterations", found.iterations, n=n, seeds=(seed,), ours=True)


def of_scikit_learn(points: Points) -> Iterator[Row]:
    """Compare plain k-means, which is all that scikit-learn has, from the same start to its end."""
    from sklearn.cluster import KMeans

    say("plain k-means, ours and scikit-learn's")
    x = np.concatenate([points.labelled, points.unlabelled])
    start = x[numpy_generator(0, "start").choice(len(x), points.k, replace=False)]
    ours_s, ours = timed(lambda: kmeans(x, points.k, start=start, config=KMeansConfig(tolerance=0)))
    reference = KMeans(points.k, init=start, n_init=1, tol=0, max_iter=100)
    theirs_s, theirs = timed(lambda: reference.fit(x))
    for name, seconds, found in (
        ("kmeans", ours_s, (ours.assignments, ours.centres)),
        ("scikit-learn-kmeans", theirs_s, (theirs.labels_, theirs.cluster_centers_)),
    ):
        yield row(name, "start_s", seconds, "s", n=len(x))
        yield row(name, "inertia", _inertia(x, *found), n=len(x))
    yield row("kmeans", "speedup_over_scikit_learn", theirs_s / ours_s, "x", n=len(x))


def _inertia(x: np.ndarray, assignments: np.ndarray, centres: np.ndarray) -> float:
    """Return the sum of squared distances in float64, for theirs is summed in float32."""
    return float(np.square(x.astype(np.float64) - centres[assignments]).sum())


def of_gcd(points: Points, folder: Path, seed: int) -> Iterator[Row]:
    """Measure the official code in the checkout ``folder``, and ours from the same centres."""
    say("GCD's official k-means: two iterations, and a distance computation of its k-means++")
    module = peers.load_kmeans(folder)
    unlabelled, labelled, labels = map(torch.from_numpy, (points.unlabelled, points.labelled, points.labels))
    known = int(labels.max()) + 1
    means = torch.stack([labelled[labels == c].mean(0) for c in range(known)])
    start = torch.cat([means, unlabelled[: points.k - known]])
    n = len(unlabelled) + len(labelled)

    class Official(module.K_Means):
        def kpp(self, *arguments: Any, **options: Any) -> torch.Tensor:
            return start.clone()

    official = Official(
        points.k, max_iterations=UPDATES + 1, n_init=1, pairwise_batch_size=OFFICIAL_BLOCK, tolerance=0.0
    )
    seconds, found = timed(lambda: official.fit_mix_once(unlabelled, labelled, labels, seed))
    inertia, iteration_s = float(found[1]), seconds / (UPDATES + 1)
    middle = start[: (known + points.k) // 2]
    distance_s, _ = timed(lambda: module.pairwise_distance(unlabelled, middle, OFFICIAL_BLOCK))
    ours = _same_start(points, start)
    once = timed(lambda: _one_start(points, seed))
    whole = distance_s * (points.k - known) + iteration_s * once[1].iterations
    yield row("gcd-official-kmeans", "iteration_s", iteration_s, "s", n=n)
    yield row("gcd-official-kmeans", "start_s_extrapolated", whole, "s", n=n)
    yield row("gcd-official-kmeans", "inertia_after_update", inertia, n=n)
    yield row("ss-kmeans", "inertia_after_update", ours.inertia, n=n, ours=True)
    yield row("ss-kmeans", "speedup_over_official", whole / once[0], "x", n=n, ours=True)


def _same_start(points: Points, start: torch.Tensor) -> KMeansResult:
    return _fit(points, KMeansConfig(iterations=UPDATES, tolerance=0), start=start)


def _one_start(points: Points, seed: int) -> KMeansResult:
    return _fit(points, KMeansConfig(inits=1), seed=seed)


def _fit(points: Points, config: KMeansConfig, **more: Any) -> KMeansResult:
    labels: dict[str, Any] = {"labelled": points.labelled, "labels": points.labels}
    return kmeans(points.unlabelled, points.k, config=config, **labels, **more)

"""What trees are grown of where there are very many images: their time grows with the square of the rows."""

import numpy as np

from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.settings.methods import KMeansConfig
from seminar_common.seeds import numpy_generator

MOST_NODES = 12_000
"""Above so many unlabelled images, k-means first makes this many small clusters of them."""
MOST_LABELLED = 12_000
"""Of more labelled images, so many stand for all in a tree."""


def leaves_of(unlabelled: np.ndarray, seed: int, device: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a tree is grown of: every image, or small clusters of very many.

    The small clusters start at images drawn at random: with so many, a better start costs more than it gives.

    Args:
        unlabelled: float32 [U, P].
        seed: of the draw.
        device: where to compute.

    Returns:
        Rows, float32 [R, P]; the row of each image, int64 [U]; and the images of each row, int64 [R].
    """
    if len(unlabelled) <= MOST_NODES:
        return unlabelled, np.arange(len(unlabelled)), np.ones(len(unlabelled), np.int64)
    drawn = numpy_generator(seed, "leaves").choice(len(unlabelled), MOST_NODES, replace=False)
    few = KMeansConfig(iterations=3, minibatch_above=len(unlabelled))
    small = kmeans(unlabelled, MOST_NODES, start=unlabelled[np.sort(drawn)], device=device, config=few)
    used, leaves, counts = np.unique(small.assignments, return_inverse=True, return_counts=True)
    return small.centres[used], leaves, counts


def some_of_each(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return sorted numbers of at most about :data:`MOST_LABELLED` labelled images, one of each class at least, int64."""
    if len(labels) <= MOST_LABELLED:
        return np.arange(len(labels))
    order = numpy_generator(seed, "labelled rows").permutation(len(labels))
    first = order[np.unique(labels[order], return_index=True)[1]]
    return np.unique(np.concatenate([first, order[:MOST_LABELLED]]))

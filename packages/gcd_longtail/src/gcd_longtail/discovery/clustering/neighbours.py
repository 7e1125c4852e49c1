"""Nearest neighbours by blocked products, and one step of mean shift towards them."""

import numpy as np

from gcd_longtail.discovery.predictors import unit_rows

BLOCK = 1024


def nearest_neighbours(rows: np.ndarray, count: int, classes: np.ndarray | None = None) -> np.ndarray:
    """Return the nearest other rows of each unit vector by cosine, int64 [N, count], in no order.

    Time grows with the square of N, memory with N.

    Args:
        rows: unit vectors, float32 [N, P].
        count: neighbours of each; at most N - 1.
        classes: class of each row, int64 [N], -1 if it has none; two rows of different classes are no neighbours.
    """
    count = min(count, len(rows) - 1)
    found = np.empty((len(rows), count), np.int64)
    for start in range(0, len(rows), BLOCK):
        cosines = rows[start : start + BLOCK] @ rows.T
        here = np.arange(len(cosines))
        cosines[here, start + here] = -np.inf
        if classes is not None:
            own = classes[start : start + BLOCK]
            of_class = own >= 0
            cosines[of_class] = np.where(
                (classes != own[of_class, None]) & (classes >= 0), -np.inf, cosines[of_class]
            )
        found[start : start + BLOCK] = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    return found


def shifted(rows: np.ndarray, neighbours: np.ndarray, share: float) -> np.ndarray:
    """Return unit vectors moved by ``share`` towards the mean of their neighbours, float32 [N, P].

    One step of mean shift (Fukunaga & Hostetler 1975) with nearest neighbours for a kernel.
    """
    return unit_rows((1 - share) * rows + share * _means(rows, neighbours))


def _means(rows: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    means = np.empty_like(rows)
    for start in range(0, len(rows), BLOCK):
        means[start : start + BLOCK] = rows[neighbours[start : start + BLOCK]].mean(1)
    return means

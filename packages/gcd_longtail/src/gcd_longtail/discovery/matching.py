"""Which cluster stands for which class."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def match(counts: np.ndarray) -> np.ndarray:
    """Return the cluster of each class under the assignment with most images on it; -1 for none.

    Args:
        counts: images by cluster and class, [clusters, classes].
    """
    clusters, classes = linear_sum_assignment(counts, maximize=True)
    matching = np.full(counts.shape[1], -1)
    matching[classes] = clusters
    return matching

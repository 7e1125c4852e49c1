"""A mixture of Gaussians of one width whose small clusters know that their means are uncertain.

Class means m_j ~ N(0, diag(lambda)) and images x ~ N(m_j, I), after scaling by the pooled variance within the labelled
classes and turning to the axes between classes: the two-covariance model of speaker recognition (Ioffe 2006,
"Probabilistic linear discriminant analysis"; Brummer & de Villiers 2010, "The speaker partitioning problem"). With soft
counts n_j and sums S_j, labelled images clamped to their class, the posterior of m_j has the mean lambda S_j / (1 + n_j
lambda) and the variance v_j = lambda / (1 + n_j lambda), so an image of cluster j has the predictive density N(mu_j, I +
v_j): wide for a small cluster, where a point estimate would be sharp and wrong.

The sizes of the clusters weigh while it is fitted, so that images of large classes do not flood small clusters. They do
not weigh when an image is assigned: every class is as likely as any other there, as a macro average wants it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import log_softmax, logsumexp

SHARPNESS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Exponents of the density that are tried. Dimensions are not independent, so the plain one (1) is too sure."""
FLOOR = 0.01
"""Least variance between classes along an axis, in units of that within."""
BLOCK = 8192


@dataclass(frozen=True)
class Mixture:
    """A fitted mixture."""

    centre: np.ndarray
    """Subtracted from a row, float32 [P]."""
    turn: np.ndarray
    """Scales and turns it, float32 [P, P]."""
    means: np.ndarray
    """Of the clusters' predictive densities, float32 [k, P]."""
    variances: np.ndarray
    """Of these, float32 [k, P]."""
    sharpness: float = 1.0
    """Exponent of the densities."""

    def log_densities(self, rows: np.ndarray) -> np.ndarray:
        """Return the log density of each cluster, up to a constant, to the power of the sharpness, float32 [N, k]."""
        turned = (rows - self.centre) @ self.turn
        return _log_densities(turned, self.means, self.variances) * np.float32(self.sharpness)

    def assign(self, rows: np.ndarray) -> np.ndarray:
        """Return the likeliest cluster of each row [N, P], int64 [N]."""
        parts = [self.log_densities(rows[i : i + BLOCK]).argmax(1) for i in range(0, len(rows), BLOCK)]
        return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every field as an array, for a checkpoint."""
        return {f.name: np.asarray(getattr(self, f.name), np.float32) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Mixture":
        """Undo :meth:`arrays`."""
        values = dict(arrays)
        sharpness = float(values.pop("sharpness"))
        return cls(**values, sharpness=sharpness)


def fit_mixture(
    labelled: np.ndarray,
    labels: np.ndarray,
    unlabelled: np.ndarray,
    start: np.ndarray,
    k: int,
    rounds: int = 15,
) -> tuple[Mixture, np.ndarray]:
    """Fit a mixture by expectation maximization.

    Memory grows with the rows, not with rows times clusters.

    Args:
        labelled: float32 [L, P].
        labels: their classes, int64 [L], each of 0 .. known-1 at least once.
        unlabelled: float32 [U, P].
        start: cluster of each unlabelled row, int64 [U].
        k: number of clusters; some may have no row.
        rounds: of expectation maximization.

    Returns:
        The mixture, and the cluster of each unlabelled row with the sizes' weight, int64 [U].
    """
    centre, turn, between = _axes(labelled, labels, unlabelled, start, k)
    known, rows = (labelled - centre) @ turn, (unlabelled - centre) @ turn
    sharpness = _sharpness(known, labels, between)
    base = np.bincount(labels, minlength=k).astype(np.float64)
    fixed = np.zeros((k, rows.shape[1]))
    np.add.at(fixed, labels, known)
    counts, sums = np.bincount(start, minlength=k).astype(np.float64), np.zeros_like(fixed)
    np.add.at(sums, start, rows)
    with_sizes = start
    for _ in range(rounds):
        means, variances = _posterior(base + counts, fixed + sums, between)
        weights = np.log((counts + 1) / (counts + 1).sum())
        counts, sums, found = np.zeros(k), np.zeros_like(fixed), []
        for block in _blocks(rows):
            logits = _log_densities(block, means, variances) * np.float32(sharpness) + weights.astype(
                np.float32
            )
            found.append(logits.argmax(1))
            shares = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
            counts += shares.sum(0, dtype=np.float64)
            sums += shares.T @ block
        with_sizes = np.concatenate(found)
    means, variances = _posterior(base + counts, fixed + sums, between)
    arrays = (part.astype(np.float32) for part in (centre, turn, means, variances))
    return Mixture(*arrays, sharpness=sharpness), with_sizes


def _axes(
    labelled: np.ndarray, labels: np.ndarray, unlabelled: np.ndarray, start: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the centre [P], the scaling and turning [P, P] and the variance between classes along each axis [P]."""
    clusters = np.concatenate([labels, start])
    rows = np.concatenate([labelled, unlabelled])
    centre = rows.mean(0, dtype=np.float64).astype(np.float32)
    scale = np.sqrt(_variance_within(labelled, labels))
    sizes = np.bincount(clusters, minlength=k)
    sums = np.zeros((k, rows.shape[1]))
    np.add.at(sums, clusters, rows)
    used = sizes > 0
    means = (sums[used] / sizes[used, None] - centre) / scale
    # The scatter of the means holds the noise of each mean, 1 / n of its cluster.
    covariance = np.cov(means.T).reshape(rows.shape[1], -1) - np.eye(rows.shape[1]) * np.mean(1 / sizes[used])
    values, vectors = np.linalg.eigh(covariance)
    return centre, (vectors / scale).astype(np.float32), np.maximum(values, FLOOR)


def _variance_within(labelled: np.ndarray, labels: np.ndarray) -> float:
    """Return the pooled variance within classes, a dimension; that of all rows where each class has one image."""
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), labelled.shape[1]))
    np.add.at(sums, labels, labelled)
    residuals = labelled - (sums / np.maximum(counts, 1)[:, None])[labels]
    freedom = len(labels) - int((counts > 0).sum())
    pooled = float(np.square(residuals).sum()) / max(freedom, 1) / labelled.shape[1]
    return pooled if pooled > 1e-9 else max(float(labelled.var()), 1e-9)


def _posterior(counts: np.ndarray, sums: np.ndarray, between: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the predictive densities' means, float32 [k, P] both."""
    variances = between / (1 + counts[:, None] * between)
    return (variances * sums).astype(np.float32), variances.astype(np.float32)


def _log_densities(rows: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return log N(x; mean, 1 + variance) less the constant, float32 [N, k]."""
    precisions = 1 / (1 + variances)
    constant = (np.square(means) * precisions).sum(1) + np.log1p(variances).sum(1)
    return -0.5 * (np.square(rows) @ precisions.T - 2 * rows @ (means * precisions).T + constant)


def _sharpness(labelled: np.ndarray, labels: np.ndarray, between: np.ndarray) -> float:
    """Return the exponent under which the labelled images' own classes, each left out of its class, are likeliest."""
    counts = np.bincount(labels).astype(np.float64)
    sums = np.zeros((len(counts), labelled.shape[1]))
    np.add.at(sums, labels, labelled)
    several = counts[labels] > 1
    if not several.any():
        return 0.2
    likelihoods = _log_densities(labelled, *_posterior(counts, sums, between))
    own_counts, own_sums = counts[labels] - 1, sums[labels] - labelled
    variances = between / (1 + own_counts[:, None] * between)
    gap = np.square(labelled - variances * own_sums) / (1 + variances) + np.log1p(variances)
    index = np.arange(len(labels))
    likelihoods[index, labels] = -0.5 * gap.sum(1)
    said = [
        log_softmax(one * likelihoods[several], axis=1)[np.arange(several.sum()), labels[several]].mean()
        for one in SHARPNESS
    ]
    return SHARPNESS[int(np.argmax(said))]


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]

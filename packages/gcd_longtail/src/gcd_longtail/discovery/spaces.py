"""Linear spaces in which features are compared.

x -> sign(x) |x|^power -> unit length -> minus the mean -> principal components, perhaps whitened -> unit length.

The square root tames bursty activations (Perronnin, Sanchez & Mensink 2010, "Improving the Fisher kernel for
large-scale image classification"). Whitening by the covariance within the labelled classes (WCCN: Hatch,
Kajarekar & Stolcke 2006) makes directions in which images of one class differ count less, for novel classes
too. It looks at labels, but only at those that the problem gives.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from gcd_longtail.discovery.predictors import (
    LinearPredictor,
    cosine_classifier,
    nearest_centroid,
    powered,
    unit_rows,
)
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.settings.methods import SpaceConfig
from seminar_common.errors import UserError
from seminar_common.memory import available_bytes


@dataclass(frozen=True)
class Space:
    """A fitted space; the fields are those of :class:`gcd_longtail.discovery.predictors.LinearPredictor`."""

    mean: np.ndarray
    """float32 [D]."""
    projection: np.ndarray
    """float32 [D, P]."""
    power: float

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 [..., P], of features [..., D]."""
        flat = features.reshape(-1, features.shape[-1])
        embed = self.nearest(np.zeros((1, self.projection.shape[1]))).embed
        embedded = np.empty((len(flat), self.projection.shape[1]), np.float32)
        for rows in _blocks(len(flat)):
            embedded[rows] = embed(flat[rows])
        return embedded.reshape(*features.shape[:-1], -1)

    def nearest(self, centroids: np.ndarray, adapter: np.ndarray | None = None) -> LinearPredictor:
        """Return the predictor of the nearest of ``centroids`` [k, P], or [k, Q] after ``adapter`` [P, Q]."""
        projection = self.projection if adapter is None else self.projection @ adapter
        return nearest_centroid(centroids, self.mean, projection, power=self.power, normalize=True, unit=True)

    def cosine(self, prototypes: np.ndarray, adapter: np.ndarray) -> LinearPredictor:
        """Return the predictor of the largest cosine to ``prototypes`` [k, Q] after ``adapter`` [P, Q].

        Unit length before a linear adapter changes no cosine after it, so it is left out.
        """
        return cosine_classifier(
            prototypes, self.mean, self.projection @ adapter, power=self.power, unit=True
        )


def fit_space(problem: Problem, config: SpaceConfig, pseudo_labels: np.ndarray | None = None) -> Space:
    """Fit a space to all training features, and its whitening to the labelled ones.

    Args:
        problem: gives the features and the labels.
        config: which space.
        pseudo_labels: clusters of the unlabelled images, int64 [U]; with them, these images count as labelled.
    """
    basis = _principal(problem, config.power)
    projection = basis.vectors[:, : config.dimensions]
    if config.shrinkage is not None:
        seen = [(problem.labelled, problem.labels)]
        seen += [] if pseudo_labels is None else [(problem.unlabelled, pseudo_labels)]
        rows = np.concatenate([_projected(part, config.power, basis.mean, projection) for part, _ in seen])
        labels = np.concatenate([of_part for _, of_part in seen])
        projection = projection @ _whitening(rows, labels, config.shrinkage)
    return Space(basis.mean, projection.astype(np.float32), config.power)


MOST_DIMENSIONS = 256
_TABLES = 3
"""Tables [D, D] of float64 that are held at once: the covariance, its mean and LAPACK's copy of it."""


def check_memory(problem: Problem) -> None:
    """Raise a UserError unless this machine has the memory for a space of the features of ``problem``.

    Every method and every estimate starts with such a space; what it takes grows with the square of the features.
    """
    width = problem.labelled.shape[1]
    needed, free = _TABLES * 8 * width**2, available_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"{width:,} features an image need {needed / 2**30:,.1f} GiB of memory to compare images, and "
            f"{free / 2**30:,.1f} GiB are free; extract fewer again with `gcd-longtail features`: another --backbone, "
            "or with pixels a smaller --size"
        )


class _Basis(NamedTuple):
    """Mean and leading principal components of a problem's powered features."""

    mean: np.ndarray  # float32 [D]
    vectors: np.ndarray  # float32 [D, P], the leading one first


def _principal(problem: Problem, power: float) -> _Basis:
    """Return mean and principal components of a problem's images, as many as their rank, at most MOST_DIMENSIONS.

    Powered features are made block by block: those of all images at once would take several times their memory.
    """
    check_memory(problem)
    width, count = problem.labelled.shape[1], len(problem.labelled) + len(problem.unlabelled)
    total, covariance = np.zeros(width), np.zeros((width, width))
    for block in _powered_blocks(problem, power):
        total += block.sum(0, dtype=np.float64)
    mean = (total / count).astype(np.float32)
    for block in _powered_blocks(problem, power):
        block -= mean
        covariance += block.T @ block
    last = width - 1
    values, vectors = eigh(covariance / count, subset_by_index=(max(0, last - MOST_DIMENSIONS + 1), last))
    rank = max(1, int((values > 1e-9 * values[-1]).sum()))
    return _Basis(mean, vectors[:, ::-1][:, :rank].astype(np.float32))


BLOCK = 8192


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, BLOCK):
        yield slice(start, start + BLOCK)


def _powered_blocks(problem: Problem, power: float) -> Iterator[np.ndarray]:
    for part in (problem.labelled, problem.unlabelled):
        for rows in _blocks(len(part)):
            yield powered(part[rows], power, unit=True)


def _projected(part: np.ndarray, power: float, mean: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return powered rows [N, D] less the mean in the coordinates of ``vectors`` [D, P], float32 [N, P]."""
    found = np.empty((len(part), vectors.shape[1]), np.float32)
    for rows in _blocks(len(part)):
        found[rows] = (powered(part[rows], power, unit=True) - mean) @ vectors
    return found


def _whitening(labelled: np.ndarray, labels: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return a matrix [P, P] that whitens the pooled covariance within classes."""
    counts = np.bincount(labels)
    means = np.zeros((len(counts), labelled.shape[1]))
    np.add.at(means, labels, labelled)
    centred = labelled - (means / np.maximum(counts, 1)[:, None])[labels]
    freedom = len(labelled) - int((counts > 0).sum())
    if freedom < 1:  # one image a class says nothing of the spread within classes
        return np.eye(labelled.shape[1])
    covariance = centred.T @ centred / freedom
    if np.trace(covariance) <= 1e-12 * max(np.square(labelled).sum() / len(labelled), 1e-300):
        return np.eye(len(covariance))  # exact copies of one image a class say nothing of it either
    dimensions = len(covariance)
    isotropic = np.trace(covariance) / dimensions * np.eye(dimensions)
    values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * isotropic)
    return vectors / np.sqrt(values)


@dataclass(frozen=True)
class Coordinates:
    """A problem's images before whitening, from which spaces of any choice of labels are made at little cost."""

    labelled: np.ndarray
    """float32 [L, P]."""
    unlabelled: np.ndarray
    """float32 [U, P]."""
    shrinkage: float | None

    @classmethod
    def of(cls, problem: Problem, config: SpaceConfig) -> "Coordinates":
        """Return principal components of a problem's images."""
        basis = _principal(problem, config.power)
        vectors = basis.vectors[:, : config.dimensions]
        labelled, unlabelled = (
            _projected(part, config.power, basis.mean, vectors)
            for part in (problem.labelled, problem.unlabelled)
        )
        return cls(labelled, unlabelled, config.shrinkage)

    def whitened(self, labels: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return labelled and unlabelled unit vectors in a space that knows the labels where ``use`` is true."""
        whitening = np.eye(self.labelled.shape[1])
        if self.shrinkage is not None:
            whitening = _whitening(self.labelled[use], labels[use], self.shrinkage)
        return unit_rows(self.labelled @ whitening), unit_rows(self.unlabelled @ whitening)

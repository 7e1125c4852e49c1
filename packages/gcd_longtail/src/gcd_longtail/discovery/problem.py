"""The contract between data and methods: what a discovery method is given and what it returns.

A method sees the features of all training images, the labels of some of them, and the number of known
classes. It never sees the label of an unlabelled image, nor a test image.

Classes are numbered for the problem: 0 .. known-1 are the known classes, in the order of the split file;
known .. k-1 are novel clusters, whose order means nothing.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gcd_longtail.discovery.predictors import Predictor
from seminar_common.errors import UserError


@dataclass(frozen=True)
class Problem:
    """What a method may look at.

    Raises:
        UserError: no labelled or no unlabelled image, a feature that is not finite.
        ValueError: shapes or label numbers that do not fit together.
    """

    labelled: np.ndarray
    """Features of the labelled training images, float32 [L, D]."""
    labels: np.ndarray
    """Their classes, int64 [L], each of 0 .. known-1 at least once."""
    unlabelled: np.ndarray
    """Features of the unlabelled training images, float32 [U, D]: known and novel classes mixed."""
    known: int
    """Number of known classes."""
    labelled_views: np.ndarray | None = None
    """Features of augmented views of the labelled images, float32 [V, L, D], if the data has them."""
    unlabelled_views: np.ndarray | None = None
    """Features of augmented views of the unlabelled images, float32 [V, U, D], if the data has them."""
    device: str = "cpu"
    """The torch device on which methods compute, such as ``cpu`` or ``cuda:0``."""

    def __post_init__(self) -> None:
        _check_shapes(self)
        if not len(self.labelled):
            raise UserError("no image is labelled; discovery needs labels of the known classes")
        if not len(self.unlabelled):
            raise UserError("every image is labelled; there is nothing to discover")
        if not np.array_equal(np.unique(self.labels), np.arange(self.known)):
            raise ValueError(f"labels must be 0 to {self.known - 1}, each at least once")
        for name in ("labelled", "unlabelled", "labelled_views", "unlabelled_views"):
            _check_finite(name, getattr(self, name))

    @property
    def features(self) -> np.ndarray:
        """Labelled features, then unlabelled ones, [L + U, D]."""
        return np.concatenate([self.labelled, self.unlabelled])


def _check_shapes(problem: Problem) -> None:
    labelled, unlabelled = problem.labelled, problem.unlabelled
    if labelled.ndim != 2 or unlabelled.ndim != 2 or labelled.shape[1] != unlabelled.shape[1]:
        raise ValueError(f"features must be [L, D] and [U, D], not {labelled.shape} and {unlabelled.shape}")
    if problem.labels.shape != labelled.shape[:1]:
        raise ValueError(f"{len(labelled)} labelled images, but labels of shape {problem.labels.shape}")
    for name, base in (("labelled_views", labelled), ("unlabelled_views", unlabelled)):
        views = getattr(problem, name)
        if views is not None and views.shape[1:] != base.shape:
            raise ValueError(f"{name} must be [V, {base.shape[0]}, {base.shape[1]}], not {views.shape}")


def _check_finite(name: str, features: np.ndarray | None) -> None:
    if features is None or np.isfinite(features).all():
        return
    bad = np.argwhere(~np.isfinite(features.reshape(-1, features.shape[-1])).all(1)).ravel()
    raise UserError(
        f"{len(bad)} {name.replace('_', ' ')} features hold NaN or infinity (first: row {bad[0]}); extract the "
        "features again, or mend the backbone"
    )


@dataclass(frozen=True)
class Discovered:
    """What a method found.

    Raises:
        ValueError: an assignment outside 0 .. k-1.
    """

    assignments: np.ndarray
    """Cluster of each unlabelled image, int64 [U]: known classes keep 0 .. known-1, novel ones are known .. k-1."""
    predictor: Predictor
    """Assigns images that the method has not seen."""

    def __post_init__(self) -> None:
        if len(self.assignments) and not 0 <= self.assignments.min() <= self.assignments.max() < self.k:
            raise ValueError(f"assignments must be 0 to {self.k - 1}")

    @property
    def k(self) -> int:
        """Number of clusters, known and novel."""
        return self.predictor.k

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return clusters, int64 [N], of features [N, D]."""
        return self.predictor.predict(features)


class Method(Protocol):
    """A discovery method: one file in ``methods/`` and one line in its registry."""

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Discover ``k`` classes in all, ``problem.known`` of them known.

        Raises:
            UserError: k is smaller than the number of known classes (see :func:`check_k`).
        """
        ...


def check_k(k: int, known: int) -> None:
    """Raise a UserError unless ``k`` classes leave room for ``known`` ones."""
    if k < known:
        raise UserError(f"K = {k} is fewer than the {known} known classes; K counts known and novel classes")

"""What assigns images to clusters once a discovery is made: what a run stores and `predict` loads.

Every predictor gives a score for each cluster; the highest is the prediction. :class:`LinearPredictor` is what most
methods end in. :class:`FusedPredictor` is that of :mod:`gcd_longtail.discovery.methods.shift_merge_mix`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Protocol, Self

import numpy as np
from scipy.special import expit, log_softmax, logsumexp

from gcd_longtail.discovery.clustering.mixture import Mixture

LARGE = 1e4
"""Log odds are cut off here."""
OF_A_CLUSTER = 5
"""Signs of a cluster as a whole: whether it is novel, the log of its size in units of the mean size, the log odds that a
nearest neighbour of one of its images is its own, and the means of its images' log odds in the sum and in the mixture. The
head's mean is none of them: a head takes the same steps with any number of classes, and is less sure of many than of few."""


class Predictor(Protocol):
    """Assigns features to clusters."""

    @property
    def k(self) -> int:
        """Number of clusters."""
        ...

    @property
    def width(self) -> int:
        """Values of a feature, D."""
        ...

    def embed(self, features: np.ndarray) -> np.ndarray:
        """Return the space in which clusters are compared, float32 [N, P], of features [N, D]."""
        ...

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return a score for each cluster, float32 [N, k], of features [N, D]; the highest is the prediction."""
        ...

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return clusters, int64 [N], of features [N, D]."""
        ...

    def reordered(self, order: np.ndarray) -> Self:
        """Return the predictor whose cluster i is this one's cluster ``order[i]``, int64 [k]."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays, for a checkpoint; :func:`from_arrays` undoes it."""
        ...


@dataclass(frozen=True)
class LinearPredictor:
    """Assigns features by x -> sign(x) |x|^power -> unit length -> (x - mean) projection -> unit length -> weight, bias.

    Nearest centroids ``c`` are ``weight = c``, ``bias = -|c|^2 / 2``; a cosine classifier is
    ``normalize = True`` and unit rows of ``weight``. Build those with :func:`nearest_centroid` and
    :func:`cosine_classifier`.
    """

    weight: np.ndarray
    """One row a class, float32 [k, P]."""
    bias: np.ndarray
    """float32 [k]."""
    mean: np.ndarray
    """Subtracted before the projection, float32 [D]."""
    projection: np.ndarray
    """float32 [D, P]."""
    power: float = 1.0
    """Exponent of the features' absolute values, 0.5 for a square root."""
    normalize: bool = False
    """Whether the projected features are scaled to unit length."""
    unit: bool = False
    """Whether the powered features are scaled to unit length before their mean is subtracted."""

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.weight)

    @property
    def width(self) -> int:
        """Values of a feature, D."""
        return len(self.mean)

    def embed(self, features: np.ndarray) -> np.ndarray:
        """Return the space in which clusters are compared, float32 [N, P], of features [N, D]."""
        embedded = (powered(features, self.power, self.unit) - self.mean) @ self.projection
        return (unit_rows(embedded) if self.normalize else embedded).astype(np.float32, copy=False)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return a score for each class, float32 [N, k]; the highest is the prediction."""
        return self.embed(features) @ self.weight.T + self.bias

    def predict(self, features: np.ndarray, block: int = 8192) -> np.ndarray:
        """Return classes, int64 [N], of features [N, D]."""
        parts = [self.scores(features[i : i + block]).argmax(1) for i in range(0, len(features), block)]
        return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)

    def reordered(self, order: np.ndarray) -> "LinearPredictor":
        """Return the predictor whose cluster i is this one's cluster ``order[i]``, int64 [k]."""
        return replace(self, weight=self.weight[order], bias=self.bias[order])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every field as an array, for a checkpoint."""
        return {f.name: np.asarray(getattr(self, f.name), dtype=np.float32) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "LinearPredictor":
        """Undo :meth:`arrays`."""
        values = dict(arrays)
        power, normalize = float(values.pop("power")), bool(values.pop("normalize"))
        unit = bool(values.pop("unit", False))  # older checkpoints have none
        return cls(**values, power=power, normalize=normalize, unit=unit)


@dataclass(frozen=True)
class FusedPredictor:
    """Adds the log posterior of a mixture and that of a trained classifier: scores are log p_mixture + w log p_head.

    Both look at one feature in two linear spaces of their own.
    """

    space: LinearPredictor
    """Leads into the space of the mixture; only its ``embed`` is used."""
    mixture: Mixture
    head: LinearPredictor
    """Its scores are cosines."""
    known: int
    """The first clusters are those of known classes."""
    weight: float = 1.0
    """Of the head's log posterior, w."""
    head_temperature: float = 0.1
    """The head's cosines are divided by it."""
    temperature: float = 1.0
    """The sum is divided by it for a probability."""
    clusters: np.ndarray | None = None
    """Signs of each cluster as a whole, float32 [k, 5] (:data:`OF_A_CLUSTER`); None counts as zeros. In older checkpoints
    there are six, or none."""
    confidence_weights: np.ndarray = field(
        default_factory=lambda: np.array([0, 1, *[0] * (1 + OF_A_CLUSTER)], np.float32)
    )
    """Constant and weights of :meth:`confidence_signs` in the log odds that a prediction is right, [9]."""
    novel_weights: np.ndarray = field(default_factory=lambda: np.array([0, 1, 0], np.float32))
    """Constant and weights of :meth:`novel_signs` in the log odds that an image is of no known class, [3]."""

    @property
    def k(self) -> int:
        """Number of clusters."""
        return self.head.k

    @property
    def width(self) -> int:
        """Values of a feature, D."""
        return self.head.width

    def embed(self, features: np.ndarray) -> np.ndarray:
        """Return unit vectors in the space of the mixture, float32 [N, P], of features [N, D]."""
        return self.space.embed(features)

    def parts(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log posteriors of the mixture and of the head, float32 [N, k] both."""
        mixture = self.mixture.log_densities(self.embed(features))
        head = self.head.scores(features) / np.float32(self.head_temperature)
        return log_softmax(mixture, axis=1), log_softmax(head, axis=1)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return a score for each cluster, float32 [N, k]; the highest is the prediction."""
        mixture, head = self.parts(features)
        return mixture + np.float32(self.weight) * head

    def predict(self, features: np.ndarray, block: int = 8192) -> np.ndarray:
        """Return clusters, int64 [N], of features [N, D]."""
        return _by_blocks(lambda rows: self.scores(rows).argmax(1), features, block).astype(np.int64)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of each cluster, float32 [N, k]."""
        return np.exp(log_softmax(self.scores(features) / np.float32(self.temperature), axis=1))

    def confidence(self, features: np.ndarray, block: int = 8192) -> np.ndarray:
        """Return the calibrated probability that the prediction is right, float32 [N]."""
        return _by_blocks(
            lambda rows: _logistic(self.confidence_signs(rows), self.confidence_weights), features, block
        )

    def novel_scores(self, features: np.ndarray, block: int = 8192) -> np.ndarray:
        """Return the calibrated probability that an image is of no known class, float32 [N]."""
        return _by_blocks(lambda rows: _logistic(self.novel_signs(rows), self.novel_weights), features, block)

    def confidence_signs(self, features: np.ndarray) -> np.ndarray:
        """Return what tells a right prediction from a wrong one, float32 [N, 8].

        First the log odds of the predicted cluster in the sum, in the mixture and in the head, the inverse hyperbolic
        sine of each: sums of many log densities have a long tail. Then the signs of that cluster: in one that holds
        parts of several classes, or half of one, an image is wrong however near to its middle it lies.
        """
        own, chosen = self.image_signs(features)
        if self.clusters is None:
            return np.pad(own, ((0, 0), (0, len(self.confidence_weights) - 1 - own.shape[1])))
        return np.concatenate([own, self.clusters[chosen]], axis=1)

    def image_signs(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first three of :meth:`confidence_signs`, float32 [N, 3], and the predicted clusters, int64 [N]."""
        mixture, head = self.parts(features)
        every = (log_softmax(mixture + np.float32(self.weight) * head, axis=1), mixture, head)
        chosen = every[0].argmax(1)
        return np.arcsinh(np.stack([_log_odds(part, chosen) for part in every], axis=1)), chosen

    def novel_signs(self, features: np.ndarray) -> np.ndarray:
        """Return what tells novel images from known ones, float32 [N, 2]: log odds as :meth:`confidence_signs` has them."""
        return np.arcsinh(
            np.stack([novel_log_odds(part, self.known) for part in self.parts(features)], axis=1)
        )

    def reordered(self, order: np.ndarray) -> "FusedPredictor":
        """Return the predictor whose cluster i is this one's cluster ``order[i]``, int64 [k]; known ones stay first."""
        mixture = replace(
            self.mixture, means=self.mixture.means[order], variances=self.mixture.variances[order]
        )
        clusters = None if self.clusters is None else self.clusters[order]
        return replace(self, mixture=mixture, head=self.head.reordered(order), clusters=clusters)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every field as an array, for a checkpoint."""
        parts = {"space": self.space.arrays(), "mixture": self.mixture.arrays(), "head": self.head.arrays()}
        nested = {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        plain = {
            f.name: np.asarray(value, np.float32)
            for f in fields(self)
            if f.name not in parts and (value := getattr(self, f.name)) is not None
        }
        return {**nested, **plain}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FusedPredictor":
        """Undo :meth:`arrays`."""
        parts: dict[str, dict[str, np.ndarray]] = {"space": {}, "mixture": {}, "head": {}, "": {}}
        for name, array in arrays.items():
            part, _, rest = name.rpartition(".")
            parts[part][rest] = array
        plain = parts[""]
        return cls(
            LinearPredictor.from_arrays(parts["space"]),
            Mixture.from_arrays(parts["mixture"]),
            LinearPredictor.from_arrays(parts["head"]),
            int(plain["known"]),
            *(float(plain[name]) for name in ("weight", "head_temperature", "temperature")),
            plain.get("clusters"),
            plain["confidence_weights"],
            plain["novel_weights"],
        )


def novel_log_odds(log_posterior: np.ndarray, known: int) -> np.ndarray:
    """Return the log odds of the clusters from ``known`` on, float32 [N], of log posteriors [N, k]."""
    if known >= log_posterior.shape[1]:
        return np.full(len(log_posterior), -LARGE, np.float32)
    novel, old = (logsumexp(part, axis=1) for part in (log_posterior[:, known:], log_posterior[:, :known]))
    return np.clip(novel - old, -LARGE, LARGE).astype(np.float32)


def _log_odds(log_posterior: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the log odds of one cluster of each row, float32 [N], of log posteriors [N, k]."""
    index = np.arange(len(chosen))
    own, rest = log_posterior[index, chosen], log_posterior.copy()
    rest[index, chosen] = -np.inf
    others = logsumexp(rest, axis=1) if rest.shape[1] > 1 else np.full(len(own), -LARGE)
    return np.clip(own - others, -LARGE, LARGE).astype(np.float32)


def _logistic(signs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return expit(signs @ weights[1:] + weights[0]).astype(np.float32)


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Predictor:
    """Return the predictor that gave ``arrays``."""
    kind = FusedPredictor if "mixture.means" in arrays else LinearPredictor
    return kind.from_arrays(arrays)


def _by_blocks(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, block: int) -> np.ndarray:
    parts = [function(rows[i : i + block]) for i in range(0, len(rows), block)]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def nearest_centroid(
    centroids: np.ndarray,
    mean: np.ndarray | None = None,
    projection: np.ndarray | None = None,
    *,
    power: float = 1.0,
    normalize: bool = False,
    unit: bool = False,
) -> LinearPredictor:
    """Return the predictor of the nearest of ``centroids`` [k, P] in the space that the rest describes.

    Args:
        centroids: in the projected (and, with ``normalize``, normalized) space.
        mean: float [D]; zeros if left out.
        projection: float [D, P]; the identity if left out.
        power: see :class:`LinearPredictor`.
        normalize: see :class:`LinearPredictor`.
        unit: see :class:`LinearPredictor`.
    """
    bias = -0.5 * np.square(centroids, dtype=np.float64).sum(1)
    return _linear(centroids, bias, mean, projection, power, normalize, unit)


def cosine_classifier(
    prototypes: np.ndarray,
    mean: np.ndarray | None = None,
    projection: np.ndarray | None = None,
    *,
    power: float = 1.0,
    unit: bool = False,
) -> LinearPredictor:
    """Return the predictor of the prototype [k, P] with the largest cosine."""
    return _linear(unit_rows(prototypes), np.zeros(len(prototypes)), mean, projection, power, True, unit)


def _linear(
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray | None,
    projection: np.ndarray | None,
    power: float,
    normalize: bool,
    unit: bool,
) -> LinearPredictor:
    projection = np.eye(weight.shape[1]) if projection is None else projection
    mean = np.zeros(len(projection)) if mean is None else mean
    arrays = (np.asarray(part, np.float32) for part in (weight, bias, mean, projection))
    return LinearPredictor(*arrays, power=power, normalize=normalize, unit=unit)


def powered(features: np.ndarray, power: float, unit: bool) -> np.ndarray:
    """Return sign(x) |x|^power of rows [N, D], scaled to unit length if ``unit``; float32, a new array."""
    rows = features if power == 1 else np.sign(features) * np.abs(features) ** power
    return unit_rows(rows) if unit else rows.astype(np.float32, copy=True)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows [N, P] scaled to unit length, float32; a row of zeros stays."""
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(
        np.float32, copy=False
    )

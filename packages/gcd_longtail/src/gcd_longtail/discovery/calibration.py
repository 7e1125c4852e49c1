"""Probabilities from scores: one temperature, fitted to labelled rows whose labels the method was not given.

A predictor's scores say which class is likeliest, not how likely it is. ``softmax(scores / T)`` with one temperature
``T`` changes no prediction and is hard to overfit (Guo et al. 2017, "On Calibration of Modern Neural Networks",
section 4.2). Rows that a method was given as labelled lie nearer to their class than others do, so the method is
fitted once more with some labels taken away, and ``T`` is chosen for these. It is chosen on known classes alone, for
nothing else is labelled: that new classes are as easily told apart is assumed.
"""

import dataclasses

import numpy as np

from gcd_longtail.discovery.predictors import Predictor
from gcd_longtail.discovery.problem import Method, Problem
from seminar_common.seeds import numpy_generator

SHARE = 0.2
"""Share of each class's labelled rows that is held out."""
BLOCK = 8192


def probabilities(predictor: Predictor, features: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probability of each class, float64 [N, k], of features [N, D]: ``softmax(scores / temperature)``."""
    parts = [
        _softmax(predictor.scores(features[start : start + BLOCK]) / temperature)
        for start in range(0, len(features), BLOCK)
    ]
    return np.concatenate(parts) if parts else np.empty((0, predictor.k))


def temperature(scores: np.ndarray, classes: np.ndarray) -> float:
    """Return the temperature at which ``softmax(scores / T)`` has the lowest negative log-likelihood.

    Few rows that are all classified right would ask for certainty. So each row stands for its class with
    (N + 1) / (N + 2) only, and for all classes alike with the rest (after Platt 1999, section 2.2).

    Args:
        scores: float [N, k].
        classes: true class of each row, int64 [N].

    Raises:
        ValueError: no row.
    """
    from scipy.optimize import minimize_scalar

    if not len(scores):
        raise ValueError("a temperature needs at least one row")
    scores = scores.astype(np.float64)
    scores = scores - scores.max(1, keepdims=True)
    n = len(scores)
    own = scores[np.arange(n), classes]
    wanted = float(((n + 1) * own + scores.mean(1)).sum() / (n + 2))
    # The typical distance of a score from the highest one is the unit in which temperatures are sought.
    unit = float(-scores.mean()) or 1.0

    def loss(log_inverse: float) -> float:  # convex in the inverse temperature, so it has one minimum
        inverse = np.exp(log_inverse) / unit
        return float(np.log(np.exp(inverse * scores).sum(1)).sum() - inverse * wanted)

    found = minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e4)), method="bounded")
    return unit / float(np.exp(found.x))


def held_out(problem: Problem, seed: int, share: float = SHARE) -> tuple[Problem, np.ndarray, np.ndarray]:
    """Return the problem with some labels taken away, the features of these rows [H, D] and their classes, int64 [H].

    The rows become unlabelled ones, as which the method sees them. A class keeps at least one label.

    Args:
        problem: what the method was given.
        seed: of the draw.
        share: of each class's labelled rows.
    """
    chosen = np.zeros(len(problem.labels), bool)
    generator = numpy_generator(seed, "held out")
    for number in range(problem.known):
        rows = np.flatnonzero(problem.labels == number)
        if len(rows) > 1:
            chosen[generator.permutation(rows)[: max(1, round(share * len(rows)))]] = True
    smaller = dataclasses.replace(
        problem,
        labelled=problem.labelled[~chosen],
        labels=problem.labels[~chosen],
        unlabelled=np.concatenate([problem.unlabelled, problem.labelled[chosen]]),
        labelled_views=_part(problem.labelled_views, ~chosen),
        unlabelled_views=_joined(problem.unlabelled_views, _part(problem.labelled_views, chosen)),
    )
    return smaller, problem.labelled[chosen], problem.labels[chosen]


def fit_temperature(method: Method, problem: Problem, predictor: Predictor, seed: int) -> float:
    """Return the temperature of a method's scores, from one more fit in which a fifth of the labels is held out.

    Where every class has a single labelled row, none can be held out. Then the rows that the method was given as
    labelled are used, and probabilities are surer than they should be.

    Args:
        method: as it was fitted.
        problem: what it was fitted to.
        predictor: what came out, for its number of clusters.
        seed: of the draw and of the fit.
    """
    smaller, features, classes = held_out(problem, seed)
    if not len(classes):
        return temperature(predictor.scores(problem.labelled), problem.labels)
    return temperature(method.fit(smaller, predictor.k, seed).predictor.scores(features), classes)


def _softmax(scores: np.ndarray) -> np.ndarray:
    scores = scores.astype(np.float64)
    values = np.exp(scores - scores.max(1, keepdims=True))
    return values / values.sum(1, keepdims=True)


def _part(views: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if views is None else views[:, rows]


def _joined(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    return None if first is None or second is None else np.concatenate([first, second], axis=1)

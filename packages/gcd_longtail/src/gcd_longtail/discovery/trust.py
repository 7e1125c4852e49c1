"""How far a discovery can be trusted, image by image."""

import numpy as np

from gcd_longtail.discovery.predictors import FusedPredictor, Predictor

BLOCK = 8192


def trust(predictor: Predictor, features: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return how likely each prediction is right and how likely each image is of no known class, float32 [N] both.

    Both are calibrated probabilities; None if the predictor gives none.
    """
    if not isinstance(predictor, FusedPredictor):
        return None
    return predictor.confidence(features), predictor.novel_scores(features)


def margins(predictor: Predictor, features: np.ndarray, known: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what ranks images where there is no probability, float32 [N] both, of features [N, D].

    The margin of the best score over the second best stands for the confidence, the best novel less the best known score
    for the novel score.
    """
    parts = [
        _margins(predictor.scores(features[i : i + BLOCK]), known) for i in range(0, len(features), BLOCK)
    ]
    confidence, novel = np.concatenate([np.empty((2, 0), np.float32), *parts], axis=1)
    return confidence, novel


def _margins(scores: np.ndarray, known: int) -> np.ndarray:
    if scores.shape[1] < 2:
        return np.zeros((2, len(scores)), np.float32)
    best = np.partition(scores, -2, axis=1)[:, -2:]
    of_novel = scores[:, known:].max(1) if scores.shape[1] > known else scores.min(1)
    return np.stack([best[:, 1] - best[:, 0], of_novel - scores[:, :known].max(1)]).astype(np.float32)

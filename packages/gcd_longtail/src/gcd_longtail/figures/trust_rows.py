"""How far a discovery can be trusted image by image: does its confidence tell right from wrong, its novel score new from known?

A predictor of ours gives probabilities, so their calibration is measured, too. Of other predictors the margin between the
two best scores stands for the confidence, and the best novel less the best known score for the novel score: they rank
images, and are no probabilities.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gcd_longtail.discovery.predictors import FusedPredictor, Predictor
from gcd_longtail.discovery.problem import Discovery
from gcd_longtail.figures.discovery_rows import Identity, traits
from gcd_longtail.figures.metrics import Scored
from gcd_longtail.protocol.data import Data
from seminar_common import bootstrap
from seminar_common.metrics import calibration_error, roc_auc
from seminar_common.results import Row

BLOCK = 8192


def trust_of(found: Discovery, data: Data) -> dict[str, np.ndarray]:
    """Return ``confidence_*`` and ``novel_*`` of the images of both splits, float32, and whether they are probabilities."""
    arrays = {"calibrated": np.array(isinstance(found.predictor, FusedPredictor))}
    for split, features in (("transductive", data.problem.unlabelled), ("test", data.test)):
        confidence, novel = trust(found.predictor, features, data.split.known)
        arrays |= {f"confidence_{split}": confidence, f"novel_{split}": novel}
    return arrays


def trust(predictor: Predictor, features: np.ndarray, known: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence and the novel score of images, float32 [N] both, of features [N, D]."""
    if isinstance(predictor, FusedPredictor):
        return predictor.confidence(features), predictor.novel_scores(features)
    parts = [
        _margins(predictor.scores(features[i : i + BLOCK]), known) for i in range(0, len(features), BLOCK)
    ]
    empty = np.empty((2, 0), np.float32)
    confidence, novel = np.concatenate([empty, *parts], axis=1)
    return confidence, novel


def _margins(scores: np.ndarray, known: int) -> np.ndarray:
    """Return the margin to the second best score and that of the best novel over the best known one, float32 [2, N]."""
    if scores.shape[1] < 2:
        return np.zeros((2, len(scores)), np.float32)
    best = np.partition(scores, -2, axis=1)[:, -2:]
    of_novel = scores[:, known:].max(1) if scores.shape[1] > known else scores.min(1)
    return np.stack([best[:, 1] - best[:, 0], of_novel - scores[:, :known].max(1)]).astype(np.float32)


def trust_rows(
    found: Sequence[Mapping[str, np.ndarray]],
    scored: Sequence[Mapping[str, Scored]],
    splits: Sequence[Data],
    identity: Identity,
) -> Iterator[Row]:
    """Yield means over the seeds of one method, with Student's interval where there are several.

    Args:
        found: of each seed, what :func:`trust_of` gave and the clusters of each split.
        scored: of each seed, the scored images by split.
        splits: of each seed, its data.
        identity: of the method.
    """
    common: dict[str, Any] = {"seeds": identity.seeds, "facts": {"k": identity.k, **traits(splits)}}
    for split in scored[0]:
        seeds = [
            dict(_figures(one, marks[split], split, data))
            for one, marks, data in zip(found, scored, splits, strict=True)
        ]
        for metric in seeds[0]:
            values = [seed[metric] for seed in seeds if metric in seed]
            interval = bootstrap.seed_interval(values) if len(values) > 1 else None
            ends = (interval.low, interval.high) if interval else (None, None)
            where = (identity.method, splits[0].split.name, split, metric)
            n = sum(marks[split].n for marks in scored)
            yield Row(*where, float(np.mean(values)), *ends, n=n, ours=identity.ours, **common)


def _figures(
    one: Mapping[str, np.ndarray], scored: Scored, split: str, data: Data
) -> Iterator[tuple[str, float]]:
    truth = data.unlabelled_labels if split == "transductive" else data.test_labels
    right = (one[split] == scored.matching[truth]).astype(int)
    novel = (truth >= data.split.known).astype(int)
    for name, said, so in (
        ("confidence", one[f"confidence_{split}"], right),
        ("novel", one[f"novel_{split}"], novel),
    ):
        if 0 < so.sum() < len(so):
            yield f"{name}_auc", roc_auc(so, said)
            if one["calibrated"]:
                yield f"{name}_error", calibration_error(so, np.clip(said, 0, 1).astype(np.float64))

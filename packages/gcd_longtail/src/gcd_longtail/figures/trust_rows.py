"""How far a discovery can be trusted image by image: does its confidence tell right from wrong, its novel score new from known?

A predictor of ours gives probabilities, so their calibration is measured, too. Of other predictors the margin between the
two best scores stands for the confidence, and the best novel less the best known score for the novel score: they rank
images, and are no probabilities.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gcd_longtail.discovery.problem import Discovered
from gcd_longtail.discovery.trust import margins, trust
from gcd_longtail.figures.discovery_rows import Identity, traits
from gcd_longtail.figures.metrics import Scored
from gcd_longtail.protocol.data import Data
from seminar_common import bootstrap
from seminar_common.metrics import calibration_error, roc_auc
from seminar_common.results import Row


def trust_of(found: Discovered, data: Data) -> dict[str, np.ndarray]:
    """Return ``confidence_*`` and ``novel_*`` of the images of both splits, float32, and whether they are probabilities."""
    arrays: dict[str, np.ndarray] = {}
    for split, features in (("transductive", data.problem.unlabelled), ("test", data.test)):
        calibrated = trust(found.predictor, features)
        confidence, novel = calibrated or margins(found.predictor, features, data.split.known)
        arrays |= {f"confidence_{split}": confidence, f"novel_{split}": novel}
        arrays["calibrated"] = np.array(calibrated is not None)
    return arrays


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

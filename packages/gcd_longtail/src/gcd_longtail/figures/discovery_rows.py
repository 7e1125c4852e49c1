"""The figures of discoveries as rows of a table: those of one run, or of the seeds of a study."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gcd_longtail.backbones.backbones import caveat
from gcd_longtail.discovery.problem import Discovered
from gcd_longtail.figures.metrics import Measure, Scored, accuracy_v1, figures, intervals, k_error, score
from gcd_longtail.protocol.data import Data
from seminar_common import bootstrap
from seminar_common.results import Row

PROTOCOL = (
    "Accuracies follow one global assignment of clusters to classes (v2 of the literature); _v1 figures make one for "
    "the known and one for the novel images, are never lower, and are there to compare with papers that use them. "
    "Transductive figures are of the unlabelled training images, test figures of images that no method has seen."
)
HEADLINES = ("acc_all", "acc_known", "acc_novel", "macro_all", "macro_novel", "macro_novel_few")
"""Metrics that a command prints; the report has all of them."""


@dataclass(frozen=True)
class Identity:
    """What tells the rows of one method from those of another."""

    method: str
    k: str
    """``true``, ``estimated`` or ``given``."""
    seeds: tuple[int, ...]
    ours: bool | None = None


def notes(data: Data) -> tuple[str, ...]:
    """Return what a reader of any figure on ``data`` must know."""
    return PROTOCOL, caveat(data.config.backbone)


def clusters_of(discovery: Discovered, data: Data) -> dict[str, np.ndarray]:
    """Return the cluster of each image of the splits ``transductive`` and ``test``, int64 [U] and [T]."""
    return {"transductive": discovery.assignments, "test": discovery.predict(data.test)}


def score_clusters(clusters: Mapping[str, np.ndarray], k: int, data: Data) -> dict[str, Scored]:
    """Return the scored images of each split in ``clusters`` that has any.

    Args:
        clusters: what :func:`clusters_of` returned.
        k: number of clusters, where some may be empty.
        data: the split of the images.
    """
    truth = {"transductive": data.unlabelled_labels, "test": data.test_labels}
    known, frequencies = data.split.known, data.split.frequencies
    return {
        name: score(truth[name], found, known, frequencies, k)
        for name, found in clusters.items()
        if len(truth[name])
    }


def run_rows(
    scored: Mapping[str, Scored], data: Data, identity: Identity, resamples: int = 1000, seed: int = 0
) -> Iterator[Row]:
    """Yield every figure of one run, v1 figures too."""
    for split, one in scored.items():
        yield from interval_rows([one], split, [data], identity, resamples, seed)
        facts = {"k": identity.k, **traits([data])}
        for name, value in accuracy_v1(one).items():
            where = (identity.method, data.split.name, split)
            yield Row(*where, name, value, n=one.n, seeds=identity.seeds, facts=facts)


def interval_rows(
    runs: Sequence[Scored],
    split: str,
    splits: Sequence[Data],
    identity: Identity,
    resamples: int = 1000,
    seed: int = 0,
    measure: Measure | None = None,
) -> Iterator[Row]:
    """Yield each figure's mean over ``runs`` of one method with its bootstrap interval.

    Args:
        runs: the scored images, one run a seed.
        split: ``transductive`` or ``test``.
        splits: the data of each run, of one data set.
        identity: of the method.
        resamples: bootstrap samples.
        seed: of the bootstrap.
        measure: figures of another protocol; ours if left out.
    """
    common: dict[str, Any] = {"seeds": identity.seeds, "facts": {"k": identity.k, **traits(splits)}}
    for metric, one in intervals(runs, seed=seed, resamples=resamples, measure=measure).items():
        where = (identity.method, splits[0].split.name, split, metric)
        yield Row(*where, one.value, one.low, one.high, n=one.n, ours=identity.ours, **common)


GAINS = ("macro_all", "macro_novel")
"""Figures by which a method is compared with the best other one."""


def gain_rows(
    runs: Mapping[str, Sequence[Mapping[str, Scored]]], splits: Sequence[Data], identity: Identity
) -> Iterator[Row]:
    """Yield by how much a method leads the best other one of each column, with Student's interval over paired seeds.

    Args:
        runs: the scored images by split, one a seed, of each method; those named after this one with a comma, which lack
            a part of it, are no others.
        splits: the data of each seed.
        identity: of the method.
    """
    others = [name for name in runs if name.partition(",")[0] != identity.method]
    if identity.method not in runs or not others:
        return
    common: dict[str, Any] = {"seeds": identity.seeds, "ours": identity.ours}
    for split, first in runs[identity.method][0].items():
        for metric in GAINS:
            every = {
                name: np.array([figures(seed[split])[metric] for seed in runs[name]])
                for name in (identity.method, *others)
            }
            best = max(others, key=lambda name: float(every[name].mean()))
            gains = every[identity.method] - every[best]
            interval = bootstrap.seed_interval(gains.tolist()) if len(gains) > 1 else None
            ends = (interval.low, interval.high) if interval else (None, None)
            where = (
                identity.method,
                splits[0].split.name,
                split,
                f"{metric}_gain",
                float(gains.mean()),
                *ends,
            )
            facts = {"k": identity.k, **traits(splits), "over": best}
            yield Row(*where, n=first.n * len(gains), facts=facts, **common)


def estimate_rows(
    k: int, interval: tuple[int, int | None] | None, data: Data, identity: Identity
) -> Iterator[Row]:
    """Yield an estimated number of classes and its error, with the interval's ends where it has two."""
    facts = {"backbone": data.config.backbone, "k": identity.k}
    common: dict[str, Any] = {"seeds": identity.seeds, "facts": facts}
    where, true = (identity.method, data.split.name, ""), len(data.split.classes)
    if interval is None or interval[1] is None:  # a lower bound is no interval
        yield Row(*where, "k_estimated", k, **common)
        yield Row(*where, "k_error", k_error(k, true), **common)
    else:
        low, high = interval[0], interval[1]
        yield Row(*where, "k_estimated", k, low, high, **common)
        yield Row(*where, "k_error", k_error(k, true), k_error(low, true), k_error(high, true), **common)


def traits(splits: Sequence[Data]) -> dict[str, Any]:
    """Return what the splits of a data set have in common, for a row of a table."""
    return {
        "backbone": splits[0].config.backbone,
        "labels": round(float(np.mean([len(data.problem.labels) for data in splits]))),
        "imbalance": round(float(np.mean([data.split.imbalance for data in splits])), 1),
    }

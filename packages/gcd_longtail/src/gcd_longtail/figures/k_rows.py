"""Estimates of the number of classes on the splits of a study: stored once, and compared with the truth.

What a study computes on a split is stored under a digest of everything that it depends on, so that a folder holds
the results on other features, or of another version of the methods, side by side.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.discovery.number_of_classes import estimate
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.figures.discovery_rows import traits
from gcd_longtail.figures.metrics import k_error
from gcd_longtail.protocol.data import Data, load
from gcd_longtail.protocol.split_file import SPLIT_FILE
from gcd_longtail.settings.methods import EstimateConfig
from seminar_common import bootstrap, files
from seminar_common.errors import UserError
from seminar_common.identity import Facts, code_digest, digest, require_same
from seminar_common.results import Row
from seminar_common.settings import to_dict

OURS = "hidden-classes"
"""Name of this package's rule in tables."""
METHOD_CODE = (
    "gcd_longtail.discovery.clustering",
    "gcd_longtail.discovery.number_of_classes",
    "gcd_longtail.discovery.methods",
    "gcd_longtail.settings.methods",
    "gcd_longtail.discovery.holdouts",
    "gcd_longtail.discovery.matching",
    "gcd_longtail.discovery.predictors",
    "gcd_longtail.discovery.problem",
    "gcd_longtail.discovery.spaces",
)
"""Modules that decide what a method finds in a problem."""


def splits_below(folder: Path) -> Iterator[Data]:
    """Yield the splits in a folder, at any depth, with their features.

    Raises:
        UserError: there is none, one has no features yet, or those of one data set have different features.
    """
    found = sorted(file.parent for file in folder.rglob(SPLIT_FILE)) if folder.is_dir() else []
    if not found:
        raise UserError(f"{folder}: holds no split; make one with `gcd-longtail split`")
    first: dict[str, Data] = {}
    for data in map(load, found):
        same = first.setdefault(data.split.name, data)
        way_out = f"{data.split.name} needs the same features in {same.folder} and here: extract them again"
        require_same(data.features, same.features, data.folder, way_out)
        yield data


def seed_of(data: Data) -> int:
    """Return the seed of a split, which is that of the methods on it too."""
    return int(data.split.choices["seed"])


def facts_of(data: Data, **more: Any) -> dict[str, Any]:
    """Return what a stored result on ``data`` depends on: the data, the methods' code and whatever ``more`` says."""
    return {**data.identity, "code": _method_code(), **more}


@functools.cache
def _method_code() -> str:
    return code_digest(*METHOD_CODE)


def stored_as(out: Path, name: str, facts: Facts, suffix: str) -> Path:
    """Return the file below the study ``out`` for the result ``name`` that depends on ``facts``."""
    return out / "found" / facts["split"] / f"{name}-{digest(facts)[:12]}{suffix}"


def check_stored(stored: Facts | None, facts: Facts, file: Path) -> None:
    """Raise a UserError unless ``file`` was computed from ``facts``."""
    require_same(stored, facts, file, "remove it, or take another --out")


def estimated(
    data: Data, problem: Problem, out: Path, config: EstimateConfig | None = None
) -> dict[str, Any]:
    """Return the estimate of a split's number of classes; it is made once and stored below ``out``.

    Raises:
        UserError: the stored file is not what its name says.
    """
    facts = facts_of(data, settings=to_dict(config or EstimateConfig()))
    file = stored_as(out, "k", facts, ".json")
    if not file.exists():
        guess = estimate(problem, config, seed_of(data))
        files.write_json(file, {**dataclasses.asdict(guess), "facts": facts})
    stored = files.read_json(file)
    check_stored(stored.get("facts"), facts, file)
    return stored


def k_rows(splits: Sequence[Data], stored: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """Yield how far the estimates of each rule are from the true number of classes.

    Args:
        splits: of one data set; each is a seed.
        stored: what :func:`estimated` returned for each.
    """
    true = [len(one.split.classes) for one in splits]
    rules = {OURS: [one["k"] for one in stored]}
    rules |= {rule: [one["criteria"][rule] for one in stored] for rule in stored[0]["criteria"]}
    common: dict[str, Any] = {
        "seeds": tuple(seed_of(data) for data in splits),
        "n": len(splits),
        "facts": traits(splits),
    }
    for rule, values in rules.items():
        where = (f"k by {rule}", splits[0].split.name, "")
        errors = [abs(k_error(value, k)) for value, k in zip(values, true, strict=True)]
        ours = {"ours": True} if rule == OURS else {}
        for metric, figures in (("k_estimated", values), ("k_absolute_error", errors)):
            yield Row(*where, metric, float(np.mean(figures)), *_over_seeds(figures), **common, **ours)
        yield Row(*where, "k_worst_error", max(errors), **common, **ours)
        if rule == OURS:
            inside = [_covers(one, k) for one, k in zip(stored, true, strict=True)]
            width = [one["high"] / one["low"] for one in stored if one["high"] is not None]
            yield Row(*where, "k_covered", float(np.mean(inside)), **common, **ours)
            if width:
                yield Row(*where, "k_interval_ratio", float(np.mean(width)), **common, **ours)
            yield Row(
                *where, "k_assumed", float(np.mean([one["assumed"] for one in stored])), **common, **ours
            )


def _covers(one: Mapping[str, Any], k: int) -> bool:
    return one["low"] <= k and (one["high"] is None or k <= one["high"])


def _over_seeds(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return Student's interval over the splits, or nothing where there is a single one."""
    if len(values) < 2:
        return None, None
    interval = bootstrap.seed_interval(values)
    return interval.low, interval.high

"""A run of this topic on disk: what was discovered, how the classes are called, and which features it needs.

``config.json`` is the envelope of :func:`seminar_common.runs.envelope` with two keys of this topic: ``identity``, what
the figures of the run depend on, and ``features``, how to make its features.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.discovery.predictors import from_arrays
from gcd_longtail.discovery.problem import Discovered
from gcd_longtail.discovery.strangers import Surroundings
from gcd_longtail.settings.commands import DiscoverSettings, FeatureConfig, TrainSettings
from seminar_common import runs
from seminar_common.checkpoints import load_tensors, save_tensors
from seminar_common.errors import UserError
from seminar_common.identity import Facts, digest
from seminar_common.runs import Run
from seminar_common.settings import from_dict, to_dict
from seminar_common.training import WEIGHTS

TOPIC = "gcd-longtail"


@dataclass(frozen=True)
class Found:
    """A discovery with what is needed to use it."""

    discovery: Discovered
    names: tuple[str, ...]
    """Name of each class; discovered ones are called ``novel-1`` and so on, from the largest to the smallest."""
    known: int
    """Number of known classes."""
    features: FeatureConfig
    """Which features the predictor takes."""
    k_interval: tuple[int, int | None] | None = None
    """Plausible numbers of classes, if their number was estimated; its upper end is None if nothing bounds it."""
    surroundings: Surroundings | None = None
    """Where the run's own images lie, to tell images of none of its classes; None in a run of before."""


def sort_novel(discovery: Discovered, known: int) -> Discovered:
    """Return ``discovery`` with its novel clusters numbered from the largest to the smallest."""
    sizes = np.bincount(discovery.assignments, minlength=discovery.k)[known:]
    order = np.concatenate([np.arange(known), known + np.argsort(-sizes, kind="stable")])
    place = np.argsort(order)
    return Discovered(place[discovery.assignments], discovery.predictor.reordered(order))


def class_names(known: Sequence[str], k: int) -> tuple[str, ...]:
    """Return the names of ``k`` classes, of which the first have the names ``known``.

    The others are numbered; a number that is taken by a name of ``known`` is left out, in whatever width it is written.
    """
    count = k - len(known)
    taken = {int(found[1]) for name in known if (found := re.fullmatch(r"novel-(\d{1,9})", name))}
    free = list(itertools.islice((n for n in itertools.count(1) if n not in taken), count))
    width = len(str(free[-1])) if free else 1
    return (*known, *(f"novel-{number:0{width}d}" for number in free))


def save(run: Run, found: Found) -> None:
    """Write the checkpoint of a run that has ended."""
    import torch

    arrays = {"assignments": found.discovery.assignments, **found.discovery.predictor.arrays()}
    arrays |= found.surroundings.arrays() if found.surroundings is not None else {}
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    facts: dict[str, Any] = {
        "names": list(found.names),
        "known": found.known,
        "k_interval": found.k_interval,
    }
    save_tensors(run.checkpoints / WEIGHTS, tensors, facts)


def envelope(
    command: str,
    dataset: str,
    identity: Facts,
    features: FeatureConfig,
    settings: TrainSettings | DiscoverSettings,
) -> dict[str, Any]:
    """Return the ``config.json`` of a run of ``command``."""
    return runs.envelope(
        TOPIC,
        command,
        settings,
        model=settings.method or "",
        dataset=dataset,
        data_fingerprint=digest(identity),
        identity=dict(identity),
        features=to_dict(features),
    )


def read_config(run: Run, *commands: str) -> dict[str, Any]:
    """Return the ``config.json`` of a run of one of ``commands``.

    Raises:
        UserError: it is of another command or topic, or older than the facts of its identity.
    """
    config = runs.stored_config(run, TOPIC, *commands)
    if not {"identity", "features"} <= config.keys():
        raise UserError(
            f"{run.folder / runs.MARKER}: does not say what the run was computed from; an older version made it: make "
            "the run again"
        )
    return config


def load_found(folder: Path) -> tuple[Run, Found]:
    """Return a run and what it found.

    Raises:
        UserError: there is no run, it has not ended, or it is damaged, older than this form or not of this topic.
    """
    run = runs.open_run(folder)
    config = read_config(run, "train", "discover")
    file = run.checkpoints / WEIGHTS
    if not file.exists():
        raise UserError(
            f"{folder}: the run has not ended; end it with `gcd-longtail train --resume {folder}`"
        )
    tensors, facts = load_tensors(file)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    surroundings = Surroundings.from_arrays(arrays)
    arrays = {name: array for name, array in arrays.items() if not name.startswith(Surroundings.PREFIX)}
    try:
        discovery = Discovered(arrays.pop("assignments"), from_arrays(arrays))
        names, known = tuple(facts["names"]), int(facts["known"])
        interval = facts["k_interval"] and tuple(facts["k_interval"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: not a checkpoint of gcd-longtail ({error!r}); train again") from error
    features = from_dict(FeatureConfig, config["features"], run.folder / runs.MARKER)
    return run, Found(discovery, names, known, features, interval, surroundings)

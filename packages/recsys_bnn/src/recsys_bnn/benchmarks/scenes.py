"""What is timed on what: random models of a size on drawn rows, or the models of a study on its test rows."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from recsys_bnn.benchmarks.inference_models import FIELDS, INTEGERS, configs, random_model
from recsys_bnn.runtime.spec import ModelSpec
from recsys_bnn.settings.bench import BenchSettings, Draw, Mlps
from seminar_common import runs
from seminar_common.errors import UserError

POOL_ROWS = 131_072
_MISSING_SHARE = 0.2


class Pool(NamedTuple):
    """Rows to score."""

    subset: str
    """What they are."""
    integers: np.ndarray
    """float32 [N, I]; NaN for a missing one."""
    ids: np.ndarray
    """int32 [N, F]."""
    labels: np.ndarray | None = None
    """Clicks, [at most N], of the first rows; None where nobody knows."""


class Scene(Protocol):
    """Models, and rows for them."""

    @property
    def dataset(self) -> str:
        """Its name in a table."""
        ...

    @property
    def starts(self) -> bool:
        """Whether start-up and memory are measured, too."""
        ...

    def models(self) -> list[str]:
        """Return the names of its models."""
        ...

    def specs(self) -> Iterator[tuple[str, ModelSpec]]:
        """Yield name and packed form of each model, one at a time as they may be large."""
        ...

    def pools(self) -> Iterator[Pool]:
        """Yield the rows of each kind."""
        ...


@dataclass(frozen=True)
class RandomScene:
    """Models with random weights."""

    mlps: Mlps
    rows: int
    """Of each table."""
    draws: tuple[Draw, ...]
    starts: bool
    seed: int

    @property
    def dataset(self) -> str:
        """Its MLPs and tables."""
        return f"{self.mlps}, {FIELDS} x {self.rows:,} rows"

    def models(self) -> list[str]:
        """Return the names of its models."""
        return list(configs(self.mlps))

    def specs(self) -> Iterator[tuple[str, ModelSpec]]:
        """Yield name and packed form of each model."""
        rng = np.random.default_rng(self.seed)
        for name, config in configs(self.mlps).items():
            yield name, random_model(config, self.rows, rng)

    def pools(self) -> Iterator[Pool]:
        """Yield normal integers, some missing, with ids of each kind."""
        for draw in self.draws:
            rng = np.random.default_rng((self.seed, 1))
            integers = rng.standard_normal((POOL_ROWS, INTEGERS), np.float32)
            integers[rng.random(integers.shape) < _MISSING_SHARE] = np.nan
            yield Pool(f"{draw} ids", integers, draw_ids(draw, self.rows, rng))


def draw_ids(draw: Draw, rows: int, rng: np.random.Generator, count: int = POOL_ROWS) -> np.ndarray:
    """Return ids, int32 [count, 26]: even over the logarithm of the rank, as under Zipf's law, or over all ids."""
    if draw == "uniform":
        return rng.integers(0, rows, (count, FIELDS), np.int32)
    return ((rows + 1) ** rng.random((count, FIELDS))).astype(np.int32) - 1


class StudyScene:
    """Trained models on the test rows of their data.

    Args:
        folders: Of `study` or `train`.

    Raises:
        UserError: there is no run in them, or runs of different data.
    """

    starts = True

    def __init__(self, folders: tuple[Path, ...]):
        from recsys_bnn.data.dataset import open_dataset
        from recsys_bnn.data.stored_runs import stored_settings

        self._runs = _runs_by_model(folders)
        data = {name: stored_settings(run).data for name, run in self._runs.items()}
        first = next(iter(data.values()))
        if first is None or {path and path.resolve() for path in data.values()} != {first.resolve()}:
            raise UserError("--study: the runs are of different data; give those of one data set")
        self._data = open_dataset(first)

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self._data.name

    def models(self) -> list[str]:
        """Return the names of its models."""
        return list(self._runs)

    def specs(self) -> Iterator[tuple[str, ModelSpec]]:
        """Yield name and packed form of each model."""
        from recsys_bnn.model.trained import load_model
        from recsys_bnn.packing.model import to_spec

        for name, run in self._runs.items():
            yield name, to_spec(load_model(run, self._data))

    def pools(self) -> Iterator[Pool]:
        """Yield the test rows, again and again where there are few."""
        yield self._test_rows

    @cached_property
    def _test_rows(self) -> Pool:
        labels, integers, ids = self._data.rows("test").columns()
        if not len(labels):
            raise UserError(f"{self.dataset}: has no test rows to score")
        rows = np.arange(max(len(labels), POOL_ROWS)) % len(labels)
        return Pool("test rows", integers[rows], ids[rows].astype(np.int32), labels)


def _runs_by_model(folders: tuple[Path, ...]) -> Mapping[str, runs.Run]:
    """Return the run of the lowest seed of each model, float first; a step of an ablation is no model."""
    found: dict[str, tuple[int, runs.Run]] = {}
    for folder in folders:
        inside = sorted((folder / "runs").glob(f"*/{runs.MARKER}"))
        for run in [path.parent for path in inside] or [folder]:
            name, seed = _name_and_seed(runs.open_run(run))
            if "--" not in name and (name not in found or seed < found[name][0]):
                found[name] = (seed, runs.Run(run))
    if not found:
        raise UserError(f"--study {' '.join(map(str, folders))}: holds no run")
    return {name: run for name, (_, run) in sorted(found.items(), key=lambda item: item[0] != "float")}


def _name_and_seed(run: runs.Run) -> tuple[str, int]:
    from recsys_bnn.data.stored_runs import stored_settings

    settings = stored_settings(run)
    named = re.fullmatch(r"(?P<name>.+)-seed\d+", run.folder.name)
    return named["name"] if named else settings.model.name, settings.seed


def scenes(settings: BenchSettings) -> list[Scene]:
    """Return what ``settings`` ask for."""
    config = settings.inference
    if config.study:
        return [StudyScene(config.study)]
    found: list[Scene] = []
    for mlps in config.mlps:
        main = mlps == config.mlps[0]  # start-up and memory hang on the tables, not on the MLPs
        found.append(RandomScene(mlps, config.small_table_rows, config.ids[:1], main, settings.seed))
        if main and settings.table_rows > config.small_table_rows:
            found.append(RandomScene(mlps, settings.table_rows, config.ids, main, settings.seed))
    return found

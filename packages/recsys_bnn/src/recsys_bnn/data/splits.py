"""Which rows of a log are for training, validation and test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from recsys_bnn.data.chunks import StagedRows, rows_at_once
from recsys_bnn.data.dataset import SPLITS
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError
from seminar_common.seeds import numpy_generator

RANDOM_ROWS = 1_000_000_000
"""A random split is drawn for fewer rows than this, the limit of NumPy's hypergeometric generator."""

Sizes = dict[str, int]
"""Rows of each split, in the order of ``SPLITS``."""


def fraction_sizes(rows: int, val_fraction: float, test_fraction: float) -> Sizes:
    """Return the sizes of splits that are shares of all rows, rounded to whole rows.

    Raises:
        UserError: a split that was asked for would be empty.
    """
    val, test = round(rows * val_fraction), round(rows * test_fraction)
    train = rows - val - test
    sizes = {"train": (train, 1.0), "val": (val, val_fraction), "test": (test, test_fraction)}
    for name, (size, fraction) in sizes.items():
        if fraction > 0 and size < 1:
            raise UserError(f"{rows} rows are too few: no row is left for the {name} split; give more rows")
    return {name: size for name, (size, _) in sizes.items()}


def day_sizes(days: dict[str, int]) -> Sizes:
    """Return the sizes of splits of which the last day is the test and the day before it the validation.

    Raises:
        UserError: there are fewer than three days with rows.
    """
    found = {day: rows for day, rows in days.items() if rows}
    if len(found) < 3:
        raise UserError(
            f"a split by day needs at least 3 days with rows, and the log has {len(found)} ({', '.join(found)}); "
            "give more days, or --split time"
        )
    *train, val, test = found.values()
    return {"train": sum(train), "val": val, "test": test}


class Splits(Protocol):
    """Reads the splits of a staged log."""

    @property
    def sizes(self) -> Sizes:
        """Rows of each split."""
        ...

    def chunks(self, name: str) -> Iterator[StagedRows]:
        """Yield the rows of a split in the order of the log, as many at a time as a staged batch holds."""
        ...


@dataclass(frozen=True)
class Consecutive:
    """Splits that follow each other in the log: train, val, test."""

    staging: Path
    sizes: Sizes

    def chunks(self, name: str) -> Iterator[StagedRows]:
        """Yield the rows of a split in the order of the log, as many at a time as a staged batch holds."""
        before = SPLITS[: SPLITS.index(name)]
        start = sum(self.sizes[earlier] for earlier in before)
        stop, step = start + self.sizes[name], rows_at_once(self.staging)
        for first in range(start, stop, step):
            yield StagedRows(self.staging, range(first, min(first + step, stop)), step)


@dataclass(frozen=True)
class Random:
    """Splits drawn at random without regard to time, every choice of rows being equally likely."""

    staging: Path
    sizes: Sizes
    seed: int

    def __post_init__(self) -> None:
        rows = sum(self.sizes.values())
        if rows >= RANDOM_ROWS:
            raise UserError(
                f"--split random: {rows:,} rows are too many, the limit is {RANDOM_ROWS:,}; use --split time"
            )

    def chunks(self, name: str) -> Iterator[StagedRows]:
        """Yield the rows of a split in the order of the log, as many at a time as a staged batch holds."""
        held, step = np.empty(0, np.int64), rows_at_once(self.staging)
        for part in self._parts(SPLITS.index(name), step):
            held = np.concatenate([held, part])
            if len(held) >= step:
                yield StagedRows(self.staging, held[:step], step)
                held = held[step:]
        if len(held):
            yield StagedRows(self.staging, held, step)

    def _parts(self, number: int, step: int) -> Iterator[np.ndarray]:
        """Yield the numbers of a split's rows, at most ``step`` at a time."""
        # Drawing how many rows of a batch fall to each split, and then which, needs no list of all rows.
        generator = numpy_generator(self.seed, "split")
        left, rows = np.array([self.sizes[name] for name in SPLITS]), sum(self.sizes.values())
        for start in range(0, rows, step):
            taken = generator.multivariate_hypergeometric(left, min(step, rows - start))
            left -= taken
            split = generator.permutation(np.repeat(np.arange(len(SPLITS)), taken))
            yield start + np.flatnonzero(split == number)


def split(config: PrepareConfig, staging: Path, rows: int, days: dict[str, int]) -> Splits:
    """Return the splits of a staged log of ``rows`` rows.

    Raises:
        UserError: a split would be empty, or the log can't be split as asked for.
    """
    if config.chosen_split == "day":
        return Consecutive(staging, day_sizes(days))
    sizes = fraction_sizes(rows, config.val_fraction, config.test_fraction)
    if config.chosen_split == "random":
        return Random(staging, sizes, config.seed)
    return Consecutive(staging, sizes)

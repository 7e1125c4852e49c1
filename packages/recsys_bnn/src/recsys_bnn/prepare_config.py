"""Settings of `prepare`. Imports nothing heavy, so that ``--help`` is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from seminar_common.errors import UserError


@dataclass(frozen=True)
class PrepareConfig:
    """Turn raw click logs into a data set that `train` reads without loading it."""

    format: tyro.conf.Positional[Literal["criteo-kaggle"]]
    """Layout of the input: `criteo-kaggle` is train.txt of the Criteo Display Advertising Challenge, plain or gzip."""
    input: tuple[Path, ...]
    """Input files in time order; several are read as one log."""
    out: Path
    """Folder to make; it must not exist yet."""
    name: str = ""
    """Name of the data set in results; by default the format's, with the number of rows, e.g. `criteo-10k`."""
    val_fraction: float = 0.1
    """Share of all rows for validation: the rows just before the test rows."""
    test_fraction: float = 0.2
    """Share of all rows for the test: the last rows, as a log is in time order."""
    min_count: int = 2
    """Values seen fewer times in the training rows share one out-of-vocabulary id per field."""
    on_error: Literal["fail", "skip"] = "fail"
    """`fail` stops at the first bad row and names it; `skip` leaves bad rows out and counts them by reason."""

    def __post_init__(self) -> None:
        if not self.input:
            raise UserError("--input: give at least one file")
        if len(set(self.input)) < len(self.input):
            twice = next(path for path in self.input if self.input.count(path) > 1)
            raise UserError(f"--input {twice}: given twice; name each file once")
        for option, value in (
            ("--val-fraction", self.val_fraction),
            ("--test-fraction", self.test_fraction),
        ):
            if not 0 <= value < 1:
                raise UserError(f"{option} {value}: must be at least 0 and less than 1")
        if self.val_fraction + self.test_fraction >= 1:
            raise UserError("--val-fraction and --test-fraction: their sum must leave rows for training")
        if self.min_count < 1:
            raise UserError(f"--min-count {self.min_count}: must be 1 or more")

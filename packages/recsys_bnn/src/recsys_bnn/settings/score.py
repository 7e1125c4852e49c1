"""Settings of `score`. Imports nothing heavy, so that ``--help`` is quick."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

import tyro

from seminar_common.errors import UserError


@dataclass(frozen=True)
class ScoreSettings:
    """Turn raw rows into click probabilities with a packed model.

    Rows need no label. Where they have one, ROC AUC and log loss are said at the end.
    """

    format: tyro.conf.Positional[
        Literal["auto", "criteo-kaggle", "criteo-1tb", "avazu", "movielens", "libfm", "table"]
    ] = "auto"
    """Layout of the input, as for `prepare`; `auto` takes the one that the model was trained on."""
    _: KW_ONLY
    model: Path
    """Packed model, as `recsys-bnn pack` writes it."""
    input: tuple[Path, ...]
    """Files of raw rows, patterns in quotes and folders of parts, as for `prepare`; several files are read as one, and
    rows are numbered through."""
    out: str
    """File to make, with the number of each row and its probability: CSV, or Parquet or Arrow if it ends in .parquet or
    .arrow; `-` writes CSV to standard output. A killed run goes on if it is started again in the same way."""
    schema: Path | None = None
    """TOML file that says what the columns are, for table only; by default the one that the model holds."""
    on_error: Literal["fail", "skip"] = "fail"
    """`fail` stops at the first bad row and names it; `skip` leaves its probability empty and counts it."""
    missing_columns: Literal["fail", "fill"] = "fail"
    """`fail` refuses a file without a column that the model reads; `fill` takes its values as missing."""
    workers: int = 0
    """Parts of the input worked on at once, one thread each; 0 takes all cores."""
    threads: int = 1
    """Threads of the model in each of them."""
    engine: str = "auto"
    """Engine that runs the model; `auto` takes the fastest that this machine has."""

    def __post_init__(self) -> None:
        if not self.input:
            raise UserError("--input: give at least one file")
        if len(set(self.input)) < len(self.input):
            twice = next(path for path in self.input if self.input.count(path) > 1)
            raise UserError(f"--input {twice}: given twice; name each file once")
        if self.workers < 0:
            raise UserError(f"--workers {self.workers}: must be 0 (all cores) or more")
        if self.threads < 1:
            raise UserError(f"--threads {self.threads}: must be 1 or more")
        if self.format not in ("auto", "table") and self.schema is not None:
            raise UserError(f"--schema {self.schema}: is for table only; leave it out")

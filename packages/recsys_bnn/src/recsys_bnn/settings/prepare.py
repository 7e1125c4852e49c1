"""Settings of `prepare`. Imports nothing heavy, so that ``--help`` is quick."""

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

SplitKind = Literal["time", "day", "random"]
_USUAL_SPLITS: dict[str, SplitKind] = {"criteo-1tb": "day", "libfm": "random"}
_WITH_DAYS = ("avazu", "criteo-1tb", "synthetic")


@dataclass(frozen=True)
class PrepareConfig:
    """Turn raw click logs into a data set that `train` reads without loading it."""

    format: tyro.conf.Positional[
        Literal["criteo-kaggle", "criteo-1tb", "avazu", "movielens", "libfm", "table", "synthetic"]
    ]
    """Layout of the input; docs/reference/data.md describes each. `synthetic` generates a log and needs none."""
    _: KW_ONLY
    input: tuple[Path, ...] = ()
    """Input files in time order, patterns in quotes, or a folder of parts; several are read as one log. They may be
    compressed; `archive.zip::name` is one file in an archive. synthetic needs none."""
    out: Path
    """Folder to make; it must not exist yet."""
    schema: Path | None = None
    """TOML file that says what the columns are; for table only."""
    genres: Literal["fields", "list"] = "fields"
    """Whether the first three genres of a film are a field each, or all of them one field of lists, whose rows of the
    table are averaged; for movielens only."""
    rows: int | None = None
    """Number of rows to generate; for synthetic only."""
    tail: Literal["light", "heavy"] = "light"
    """Whether the rare values of generated rows tell little of the clicks, or as much as frequent ones; for synthetic
    only."""
    name: str = ""
    """Name of the data set in results; by default the format's, with the number of rows, e.g. `criteo-10k`."""
    split: Literal["auto", "time", "day", "random"] = "auto"
    """`time` tests on the last rows, `day` on the last day, `random` on any; `auto` is day for criteo-1tb, random for
    libfm, else time."""
    val_fraction: float = 0.1
    """Share of all rows for validation."""
    test_fraction: float = 0.2
    """Share of all rows for the test."""
    on_error: Literal["fail", "skip"] = "fail"
    """`fail` stops at the first bad row and names it; `skip` leaves bad rows out, counts them by reason and lists the
    first thousand in `skipped.csv`."""
    vocabulary: Path | None = None
    """Run of `train`, or folder of `prepare`. Its vocabulary and normalisation encode this log, and none are fitted:
    the same value gets the same id, so that the run's model can be measured on these rows (`evaluate --data`). A value
    that the vocabulary lacks gets the out-of-vocabulary id."""
    min_count: int = 2
    """Values seen fewer times in the training rows share one out-of-vocabulary id per field."""
    hash_buckets: int | None = None
    """Fields that would have ids for more values than this are hashed to as many ids instead."""
    seed: int = 0
    """Seed of a random split and of generated rows."""
    work: WorkConfig = field(default_factory=WorkConfig)

    def __post_init__(self) -> None:
        self._check_input()
        self._check_split()
        if self.min_count < 1:
            raise UserError(f"--min-count {self.min_count}: must be 1 or more")
        if self.hash_buckets is not None and self.hash_buckets < 1:
            raise UserError(f"--hash-buckets {self.hash_buckets}: must be 1 or more")
        fitting = (PrepareConfig.min_count, PrepareConfig.hash_buckets)
        if self.vocabulary is not None and (self.min_count, self.hash_buckets) != fitting:
            raise UserError("--min-count, --hash-buckets: --vocabulary brings its own; leave them out")

    @property
    def chosen_split(self) -> SplitKind:
        """The kind of split, with ``auto`` replaced by what it stands for."""
        return _USUAL_SPLITS.get(self.format, "time") if self.split == "auto" else self.split

    def _check_input(self) -> None:
        generated = self.format == "synthetic"
        if generated and self.input:
            raise UserError(f"--input {self.input[0]}: synthetic generates its rows; leave --input out")
        if not generated and not self.input:
            raise UserError("--input: give at least one file")
        if generated and (self.rows is None or self.rows < 1):
            raise UserError("--rows: give the number of rows to generate, 1 or more")
        if not generated and self.rows is not None:
            raise UserError(f"--rows {self.rows}: is for synthetic only; leave it out")
        if not generated and self.tail != "light":
            raise UserError(f"--tail {self.tail}: is for synthetic only; leave it out")
        if self.format != "movielens" and self.genres != "fields":
            raise UserError(f"--genres {self.genres}: is for movielens only; leave it out")
        if self.format == "table" and self.schema is None:
            raise UserError(
                "--schema: give the TOML file that says what the columns are (see docs/reference/data.md)"
            )
        if self.format != "table" and self.schema is not None:
            raise UserError(f"--schema {self.schema}: is for table only; leave it out")
        if len(set(self.input)) < len(self.input):
            twice = next(path for path in self.input if self.input.count(path) > 1)
            raise UserError(f"--input {twice}: given twice; name each file once")

    def _check_split(self) -> None:
        for option, value in (
            ("--val-fraction", self.val_fraction),
            ("--test-fraction", self.test_fraction),
        ):
            if not 0 <= value < 1:
                raise UserError(f"{option} {value}: must be at least 0 and less than 1")
        if self.val_fraction + self.test_fraction >= 1:
            raise UserError("--val-fraction and --test-fraction: their sum must leave rows for training")
        if self.split == "day" and self.format not in _WITH_DAYS:
            raise UserError(f"--split day: the days of {self.format} are not known; use --split time")
        fractions = (PrepareConfig.val_fraction, PrepareConfig.test_fraction)
        if self.chosen_split == "day" and (self.val_fraction, self.test_fraction) != fractions:
            raise UserError(
                "--val-fraction, --test-fraction: a split by day takes whole days; give --split time as well"
            )

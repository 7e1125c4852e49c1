"""Settings of `pack`. Imports nothing heavy, so that ``--help`` is quick."""

from dataclasses import dataclass
from pathlib import Path

from seminar_common.errors import UserError


@dataclass(frozen=True)
class PackSettings:
    """Turn a trained run into one file that scores raw rows without PyTorch.

    The file holds the model in its true bits, the vocabulary and the normalisation. Before it is written, its scores are
    compared with those of the run.
    """

    run: Path
    """Run folder that `train` wrote."""
    out: Path
    """File to make, such as model.safetensors; a model card is written beside it, with the suffix .md."""
    data: Path | None = None
    """Prepared folder with the vocabulary that the model was trained on; by default the run's own data."""
    check_rows: int = 100_000
    """Rows whose scores are compared, test rows first; 0 compares none."""

    def __post_init__(self) -> None:
        if self.check_rows < 0:
            raise UserError(f"--check-rows {self.check_rows}: must be 0 or more")
        if self.out.suffix == ".md":
            raise UserError(f"--out {self.out}: .md is the model card; name the file otherwise")

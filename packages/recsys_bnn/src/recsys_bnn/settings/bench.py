"""What `bench` times. Imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError

BenchPart = Literal["prepare", "training-step", "scaling"]


@dataclass(frozen=True)
class BenchSettings:
    """Time `prepare` and a training step, each beside the alternative it stands against."""

    out: Path
    """Folder to make, with results.json and report.html."""
    parts: tuple[BenchPart, ...] = ("prepare", "training-step")
    """What to time; training-step needs recsys-bnn[bitorch]. scaling computes sizes for Criteo 1TB and checks them on
    smaller tables."""
    peer: Path | None = None
    """Clone of facebookresearch/dlrm, whose data script prepares the same rows (about 2 minutes for a million)."""
    rows: int = 1_000_000
    """Rows of the generated log that is prepared."""
    table_rows: int = 1_000_000
    """Rows of each of the 26 tables. BITorch's model and its optimizer need about 8 GB for a million."""
    batch_size: int = 2048
    """Rows of a step."""
    repeats: int = 5
    """Timed steps of each model, which take turns, and readings of the log by `prepare`; the median counts."""
    seed: int = 0
    """Seed of the rows and weights."""
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        if min(self.table_rows, self.repeats) < 1 or self.batch_size < 2:
            raise UserError("--table-rows and --repeats must be 1 or more and --batch-size 2 or more")
        if self.rows < 1000:
            raise UserError(f"--rows {self.rows}: must be 1000 or more")

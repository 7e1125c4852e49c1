"""What `bench` times. Imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recsys_bnn.settings.serve import ServeLoad
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError

BenchPart = Literal["prepare", "training-step", "scaling", "inference", "score", "serve"]
Mlps = Literal["medium", "reference"]
Draw = Literal["zipf", "uniform"]


@dataclass(frozen=True)
class InferenceConfig:
    """How the part `inference` scores, by each model and each rival."""

    study: tuple[Path, ...] = ()
    """Folders of `study` or `train`: their models are packed and timed in place of random ones, so that speed and AUC
    belong to one checkpoint. One of them must be float."""
    mlps: tuple[Mlps, ...] = ("medium", "reference")
    """MLPs of the random models: those of `--preset medium`, and the reference's own."""
    small_table_rows: int = 10_000
    """Rows of each of the 26 tables that fit in a cache; --table-rows says how many those have that do not."""
    ids: tuple[Draw, ...] = ("zipf", "uniform")
    """How ids are drawn from large tables: a few ids most of the time, as in click logs, or all alike."""
    batches: tuple[int, ...] = (1, 128, 2048)
    """Rows that one call scores."""
    thread_counts: tuple[int, ...] = (1, 2)
    """Threads that each model may use."""
    seconds: float = 0.4
    """Time of each model at each point, in turns with the others."""
    subjects: tuple[str, ...] = ()
    """Models and rivals to time, as MODEL@ENGINE; all of them if left out."""

    def __post_init__(self) -> None:
        if not self.batches or not self.thread_counts or min(*self.batches, *self.thread_counts) < 1:
            raise UserError("--batches and --thread-counts: give at least one of each, 1 or more")
        if self.seconds <= 0 or self.small_table_rows < 1:
            raise UserError("--seconds must be above 0 and --small-table-rows 1 or more")


@dataclass(frozen=True)
class BenchSettings:
    """Time `prepare`, a training step, inference and `score`, each beside the alternatives it stands against."""

    out: Path
    """Folder to make, with results.json and report.html."""
    parts: tuple[BenchPart, ...] = ("prepare", "training-step")
    """What to time; training-step needs recsys-bnn[bitorch]. inference scores with packed models, PyTorch and ONNX
    Runtime. score goes from raw rows to scores, with packed models and PyTorch. serve offers requests to a server, and
    needs recsys-bnn[serve]. scaling computes sizes for Criteo 1TB and checks them on smaller tables."""
    peer: Path | None = None
    """Clone of facebookresearch/dlrm, whose data script prepares the same rows (about 2 minutes for a million)."""
    rows: int = 1_000_000
    """Rows of the generated log that is prepared, or scored."""
    table_rows: int = 1_000_000
    """Rows of each of the 26 tables. BITorch's model and its optimizer need about 8 GB for a million."""
    batch_size: int = 2048
    """Rows of a step."""
    repeats: int = 5
    """Timed steps of each model, which take turns, readings of the log by `prepare` and `score`, and turns of
    each model in `inference`; the median counts."""
    seed: int = 0
    """Seed of the rows and weights."""
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    load: ServeLoad = field(default_factory=ServeLoad)
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        if min(self.table_rows, self.repeats) < 1 or self.batch_size < 2:
            raise UserError("--table-rows and --repeats must be 1 or more and --batch-size 2 or more")
        if self.rows < 1000:
            raise UserError(f"--rows {self.rows}: must be 1000 or more")

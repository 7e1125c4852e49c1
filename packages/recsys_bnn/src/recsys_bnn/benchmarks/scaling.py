"""What Criteo's full log asks for, by a formula that is checked against measured memory.

The sizes are MLPerf's DLRM: 26 tables of up to 40 million rows of 128 values, MLPs of 512-256-128 and
1024-1024-512-256 (Mattson et al., "MLPerf Training Benchmark", MLSys 2020; cardinalities of the reference
implementation with hash values modulo 40 million). Such a table does not fit in most machines, so the memory of a row
and the time of a step are measured on tables of two smaller sizes: memory must grow by the formula's bytes a row, and
a step's time tells how far it depends on the tables.
"""

from collections.abc import Iterator
from statistics import median
from time import process_time
from typing import Any

import torch
from torch.nn import functional as F

from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.settings.bench import BenchSettings
from recsys_bnn.settings.training import ModelConfig, OptimizationConfig
from recsys_bnn.train import make_optimizers
from seminar_common import fresh_process, seeds
from seminar_common.errors import UserError
from seminar_common.results import Row

# fmt: off
CARDINALITIES = (
    39884406, 39043, 17289, 7420, 20263, 3, 7120, 1543, 63, 38532951, 2953546, 403346, 10, 2208, 11938, 155, 4, 976,
    14, 39979771, 25641295, 39664984, 585935, 12972, 108, 36,
)
# fmt: on
DIM, INTEGERS = 128, 13
DATASET = "criteo-1tb"
BITS = (32, 4, 1)
SMALL, LARGE = 50, 5
"""The measured tables have so many times fewer rows than ``BenchSettings.table_rows``."""
_BATCH, _STEPS = 512, 3


def model_config(bits: int) -> ModelConfig:
    """Return MLPerf's sizes with tables and top MLP of ``bits``."""
    return ModelConfig(
        embedding_dim=DIM,
        bottom_mlp=(512, 256),
        top_mlp=(1024, 1024, 512, 256),
        embedding_bits=bits,  # ty: ignore[invalid-argument-type]
        mlp_bits=bits,  # ty: ignore[invalid-argument-type]
    )


def row_bytes(bits: int, optimizer: str | None = None) -> float:
    """Return the bytes of a table row: as stored for use, or while it learns with an optimizer.

    While learning, a row has float32 values whatever its bits, and the optimizer's state: one number a row for
    row-wise Adagrad, two a value for Adam.
    """
    if optimizer is None:
        return DIM * bits / 8
    return 4 * DIM + {"rowwise-adagrad": 4, "adam": 8 * DIM}[optimizer]


def scaling(settings: BenchSettings) -> Iterator[Row]:
    """Yield the computed sizes for Criteo 1TB, and what was measured on smaller tables beside its prediction.

    Raises:
        UserError: too few table rows for two sizes.
    """
    if settings.table_rows < SMALL:
        raise UserError(f"--table-rows {settings.table_rows}: scaling needs {SMALL} or more")
    rows = sum(CARDINALITIES)
    for bits in BITS:
        for metric, each in (
            ("table_gb", row_bytes(bits)),
            ("training_gb_rowwise_adagrad", row_bytes(bits, "rowwise-adagrad")),
            ("training_gb_adam", row_bytes(bits, "adam")),
        ):
            yield Row(f"{bits}-bit", DATASET, "", metric, rows * each / 1e9, unit="GB", bits=bits, n=rows)
    for bits in BITS:
        yield from measured(bits, settings)


def measured(bits: int, settings: BenchSettings) -> Iterator[Row]:
    """Yield the time of a step and the bytes of a row, measured on tables of two sizes, each in a fresh process."""
    memory, sizes = [], [settings.table_rows // SMALL, settings.table_rows // LARGE]
    for rows in sizes:
        arguments = {"bits": bits, "rows": rows, "seed": settings.seed}
        call = fresh_process.call(f"{__name__}:step_milliseconds", arguments)
        memory.append(call.peak_rss_mb)
        facts: dict[str, Any] = {
            "bits": bits,
            "batch": _BATCH,
            "threads": 1,
            "subset": f"{rows} rows a table",
        }
        yield Row(f"{bits}-bit", "generated", "", "train_step_ms", call.result, unit="ms", n=_STEPS, **facts)
    grown = 1e6 * (memory[1] - memory[0]) / (len(CARDINALITIES) * (sizes[1] - sizes[0]))
    for metric, value in (
        ("bytes_per_row", grown),
        ("computed_bytes_per_row", row_bytes(bits, "rowwise-adagrad")),
    ):
        yield Row(f"{bits}-bit", "generated", "", metric, value, unit="B", bits=bits)


def step_milliseconds(bits: int, rows: int, seed: int) -> float:
    """Return the median processor time of a training step on tables of so many ``rows``, in milliseconds."""
    model = DLRM(model_config(bits), INTEGERS, [rows] * len(CARDINALITIES))
    generator = seeds.torch_generator(seed, "scaling")
    model.reset_parameters(generator)
    optimizers = make_optimizers(
        model, OptimizationConfig(batch_size=_BATCH, embedding_optimizer="rowwise-adagrad")
    )
    times = []
    for _ in range(1 + _STEPS):
        integers = torch.randn(_BATCH, INTEGERS, generator=generator)
        ids = torch.randint(rows, (_BATCH, len(CARDINALITIES)), generator=generator)
        labels = torch.rand(_BATCH, generator=generator).round()
        started = process_time()
        F.binary_cross_entropy_with_logits(model(integers, ids), labels).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        times.append(1e3 * (process_time() - started))
    return median(times[1:])

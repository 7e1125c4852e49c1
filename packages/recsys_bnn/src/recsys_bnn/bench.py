"""Speed against the best alternatives, each in one run with them.

A training step stands beside that of BITorch's own example model, `prepare` beside the reference DLRM's data script
(:mod:`recsys_bnn.benchmarks.prepare`). :mod:`recsys_bnn.benchmarks.scaling` computes what Criteo's full log asks for.
"""

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recsys_bnn.benchmarks.inference import Inference
from recsys_bnn.benchmarks.prepare import prepare_speed
from recsys_bnn.benchmarks.scaling import scaling
from recsys_bnn.benchmarks.score import score_speed
from recsys_bnn.benchmarks.serve import serve_speed
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.settings.bench import BenchSettings
from recsys_bnn.settings.training import ModelConfig, OptimizationConfig
from recsys_bnn.train import make_optimizers
from seminar_common import files, runs, seeds
from seminar_common.device import choose
from seminar_common.errors import UserError
from seminar_common.progress import progress
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row

INTEGERS, FIELDS = 13, 26
DATASET = "generated"
PEER = "bitorch-example"
"""BITorch's own model, with its embedding layers and dense Adam, where ``bitorch-binary`` is its layers in ours."""

Step = Callable[[], None]


def bench(settings: BenchSettings) -> Results:
    """Time the chosen parts; publish the figures in the folder, those that there are if it is interrupted.

    Raises:
        UserError: the folder exists, or BITorch or the folder of the peer is missing.
    """
    files.refuse_existing(settings.out)
    threads = choose(settings.device).threads
    torch.set_num_threads(threads)
    inference = Inference(settings)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "prepare": lambda: prepare_speed(settings),
        "training-step": lambda: training_step(settings, threads),
        "inference": inference.rows,
        "score": lambda: score_speed(settings),
        "serve": lambda: serve_speed(
            settings.load, settings.inference.mlps, settings.inference.small_table_rows, settings.seed
        ),
        "scaling": lambda: scaling(settings),
    }
    rows: list[Row] = []
    try:
        for name, part in parts.items():
            if name in settings.parts:
                rows.extend(part())
    except BaseException as stop:
        if rows and not isinstance(stop, Exception):
            inference.notes.append("Interrupted: figures are missing.")
            _publish(settings, inference, rows, threads)
        raise
    return _publish(settings, inference, rows, threads)


def _publish(settings: BenchSettings, inference: Inference, rows: list[Row], threads: int) -> Results:
    results = Results(runs.command_line(), tuple(rows), notes=tuple(inference.notes))
    timed = "inference" in settings.parts
    facts = runs.environment(threads, **(inference.facts if timed else {}))
    section = Section("benchmark", results, None, facts, inference.figures(rows) if timed else ())
    shown = inference.shown() if settings.parts == ("inference",) else None
    return publish(settings.out, "Benchmark", section, shown=shown)


def training_step(settings: BenchSettings, threads: int) -> Iterator[Row]:
    """Yield the median milliseconds of a step of each model, and the ratios.

    Ours take turns, so that what else the machine does falls on both alike; the peer, which needs their memory, follows.
    """
    batch = _batch(settings)
    binary = ModelConfig(embedding_bits=1, mlp_bits=1)
    ours: dict[str, Callable[[], Step]] = {
        "float": lambda: _our_step(ModelConfig(), settings, batch),
        "binary": lambda: _our_step(binary, settings, batch),
    }
    times = _times(ours, settings.repeats)
    times |= _times({PEER: lambda: _peer_step(settings, batch)}, settings.repeats)
    facts: dict[str, Any] = {"batch": settings.batch_size, "threads": threads, "n": settings.repeats}
    for name, milliseconds in times.items():
        yield Row(name, DATASET, "", "train_step_ms", milliseconds, unit="ms", **facts)
    for name, baseline in (("binary", "float"), (PEER, "binary")):
        ratio = times[name] / times[baseline]
        yield Row(name, DATASET, "", "train_step_ratio", ratio, baseline=baseline, **facts)


def _times(makers: dict[str, Callable[[], Step]], repeats: int) -> dict[str, float]:
    steps = {name: make() for name, make in makers.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    with progress("timing training steps", (1 + repeats) * len(steps)) as advance:
        for round_ in range(1 + repeats):
            for name, step in steps.items():
                started = perf_counter()
                step()
                if round_:  # the first one allocates the optimizers' state
                    times[name].append(1e3 * (perf_counter() - started))
                advance(1, name)
    return {name: median(each) for name, each in times.items()}


def _batch(settings: BenchSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Return integers [B, 13], ids [B, 26] spread over the logarithm of the rank, as under Zipf's law, and clicks [B]."""
    generator, size = seeds.torch_generator(settings.seed, "bench"), settings.batch_size
    spread = torch.rand(size, FIELDS, generator=generator, dtype=torch.float64)
    ids = (settings.table_rows**spread).long() - 1
    return (
        torch.randn(size, INTEGERS, generator=generator),
        ids,
        torch.rand(size, generator=generator).round(),
    )


def _our_step(config: ModelConfig, settings: BenchSettings, batch: tuple[Tensor, Tensor, Tensor]) -> Step:
    model = DLRM(config, INTEGERS, [settings.table_rows] * FIELDS)
    model.reset_parameters(seeds.torch_generator(settings.seed, "weights"))
    optimizers = make_optimizers(model, OptimizationConfig(batch_size=settings.batch_size))
    integers, ids, labels = batch

    def step() -> None:
        F.binary_cross_entropy_with_logits(model(integers, ids), labels).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    return step


def _peer_step(settings: BenchSettings, batch: tuple[Tensor, Tensor, Tensor]) -> Step:
    try:
        from bitorch.models.dlrm import DLRM as BitorchDLRM
    except ImportError as error:
        raise UserError(
            f"BITorch can't be imported ({error}); pip install 'recsys-bnn[bitorch]' to compare with it"
        ) from error
    sizes = ModelConfig()
    model = BitorchDLRM(
        INTEGERS,
        [settings.table_rows] * FIELDS,
        bottom_mlp_layer_sizes=[*sizes.bottom_mlp],
        top_mlp_layer_sizes=[*sizes.top_mlp, 1],
        embedding_dimension=sizes.embedding_dim,
    )
    optimizer = torch.optim.Adam(model.parameters())
    integers, ids, labels = batch
    bags = (list(ids.T.contiguous()), [torch.arange(len(ids))] * FIELDS)

    def step() -> None:
        F.binary_cross_entropy(model(integers, bags).flatten(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step

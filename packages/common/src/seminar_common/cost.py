"""What a model costs: bits, multiply-adds, latency and memory."""

import re
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layer:
    """An operation of a model, as far as its cost goes."""

    name: str
    multiply_adds: int
    """Multiply-adds for one sample."""
    weight_bits: int = 32
    """Bits of the weights; of the second operand where there are none, as in a dot interaction."""
    activation_bits: int = 32
    """Bits of the input."""

    def __post_init__(self) -> None:
        if self.multiply_adds < 0 or self.weight_bits < 1 or self.activation_bits < 1:
            raise ValueError(
                f"{self.name}: multiply-adds can't be negative and bits must be at least 1: {self}"
            )


def mflops_per_sample(layers: Iterable[Layer]) -> float:
    """Return millions of floating-point operations for one sample.

    A multiply-add counts once, times bits/32 with the wider operand's bits: only an operation whose two
    operands are both narrow is cheaper. That is the convention of BITorch's DLRM example.
    """
    return sum(x.multiply_adds * max(x.weight_bits, x.activation_bits) for x in layers) / 32 / 1e6


@dataclass(frozen=True)
class TensorSize:
    """The stored size of one tensor."""

    name: str
    values: int
    """Number of values."""
    bits: int
    """Bits that a value needs in storage."""

    def __post_init__(self) -> None:
        if self.values < 0 or self.bits < 1:
            raise ValueError(f"{self.name}: values can't be negative and bits must be at least 1: {self}")


def size_mb(tensors: Iterable[TensorSize]) -> float:
    """Return the size of all ``tensors`` packed without gaps, in MB of 10^6 bytes."""
    return sum(tensor.values * tensor.bits for tensor in tensors) / 8 / 1e6


@dataclass(frozen=True)
class Latency:
    """Wall-clock time of repeated calls, one after the other."""

    p50_us: float
    """Median, in microseconds."""
    p99_us: float
    """99th percentile, in microseconds."""
    throughput_per_s: float
    """Calls a second over all repeats; multiply by the batch for samples."""
    repeats: int
    """Timed calls."""
    threads: int
    """Threads that torch might use within a call."""


def measure_latency(
    call: Callable[[], Any], *, warmup: int = 10, repeats: int = 100, threads: int = 1
) -> Latency:
    """Time ``call`` on its own, in this process.

    Args:
        call: what to time. On a GPU it must wait for its result itself.
        warmup: calls before the clock starts (caches, lazy initialisation, compilation).
        repeats: timed calls. A 99th percentile means something from a few hundred on.
        threads: torch's intra-op thread count, restored afterwards. Libraries with pools of their own
            have to be set to it by the caller.

    Raises:
        ValueError: ``repeats`` or ``threads`` below 1, or ``warmup`` below 0.
    """
    if repeats < 1 or threads < 1 or warmup < 0:
        raise ValueError(f"need repeats >= 1, threads >= 1, warmup >= 0; got {repeats}, {threads}, {warmup}")
    with _torch_threads(threads):
        for _ in range(warmup):
            call()
        nanoseconds = np.array([_time_ns(call) for _ in range(repeats)])
    p50, p99 = np.percentile(nanoseconds, [50, 99]) / 1e3
    return Latency(float(p50), float(p99), float(1e9 / nanoseconds.mean()), repeats, threads)


@contextmanager
def _torch_threads(threads: int) -> Generator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _time_ns(call: Callable[[], Any]) -> int:
    start = perf_counter_ns()
    call()
    return perf_counter_ns() - start


def peak_rss_mb() -> float:
    """Return the most memory that this process has held at once, in MB of 10^6 bytes.

    It never falls: to measure one job, run it in a fresh process and ask that process at its end. Linux's
    own getrusage would not do, for its figure survives exec: a small process started by a large one
    reports the large one's memory. So it is read from the kernel's high-water mark, which does not.
    """
    status = Path("/proc/self/status")
    if status.exists() and (mark := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(mark[1]) * 1024 / 1e6
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6

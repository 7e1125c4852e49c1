"""What all benchmarks share: how a figure becomes a row, and a clock."""

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import torch

from seminar_common.results import Row

DATASET = "synthetic"
T = TypeVar("T")


def row(model: str, metric: str, value: float, unit: str = "", **more: Any) -> Row:
    """Return a row of the benchmarks' table; ``more`` are fields of :class:`seminar_common.results.Row`."""
    return Row(model, DATASET, "", metric, value, unit=unit, threads=torch.get_num_threads(), **more)


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that ``call`` takes, and its value."""
    start = perf_counter()
    value = call()
    return perf_counter() - start, value

"""What the machine has and can do: its card, the bytes it moves and the multiply-adds it makes in a second."""

import os
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from recsys_bnn.runtime.engines import choose
from recsys_bnn.runtime.random_spec import Shape, random_spec
from recsys_bnn.runtime.spec import CodeInput, Codes, LayerSpec, ModelSpec, SignInput
from seminar_common.runs import processor_name

_X86: Mapping[str, str] = {
    "avx2": "AVX2",
    "fma": "FMA",
    "popcnt": "POPCNT",
    "avx512f": "AVX-512",
    "avx512_vpopcntdq": "AVX-512 VPOPCNTDQ",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX int8",
}
_ARM: Mapping[str, str] = {
    "asimd": "NEON",
    "asimddp": "NEON dot products",
    "i8mm": "NEON int8 matrix products",
}
SETS = _X86 if platform.machine() in ("x86_64", "AMD64") else _ARM
"""Instruction sets that matter here, by the flag of ``/proc/cpuinfo``."""
LINE = 64
"""Bytes that memory moves at least."""
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_SECONDS = 0.2


def card() -> dict[str, Any]:
    """Return the processor, its caches, its instruction sets and those it lacks, and how busy the machine is."""
    flags = _flags()
    return {
        "processor": processor_name(),
        "caches": _caches(),
        "instruction_sets": [name for flag, name in SETS.items() if flag in flags],
        "instruction_sets_absent": [name for flag, name in SETS.items() if flag not in flags],
        "load_average": os.getloadavg()[0],
    }


def _flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(_CACHES.glob("index*")):
        level, kind, size = (_text(index / name) for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def available_bytes() -> int:
    """Return the memory that is free, as the kernel estimates it; very much where the system doesn't say."""
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 1 << 62


def last_cache_bytes() -> int:
    """Return the size of the largest cache, 32 MiB where the system doesn't say."""
    sizes = [text for text in _caches().values() if text[:-1].isdecimal()]
    units = {"K": 1 << 10, "M": 1 << 20}
    return max((int(text[:-1]) * units.get(text[-1], 1) for text in sizes), default=32 << 20)


def bandwidth(size: int, threads: int) -> float:
    """Return the bytes a second, read and written, at which NumPy copies parts of ``size`` bytes in all."""
    part = max(1 << 16, size // (2 * threads))
    pairs = [(np.zeros(part, np.uint8), np.zeros(part, np.uint8)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        moved = list(pool.map(lambda pair: _copy_rate(*pair), pairs))
    return sum(moved)


def _copy_rate(source: np.ndarray, target: np.ndarray) -> float:
    np.copyto(target, source)
    started, copies = perf_counter(), 0
    while (took := perf_counter() - started) < _SECONDS:
        np.copyto(target, source)
        copies += 1
    return 2 * copies * len(source) / took


@dataclass(frozen=True)
class Demand:
    """What a model needs for one row, whatever runs it."""

    multiply_adds: Mapping[tuple[int, int], int]
    """By the bits of weights and inputs."""
    row_bytes: int
    """Of the table, for all fields, without the rest of the cache lines."""
    line_bytes: int
    """The same in whole cache lines, as memory moves them."""
    weight_bytes: int
    """Of the layers, once a batch."""
    table_bytes: int
    """Of the whole table: where it stands decides the bandwidth."""


def demand(spec: ModelSpec) -> Demand:
    """Return what ``spec`` needs."""
    table, macs = spec.table, {}
    pairs = spec.vectors * (spec.vectors - 1) // 2
    macs[table.cold.bits, table.cold.bits] = pairs * table.dim
    for layer in spec.layers():
        key = (layer.weights.bits, _input_bits(layer))
        macs[key] = macs.get(key, 0) + layer.outputs * layer.weights.count
    row = _row_bytes(table.cold)
    whole = table.cold.data.nbytes + (0 if table.hot is None else table.hot.data.nbytes)
    return Demand(
        macs,
        spec.fields * row,
        spec.fields * -(-row // LINE) * LINE,
        sum(layer.weights.data.nbytes for layer in spec.layers()),
        whole,
    )


def _row_bytes(codes: Codes) -> int:
    return codes.data.shape[1] * codes.data.itemsize


def _input_bits(layer: LayerSpec) -> int:
    if isinstance(layer.inputs, SignInput):
        return 1
    return layer.inputs.bits if isinstance(layer.inputs, CodeInput) else 32


class Limits:
    """The machine's measured peaks, each measured when it is first asked for."""

    def __init__(self) -> None:
        self._peaks: dict[tuple[tuple[int, int], int], float] = {}
        self._bandwidths: dict[tuple[int, int], float] = {}

    def peak(self, bits: tuple[int, int], threads: int) -> float:
        """Return multiply-adds a second of our own kernel for ``bits`` of weights and inputs in a wide layer."""
        key = (bits, threads)
        if key not in self._peaks:
            self._peaks[key] = _peak(bits, threads)
        return self._peaks[key]

    def bandwidth(self, size: int, threads: int) -> float:
        """Return bytes a second of memory that holds ``size`` bytes: of a cache, or beyond the last one."""
        key = (min(1 << (max(size, 1) - 1).bit_length(), 8 * last_cache_bytes()), threads)
        if key not in self._bandwidths:
            self._bandwidths[key] = bandwidth(*key)
        return self._bandwidths[key]

    def least_us(self, need: Demand, batch: int, threads: int) -> tuple[float, str]:
        """Return the microseconds below which no engine can score a batch here, and which bound says so."""
        arithmetic = sum(macs / self.peak(bits, threads) for bits, macs in need.multiply_adds.items()) * batch
        outside = need.table_bytes > last_cache_bytes()
        moved = batch * (need.line_bytes if outside else need.row_bytes) + need.weight_bytes
        memory = moved / self.bandwidth(need.table_bytes, threads)
        return 1e6 * max(arithmetic, memory), "memory" if memory > arithmetic else "arithmetic"


_WIDE, _ROWS = 1024, 2048


def _peak(bits: tuple[int, int], threads: int) -> float:
    shape = Shape(integers=0, cardinalities=[2, 2], top=(_WIDE, _WIDE), top_bits=bits)
    spec = random_spec(shape, np.random.default_rng(0))
    engine, ids = choose(spec, threads), np.zeros((_ROWS, 2), np.int32)
    integers, best = np.zeros((_ROWS, 0), np.float32), float("inf")
    started = perf_counter()
    while perf_counter() - started < _SECONDS or best == float("inf"):
        before = perf_counter()
        engine.logits(integers, ids)
        best = min(best, perf_counter() - before)
    return _ROWS * sum(layer.outputs * layer.weights.count for layer in spec.layers()) / best

"""Which kernels give exact sums on this machine, found out in a process of its own, and how fast they are."""

import contextlib
import ctypes
import functools
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from recsys_bnn.compiled.build import Built, Program, build, load, load_brief
from recsys_bnn.runtime.native.kernels import (
    INTERACTIONS,
    KERNELS,
    REFERENCES,
    Prepared,
    candidates,
    prepare,
    structure,
    way,
)
from recsys_bnn.runtime.native.structures import CLASSES, SIZES, Arrays
from recsys_bnn.runtime.random_spec import Shape, random_spec
from recsys_bnn.runtime.spec import LayerSpec
from seminar_common import files, fresh_process
from seminar_common.errors import UserError

ENGINE = Program(Path(__file__).parent / "src", "engine.c")
_INTERACTION_BIT = 16
_SECONDS = 120.0
NOT_COMPILED = "this processor, compiler or system lacks it"


class Library:
    """The loaded engine and what may be used of it.

    Args:
        built: The compiled library.
        check: Whether kernels are tried in a process of their own first; a probe itself does not.
    """

    def __init__(self, built: Built, check: bool = True):
        self.built, self.calls = built, load(built)
        _declare(self.calls)
        sizes = (ctypes.c_int64 * len(SIZES))()
        self.calls.rb_sizes(sizes)
        if list(sizes) != SIZES:
            raise AssertionError(f"structures of {list(sizes)} bytes in C, of {SIZES} here")
        self.has_amx = bool(self.calls.rb_start())
        self.compiled = self.calls.rb_compiled()
        self.direct = _trust_arrays(self.calls)
        """Whether the engine reads NumPy's arrays itself."""
        self.brief = load_brief(built)
        """The same calls without letting other Python threads run: for those that take microseconds."""
        _declare(self.brief)
        self.reasons = self._reasons() if check else {}
        """Why a kernel is not used, by its name; empty for one that is."""

    def can(self, kernel: str) -> bool:
        """Say whether a kernel was compiled in and may be tried here."""
        found = bool(self.compiled >> KERNELS.index(kernel) & 1)
        return found and (kernel != "int8 AMX" or self.has_amx)

    def usable(self, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` that run here and are exact."""
        return [name for name in names if self.can(name) and not self.reasons.get(name)]

    def interactions(self, names: Iterable[str]) -> list[str]:
        """Return those of the interactions ``names`` that were compiled in."""
        return [name for name in names if self.compiled >> (_INTERACTION_BIT + INTERACTIONS.index(name)) & 1]

    def _reasons(self) -> dict[str, str]:
        stored = self.built.beside("probe.json")
        if stored.is_file():
            return files.read_json(stored)
        names = [name for name in KERNELS if self.can(name) and name not in REFERENCES]
        reasons = _probe_all(self.built, names)
        if all(map(_lasts, reasons.values())):
            _remember(stored, reasons)
        return reasons


def _lasts(reason: str) -> bool:
    """Say whether a kernel would fail again: a crash or a wrong sum, not a lack of time or memory."""
    return not reason or any(
        mark in reason for mark in ("wrong sums", "SIGILL", "SIGSEGV", "SIGBUS", "SIGFPE")
    )


def _remember(path: Path, facts: object) -> None:
    """Write facts beside the library; without room for them they are found out again next time."""
    with contextlib.suppress(OSError, UserError):
        files.write_json(path, facts)


@functools.cache
def library(march: str | None = None) -> Library:
    """Return the engine for this machine, or for the level ``march``; compiled and probed once.

    Raises:
        EngineUnavailable: it can't be compiled or loaded here.
    """
    return Library(build(ENGINE, march))


def _trust_arrays(calls: ctypes.CDLL) -> bool:
    """Show the engine an array; return whether it finds all where it expects it, as it does in CPython with its lock."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    sample = np.zeros((2, 3), np.float32)
    known = (sample, np.ndarray, sample.dtype, np.dtype(np.int32))
    places = [id(thing) for thing in known]
    return bool(calls.rb_trust(places[0], sample.ctypes.data, *places[1:]))


def _declare(calls: ctypes.CDLL) -> None:
    pointer, int64, int32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    for name, result, *arguments in (
        ("rb_sizes", None, pointer),
        ("rb_compiled", ctypes.c_uint64),
        ("rb_start", ctypes.c_int),
        ("rb_open", None, pointer),
        ("rb_close", None, pointer),
        ("rb_run", ctypes.c_int, pointer, pointer, pointer, pointer, int64),
        ("rb_trust", ctypes.c_int, pointer, pointer, pointer, pointer, pointer),
        ("rb_call", ctypes.c_int, pointer, pointer, pointer, pointer),
        ("rb_time", int64, pointer, pointer, pointer, pointer, int64, int64, int64, int64, pointer),
        ("rb_layer", int64, pointer, int32, pointer, int64, int64, int64, pointer),
        ("rb_interact", int64, pointer, pointer, pointer, int64, int64, int32, pointer),
    ):
        call = getattr(calls, name)
        call.restype, call.argtypes = result, arguments


# ------------------------------------------------------------------------------------------------------- exactness


def _probe_all(built: Built, names: list[str]) -> dict[str, str]:
    """Return for each kernel why it can't be used, or nothing. All share a process unless that crashes."""
    if not names:
        return {}
    try:
        return _call(built, names)
    except UserError:
        return {name: _probe_one(built, name) for name in names}


def _probe_one(built: Built, name: str) -> str:
    try:
        return _call(built, [name])[name]
    except UserError as error:
        return str(error)


def _call(built: Built, names: list[str]) -> dict[str, str]:
    arguments = {"path": built.path, "compiler": built.compiler, "level": built.level, "names": names}
    return fresh_process.call(f"{__name__}:try_kernels", arguments, timeout_s=_SECONDS).result


def try_kernels(path: str, compiler: str, level: str, names: list[str]) -> dict[str, str]:
    """Return for each kernel nothing if its sums are those of plain loops, else what was wrong."""
    found = Library(Built(Path(path), compiler, level), check=False)
    rng = np.random.default_rng(0)
    layers = [prepare(layer) for shape in _SHAPES for layer in random_spec(shape, rng).top]
    return {name: _wrong(found, layers, name, rng) for name in names}


_SHAPES = [
    Shape(
        integers=0, cardinalities=[3] * fields, top=top, top_bits=bits, thresholds=thresholds, symmetric=odd
    )
    for fields, top in ((4, (40,)), (14, (70, 33)))
    for bits, thresholds, odd in (
        ((1, 1), 1, False),
        ((1, 1), 3, False),
        ((1, 4), 1, False),
        ((1, 4), 1, True),
        ((4, 4), 1, False),
        ((8, 8), 1, False),
        ((8, 8), 1, True),
    )
]


def _wrong(found: Library, layers: list[Prepared], name: str, rng: np.random.Generator) -> str:
    tried = 0
    for layer in layers:
        if name not in candidates(layer):
            continue
        for rows in (1, 7, 35):
            x = (2 * rng.standard_normal((rows, layer.spec.values))).astype(np.float32)
            if not np.array_equal(run_layer(found, layer, name, x), run_layer(found, layer, "int8 loops", x)):
                return f"wrong sums for {rows} rows of {layer.describe()}"
            tried += 1
    return "" if tried else "no layer tried it"


def run_layer(found: Library, layer: Prepared, kernel: str, x: np.ndarray) -> np.ndarray:
    """Return the outputs [B, N] of one layer by one kernel."""
    out = np.empty((len(x), layer.padded), np.float32)
    _layer_runner(found, layer, kernel, x, out)(1)
    return out[:, : layer.outputs]


def _layer_runner(
    found: Library, layer: Prepared, kernel: str, x: np.ndarray, out: np.ndarray
) -> Callable[[int], int]:
    """Return what runs a layer a number of times and returns nanoseconds."""
    arrays = Arrays()
    made = structure(layer, [way(layer, kernel, arrays)] * len(CLASSES), arrays)
    x = np.pad(x, ((0, 1), (0, 48)))  # the engine reads beyond a row
    arrays.keep(x)

    def run(repeat: int, kept: Arrays = arrays) -> int:
        return found.calls.rb_layer(
            ctypes.addressof(made), 0, x.ctypes.data, x.shape[1], len(out), repeat, out.ctypes.data
        )

    return run


# ------------------------------------------------------------------------------------------------------------ speed

_ROWS = (1, 6, 48)
"""Rows to time for each of ``CLASSES``."""
_TRIALS = 5
_TRIAL_NS = 60_000


def nanoseconds(found: Library, layer: Prepared, kernel: str, rows: int) -> float:
    """Return the least time of a layer for ``rows`` rows, in nanoseconds."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, layer.spec.values)).astype(np.float32)
    run = _layer_runner(found, layer, kernel, x, np.empty((rows, layer.padded), np.float32))
    repeat = max(1, _TRIAL_NS // max(run(1), 1))
    return min(run(repeat) for _ in range(_TRIALS)) / repeat


def choose(found: Library, spec: LayerSpec) -> dict[str, dict[str, float]]:
    """Return for each of ``CLASSES`` the nanoseconds of each kernel that can run ``spec``; remembered beside the library."""
    layer = prepare(spec)
    names = found.usable(candidates(layer))
    if len(names) == 1:
        return {rows: {names[0]: 0.0} for rows in CLASSES}
    stored = found.built.beside("choices.json")
    known = files.read_json(stored) if stored.is_file() else {}
    key = f"{layer.describe()}: {', '.join(names)}"
    if key not in known:
        times = {
            class_name: {name: nanoseconds(found, layer, name, rows) for name in names}
            for class_name, rows in zip(CLASSES, _ROWS, strict=True)
        }
        known = {**(files.read_json(stored) if stored.is_file() else {}), key: times}
        _remember(stored, known)
    return known[key]

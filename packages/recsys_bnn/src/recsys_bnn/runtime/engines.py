"""What can run a packed model, and which of them does."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from recsys_bnn.compiled.build import Unavailable as EngineUnavailable
from recsys_bnn.runtime.spec import ModelSpec
from seminar_common.errors import UserError, choices


class Engine(Protocol):
    """Runs one packed model."""

    name: str

    def logits(self, integers: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return the logits, float32 [B].

        Args:
            integers: Normalised integers, float32 [B, I]; NaN for a missing one.
            ids: Ids within each field, int32 [B, C]; C is the number of fields without lists.
        """
        ...


def _numpy(spec: ModelSpec, threads: int) -> Engine:
    from recsys_bnn.runtime.numpy_engine import NumpyEngine

    return NumpyEngine(spec)


def _native(spec: ModelSpec, threads: int) -> Engine:
    from recsys_bnn.runtime.native.engine import NativeEngine

    return NativeEngine(spec, threads)


ENGINES: dict[str, Callable[[ModelSpec, int], Engine]] = {"native": _native, "numpy": _numpy}
"""What makes the engine of a name for a model and a number of threads; the fastest first."""


def choose(spec: ModelSpec, threads: int = 1, engine: str = "auto") -> Engine:
    """Return the first engine that can run here, or the one of a name.

    Args:
        spec: The model.
        threads: Threads of a call.
        engine: A name in ``ENGINES``, or ``auto``.

    Raises:
        UserError: there is no such engine, or it can't run here.
    """
    if engine == "auto":
        return _first(spec, threads)
    if engine not in ENGINES:
        raise UserError(f"no engine {engine!r}; choose {choices(['auto', *ENGINES])}")
    try:
        return ENGINES[engine](spec, threads)
    except EngineUnavailable as error:
        raise UserError(f"engine {engine}: {error}; --engine auto takes one that runs here") from error


def _first(spec: ModelSpec, threads: int) -> Engine:
    for make in ENGINES.values():
        try:
            return make(spec, threads)
        except EngineUnavailable:
            continue
    raise AssertionError("NumPy runs everywhere")

"""What runs packed models on this machine, and why."""

from dataclasses import dataclass

import numpy as np

from recsys_bnn.runtime.engines import EngineUnavailable
from recsys_bnn.runtime.native import probe
from recsys_bnn.runtime.native.kernels import KERNELS, REFERENCES
from recsys_bnn.runtime.native.structures import CLASSES
from recsys_bnn.runtime.random_spec import Shape, random_spec
from recsys_bnn.runtime.spec import LayerSpec

_TYPICAL = {"8-bit": (8, 8), "binary-a4": (1, 4), "binary": (1, 1)}
"""Weights and inputs of the layers that are measured for an answer."""
_SIZES = (512, 256)


@dataclass(frozen=True)
class Line:
    """One line of an answer."""

    name: str
    state: str
    good: bool


def lines() -> list[Line]:
    """Return which engine runs, which of its kernels, and which of these are fastest for typical layers."""
    try:
        found = probe.library()
    except EngineUnavailable as error:
        return [Line("packed models", f"NumPy, as the C engine can't run: {error}", False)]
    built = found.built
    engine = Line("packed models", f"C engine ({built.compiler}; {built.level}), {built.path}", True)
    return [engine, *(_kernel(found, name) for name in KERNELS if name not in REFERENCES), _fastest(found)]


def _kernel(found: probe.Library, name: str) -> Line:
    if not found.can(name):
        return Line(name, probe.NOT_COMPILED, False)
    reason = found.reasons.get(name)
    return Line(name, reason or "exact on this machine", not reason)


def _fastest(found: probe.Library) -> Line:
    parts = [
        f"{name} {kernel} ({nanoseconds / 1000:.1f} us) for {rows}"
        for name, bits in _TYPICAL.items()
        for rows, kernel, nanoseconds in _chosen(found, _layer(bits))
    ]
    inputs, outputs = _SIZES
    return Line(f"fastest, {inputs} to {outputs}", "; ".join(parts), True)


def _chosen(found: probe.Library, spec: LayerSpec) -> list[tuple[str, str, float]]:
    times = probe.choose(found, spec)
    return [(rows, *min(times[rows].items(), key=lambda item: item[1])) for rows in (CLASSES[0], CLASSES[-1])]


def _layer(bits: tuple[int, int]) -> LayerSpec:
    inputs, outputs = _SIZES
    shape = Shape(integers=inputs, cardinalities=(), dim=outputs, bottom=(), bottom_bits=bits)
    bottom = random_spec(shape, np.random.default_rng(0)).bottom
    assert bottom is not None
    return bottom[0]

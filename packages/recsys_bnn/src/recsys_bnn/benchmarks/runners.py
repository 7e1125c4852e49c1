"""What can score with a model, ours and the rivals: how its files are written and opened, and what it needs.

A runner's module has ``export``, which writes the files, ``open_model``, which returns what scores, and ``inputs``, which
turns rows into what that takes, before any clock runs. It is imported where it is used.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from recsys_bnn.runtime.engines import ENGINES
from recsys_bnn.runtime.spec import ModelSpec

Call = Callable[..., np.ndarray]
Inputs = Callable[[np.ndarray, np.ndarray], tuple[Any, ...]]


@dataclass(frozen=True)
class Runner:
    """One way to score."""

    engine: str
    """Its name in a table."""
    module: str
    """Where its functions are, in this folder."""
    model: str = ""
    """Name of the model that a rival makes of the float one; ours run any."""
    needs: tuple[str, ...] = ()
    """Modules that must be there."""
    install: str = ""
    """What brings them."""
    export_options: Mapping[str, Any] = field(default_factory=dict)
    open_options: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float | None = None
    """How far any probability may be from that of the float model; None where the weights are others."""
    table_share: float = 1.0
    """Share of the float table that it holds in memory of its own; what is mapped from a file is none."""
    rough: bool = False
    """Whether the tolerance is for the mean distance: a rival that rounds may be far off in single rows."""

    @property
    def ours(self) -> bool:
        """Whether it runs packed models."""
        return not self.model

    @property
    def code(self) -> ModuleType:
        """Its module."""
        return importlib.import_module(f"recsys_bnn.benchmarks.{self.module}")

    def missing(self) -> list[str]:
        """Return what it needs and is not there."""
        return [name for name in self.needs if find_spec(name) is None]

    def export(self, spec: ModelSpec, folder: Path, table: Path) -> None:
        """Write the files of a model: ``spec`` as it is, or what a rival makes of it and of its merged table."""
        self.code.export(
            spec, folder, *([] if self.module in _WITHOUT_TABLE else [table]), **self.export_options
        )

    def open(self, folder: Path, threads: int) -> Call:
        """Return what scores inputs, from the files in ``folder``."""
        return self.code.open_model(folder, threads, **self.open_options)

    def inputs(self, integers: np.ndarray, ids: np.ndarray) -> tuple[Any, ...]:
        """Return rows as :meth:`open`'s answer takes them."""
        return self.code.inputs(integers, ids)


_WITHOUT_TABLE = ("own_engines", "peers_bitorch")
_EXACT = 1e-5
_EIGHT_BITS: dict[str, Any] = {"tolerance": 0.05, "rough": True}
_FOUR_BITS: dict[str, Any] = {"tolerance": 0.1, "rough": True}
_TORCH: dict[str, Any] = {"module": "peers_torch", "needs": ("torch",), "install": "recsys-bnn[train]"}
_ONNX: dict[str, Any] = {
    "module": "peers_onnx",
    "needs": ("onnx", "onnxruntime"),
    "install": "recsys-bnn[bench]",
}
_INT8_MLP, _INT8 = "mixed-e32-b8-w8-a8", "mixed-e8-b8-w8-a8"

RUNNERS: Mapping[str, Runner] = {
    runner.engine if runner.ours else f"{runner.model}@{runner.engine}": runner
    for runner in (
        Runner("torch", model="float", tolerance=_EXACT, **_TORCH),
        Runner("torch-compile", model="float", tolerance=_EXACT, open_options={"compiled": True}, **_TORCH),
        Runner(
            "torch",
            model=_INT8,
            **_EIGHT_BITS,
            export_options={"bits": 8},
            table_share=0.4,
            open_options={"bits": 8},
            **_TORCH,
        ),
        Runner(
            "torch",
            model="mixed-e4-b8-w8-a8",
            **_FOUR_BITS,
            export_options={"bits": 4},
            table_share=0.2,
            open_options={"bits": 4},
            **_TORCH,
        ),
        Runner("onnxruntime", model="float", tolerance=_EXACT, **_ONNX),
        Runner(
            "onnxruntime-graph",
            model="float",
            tolerance=_EXACT,
            export_options={"lookup_inside": True},
            open_options={"lookup_inside": True},
            **_ONNX,
        ),
        Runner("onnxruntime", model=_INT8_MLP, export_options={"int8": True}, **_EIGHT_BITS, **_ONNX),
        Runner(
            "bitorch",
            "peers_bitorch",
            model="bitorch-binary",
            needs=("torch", "bitorch"),
            install="recsys-bnn[bitorch]",
        ),
        *(
            Runner(name, "own_engines", tolerance=_EXACT, table_share=0, open_options={"engine": name})
            for name in ENGINES
        ),
    )
}
"""Rivals by MODEL@ENGINE, and ours by engine."""

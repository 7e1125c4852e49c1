"""Packed models in this package's own engines, from files as `pack` writes them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from recsys_bnn.runtime.packed import load
from recsys_bnn.runtime.packed_file import write_packed
from recsys_bnn.runtime.spec import ModelSpec

FILE = "model.safetensors"


def export(spec: ModelSpec, folder: Path) -> None:
    """Write the packed model."""
    write_packed(folder / FILE, spec)


def open_model(folder: Path, threads: int, engine: str = "native") -> Callable[..., np.ndarray]:
    """Return what scores integers, float32 [B, I], and ids, int32 [B, F], with so many threads."""
    return load(folder / FILE, threads, engine).engine.logits


def inputs(integers: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows as they are."""
    return integers, ids

"""BITorch as a rival: its binary layers inside this package's DLRM, which compute their signs in float.

They can't take the weights of the other models, so theirs are random, and only their speed is measured.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from recsys_bnn.benchmarks.peers_torch import inputs, scorer
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.runtime.spec import ModelSpec
from recsys_bnn.settings.training import ModelConfig
from seminar_common import files, seeds

__all__ = ["export", "inputs", "open_model"]

FILE = "sizes.json"


def export(spec: ModelSpec, folder: Path) -> None:
    """Write down the sizes of ``spec``: the layers and tables to make."""
    sizes = {
        "integers": spec.integers,
        "missing_flags": spec.missing_flags,
        "first_order": spec.first_order is not None,
        "rows": spec.table.rows.tolist(),
        "dim": spec.table.dim,
        "bottom": _hidden([layer.outputs for layer in spec.bottom or ()]),
        "top": _hidden([layer.outputs for layer in spec.top]),
    }
    files.write_json(folder / FILE, sizes)


def _hidden(outputs: Sequence[int]) -> list[int]:
    return list(outputs[:-1])


def open_model(folder: Path, threads: int) -> Callable[..., np.ndarray]:
    """Return what scores tensors with so many threads."""
    torch.set_num_threads(threads)
    sizes = files.read_json(folder / FILE)
    config = ModelConfig(
        embedding_dim=sizes["dim"],
        bottom_mlp=tuple(sizes["bottom"]),
        top_mlp=tuple(sizes["top"]),
        missing_flags=sizes["missing_flags"],
        first_order=sizes["first_order"],
        embedding_bits=1,
        mlp_bits=1,
        engine="bitorch",
    )
    model = DLRM(config, sizes["integers"], sizes["rows"])
    model.reset_parameters(seeds.torch_generator(0, "bitorch"))
    return scorer(model.eval())

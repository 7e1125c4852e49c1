"""PyTorch as a rival: eager, compiled, and with 8-bit layers and tables of 8 and 4 bits.

Eager and compiled differ in nothing but ``torch.compile``. With few bits, linear layers are PyTorch's dynamically
quantized ones (inputs in 8 bits by the range of each batch), and the table is FBGEMM's: each row has a scale and a bias
of its own.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_bnn.benchmarks.float_model import FloatModel, Linear, first_order_table, float_model, float_table
from recsys_bnn.runtime.spec import ModelSpec

WEIGHTS, TABLE, WIDE = "weights.pt", "table.npy", "first_order.npy"
_PREPACK = {8: "embedding_bag_byte_prepack", 4: "embedding_bag_4bit_prepack"}
_LOOKUP = {8: "embedding_bag_byte_rowwise_offsets", 4: "embedding_bag_4bit_rowwise_offsets"}

Call = Callable[..., np.ndarray]


def export(spec: ModelSpec, folder: Path, table: Path, bits: int = 32) -> None:
    """Write the files of a rival.

    Args:
        spec: A float model.
        folder: Where to.
        table: Its merged table as a file of NumPy, which the float rivals share.
        bits: Of the table; with fewer than 32 the layers have 8.
    """
    model = float_model(spec)
    state: dict[str, Any] = {
        "integers": model.integers,
        "missing_flags": model.missing_flags,
        "offsets": torch.from_numpy(model.offsets),
        "pairs": torch.from_numpy(model.pairs),
        "bottom": [_stored(layer, bits) for layer in model.bottom],
        "top": [_stored(layer, bits) for layer in model.top],
        "wide": _wide(model, spec),
    }
    if bits == 32:
        (folder / TABLE).hardlink_to(table)
    else:
        rows = torch.from_numpy(float_table(spec))
        packed = [getattr(torch.ops.quantized, _PREPACK[bits])(part) for part in rows.split(1 << 20)]
        np.save(folder / TABLE, torch.cat(packed).numpy())
    torch.save(state, folder / WEIGHTS)


def _wide(model: FloatModel, spec: ModelSpec) -> tuple[Tensor, Tensor, float] | None:
    rows = first_order_table(spec)
    if rows is None or model.first_weights is None:
        return None
    return torch.from_numpy(rows), torch.from_numpy(model.first_weights), model.first_bias


def _stored(layer: Linear, bits: int) -> tuple[Tensor, Tensor | None, Tensor, float | None]:
    """Return weights (whole numbers with few bits), their scales [N] or None, bias and slope."""
    weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
    if bits == 32:
        return weight, None, bias, layer.slope
    scale = weight.abs().amax(1).clamp(min=1e-12) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale, bias, layer.slope


class MergedTableDLRM(nn.Module):
    """The forward pass with one lookup for all fields.

    Args:
        state: What :func:`export` wrote.
        table: The rows, float32 [R, D], or packed bytes.
        bits: Of the rows.
    """

    offsets: Tensor
    pairs: Tensor

    def __init__(self, state: dict[str, Any], table: Tensor, bits: int):
        super().__init__()
        self.bits, self.flags, self.wide = bits, state["missing_flags"], state["wide"]
        self.vectors = len(state["offsets"]) + 1
        self.register_buffer("offsets", state["offsets"])
        self.register_buffer("pairs", state["pairs"])
        self.table = nn.Parameter(table, requires_grad=False)
        self.bottom, self.top = _mlp(state["bottom"]), _mlp(state["top"])

    def forward(self, integers: Tensor, ids: Tensor) -> Tensor:
        """Return the logits [B] of integers, float32 [B, I], and ids, int64 [B, F]."""
        missing = integers.isnan()
        x = integers.masked_fill(missing, 0)
        if self.flags:
            x = torch.cat([x, missing.to(x)], dim=1)
        dense, rows = self.bottom(x), ids + self.offsets
        vectors = torch.cat([dense.unsqueeze(1), self._look_up(rows)], dim=1)
        products = (vectors @ vectors.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
        logits = self.top(torch.cat([dense, products], dim=1)).squeeze(1)
        if self.wide is None:
            return logits
        added, weights, bias = self.wide
        return logits + added[rows].sum(1) + x @ weights + bias

    def _look_up(self, rows: Tensor) -> Tensor:
        if self.bits == 32:
            return F.embedding(rows, self.table)
        look_up = getattr(torch.ops.quantized, _LOOKUP[self.bits])
        flat = rows.flatten()
        return look_up(self.table, flat, torch.arange(len(flat))).view(*rows.shape, -1)


class DynamicLinear(nn.Module):
    """PyTorch's dynamically quantized linear layer: 8-bit weights with a scale for each output, 8-bit inputs."""

    def __init__(self, codes: Tensor, scale: Tensor, bias: Tensor):
        super().__init__()
        zeros = torch.zeros(len(codes), dtype=torch.int64)
        with warnings.catch_warnings():  # deprecated, but the layer takes nothing else
            warnings.simplefilter("ignore", UserWarning)
            weights = torch._make_per_channel_quantized_tensor(codes, scale.double(), zeros, 0)
        self.packed = torch.ops.quantized.linear_prepack(weights, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` [B, K] to [B, N]."""
        return torch.ops.quantized.linear_dynamic(x, self.packed)


def _mlp(layers: list[tuple[Tensor, Tensor | None, Tensor, float | None]]) -> nn.Sequential:
    modules: list[nn.Module] = []
    for weight, scale, bias, slope in layers:
        modules.append(_float_linear(weight, bias) if scale is None else DynamicLinear(weight, scale, bias))
        if slope is not None:  # PReLU with one slope; this one is twice as fast for a single row
            modules.append(nn.LeakyReLU(slope))
    return nn.Sequential(*modules)


def _float_linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = (nn.Parameter(each, requires_grad=False) for each in (weight, bias))
    return linear


def open_model(folder: Path, threads: int, bits: int = 32, compiled: bool = False) -> Call:
    """Return what scores tensors of integers and ids, with so many threads.

    Args:
        folder: What :func:`export` wrote.
        threads: Of each operation.
        bits: Of the table.
        compiled: Compile it, for each batch size anew.
    """
    torch.set_num_threads(threads)
    state = torch.load(folder / WEIGHTS, weights_only=True)
    model = MergedTableDLRM(state, torch.from_numpy(np.load(folder / TABLE)), bits).eval()
    return scorer(model, compiled)


def scorer(model: nn.Module, compiled: bool = False) -> Call:
    """Return what scores tensors by a model [B] or [B, 1], without anything that only training needs."""
    run: Any = model
    if compiled:
        torch._dynamo.reset()
        run = torch.compile(model, dynamic=False)

    def score(integers: Tensor, ids: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return run(integers, ids).numpy()

    return score


def inputs(integers: np.ndarray, ids: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return rows as the tensors that cost PyTorch least."""
    return torch.from_numpy(integers), torch.from_numpy(ids.astype(np.int64))

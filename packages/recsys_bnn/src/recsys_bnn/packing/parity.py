"""Whether a packed model scores as the PyTorch model that it came from.

Both compute the same sums in another order, so their floats differ in the last digits. A float that lies where a
code ends may then round to the next code, and the score moves by more than that. PyTorch does the same to itself, from
one batch size to another. So rows that differ are looked at: the first layer that reads other codes must read them from
inputs that PyTorch itself has within some last digits of the edge between the two codes. Each engine adds its floats in
an order of its own, so each is compared with PyTorch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from recsys_bnn.data.dataset import Batch
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.packing.codes import CodedInput, coded_input
from recsys_bnn.packing.model import Block, blocks
from recsys_bnn.runtime.packed import sigmoid
from recsys_bnn.runtime.spec import FloatInput

TOLERANCE = 1e-5
"""Difference of two probabilities that the last digits of floats explain."""
EDGE = 1e-5
"""Distance to the edge between two codes, in units of the largest input of the row, that they explain: some 80 times the
spacing of float32."""


@dataclass(frozen=True)
class Parity:
    """Differences between the probabilities of two models."""

    rows: int = 0
    beyond: int = 0
    """Rows whose probabilities differ by more than ``TOLERANCE``."""
    unexplained: int = 0
    """Those of them whose codes do not differ at an edge."""
    greatest: float = 0.0
    """Greatest difference."""
    greatest_within: float = 0.0
    """Greatest difference of the other rows."""

    def __add__(self, other: "Parity") -> "Parity":
        return Parity(
            self.rows + other.rows,
            self.beyond + other.beyond,
            self.unexplained + other.unexplained,
            max(self.greatest, other.greatest),
            max(self.greatest_within, other.greatest_within),
        )

    @property
    def share_within(self) -> float:
        """Share of the rows whose probabilities differ by at most ``TOLERANCE``."""
        return 1 - self.beyond / max(self.rows, 1)


class Traced(Protocol):
    """An engine that tells what meets the weights of each layer."""

    name: str

    def traced(self, integers: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the logits, and what meets the weights of each layer, [B, K] or [B, T * K]."""
        ...


def parity(model: DLRM, engines: Sequence[Traced], batches: Iterable[Batch]) -> dict[str, Parity]:
    """Compare a model, on the CPU and in evaluation mode, with its packed form in each engine, by their names."""
    compare, found = _Comparison(model), {engine.name: Parity() for engine in engines}
    for batch in batches:
        expected = compare.traced(batch)
        for engine in engines:
            found[engine.name] += compare.batch(batch, engine, *expected)
    return found


class _Comparison:
    def __init__(self, model: DLRM):
        self.model = model
        mlps = [mlp for mlp in (model.bottom, model.top) if mlp is not None]
        self.blocks: list[Block] = [block for mlp in mlps for block in blocks(mlp)]
        self.coded: list[CodedInput] = [coded_input(b.quantizers[0], b.before) for b in self.blocks]

    @torch.inference_mode()
    def batch(self, batch: Batch, engine: Traced, logits: np.ndarray, inputs: list[Tensor]) -> Parity:
        """Compare the scores of some rows with what :meth:`traced` returned for them."""
        packed_logits, codes = engine.traced(batch.integers.numpy(), batch.categoricals.numpy())
        difference = np.abs(sigmoid(packed_logits) - sigmoid(logits))
        beyond = ~(difference <= TOLERANCE)
        explained = self._explained(inputs, codes, np.flatnonzero(beyond)) if beyond.any() else 0
        return Parity(
            len(difference),
            int(beyond.sum()),
            int(beyond.sum()) - explained,
            float(difference.max(initial=0)),
            float(difference[~beyond].max(initial=0)),
        )

    @torch.inference_mode()
    def traced(self, batch: Batch) -> tuple[np.ndarray, list[Tensor]]:
        """Return PyTorch's logits, [B], and what each layer's quantizer got, [B, K]."""
        seen: list[Tensor] = []
        hooks = [
            block.quantizers[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
            for block in self.blocks
        ]
        logits = self.model(batch.integers, batch.categoricals).numpy()
        for hook in hooks:
            hook.remove()
        return logits, seen

    def _explained(self, inputs: list[Tensor], codes: list[np.ndarray], rows: np.ndarray) -> int:
        """Return how many of ``rows`` first read another code at an edge."""
        undecided, explained = np.ones(len(rows), bool), 0
        for block, coded, x, packed in zip(self.blocks, self.coded, inputs, codes, strict=True):
            if isinstance(coded.inputs, FloatInput):
                continue
            differs, at_edge = _compared(block.quantizers[0], coded, x[rows], packed[rows])
            explained += int((undecided & differs & at_edge).sum())
            undecided &= ~differs
        return explained


def _compared(
    quantizer: nn.Module, coded: CodedInput, x: Tensor, packed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row of ``x`` [B, K] whether its packed codes are others, and whether all of these are at an edge."""
    sign = 1 if coded.flipped is None else np.where(coded.flipped, -1, 1)
    wanted = packed * sign * coded.scale
    reach = EDGE * x.abs().amax(dim=1, keepdim=True).clamp(min=1)
    same = [_equal(quantizer(moved).numpy(), wanted, coded.scale) for moved in (x, x - reach, x + reach)]
    differs, at_edge = ~np.all(same[0], axis=1), np.all(np.any(same, axis=0), axis=1)
    return differs, at_edge


def _equal(values: np.ndarray, wanted: np.ndarray, scale: float) -> np.ndarray:
    return np.abs(values - wanted) < 0.5 * scale

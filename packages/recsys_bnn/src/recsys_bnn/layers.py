"""Linear and embedding layers whose weights and inputs have any registered number of bits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_bnn.quantizers import make_quantizer


class QuantLinear(nn.Module):
    """``quantize(x) @ quantize(weight).T + bias``; the bias is left out unless everything is full precision.

    A batch norm follows each of these layers in a DLRM, which makes the bias of a binary layer redundant.

    Args:
        in_features: Values of an input row, K.
        out_features: Values of an output row, N.
        weight_bits: Bits of a weight.
        activation_bits: Bits of an input value.
    """

    def __init__(self, in_features: int, out_features: int, weight_bits: int = 32, activation_bits: int = 32):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight_bits, self.activation_bits = weight_bits, activation_bits
        full_precision = weight_bits == activation_bits == 32
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if full_precision else None
        self.quantize_weight = make_quantizer(weight_bits)
        self.quantize_input = make_quantizer(activation_bits)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw weights and bias from the normal distributions of DLRM (Naumov et al. 2019, reference code)."""
        deviation = (2 / (self.in_features + self.out_features)) ** 0.5
        nn.init.normal_(self.weight, 0.0, deviation, generator=generator)
        if self.bias is not None:
            nn.init.normal_(self.bias, 0.0, (1 / self.out_features) ** 0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` of shape [B, K] to [B, N]."""
        return F.linear(self.quantize_input(x), self.quantize_weight(self.weight), self.bias)

    def extra_repr(self) -> str:
        """Say sizes and bits."""
        return f"{self.in_features}, {self.out_features}, W{self.weight_bits}A{self.activation_bits}"


class QuantEmbedding(nn.Module):
    """The tables of all categorical fields as one, quantized **after** the lookup.

    Only rows that a batch names are read, quantized and given a (sparse) gradient, so the cost of a step
    does not grow with the tables.

    Args:
        cardinalities: Rows of each field's table, F numbers. An id at or above its field's cardinality
            reads row 0, the out-of-vocabulary row.
        dim: Values of a row, D.
        bits: Bits of a value.
        init: Standard deviation of new rows; 0 takes DLRM's own draw.
    """

    offsets: Tensor
    cardinalities: Tensor

    def __init__(self, cardinalities: Sequence[int], dim: int, bits: int = 32, init: float = 0.0):
        super().__init__()
        sizes = torch.tensor(list(cardinalities), dtype=torch.int64)
        self.register_buffer("cardinalities", sizes, persistent=False)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes, persistent=False)
        self.dim, self.bits, self.init = dim, bits, init
        self.weight = nn.Parameter(torch.empty(sum(cardinalities), dim))
        self.quantize = make_quantizer(bits)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw rows from N(0, init), or without ``init`` from U(-a, a), a = sqrt(1 / rows of the field), as DLRM does."""
        if self.init:
            nn.init.normal_(self.weight, 0.0, self.init, generator=generator)
            return
        for offset, rows in zip(self.offsets.tolist(), self.cardinalities.tolist(), strict=True):
            nn.init.uniform_(
                self.weight.data[offset : offset + rows], -(rows**-0.5), rows**-0.5, generator=generator
            )

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ``ids``, integers of shape [B, F] counted within each field; return [B, F, D]."""
        known = torch.where(ids < self.cardinalities, ids, 0)
        return self.quantize(F.embedding(known + self.offsets, self.weight, sparse=True))

    def extra_repr(self) -> str:
        """Say sizes and bits."""
        return f"{len(self.cardinalities)} fields, {len(self.weight)} rows, dim {self.dim}, {self.bits} bits"


class SeededDropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose masks come from an explicit generator.

    The trainer gives a generator made from the seed and the step, so that a resumed run drops the same units.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Zero each value with the given probability while training and scale up the rest."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        mask = torch.rand(x.shape, generator=self.generator, device=x.device, dtype=x.dtype) < keep
        return x * mask / keep

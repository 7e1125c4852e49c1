"""DLRM in full precision and with quantized parts.

Sources: Naumov et al., "Deep Learning Recommendation Model for Personalization and Recommendation Systems",
2019 (bottom MLP, embeddings, pairwise dot interaction, top MLP); BITorch's example ``examples/dlrm`` of
hpi-xnor (batch norm before and after each linear layer, PReLU, 1-bit embeddings and top MLP). Written from
the architecture and checked against its published cost.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys_bnn.model.first_order import FIRST_ORDER_BITS, FirstOrder
from recsys_bnn.model.layers import (
    BatchNorm,
    LinearLayer,
    PReLU,
    QuantEmbedding,
    QuantLinear,
    SeededDropout,
    pair_products,
)
from recsys_bnn.model.quantizers import ScaledQuantizer
from recsys_bnn.settings.bits import LayerBits, MLPBits
from recsys_bnn.settings.training import ModelConfig
from seminar_common.cost import Layer, TensorSize
from seminar_common.errors import UserError


class DLRM(nn.Module):
    """Deep Learning Recommendation Model with a bit width for each part.

    Args:
        config: Sizes and bits.
        integer_count: Number of integer features, I. Without any there is no bottom MLP and no dense vector, and
            the fields interact among themselves.
        cardinalities: Table rows of each of the F categorical fields.
        values: Ids of each field, if there are more than table rows: the first-order term may weigh them all.
        list_widths: Ids in a row of each of the last fields, which hold lists; the mean of their rows is one vector.

    Raises:
        UserError: fewer than two vectors, which have nothing to interact with.
    """

    pairs: Tensor

    def __init__(
        self,
        config: ModelConfig,
        integer_count: int,
        cardinalities: Sequence[int],
        values: Sequence[int] | None = None,
        list_widths: Sequence[int] = (),
    ):
        super().__init__()
        self.list_widths = tuple(list_widths)
        dim, fields = config.embedding_dim, len(cardinalities)
        vectors = fields + bool(integer_count)
        if vectors < 2:
            raise UserError("a DLRM needs two categorical fields, or one and an integer feature, to interact")
        self.config, self.integer_count = config, integer_count
        self.embedding = QuantEmbedding(
            cardinalities,
            dim,
            config.embedding_bits,
            config.embedding_init,
            config.quantizer,
            config.embedding_scale,
            config.hashed_share,
            config.hot_bits,
            config.hot_share,
            list_widths,
        )
        if config.engine == "bitorch" and config.embedding_bits == 1:
            from recsys_bnn.model.bitorch_engine import BitorchRows

            self.embedding.quantize = BitorchRows()
        inputs = integer_count * (2 if config.missing_flags else 1)
        self.bottom = mlp([inputs, *config.bottom_mlp, dim], config, config.bottom_bits) if inputs else None
        rows, columns = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("pairs", rows * vectors + columns, persistent=False)
        top_sizes = [dim * bool(integer_count) + len(self.pairs), *config.top_mlp, 1]
        self.top = mlp(top_sizes, config, config.top_bits)
        weighed = values or cardinalities
        self.first_order = FirstOrder(weighed, inputs, list_widths) if config.first_order else None

    def reset_parameters(self, generator: torch.Generator, click_rate: float = 0.5) -> None:
        """Draw all weights anew from ``generator`` and start at the logit of ``click_rate``.

        Without the latter the first epochs go into learning how rare a click is, which for some thousand
        rows is all the epochs there are.
        """
        for module in self.modules():
            if isinstance(module, LinearLayer | QuantEmbedding):
                module.reset_parameters(generator)
            elif isinstance(module, FirstOrder):
                module.reset_parameters()
        last_norm = self.top[-1]
        assert isinstance(last_norm, nn.BatchNorm1d)
        nn.init.constant_(last_norm.bias, math.log(click_rate / (1 - click_rate)))

    def forward(self, integers: Tensor, categoricals: Tensor) -> Tensor:
        """Return the click logits, shape [B].

        Args:
            integers: Normalised integer features, float [B, I]; NaN is a missing one, and counts as the mean, 0.
            categoricals: Ids within each field, int [B, F]; with lists [B, C], and -1 behind the last item of each.
        """
        inputs = self._integer_inputs(integers)
        logits = self._interactions(inputs, self.embedding(categoricals))
        return logits if self.first_order is None else logits + self.first_order(inputs, categoricals)

    def _integer_inputs(self, integers: Tensor) -> Tensor:
        """Return what the bottom MLP reads, [B, I] or [B, 2 I]: zeros for missing integers, and flags if asked for."""
        missing = integers.isnan()
        integers = integers.masked_fill(missing, 0)
        return torch.cat([integers, missing.to(integers)], dim=1) if self.config.missing_flags else integers

    def _interactions(self, inputs: Tensor, vectors_BVD: Tensor) -> Tensor:
        if self.bottom is None:
            return self.top(pair_products(vectors_BVD, self.pairs)).squeeze(1)
        dense_BD = self.bottom(inputs)
        vectors_BVD = torch.cat([dense_BD.unsqueeze(1), vectors_BVD], dim=1)
        return self.top(torch.cat([dense_BD, pair_products(vectors_BVD, self.pairs)], dim=1)).squeeze(1)

    def scales(self) -> list[nn.Parameter]:
        """Return the learned scales of all quantizers, which an optimizer should not decay."""
        return [m.log_scale for m in self.modules() if isinstance(m, ScaledQuantizer)]

    def cost_layers(self) -> list[Layer]:
        """Return the multiply-adds of every linear layer and of the full V x V interaction, with their bits.

        The interaction multiplies by the dense vector, if there is one, which is float whatever the tables' bits.
        """
        vectors, dim = len(self.embedding.cardinalities) + bool(self.integer_count), self.config.embedding_dim
        linears = [
            Layer(name, m.in_features * m.out_features, m.weight_bits, m.activation_bits)
            for name, m in self.named_modules()
            if isinstance(m, LinearLayer)
        ]
        other_bits = 32 if self.integer_count else self.embedding.bits
        return [*linears, Layer("interaction", vectors * vectors * dim, self.embedding.bits, other_bits)]

    def tensor_sizes(self) -> list[TensorSize]:
        """Return every stored number with the bits it needs at inference: scales and batch norms' statistics too."""
        table = "embedding.weight"
        bits = {f"{n}.weight": m.weight_bits for n, m in self.named_modules() if isinstance(m, LinearLayer)}
        skipped = (table, "num_batches_tracked")
        tensors = {k: v for k, v in self.state_dict().items() if not k.endswith(skipped)}
        if self.first_order is not None:
            bits["first_order.weight"] = FIRST_ORDER_BITS
        sizes = [TensorSize(name, tensor.numel(), bits.get(name, 32)) for name, tensor in tensors.items()]
        if self.first_order is not None:
            sizes.append(TensorSize("first_order.scales", len(self.first_order.rows), 32))
        hot = self.embedding.hot_count * self.embedding.dim
        sizes.append(TensorSize(table, self.embedding.weight.numel() - hot, self.embedding.bits))
        if hot:
            sizes.append(TensorSize("embedding.hot_rows", hot, self.embedding.hot_bits))
        if self.embedding.bits_per_row:
            rows = self.embedding.row_count - self.embedding.hot_count
            sizes.append(TensorSize("embedding.row_scales", rows, self.embedding.bits_per_row))
        return sizes


def mlp(sizes: Sequence[int], config: ModelConfig, bits: MLPBits) -> nn.Sequential:
    """Return blocks of batch norm, linear, batch norm and PReLU, with dropout between them.

    The last block of the top MLP has no PReLU: it gives the logit.

    Args:
        sizes: Values at the input and after each layer.
        config: Quantizers and dropout.
        bits: Bits of each layer.
    """
    blocks: list[nn.Module] = []
    last = len(bits.layers) - 1
    for index, layer in enumerate(bits.layers):
        size_in, size_out = sizes[index], sizes[index + 1]
        linear = _linear(size_in, size_out, layer, config)
        blocks += [BatchNorm(size_in), linear, BatchNorm(size_out)]
        if index < last or bits.part == "bottom":
            blocks.append(PReLU())
        if index < last and config.dropout:
            blocks.append(SeededDropout(config.dropout))
    return nn.Sequential(*blocks)


def _linear(size_in: int, size_out: int, bits: LayerBits, config: ModelConfig) -> nn.Module:
    if config.engine == "bitorch" and bits.weights == 1:
        from recsys_bnn.model.bitorch_engine import BitorchLinear

        return BitorchLinear(size_in, size_out)
    return QuantLinear(size_in, size_out, *bits, config.quantizer, config.thresholds)

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

from recsys_bnn.config import ModelConfig
from recsys_bnn.layers import QuantEmbedding, QuantLinear, SeededDropout
from seminar_common.cost import Layer, TensorSize


class DLRM(nn.Module):
    """Deep Learning Recommendation Model with a bit width for each part.

    Args:
        config: Sizes and bits.
        integer_count: Number of integer features, I.
        cardinalities: Table rows of each of the F categorical fields.
    """

    pairs: Tensor

    def __init__(self, config: ModelConfig, integer_count: int, cardinalities: Sequence[int]):
        super().__init__()
        dim, fields = config.embedding_dim, len(cardinalities)
        self.config = config
        self.embedding = QuantEmbedding(cardinalities, dim, config.embedding_bits, config.embedding_init)
        bottom_bits = [(config.bottom_mlp_bits, config.bottom_mlp_bits)] * (len(config.bottom_mlp) + 1)
        self.bottom = mlp(
            [integer_count, *config.bottom_mlp, dim], bottom_bits, config.dropout, last_activation=True
        )
        vectors = fields + 1
        rows, columns = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("pairs", rows * vectors + columns, persistent=False)
        top_sizes = [dim + len(self.pairs), *config.top_mlp, 1]
        self.top = mlp(top_sizes, top_layer_bits(config), config.dropout, last_activation=False)

    def reset_parameters(self, generator: torch.Generator, click_rate: float = 0.5) -> None:
        """Draw all weights anew from ``generator`` and start at the logit of ``click_rate``.

        Without the latter the first epochs go into learning how rare a click is, which for some thousand
        rows is all the epochs there are.
        """
        for module in self.modules():
            if isinstance(module, QuantLinear | QuantEmbedding):
                module.reset_parameters(generator)
        last_norm = self.top[-1]
        assert isinstance(last_norm, nn.BatchNorm1d)
        nn.init.constant_(last_norm.bias, math.log(click_rate / (1 - click_rate)))

    def forward(self, integers: Tensor, categoricals: Tensor) -> Tensor:
        """Return the click logits, shape [B].

        Args:
            integers: Normalised integer features, float [B, I].
            categoricals: Ids within each field, int [B, F].
        """
        dense_BD = self.bottom(integers)
        vectors_BVD = torch.cat([dense_BD.unsqueeze(1), self.embedding(categoricals)], dim=1)
        products_BVV = vectors_BVD @ vectors_BVD.transpose(1, 2)
        interactions = products_BVV.flatten(1).index_select(1, self.pairs)
        return self.top(torch.cat([dense_BD, interactions], dim=1)).squeeze(1)

    def cost_layers(self) -> list[Layer]:
        """Return the multiply-adds of every linear layer and of the full V x V interaction, with their bits."""
        vectors, dim = len(self.embedding.cardinalities) + 1, self.config.embedding_dim
        linears = [
            Layer(name, m.in_features * m.out_features, m.weight_bits, m.activation_bits)
            for name, m in self.named_modules()
            if isinstance(m, QuantLinear)
        ]
        return [*linears, Layer("interaction", vectors * vectors * dim, 32, 32)]

    def tensor_sizes(self) -> list[TensorSize]:
        """Return every stored number with the bits it needs at inference, batch-norm statistics included."""
        bits = {f"{n}.weight": m.weight_bits for n, m in self.named_modules() if isinstance(m, QuantLinear)}
        bits["embedding.weight"] = self.embedding.bits
        tensors = {k: v for k, v in self.state_dict().items() if not k.endswith("num_batches_tracked")}
        return [TensorSize(name, tensor.numel(), bits.get(name, 32)) for name, tensor in tensors.items()]


def top_layer_bits(config: ModelConfig) -> list[tuple[int, int]]:
    """Return (weight bits, activation bits) of each layer of the top MLP, from the interactions to the logit."""
    layers: list[tuple[int, int]] = [(config.mlp_bits, config.resolved_activation_bits)] * (
        len(config.top_mlp) + 1
    )
    if "top-first" in config.float_layers:
        layers[0] = (32, 32)
    if "top-last" in config.float_layers:
        layers[-1] = (32, 32)
    return layers


def mlp(
    sizes: Sequence[int], bits: Sequence[tuple[int, int]], dropout: float, last_activation: bool
) -> nn.Sequential:
    """Return blocks of batch norm, linear, batch norm and PReLU, with dropout between them.

    Args:
        sizes: Values at the input and after each layer.
        bits: (weight bits, activation bits) of each layer.
        dropout: Share of the values dropped after each layer but the last.
        last_activation: Whether the last block has a PReLU; a logit has none.
    """
    blocks: list[nn.Module] = []
    last = len(bits) - 1
    for index, (weight_bits, activation_bits) in enumerate(bits):
        size_in, size_out = sizes[index], sizes[index + 1]
        linear = QuantLinear(size_in, size_out, weight_bits, activation_bits)
        blocks += [nn.BatchNorm1d(size_in), linear, nn.BatchNorm1d(size_out)]
        if index < last or last_activation:
            blocks.append(nn.PReLU())
        if index < last and dropout:
            blocks.append(SeededDropout(dropout))
    return nn.Sequential(*blocks)

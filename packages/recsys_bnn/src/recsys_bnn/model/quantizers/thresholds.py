"""One bit several times: signs of the distances to learned thresholds, one after the other.

Source: Lin et al., "Towards Accurate Binary Convolutional Neural Network" (ABC-Net), NeurIPS 2017, Sec. 3.2: a
value is told by several signs, each with a learned shift. The paper gives each sign weights of its own, as here,
where the signs are simply more inputs of one layer: T signs a value are T times as many weights of 1 bit.
"""

from typing import Any

import torch
from torch import Tensor, nn

from recsys_bnn.model import kernels
from recsys_bnn.model.quantizers.base import Quantizer, Use
from recsys_bnn.model.quantizers.sign import sign


class _Signs(torch.autograd.Function):
    """:func:`sign` of the distances of [B, K] values to [T, K] thresholds: [B, T, K] in one pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, thresholds: Tensor) -> Tensor:
        ctx.save_for_backward(x, thresholds)
        out = x.new_empty(len(x), *thresholds.shape)
        kernels.signs(*kernels.arrays(x, thresholds, out))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, thresholds = ctx.saved_tensors
        to_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        to_thresholds = torch.empty_like(thresholds)
        kernels.signs_backward(*kernels.arrays(x, thresholds, gradients[0], to_x, to_thresholds))
        return to_x, to_thresholds


class ThresholdSigns(Quantizer):
    """T signs for each of K values.

    Args:
        use: What the quantizer is for.
        features: Values of an input row, K.
        thresholds: Signs of a value, T. Their thresholds start at the quantiles that cut a normal distribution
            into T + 1 equal parts; a batch norm before gives values of variance 1.
    """

    def __init__(self, use: Use, features: int, thresholds: int):
        super().__init__(use)
        parts = torch.arange(1, thresholds + 1) / (thresholds + 1)
        start = torch.special.ndtri(parts).unsqueeze(1)
        self.thresholds = nn.Parameter(start.expand(thresholds, features).clone())

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Map ``x`` of shape [B, K] to signs [B, T K]."""
        if kernels.compiled(x, self.thresholds):
            return _Signs.apply(x, self.thresholds).flatten(1)
        return sign(x.unsqueeze(1) - self.thresholds).flatten(1)

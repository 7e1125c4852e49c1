"""Two bits and more: uniform steps of a learned size.

Source: Esser et al., "Learned Step Size Quantization", ICLR 2020: Eq. 1 and 2 (quantizer), Eq. 3 (gradient of
the step), Eq. 5 (gradient of the values), Sec. 2.2 (gradient scale). Weights and activations are both signed,
as a PReLU lets negative values through. The step starts where the squared error is least, as in Bhalgat et
al., "LSQ+", CVPR Workshops 2020, Sec. 3.2, by a search over clipping ranges as in Guan et al., "Post-Training
4-bit Quantization on Embedding Tables", 2019: LSQ's own start is some five times too coarse at 8 bits.
"""

from typing import Any

import torch
from torch import Tensor

from recsys_bnn.quantizers.base import ScaledQuantizer, Use

_CLIPPING_RANGES = torch.logspace(0, 5, 60, base=2).tolist()
"""Candidates of the search, in root mean squares: the best are 1.7 for uniform values, 2.7 for normal ones in
4 bits, 4 in 8 bits, and more for heavy tails."""


class _LSQ(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, lowest: int, highest: int, gradient_scale: float
    ) -> Tensor:
        out = (x / step).clamp_(lowest, highest).round_().mul_(step)
        ctx.save_for_backward(x, step, out)
        ctx.range, ctx.gradient_scale = (lowest, highest), gradient_scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, step, out = ctx.saved_tensors
        lowest, highest = ctx.range
        gradient_x = gradients[0] * ((x > lowest * step) & (x < highest * step))
        # Eq. 3 times the step is `out - x` inside the range and `out` outside: two passes, no division.
        per_value = (gradients[0] * out).addcmul_(gradient_x, x, value=-1)
        gradient_step = per_value.sum_to_size(step.shape) / step * ctx.gradient_scale
        return gradient_x, gradient_step, None, None, None


def lsq(x: Tensor, step: Tensor, bits: int, gradient_scale: float = 1.0) -> Tensor:
    """Round ``x`` to multiples of ``step`` from -2^(bits-1) to 2^(bits-1) - 1 (Eq. 1 and 2).

    Args:
        x: Values of any shape.
        step: Step sizes above 0, broadcast against ``x``; they get the gradient of Eq. 3.
        bits: Bits of a result, 2 or more.
        gradient_scale: Factor on the gradient of ``step``.
    """
    return _LSQ.apply(x, step, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, gradient_scale)


class LSQ(ScaledQuantizer):
    """:func:`lsq` with its steps."""

    def __init__(self, use: Use):
        super().__init__(use)
        self.gradient_scale = (use.shared * (2 ** (use.bits - 1) - 1)) ** -0.5

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Return ``x`` in multiples of its steps."""
        return lsq(x, self.scale(index), self.use.bits, self.gradient_scale)

    @torch.no_grad()
    def calibrate(self, x: Tensor, index: Tensor | None = None) -> None:
        """Set each step to the one with the least squared error on ``x``; one without values stays."""
        count = self.sums(torch.ones_like(x), index).clamp_(min=1)
        spread = (self.sums(x.square(), index) / count).sqrt_() / 2 ** (self.use.bits - 1)
        best, least = self.log_scale.clone(), torch.full_like(self.log_scale, torch.inf)
        for clipping_range in _CLIPPING_RANGES:
            candidate = torch.where(spread > 0, (spread * clipping_range).log(), best)
            self.log_scale.copy_(candidate)
            error = self.sums((self.forward(x, index) - x).square_(), index)
            best, least = torch.where(error < least, candidate, best), torch.minimum(error, least)
        self.log_scale.copy_(best)

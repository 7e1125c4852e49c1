"""What every quantizer has in common, and scales that are learned."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

_CLIPPING_RANGES = torch.logspace(0, 5, 60, base=2).tolist()
"""Candidates of a calibration, in root mean squares: the best are 1.7 for uniform values, 2.7 for normal ones in 4
bits, 4 in 8 bits, and more for heavy tails."""


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, quantized: Tensor) -> Tensor:
        return quantized

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def straight_through(x: Tensor, quantized: Tensor) -> Tensor:
    """Return ``quantized``, exactly, with its gradient passed on to ``x`` as it is."""
    return _StraightThrough.apply(x, quantized)


@dataclass(frozen=True)
class Use:
    """What a quantizer is for."""

    bits: int
    """Bits of a quantized value."""
    role: Literal["weight", "activation", "embedding"] = "activation"
    """Whose values they are."""
    scale_shape: tuple[int, ...] | None = ()
    """Shape of the learned scales, broadcast against the values; one for all by default, None for no scale."""
    shared: int = 1
    """Values of one sample, or of the weights, that share a scale (N of LSQ's gradient scale)."""


class Quantizer(nn.Module):
    """Base of all quantizers, and by itself the one to 32 bits: it changes nothing.

    A quantizer maps a tensor to one of the same shape with at most 2^bits values for each scale, and passes a
    gradient back.
    """

    def __init__(self, use: Use):
        super().__init__()
        self.use = use

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Return ``x`` in ``use.bits`` bits.

        Args:
            x: Values, of any shape that the scales broadcast against.
            index: Where values choose their scale: the scale's number for each vector of ``x``, of the shape
                of ``x`` without its last dimension.
        """
        return x

    def calibrate(self, x: Tensor, index: Tensor | None = None) -> None:
        """Fit the scales, if there are any, to the values ``x``; arguments as in :meth:`forward`."""

    def extra_repr(self) -> str:
        """Say the bits and the number of scales."""
        scales = getattr(self, "log_scale", torch.empty(0)).numel()
        return f"{self.use.bits} bits, {scales} scales"


class ScaledQuantizer(Quantizer):
    """Base of quantizers with learned scales.

    The logarithm of a scale is what is learned: it keeps a scale positive, and makes a step of Adam relative
    to it, so that one learning rate suits the steps of 8-bit weights and of 2-bit activations alike.
    Source: Jain et al., "Trained Quantization Thresholds", MLSys 2020, Sec. 3 and Appendix B.
    """

    def __init__(self, use: Use):
        super().__init__(use)
        if use.scale_shape is None:
            raise ValueError(f"{type(self).__name__} needs the shape of its scales")
        self.log_scale = nn.Parameter(torch.zeros(use.scale_shape))

    def scale(self, index: Tensor | None = None) -> Tensor:
        """Return the scales, to be broadcast against the values."""
        scale = self.log_scale.exp()
        return scale if index is None else scale.index_select(0, index.flatten()).view(*index.shape, 1)

    def sums(self, values: Tensor, index: Tensor | None = None) -> Tensor:
        """Add up the ``values`` of each scale; return the shape of the scales."""
        if index is None:
            return values.sum_to_size(self.log_scale.shape)
        each = torch.zeros_like(self.log_scale).flatten()
        return each.index_add(0, index.flatten(), values.sum(-1).flatten()).view_as(self.log_scale)

    @torch.no_grad()
    def calibrate(self, x: Tensor, index: Tensor | None = None) -> None:
        """Set each scale to the one with the least squared error on ``x``; one without values stays.

        Source: the search over clipping ranges of Guan et al., "Post-Training 4-bit Quantization on Embedding
        Tables", 2019, over multiples of the root mean square.
        """
        # A step is the clipping range over the 2^(bits - 1) steps of one side of zero.
        count = self.sums(torch.ones_like(x), index).clamp_(min=1)
        spread = (self.sums(x.square(), index) / count).sqrt_() / 2 ** (self.use.bits - 1)
        best, least = self.log_scale.clone(), torch.full_like(self.log_scale, torch.inf)
        # All scales try a range at once, and each keeps the one that is best for its own values.
        for clipping_range in _CLIPPING_RANGES:
            candidate = torch.where(spread > 0, (spread * clipping_range).log(), best)
            self.log_scale.copy_(candidate)
            error = self.sums((self.forward(x, index) - x).square_(), index)
            best, least = torch.where(error < least, candidate, best), torch.minimum(error, least)
        self.log_scale.copy_(best)

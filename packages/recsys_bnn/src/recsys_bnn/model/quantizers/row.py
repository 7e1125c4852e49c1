"""Scales computed from each row and stored with it in 16 bits: nothing to learn, and local to a lookup.

Sources: the fused rows of FBGEMM (``FloatOrHalfToFusedNBitRowwiseQuantizedSBHalf``: smallest value and step as
halves beside the row); for one bit Rastegari et al., "XNOR-Net", ECCV 2016, Eq. 6. The gradient passes
straight through.
"""

import torch
from torch import Tensor

from recsys_bnn.model.quantizers.base import Quantizer, straight_through

SCALE_BITS = 16


def _in_half(x: Tensor) -> Tensor:
    """Round ``x`` to a 16-bit float; what is beyond the largest one becomes the largest one."""
    limit = torch.finfo(torch.float16).max
    return x.clamp(-limit, limit).half().to(x.dtype)


class RowMinMax(Quantizer):
    """2^bits values at equal distances from the smallest to the largest of each row."""

    bits_per_row = 2 * SCALE_BITS
    """Bits of a row's smallest value and step."""

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Quantize each vector along the last dimension of ``x`` for itself."""
        return straight_through(x, self._quantized(x.detach()))

    def bias_and_step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smallest value and the step of each row of ``x``, with one entry in its last dimension."""
        low, high = torch.aminmax(x, dim=-1, keepdim=True)
        # Bias and step are rounded as they are stored before the values are: a reader of the row has no others.
        bias = _in_half(low)
        step = _in_half((high - bias) / (2**self.use.bits - 1))
        return bias, torch.where(step > 0, step, 1.0)  # a constant row, or one too narrow for a half

    def _quantized(self, x: Tensor) -> Tensor:
        bias, step = self.bias_and_step(x)
        return (x - bias).div_(step).round_().clamp_(0, 2**self.use.bits - 1).mul_(step).add_(bias)


class RowSign(Quantizer):
    """The sign times the mean magnitude of each row."""

    bits_per_row = SCALE_BITS
    """Bits of a row's magnitude."""

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Quantize each vector along the last dimension of ``x`` for itself."""
        magnitude = self.magnitude(x.detach())
        return straight_through(x, torch.where(x >= 0, magnitude, -magnitude))

    def magnitude(self, x: Tensor) -> Tensor:
        """Return the magnitude of each row of ``x``, with one entry in its last dimension."""
        return _in_half(x.abs().mean(dim=-1, keepdim=True))

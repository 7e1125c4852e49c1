"""Two bits and more: uniform steps over a fixed range.

Source: Zhou et al., "DoReFa-Net", 2016: Eq. 5 and 6 (rounding and its straight-through gradient), Eq. 9
(weights), Eq. 11 (activations). The paper bounds activations to [0, 1]; here the range is [-1, 1], as a PReLU
lets negative values through. Table values are quantized like activations, because Eq. 9 divides by the largest
weight, and a forward pass never reads a whole table to find it.
"""

import torch
from torch import Tensor

from recsys_bnn.model.quantizers.base import Quantizer, straight_through


class DoReFa(Quantizer):
    """2^bits values at equal distances from -1 to 1."""

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Return weights after Eq. 9, other values after Eq. 11."""
        if self.use.role == "weight":
            squashed = x.tanh()
            bounded = squashed / squashed.abs().amax().clamp(min=torch.finfo(x.dtype).tiny)
        else:
            bounded = x.clamp(-1, 1)
        steps = 2**self.use.bits - 1
        in_steps = (bounded + 1) * (steps / 2)
        return straight_through(in_steps, in_steps.round()) * (2 / steps) - 1

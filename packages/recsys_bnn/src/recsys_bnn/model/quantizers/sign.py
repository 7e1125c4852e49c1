"""One bit: the sign, with a straight-through estimator for its gradient.

Sources: Hubara et al., "Binarized Neural Networks", NeurIPS 2016, Eq. 1 (sign) and Eq. 4 (the gradient passes
where the input lies in [-1, 1] and is cancelled elsewhere); Rastegari et al., "XNOR-Net", ECCV 2016, Eq. 6
(the scale that is nearest to the values is their mean magnitude).
"""

from typing import Any

import torch
from torch import Tensor

from recsys_bnn.model import kernels
from recsys_bnn.model.quantizers.base import Quantizer, ScaledQuantizer


class _SignSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        if not kernels.compiled(x):
            return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        kernels.sign(*kernels.flat(x, out))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        if not kernels.compiled(x, *gradients):
            return gradients[0] * (x.abs() <= 1)
        to_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        kernels.sign_backward(*kernels.flat(x, gradients[0], to_x))
        return to_x


def sign(x: Tensor) -> Tensor:
    """Return +1 where ``x >= 0`` and -1 elsewhere, of the shape and dtype of ``x``.

    Zero counts as positive, so that every value fits in one bit.
    """
    return _SignSTE.apply(x)


class Sign(Quantizer):
    """:func:`sign` as a module."""

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the sign of ``x``."""
        return sign(x)


class ScaledSign(ScaledQuantizer):
    """The sign times a learned magnitude."""

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the sign of ``x`` times its scale."""
        return sign(x) * self.scale(index)

    @torch.no_grad()
    def calibrate(self, x: Tensor, index: Tensor | None = None) -> None:
        """Set each scale to the mean magnitude of its values (XNOR-Net, Eq. 6); one without values stays."""
        magnitude = self.sums(x.abs(), index) / self.sums(torch.ones_like(x), index).clamp_(min=1)
        self.log_scale.copy_(torch.where(magnitude > 0, magnitude.log(), self.log_scale))

"""One bit: the sign, with a straight-through estimator for its gradient.

Source: Hubara et al., "Binarized Neural Networks", NeurIPS 2016, Eq. 1 (sign) and Eq. 4 (the gradient
passes where the input lies in [-1, 1] and is cancelled elsewhere).
"""

from typing import Any

import torch
from torch import Tensor, nn


class _SignSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x.abs() <= 1)


def sign(x: Tensor) -> Tensor:
    """Return +1 where ``x >= 0`` and -1 elsewhere, of the shape and dtype of ``x``.

    Zero counts as positive, so that every value fits in one bit.
    """
    return _SignSTE.apply(x)


class Sign(nn.Module):
    """:func:`sign` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sign of ``x``, of any shape."""
        return sign(x)

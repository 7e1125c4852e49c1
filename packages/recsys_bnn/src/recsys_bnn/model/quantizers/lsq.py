"""Two bits and more: uniform steps of a learned size.

Source: Esser et al., "Learned Step Size Quantization", ICLR 2020: Eq. 1 and 2 (quantizer), Eq. 3 (gradient of
the step), Eq. 5 (gradient of the values), Sec. 2.2 (gradient scale). Three choices of our own:

- Weights and activations are both signed, as a PReLU lets negative values through.
- Two bits are -1.5, -0.5, 0.5 and 1.5 steps, not the paper's -2, -1, 0 and 1, as in Liu et al., "ParetoQ", 2025
  (Stretched Elastic Quant): with so few values a lopsided range costs more than a zero gains.
- The step starts where the squared error is least (``calibrate``), as in Bhalgat et al., "LSQ+", CVPR Workshops
  2020. The paper's own start is some five times too coarse at 8 bits.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recsys_bnn.model import kernels
from recsys_bnn.model.quantizers.base import ScaledQuantizer, Use


class _LSQ(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, lowest: float, highest: float, gradient_scale: float
    ) -> Tensor:
        offset = highest % 1
        out = _rounded(x, step, lowest, highest, offset)
        ctx.save_for_backward(x, step, out)
        # Two bits end at 1.5 steps. Values of up to 2 steps are nearest to that result, so they pass gradients.
        ctx.range, ctx.gradient_scale = (lowest - offset, highest + offset), gradient_scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, step, out = ctx.saved_tensors
        lowest, highest = ctx.range
        if rows := _rows(x, step, *gradients):
            to_x, to_step = (
                torch.empty_like(x, memory_format=torch.contiguous_format),
                x.new_empty(len(rows[0])),
            )
            ends, last = map(np.float32, ctx.range), kernels.arrays(out, gradients[0], to_x)
            kernels.lsq_backward(*rows, *ends, *(a.reshape(rows[0].shape) for a in last), to_step.numpy())
            to_step = to_step.view(-1, *step.shape).sum(0) if step.numel() > 1 else to_step.sum()
            return to_x, to_step / step * ctx.gradient_scale, None, None, None
        gradient_x = gradients[0] * ((x > lowest * step) & (x < highest * step))
        # Eq. 3 times the step is `out - x` inside the range and `out` outside: two passes, no division.
        per_value = (gradients[0] * out).addcmul_(gradient_x, x, value=-1)
        gradient_step = per_value.sum_to_size(step.shape) / step * ctx.gradient_scale
        return gradient_x, gradient_step, None, None, None


def _rounded(x: Tensor, step: Tensor, lowest: float, highest: float, offset: float) -> Tensor:
    """Return ``x`` in its nearest steps. Values between the steps are rounded as their neighbours on the steps."""
    if rows := _rows(x, step):
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        numbers = map(np.float32, (lowest, highest, offset))
        kernels.lsq(*rows, *numbers, out.numpy().reshape(rows[0].shape))
        return out
    out = (x / step).clamp_(lowest, highest)
    out = out.sub_(offset).round_().add_(offset) if offset else out.round_()
    return out.mul_(step)


def _rows(x: Tensor, step: Tensor, *others: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Return ``x`` as rows and a step for each, which repeat, for the kernels; None where they don't take them.

    They take one step for all values, or one for each vector along the last dimension, the same in every sample.
    """
    if not kernels.compiled(x, step, *others):
        return None
    if step.numel() > 1 and (step.shape[-1] != 1 or step.shape[:-1] != x.shape[-step.dim() : -1]):
        return None
    values, steps = kernels.arrays(x, step)
    return values.reshape(-1, x.shape[-1] if x.dim() else 1), steps.reshape(-1)


def levels(bits: int) -> tuple[float, float]:
    """Return the lowest and the highest result in steps, -Qn and Qp of the paper."""
    return (-1.5, 1.5) if bits == 2 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def lsq(x: Tensor, step: Tensor, bits: int, gradient_scale: float = 1.0) -> Tensor:
    """Round ``x`` to one of the 2^bits values, a step apart, between the :func:`levels` (Eq. 1 and 2).

    Args:
        x: Values of any shape.
        step: Step sizes above 0, broadcast against ``x``; they get the gradient of Eq. 3.
        bits: Bits of a result, 2 or more.
        gradient_scale: Factor on the gradient of ``step``.
    """
    return _LSQ.apply(x, step, *levels(bits), gradient_scale)


class LSQ(ScaledQuantizer):
    """:func:`lsq` with its steps."""

    def __init__(self, use: Use):
        super().__init__(use)
        self.gradient_scale = (use.shared * levels(use.bits)[1]) ** -0.5

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Return ``x`` in whole numbers of its steps, or with two bits in halves."""
        return lsq(x, self.scale(index), self.use.bits, self.gradient_scale)

"""Layers of BITorch inside this package's DLRM, so that the reference's own recipe is a row of a table.

BITorch (``hpi-xnor/bitorch`` 0.4, GPL-3) is an extra, ``recsys-bnn[bitorch]``: this module alone imports it, and
is itself imported by ``--engine bitorch`` alone. The recipe is that of the command in its
``examples/dlrm/README.md``: signs of inputs, whose gradient is cancelled outside [-1, 1], ``approxsign`` for
weights and tables, and no scales.
"""

import torch
from torch import Tensor, nn

from recsys_bnn.model.layers import LinearLayer
from recsys_bnn.model.quantizers import Quantizer, Use
from seminar_common.errors import UserError

try:
    from bitorch.layers.qlinear import QLinearBase
    from bitorch.quantizations import ApproxSign, Sign
except ImportError as error:
    raise UserError(
        f"--engine bitorch: BITorch can't be imported ({error}); pip install 'recsys-bnn[bitorch]'"
    ) from error


class BitorchLinear(QLinearBase, LinearLayer):
    """BITorch's QLinear with 1-bit weights and inputs and no bias, whose start comes from a generator.

    Args:
        in_features: Values of an input row, K.
        out_features: Values of an output row, N.
    """

    weight_bits = activation_bits = 1

    def __init__(self, in_features: int, out_features: int):
        super().__init__(
            in_features, out_features, bias=False, input_quantization=Sign(), weight_quantization=ApproxSign()
        )

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights from the normal distribution of BITorch's example, which is DLRM's."""
        deviation = (2 / (self.in_features + self.out_features)) ** 0.5
        nn.init.normal_(self.weight, 0.0, deviation, generator=generator)


class BitorchRows(Quantizer):
    """What BITorch's QEmbedding and QEmbeddingBag do to a table, done to the rows that were looked up.

    They quantize the **whole** table in every forward pass, look up, and quantize the result. A sign depends on
    one value alone, so looking up first gives the same rows and gradients, and a step does not grow with the table.
    """

    def __init__(self) -> None:
        super().__init__(Use(1, "embedding", None))
        self.weight_quantization, self.output_quantization = ApproxSign(), Sign()

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the signs of rows [..., D]."""
        return self.output_quantization(self.weight_quantization(x))

"""One bit several times: signs of the distances to learned thresholds, one after the other.

Source: Lin et al., "Towards Accurate Binary Convolutional Neural Network" (ABC-Net), NeurIPS 2017, Sec. 3.2: a
value is told by several signs, each with a learned shift. The paper gives each sign weights of its own, as here,
where the signs are simply more inputs of one layer: T signs a value are T times as many weights of 1 bit.
"""

import torch
from torch import Tensor, nn

from recsys_bnn.model.quantizers.base import Quantizer, Use
from recsys_bnn.model.quantizers.sign import sign


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
        return sign(x.unsqueeze(1) - self.thresholds).flatten(1)

"""Features of several layers of a backbone, side by side."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from seminar_common.errors import UserError


class SeveralLayers(nn.Module):
    """A timm model whose features are those of its last layer, and means over the picture of stages before it.

    Each stage's mean is made as long as the picture's features of the last layer, so that no layer outweighs the others.
    """

    def __init__(self, model: nn.Module, layers: int):
        """Take the features of ``layers`` layers of ``model``: the last one, and the last ``layers`` - 1 stages.

        Raises:
            UserError: timm can't give the stages of such a model, or it has fewer.
        """
        super().__init__()
        self.model, self.stages = model, layers - 1
        there = len(getattr(model, "feature_info", ())) if hasattr(model, "forward_intermediates") else 0
        if there < self.stages:
            raise UserError(f"--layers {layers}: this backbone can give {there + 1} at most")

    def forward(self, images: Tensor) -> Tensor:
        """Return features, float32 [N, sum of widths], of images float32 [N, 3, S, S]; those of the last layer first."""
        model = cast(Any, self.model)
        final, stages = model.forward_intermediates(images, indices=self.stages)
        last = model.forward_head(final, pre_logits=True)
        length = last.norm(dim=1, keepdim=True)
        means = [maps.mean(dim=(2, 3)) for maps in reversed(stages)]
        return torch.cat([last, *(length * nn.functional.normalize(mean, dim=1) for mean in means)], dim=1)

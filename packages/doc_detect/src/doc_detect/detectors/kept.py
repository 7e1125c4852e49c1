"""What finds classes that a further stage of training leaves as they are, and what lets the others learn beside it."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import FeaturePyramidNetwork

from doc_detect.settings.training import ModelConfig

FIRST_EXTRA = 6
"""Number of the first level, of stride 64, that torchvision makes of the pyramid's own coarsest one."""
ADAPTED = 2
"""Coarsest stages of the backbone that get an adapter: at stride 8 one would cost as much as a level of a head."""


class KeptBranch(nn.Module):
    """A fixed copy of a feature pyramid and of an FCOS head, on the stages of a fixed backbone.

    It has the finest ``config.kept_levels`` levels alone and the classes ``config.kept`` alone. At these it computes
    what the whole pyramid and the whole head compute.
    """

    def __init__(self, config: ModelConfig, stage_channels: list[int]):
        super().__init__()
        channels, levels = config.channels, config.kept_levels
        finest = min(levels, len(stage_channels))
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in stage_channels)
        self.layers = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(finest))
        self.coarse = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(levels - finest))
        self.head = FCOSHead(channels, 1, len(config.kept), config.head_convs)
        self.requires_grad_(False)

    def take(self, pyramid: FeaturePyramidNetwork) -> None:
        """Copy the weights of a pyramid that has all levels."""
        stored = pyramid.state_dict()
        for convs, name, first in (
            (self.laterals, "inner_blocks.{}.0", 0),
            (self.layers, "layer_blocks.{}.0", 0),
            (self.coarse, "extra_blocks.p{}", FIRST_EXTRA),
        ):
            for place, conv in enumerate(convs, first):
                conv.load_state_dict(
                    {part: stored[f"{name.format(place)}.{part}"] for part in ("weight", "bias")}
                )

    def maps(self, stages: list[Tensor]) -> list[Tensor]:
        """Return the finest maps [B, channels, H_k, W_k] of the pyramid.

        Args:
            stages: Of the backbone, finest first.
        """
        seen: list[Tensor] = []
        above: Tensor | None = None
        for place in reversed(range(len(stages))):
            lateral = self.laterals[place](stages[place])
            if above is not None:
                lateral = lateral + F.interpolate(above, lateral.shape[-2:], mode="nearest")
            above = lateral
            if place < len(self.layers):
                seen.insert(0, self.layers[place](lateral))
        for number, conv in enumerate(self.coarse):
            seen.append(conv(F.relu(seen[-1]) if number else seen[-1]))
        return seen


class Adapters(nn.Module):
    """Small networks beside fixed stages, which add to them what is learned.

    Source: Rebuffi et al. 2018, "Efficient Parametrization of Multi-domain Deep Neural Networks": parallel residual
    adapters. At the start they add nothing.
    """

    def __init__(self, stage_channels: list[int], channels: int):
        super().__init__()
        self.parts = nn.ModuleList(_adapter(width, channels) for width in stage_channels[-ADAPTED:])

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """Return the stages [B, C_k, H_k, W_k], finest first, the coarsest of them adapted."""
        adapted = [stage + part(stage) for stage, part in zip(stages[-ADAPTED:], self.parts, strict=True)]
        return [*stages[:-ADAPTED], *adapted]


def _adapter(width: int, channels: int) -> nn.Sequential:
    last = nn.Conv2d(channels, width, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(cast(Tensor, last.bias))
    around = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]
    return nn.Sequential(
        nn.Conv2d(width, channels, 1), nn.ReLU(), around[0], nn.ReLU(), around[1], nn.ReLU(), last
    )

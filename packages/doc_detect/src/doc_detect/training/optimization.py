"""What trainings of all kinds share: the optimizer, the moving average of the weights, and averages of two detectors."""

import torch
from torch import nn

from doc_detect.detectors.base import Detector
from doc_detect.settings.training import OptimizationConfig

LARGEST_GRADIENT = 10.0
"""Norm to which a larger gradient is clipped."""


def make_optimizer(detector: Detector, config: OptimizationConfig) -> torch.optim.Optimizer:
    """Return AdamW with a learning rate for the backbone and one for the rest."""
    groups = detector.parameter_groups(config.backbone_learning_rate, config.learning_rate)
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Move the average's weights and statistics towards the model's.

    Early on, when the weights still change much, the average is over the last tenth of the steps.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value.to(mean), weight)
        else:
            mean.copy_(value)


@torch.no_grad()
def blend(model: nn.Module, other: nn.Module, share: float) -> None:
    """Move the weights and statistics of ``model`` by ``share`` of the way towards those of ``other``."""
    for ours, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        if ours.dtype.is_floating_point:
            ours.lerp_(theirs.to(ours), share)

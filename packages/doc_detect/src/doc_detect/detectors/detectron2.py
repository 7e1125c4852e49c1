"""Faster R-CNN of detectron2 on a feature pyramid, its configuration built in code.

Source: Wu et al. 2019, "Detectron2". It is no dependency: docs/results/doc_detection.md has the line that builds it. Its
model zoo is never imported: it needs a package that newer Pythons lack, and weights that are fetched.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg  # ty: ignore[import-not-found]
from detectron2.layers import ShapeSpec  # ty: ignore[import-not-found]
from detectron2.modeling import Backbone, GeneralizedRCNN  # ty: ignore[import-not-found]
from detectron2.modeling.proposal_generator import RPN  # ty: ignore[import-not-found]
from detectron2.modeling.roi_heads import StandardROIHeads  # ty: ignore[import-not-found]
from detectron2.structures import Boxes, Instances  # ty: ignore[import-not-found]
from detectron2.utils.events import EventStorage  # ty: ignore[import-not-found]
from torch import Tensor
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from doc_detect.detectors.backbones import PAD_MULTIPLE, STRIDES, PyramidBackbone
from doc_detect.detectors.base import Detector, Target, inside_regions, resize_to, scale_back
from doc_detect.detectors.detections import Detections
from doc_detect.settings.training import ModelConfig
from seminar_common.errors import UserError

LEVELS = {f"p{3 + i}": stride for i, stride in enumerate((*STRIDES, 2 * STRIDES[-1]))}
"""Stride of each level of the pyramid."""


class Detectron2Detector(Detector):
    """detectron2's Faster R-CNN on our backbone, whose weights need no network."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        backbone = _NamedLevels(config)
        settings = make_config(config)
        shapes = backbone.output_shape()
        self.model = GeneralizedRCNN(
            backbone=backbone,
            proposal_generator=_Proposals(settings, shapes),
            roi_heads=_BoxHeads(settings, shapes),
            pixel_mean=(0.0, 0.0, 0.0),  # the backbone normalises
            pixel_std=(1.0, 1.0, 1.0),
            input_format="RGB",
        )

    def fit_step(self, images: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the losses of the proposals and of the boxes."""
        regions = [target.ignore for target in targets]
        self.model.proposal_generator.regions = self.model.roi_heads.regions = regions
        pages = [
            {"image": image, "instances": _instances(image, target)}
            for image, target in zip(images, targets, strict=True)
        ]
        with EventStorage():  # detectron2 writes statistics to it
            return self.model(pages)

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor]) -> list[Detections]:
        """Return what is on each page, in its own pixels."""
        self.eval()
        found = []
        for image in images:
            (resized,), (scale,) = resize_to([image], self.config.size)
            (answer,) = self.model.inference([{"image": resized}], do_postprocess=False)
            boxes = answer.pred_boxes.tensor
            found.append(scale_back(boxes, answer.scores, answer.pred_classes, scale, image))
        return found

    def export(self, path: Path, card: Mapping[str, Any]) -> None:
        """Refuse: the package's runtime reads one-stage detectors alone."""
        raise UserError("detectron2 has no ONNX form here; train --engine torchvision to export")


def make_config(config: ModelConfig) -> CfgNode:
    """Return detectron2's configuration for our settings; sizes as those of the torchvision engine."""
    settings = get_cfg()
    model = settings.MODEL
    model.DEVICE = "cpu"  # where it is built; Fabric moves it
    model.MASK_ON = False
    model.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256]]
    model.ANCHOR_GENERATOR.ASPECT_RATIOS = [[0.4, 1.0, 2.5]]
    model.RPN.IN_FEATURES = list(LEVELS)
    model.RPN.BATCH_SIZE_PER_IMAGE = 128
    model.RPN.PRE_NMS_TOPK_TRAIN, model.RPN.PRE_NMS_TOPK_TEST = 500, 300
    model.RPN.POST_NMS_TOPK_TRAIN, model.RPN.POST_NMS_TOPK_TEST = 200, 100
    model.ROI_HEADS.IN_FEATURES = list(LEVELS)[:3]
    model.ROI_HEADS.NUM_CLASSES = len(config.labels)
    model.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 64
    model.ROI_HEADS.SCORE_THRESH_TEST = config.score_threshold
    model.ROI_HEADS.NMS_THRESH_TEST = config.nms_iou
    model.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    model.ROI_BOX_HEAD.NUM_FC, model.ROI_BOX_HEAD.FC_DIM = 2, 256
    model.ROI_BOX_HEAD.POOLER_RESOLUTION, model.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO = 7, 2
    settings.TEST.DETECTIONS_PER_IMAGE = config.max_detections
    return settings


class _NamedLevels(Backbone):
    """The pyramid's maps under their names, as detectron2 takes them."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        extra = LastLevelMaxPool()
        self.pyramid = PyramidBackbone(config.backbone, config.weights, config.channels, extra)

    @property
    def size_divisibility(self) -> int:
        return PAD_MULTIPLE

    def output_shape(self) -> dict[str, ShapeSpec]:
        channels = self.pyramid.out_channels
        return {name: ShapeSpec(channels=channels, stride=stride) for name, stride in LEVELS.items()}

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        return dict(zip(LEVELS, self.pyramid(pixels), strict=True))


def _instances(image: Tensor, target: Target) -> Instances:
    height, width = image.shape[1:]
    return Instances((height, width), gt_boxes=Boxes(target.boxes), gt_classes=target.labels)


class _Proposals(RPN):
    """Leaves out anchors in ignore regions among those that stand for background."""

    regions: Sequence[Tensor] = ()

    @torch.no_grad()
    def label_and_sample_anchors(self, anchors: list[Boxes], gt_instances: list[Instances]) -> Any:
        labels, boxes = super().label_and_sample_anchors(anchors, gt_instances)
        every = Boxes.cat(anchors).tensor
        for label, regions in zip(labels, self.regions, strict=True):
            label[(label == 0) & inside_regions(every, regions)] = -1
        return labels, boxes


class _BoxHeads(StandardROIHeads):
    """Leaves out proposals in ignore regions."""

    regions: Sequence[Tensor] = ()

    @torch.no_grad()
    def label_and_sample_proposals(self, proposals: list[Instances], targets: list[Instances]) -> Any:
        kept = [
            page[~inside_regions(page.proposal_boxes.tensor, regions)]
            for page, regions in zip(proposals, self.regions, strict=True)
        ]
        return super().label_and_sample_proposals(kept, targets)

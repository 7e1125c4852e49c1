"""What every detector engine does, and the table of engines.

An engine is one file with one class; :data:`ENGINES` names it. Boxes are absolute xyxy pixels, everywhere.
"""

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from doc_detect.detectors.detections import Detections
from doc_detect.settings.training import ModelConfig
from seminar_common import seeds
from seminar_common.errors import UserError, choices


class Target(NamedTuple):
    """What is known of one training page."""

    boxes: Tensor
    """[N, 4] absolute xyxy, float32."""
    labels: Tensor
    """[N] class numbers in the detector's own order, int64."""
    ignore: Tensor
    """[M, 4] regions that are neither object nor background for the text classes."""
    unlabelled: tuple[int, ...] = ()
    """Classes that this page's data set does not label: no negative is known for them."""
    unknown: Tensor | None = None
    """[K, 4] regions of which nothing is known: no class has negatives there. Only a detector that learns from partly
    labelled pages heeds it."""
    unboxed: tuple[int, ...] = ()
    """Classes whose boxes on this page teach where something is, but not its size."""

    def to(self, device: torch.device) -> "Target":
        """Return it on ``device``."""
        unknown = None if self.unknown is None else self.unknown.to(device)
        boxes, labels, ignore = (part.to(device) for part in (self.boxes, self.labels, self.ignore))
        return Target(boxes, labels, ignore, self.unlabelled, unknown, self.unboxed)


class Detector(nn.Module, ABC):
    """A detector: an ``nn.Module`` that trains by :meth:`fit_step` and finds by :meth:`predict`."""

    partly_labelled: ClassVar[bool] = False
    """True if it learns from pages whose data set does not label all classes."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.labels = config.labels

    @abstractmethod
    def fit_step(self, images: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the losses of a batch by name; their sum is what to minimise.

        Args:
            images: pages [3, H_i, W_i], RGB in 0..1.
            targets: what is known of each.
        """

    @abstractmethod
    def predict(self, images: Sequence[Tensor]) -> list[Detections]:
        """Return what is on each page [3, H_i, W_i] (RGB in 0..1, any size), in its own pixels."""

    @abstractmethod
    def export(self, path: Path, card: Mapping[str, Any]) -> None:
        """Write an ONNX file that the package's runtime reads, with the facts of ``card`` inside.

        Raises:
            UserError: this engine has no ONNX form.
        """

    def parameter_groups(self, backbone_rate: float, head_rate: float) -> list[dict[str, Any]]:
        """Return groups for an optimizer: the pretrained backbone learns at its own rate."""
        trained = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        backbone = [p for n, p in trained if self.in_backbone(n)]
        rest = [p for n, p in trained if not self.in_backbone(n)]
        return [{"params": backbone, "lr": backbone_rate}, {"params": rest, "lr": head_rate}]

    def in_backbone(self, name: str) -> bool:
        """Say whether the parameter ``name`` belongs to the pretrained part."""
        return ".network." in name

    def forward(self, images: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """The same as :meth:`fit_step`: wrappers such as DDP see a module's forward alone."""
        return self.fit_step(images, targets)


ENGINES: Mapping[tuple[str, str], str] = {
    ("torchvision", "fcos"): "doc_detect.detectors.fcos:FCOSDetector",
    ("torchvision", "faster-rcnn"): "doc_detect.detectors.faster_rcnn:FasterRCNNDetector",
    ("detectron2", "faster-rcnn"): "doc_detect.detectors.detectron2:Detectron2Detector",
}
"""Detector classes by engine and architecture, imported when they are built."""


def build_detector(config: ModelConfig, seed: int = 0) -> Detector:
    """Return a new detector whose weights come from ImageNet and from ``seed``.

    Raises:
        UserError: no such engine or architecture, or the engine is not installed.
    """
    key = (config.engine, config.architecture)
    if key not in ENGINES:
        known = [architecture for engine, architecture in ENGINES if engine == config.engine]
        raise UserError(f"--architecture {key[1]}: {key[0]} has {choices(known)}")
    module, name = ENGINES[key].split(":")
    if missing := missing_engine(config.engine):
        raise UserError(missing)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "weights"))
        return getattr(importlib.import_module(module), name)(config)


def missing_engine(engine: str) -> str:
    """Return why an engine can't be used here, or an empty text if it can."""
    if engine == "detectron2" and importlib.util.find_spec("detectron2") is None:
        return "--engine detectron2: it is not installed; docs/results/doc_detection.md has the line that builds it"
    return ""


def scale_back(boxes: Tensor, scores: Tensor, labels: Tensor, scale: float, image: Tensor) -> Detections:
    """Return what was found on a resized image, boxes [N, 4] in the pixels of ``image`` [3, H, W], cut at its edges."""
    limits = torch.tensor([image.shape[2], image.shape[1]] * 2).to(boxes)
    boxes = (boxes / scale).clamp(min=0).minimum(limits)
    return Detections(boxes.cpu().numpy(), scores.cpu().numpy(), labels.cpu().numpy())


def inside_regions(boxes: Tensor, regions: Tensor) -> Tensor:
    """Return which boxes [N, 4] lie with more than half of their area in one of the regions [M, 4]; bool [N]."""
    top_left = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    bottom_right = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    inner = (bottom_right - top_left).clamp(min=0).prod(dim=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return (inner > 0.5 * area[:, None]).any(dim=1)


def resize_to(images: Sequence[Tensor], size: int) -> tuple[list[Tensor], list[float]]:
    """Return the images with a longest side of at most ``size``, and by what each was scaled; none is enlarged."""
    resized, scales = [], []
    for image in images:
        scale = min(1.0, size / max(image.shape[1:]))
        shape = [max(1, round(side * scale)) for side in image.shape[1:]]
        if tuple(shape) != tuple(image.shape[1:]):
            image = nn.functional.interpolate(
                image[None], shape, mode="bilinear", align_corners=False, antialias=True
            )[0].clamp(0, 1)
        resized.append(image)
        scales.append(scale)
    return resized, scales

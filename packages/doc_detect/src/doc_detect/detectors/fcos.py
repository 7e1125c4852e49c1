"""FCOS: every position of the feature pyramid says what it is inside of, and how far the edges are.

Source: Tian et al. 2019, "FCOS: Fully Convolutional One-Stage Object Detection", with the improvements of its
2020 version (centre sampling, normalised distances, GIoU-type loss). The third output is not centre-ness but the
box's own IoU, as in Wu et al. 2020, "IoU-aware single-stage object detector": it ranks boxes by how well they
fit. Pyramid, heads, losses and initial weights are torchvision's; target assignment and loss are written here for
pages that are labelled in part.

A further stage of training can leave some classes as they are (``ModelConfig.kept``). The backbone is fixed then, and so
are the pyramid and the head that find them (:class:`KeptBranch`). Copies of these learn the other classes, behind small
networks beside the backbone (:class:`Adapters`). The positions of both heads are one list, so that nothing after the
network tells them apart.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import distance_box_iou_loss, sigmoid_focal_loss
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from doc_detect.classes import TEXT_CLASSES
from doc_detect.detectors.backbones import PyramidBackbone, pad_batch
from doc_detect.detectors.base import Detector, Target, resize_to, scale_back
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.kept import Adapters, KeptBranch
from doc_detect.detectors.postprocess import detections
from doc_detect.settings.training import ModelConfig

STRIDES = (8, 16, 32, 64, 128)
SIZE_RANGES = ((0.0, 64.0), (64.0, 128.0), (128.0, 256.0), (256.0, 512.0), (512.0, float("inf")))
"""Each level finds boxes of which half the side of the square of equal area lies between these, in pixels.

The paper asks how far the farthest edge is. A headpiece as wide as the page and a few lines high then belongs to the
coarsest level, whose positions lie farther apart than it is high."""
CENTRE_RADIUS = 1.5
"""Positions within this many strides of a box's centre learn it."""
CENTRE_SHARE = 0.2
"""So do those within this share of its width and of its height of the centre.

As in Kong et al. 2019, "FoveaBox: Beyond Anchor-based Object Detector", equation 3. Along a headpiece, ten times as
wide as high, one place looks like the next: told that only the middle is positive, a network with a small view finds
it again and again, with its edges in other places."""


POSITIONS = 9
"""An object counts as at most so many positions in the losses: as many as a square box has within the radius.

Else a picture, which has a hundred, outweighs an initial."""


class Grid(NamedTuple):
    """The positions of all levels, one after the other."""

    centres: Tensor
    """[L, 2] x, y in pixels."""
    strides: Tensor
    """[L] pixels."""


class RawOutput(NamedTuple):
    """What the network says of a batch."""

    logits: Tensor
    """[B, L, C] of each class that is learned."""
    quality: Tensor
    """[B, L] logit of the box's IoU."""
    distances: Tensor
    """[B, L, 4] from the position to the left, top, right and bottom edge, in strides."""


class FCOSDetector(Detector):
    """FCOS on a pyramid of strides 8 to 128."""

    partly_labelled = True

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        channels = config.channels
        coarsest = LastLevelP6P7(channels, channels)
        self.backbone = PyramidBackbone(config.backbone, config.weights, channels, coarsest, config.folded)
        self.learned = tuple(n for n, label in enumerate(config.labels) if label not in config.kept)
        self.head = FCOSHead(channels, 1, len(self.learned), config.head_convs)
        # The heads end in a ReLU: start in the middle of the distances' range, where it has a gradient.
        nn.init.constant_(cast(Tensor, self.head.regression_head.bbox_reg.bias), 3.0)
        self.text = torch.tensor([config.labels[number] in TEXT_CLASSES for number in self.learned])
        self.kept: KeptBranch | None = None
        if config.kept:
            stage_channels = self.backbone.network.feature_info.channels()
            self.backbone.freeze()
            self.adapters = Adapters(stage_channels, channels)
            self.kept = KeptBranch(config, stage_channels)
        self.to(memory_format=torch.channels_last)

    def raw(self, pixels: Tensor) -> tuple[RawOutput, Grid]:
        """Return what is learned of a batch [B, 3, H, W] in 0..1; H and W are multiples of 32."""
        maps, _ = self._maps(pixels)
        return _raw(self.head, maps), make_grid(maps)

    def _maps(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the maps that the head looks at, and the fixed stages below them where classes are kept."""
        if self.kept is None:
            return self.backbone(pixels), []
        stages = self.backbone.stages(pixels)
        return self.backbone(pixels, self.adapters(stages)), stages

    def keep(self, source: "FCOSDetector") -> None:
        """Start from ``source``, which has the same classes and keeps none of them."""
        assert self.kept is not None
        self.backbone.load_state_dict(source.backbone.state_dict())
        _take_head(self.head, source.head, self.learned)
        self.kept.take(source.backbone.pyramid)
        _take_head(self.kept.head, source.head, self._kept_numbers())

    def _kept_numbers(self) -> list[int]:
        return [number for number in range(len(self.labels)) if number not in self.learned]

    def fit_step(self, images: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the losses ``classification`` (focal), ``box`` (DIoU) and ``quality``."""
        targets = [self._to_learn(target) for target in targets]
        raw, grid = self.raw(pad_batch(list(images)))
        matches = [assign(grid, target) for target in targets]
        positive = torch.stack([match >= 0 for match in matches])
        shares = [_shares(match) for match in matches]
        share = torch.cat([part[match >= 0] for part, match in zip(shares, matches, strict=True)])
        total = share.sum().clamp(min=1)
        wanted, weights = self._class_targets(grid, targets, matches, shares)
        # Nearly all positions are background: the focal loss keeps the easy ones from drowning the few others, and
        # the sum is divided by what is positive, not by the number of positions.
        focal = sigmoid_focal_loss(raw.logits.float(), wanted, reduction="none")
        predicted, truth = _positive_boxes(raw, grid, targets, matches, positive)
        # The IoU that is learned is that of the box as it is now: detached, or boxes would bend to make it easy.
        quality = F.binary_cross_entropy_with_logits(
            raw.quality[positive].float(), _own_iou(predicted.detach(), truth), reduction="none"
        )
        box = distance_box_iou_loss(predicted, truth, reduction="none")
        sized = share * torch.cat(
            [_sized(target, match) for target, match in zip(targets, matches, strict=True)]
        )
        return {
            "classification": (focal * weights).sum() / total,
            "box": (box * sized).sum() / total,
            "quality": (quality * sized).sum() / total,
        }

    def _class_targets(
        self, grid: Grid, targets: Sequence[Target], matches: Sequence[Tensor], shares: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return what each position should say of each class, and how much that counts, both [B, L, C]."""
        shape = (len(targets), len(grid.centres), len(self.learned))
        wanted, weights = grid.centres.new_zeros(shape), grid.centres.new_ones(shape)
        for page, (target, match) in enumerate(zip(targets, matches, strict=True)):
            ignored = _inside_any(grid.centres, target.ignore)
            # A title page hides text that nobody labelled, but not a stamp: only text has no negatives there.
            weights[page, ignored] *= (~self.text).to(weights)
            weights[page, :, list(target.unlabelled)] = 0
            if target.unknown is not None:
                weights[page, _inside_any(grid.centres, target.unknown)] = 0
            positions = torch.nonzero(match >= 0).squeeze(1)
            labels = target.labels[match[positions]]
            wanted[page, positions, labels] = 1
            weights[page, positions, labels] = shares[page][positions]
        return wanted, weights

    def _to_learn(self, target: Target) -> Target:
        """Return ``target`` in the numbers of the classes that are learned: an object of the others is none."""
        if self.kept is None:
            return target
        number = {own: place for place, own in enumerate(self.learned)}
        chosen = [row for row, label in enumerate(target.labels.tolist()) if label in number]
        labels = [number[label] for label in target.labels[chosen].tolist()]
        return target._replace(
            boxes=target.boxes[chosen],
            labels=target.labels.new_tensor(labels),
            unlabelled=tuple(number[label] for label in target.unlabelled if label in number),
            unboxed=tuple(number[label] for label in target.unboxed if label in number),
        )

    def dense(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes [B, L, 4] in pixels and scores [B, L, C] of a padded batch, before suppression.

        With kept classes, the positions of the head that learns come before those of the other. Each scores 0 for the
        other's classes.
        """
        maps, stages = self._maps(pixels)
        grid = make_grid(maps)
        boxes, scores = _answer(_raw(self.head, maps), grid)
        if self.kept is None:
            return boxes, scores
        kept_boxes, kept_scores = _answer(_raw(self.kept.head, self.kept.maps(stages)), grid)
        # Each class has its column: what is multiplied by 1 stays as it is, to the bit.
        columns = torch.eye(len(self.labels), device=pixels.device, dtype=scores.dtype)
        placed = [scores @ columns[list(self.learned)], kept_scores @ columns[self._kept_numbers()]]
        return torch.cat([boxes, kept_boxes], dim=1), torch.cat(placed, dim=1)

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor]) -> list[Detections]:
        """Return what is on each page, in its own pixels."""
        self.eval()
        found = []
        for image in images:
            (resized,), (scale,) = resize_to([image], self.config.size)
            boxes, scores = self.dense(pad_batch([resized]))
            found.append(self._detections(boxes[0], scores[0], scale, image))
        return found

    def _detections(self, boxes: Tensor, scores: Tensor, scale: float, image: Tensor) -> Detections:
        config = self.config
        parts = detections(
            boxes.cpu().numpy(),
            scores.cpu().numpy(),
            score_threshold=config.score_threshold,
            nms_iou=config.nms_iou,
            max_detections=config.max_detections,
        )
        kept, kept_scores, labels = map(torch.from_numpy, parts)
        return scale_back(kept, kept_scores, labels, scale, image)

    def export(self, path: Path, card: Mapping[str, Any]) -> None:
        """Write the dense network as ONNX."""
        from doc_detect.detectors.onnx_graph import write_onnx  # onnx is for those who export

        write_onnx(self, self.dense, path, card)


def _sized(target: Target, match: Tensor) -> Tensor:
    """Return 1 for each positive position whose object's box is to be learned, else 0, float32."""
    labels = target.labels[match[match >= 0]]
    return torch.isin(labels, labels.new_tensor(target.unboxed), invert=True).float()


@torch.no_grad()
def _take_head(head: FCOSHead, source: FCOSHead, classes: Sequence[int]) -> None:
    """Copy into ``head`` the weights of ``source``, whose classes of these numbers are all that ``head`` has."""
    weights = source.state_dict()
    for name in ("classification_head.cls_logits.weight", "classification_head.cls_logits.bias"):
        weights[name] = weights[name][list(classes)]
    head.load_state_dict(weights)


def _raw(head: FCOSHead, maps: list[Tensor]) -> RawOutput:
    """Return what a head says of a pyramid's maps [B, channels, H_k, W_k], finest first.

    torchvision's own ``forward`` does the same with several times as many nodes in an exported graph.
    """
    classes, edges = head.classification_head, head.regression_head
    logits = [_rows(classes.cls_logits(classes.conv(each))) for each in maps]
    distances, quality = [], []
    for each in maps:
        seen = edges.conv(each)
        distances.append(_rows(F.relu(edges.bbox_reg(seen))))
        quality.append(_rows(edges.bbox_ctrness(seen)))
    return RawOutput(
        torch.cat(logits, dim=1), torch.cat(quality, dim=1).squeeze(2), torch.cat(distances, dim=1)
    )


def _rows(values: Tensor) -> Tensor:
    """Return what stands on a map [B, C, H, W] position by position, [B, H W, C]."""
    return values.permute(0, 2, 3, 1).reshape(len(values), -1, values.shape[1])


def _answer(raw: RawOutput, grid: Grid) -> tuple[Tensor, Tensor]:
    """Return boxes [B, L, 4] in pixels and scores [B, L, C] at the first L positions of ``grid``."""
    # The geometric mean keeps scores on the scale of probabilities.
    scores = (raw.logits.sigmoid() * raw.quality.sigmoid()[..., None]).sqrt()
    count = raw.logits.shape[1]
    return to_boxes(raw.distances, Grid(grid.centres[:count], grid.strides[:count])), scores


def make_grid(features: Sequence[Tensor]) -> Grid:
    """Return the centres of all positions of a pyramid's maps [B, C, H_k, W_k]."""
    centres, strides = [], []
    for stride, feature in zip(STRIDES, features, strict=True):
        height, width = feature.shape[2:]
        y = (torch.arange(height, device=feature.device, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(width, device=feature.device, dtype=torch.float32) + 0.5) * stride
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        level = torch.stack([columns.flatten(), rows.flatten()], dim=1)
        centres.append(level)
        strides.append(torch.full_like(level[:, 0], stride))
    return Grid(torch.cat(centres), torch.cat(strides))


def assign(grid: Grid, target: Target) -> Tensor:
    """Return for each position the number of the box that it learns, [L] int64; -1 where it is background.

    A position learns a box if it lies inside and near the centre, and if the box has the size that its level is
    for; of several the smallest.
    """
    positions = len(grid.centres)
    if not len(target.boxes):
        return torch.full((positions,), -1, dtype=torch.int64, device=grid.centres.device)
    edges = _edge_distances(grid.centres, target.boxes)
    area = (target.boxes[:, 2:] - target.boxes[:, :2]).prod(dim=1)
    reach = area.sqrt() / 2
    limits = reach.new_tensor(SIZE_RANGES)[_levels(grid)]
    fits = (reach >= limits[:, :1]) & (reach < limits[:, 1:])
    fits &= (edges.amin(dim=2) > 0) & _near_centre(grid, target.boxes)
    # Where boxes overlap, an initial inside a picture say, the smaller one has fewer positions and so comes first.
    best, chosen = torch.where(fits, area, float("inf")).min(dim=1)
    return torch.where(best < float("inf"), chosen, -1)


def _shares(match: Tensor) -> Tensor:
    """Return how much each position counts for the box that it learns, [L]: those of a box add up to 9 at most."""
    learned = match.clamp(min=0)
    counts = torch.bincount(learned[match >= 0], minlength=int(learned.max()) + 1)
    return (POSITIONS / counts[learned].clamp(min=POSITIONS)).float()


def _levels(grid: Grid) -> Tensor:
    return torch.log2(grid.strides / STRIDES[0]).round().long()


def _edge_distances(centres: Tensor, boxes: Tensor) -> Tensor:
    """Return pixels to the left, top, right and bottom edge of each box, [L, N, 4]; negative outside."""
    inner = centres[:, None] - boxes[None, :, :2]
    outer = boxes[None, :, 2:] - centres[:, None]
    return torch.cat([inner, outer], dim=2)


def _near_centre(grid: Grid, boxes: Tensor) -> Tensor:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    offset = (grid.centres[:, None] - centres[None]).abs()
    share = CENTRE_SHARE * (boxes[:, 2:] - boxes[:, :2])
    return (offset < torch.maximum(CENTRE_RADIUS * grid.strides[:, None, None], share)).all(dim=2)


def _inside_any(centres: Tensor, regions: Tensor) -> Tensor:
    """Return which positions lie in any of the regions, [L] bool."""
    return (_edge_distances(centres, regions).amin(dim=2) > 0).any(dim=1)


def _positive_boxes(
    raw: RawOutput, grid: Grid, targets: Sequence[Target], matches: Sequence[Tensor], positive: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the predicted boxes of all positions that learn one, and those they should be, [P, 4] in strides.

    DIoU does not change with the unit; in strides its terms are of order one, also in half precision.
    """
    centres = (grid.centres / grid.strides[:, None]).expand(len(targets), -1, -1)[positive]
    strides = grid.strides.expand(len(targets), -1)[positive]
    truth = torch.cat([t.boxes[m[m >= 0]] for t, m in zip(targets, matches, strict=True)])
    distances = raw.distances[positive].float()
    return _boxes(centres, distances), truth / strides[:, None]


def _boxes(centres: Tensor, distances: Tensor) -> Tensor:
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)


def to_boxes(distances: Tensor, grid: Grid) -> Tensor:
    """Return boxes [B, L, 4] in pixels from distances [B, L, 4] in strides."""
    return _boxes(grid.centres, distances * grid.strides[:, None])


def _own_iou(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the IoU of each box with its own truth, [P]."""
    inner = torch.minimum(predicted[:, 2:], truth[:, 2:]) - torch.maximum(predicted[:, :2], truth[:, :2])
    inner = inner.clamp(min=0).prod(dim=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (predicted, truth)]
    return inner / (areas[0] + areas[1] - inner).clamp(min=1e-6)

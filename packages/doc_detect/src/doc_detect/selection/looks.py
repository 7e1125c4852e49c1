"""What a detector makes of a page before anyone has labelled it: its finds, its doubt, and what the page looks like.

Doubt is the sum over finds of how close their calibrated scores are to one half, and how much of the finds the detector does
not find again on the smaller page. The first is the 1-vs-2 measure of Brust et al. 2019, "Active Learning for Deep Object
Detection", for a find that is one or none, summed over a page's finds as they do: five doubtful pictures teach more than a
single one. Entropy would let a page's many finds of low score outweigh a doubtful one. The second look follows Yu et al.
2022, "Consistency-based Active Learning for Object Detection", who compare a picture with its changed self.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from doc_detect.adaptation.criterion import SMALLER, agreement
from doc_detect.adaptation.target import TargetPage
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.fcos import STRIDES, FCOSDetector
from doc_detect.detectors.scoring import Scoring
from doc_detect.detectors.torch import TorchDetector
from seminar_common.images import shrink

MOST = 10
"""Finds of a page that count at most: a marbled endpaper with a hundred phantoms is no better than ten."""
DOUBTFUL = (0.2, 0.8)
"""A find whose score lies between these is called doubtful in what is said of a page."""
DIGITS = 5
"""Decimals that features are stored with."""


@dataclass(frozen=True)
class Look:
    """One page, looked at."""

    found: Detections
    """Best first, in the page's own pixels; scores are probabilities as far as the detector is calibrated."""
    doubt: float
    """1 for a find whose score is one half, 0 for one that is sure or surely none; summed over the 10 most doubtful."""
    unstable: float
    """Finds, weighted by score, that are not found again at three quarters of the size; 10 at most."""
    features: np.ndarray
    """[F] float64: mean and largest value of each channel of each level of the pyramid."""

    @property
    def uncertainty(self) -> float:
        """Doubt and instability together, 0 to 20: both count finds."""
        return self.doubt + self.unstable

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found = self.found
        boxes = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
        return {
            "boxes": [[*(round(edge, 2) for edge in box), round(s, 5), int(n)] for box, s, n in boxes],
            "doubt": round(self.doubt, DIGITS),
            "unstable": round(self.unstable, DIGITS),
            "features": [round(value, DIGITS) for value in self.features.tolist()],
        }


def read_look(record: Mapping[str, Any]) -> Look:
    """Return what :meth:`Look.record` wrote."""
    rows = np.array(record["boxes"], np.float64).reshape(-1, 6)
    found = Detections(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))
    return Look(found, record["doubt"], record["unstable"], np.array(record["features"], np.float64))


class Looker:
    """Looks at pages with one detector."""

    def __init__(self, detector: FCOSDetector, device: torch.device, scoring: Scoring):
        self._detector = TorchDetector(detector.to(device), device, scoring=scoring)
        self._maps: list[list[Tensor]] = []
        detector.backbone.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], maps: list[Tensor]) -> None:
        self._maps.append(maps)

    def __call__(self, page: TargetPage) -> Look:
        """Return what there is to know of a page: one look at it, and one at the page made smaller."""
        self._maps.clear()
        seen = page.read()
        found = self._detector.detect(seen)
        smaller = shrink(seen.pixels, max(32, round(SMALLER * max(seen.pixels.shape[:2]))))
        again = self._detector.detect(dataclasses.replace(seen, pixels=smaller))
        features = pooled(self._maps[0], self._size(*seen.pixels.shape[:2]))
        agreed, there = agreement(found, again)
        unstable = min(float(MOST), max(0.0, there - agreed) / 2)
        # What is stored is rounded: a choice that goes on is that of an unbroken one.
        return read_look(Look(found, doubt(found.scores), unstable, features).record())

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of a picture as the detector reduces it."""
        scale = min(1.0, self._detector.size / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


def doubt(scores: np.ndarray) -> float:
    """Return how doubtful finds of scores [N] are, (1 - |2 p - 1|)^2 each, summed over the :data:`MOST` most doubtful."""
    each = (1 - np.abs(2 * scores.astype(np.float64) - 1)) ** 2
    return float(np.sort(each)[-MOST:].sum())


def pooled(maps: list[Tensor], size: tuple[int, int]) -> np.ndarray:
    """Return mean and maximum of each channel over the part of each map that is no padding, [2 C levels] float64.

    Args:
        maps: Of one page, [1, C, H / stride, W / stride] each, as of :class:`PyramidBackbone`.
        size: Height and width of the page in pixels.
    """
    values = []
    for stride, level in zip(STRIDES, maps, strict=True):
        rows, columns = (-(-side // stride) for side in size)
        inside = level[0, :, :rows, :columns].flatten(1).double()
        values += [inside.mean(dim=1), inside.amax(dim=1)]
    return torch.cat(values).cpu().numpy()


def kept(found: Detections, least: float) -> Detections:
    """Return the finds that score ``least`` or more."""
    chosen = found.scores >= least
    return dataclasses.replace(
        found, boxes=found.boxes[chosen], scores=found.scores[chosen], labels=found.labels[chosen]
    )

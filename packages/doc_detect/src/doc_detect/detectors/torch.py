"""A detector in PyTorch behind the same protocol as the ONNX one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from doc_detect.detectors.base import Detector
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.onnx import READING_CODE, to_page
from doc_detect.detectors.scoring import Scoring, read_scoring
from doc_detect.detectors.tensors import to_tensor
from doc_detect.detectors.trained import load_detector
from doc_detect.pages import Page
from seminar_common.files import fingerprint
from seminar_common.identity import code_digest, digest
from seminar_common.runs import open_run
from seminar_common.settings import to_dict
from seminar_common.training import WEIGHTS


class TorchDetector:
    """A :class:`doc_detect.detectors.onnx.PageDetector` that runs a PyTorch detector."""

    def __init__(
        self,
        detector: Detector,
        device: torch.device | str = "cpu",
        name: str = "",
        weights: str = "",
        scoring: Scoring | None = None,
    ):
        """Take ``detector``, which is on ``device``; ``weights`` is the digest of what it was loaded from."""
        self._detector, self._device = detector.eval(), device
        self.labels = tuple(detector.labels)
        self.size, self.trim = detector.config.size, detector.config.trim
        self.name, self._weights = name, weights
        self.scoring = scoring or Scoring()

    def identity(self) -> Mapping[str, Any]:
        """Return digests of the weights, of the detector's settings and of all code from the page to its boxes."""
        code = code_digest(*READING_CODE, "doc_detect.detectors", __name__)
        return {
            "weights_file": self._weights,
            "configuration": digest({**to_dict(self._detector.config), "scoring": self.scoring.facts()}),
            "code": code,
        }

    @torch.inference_mode()
    def detect(self, page: Page) -> Detections:
        """Return what is on ``page``."""
        (found,) = self._detector.predict([to_tensor(page.pixels).to(self._device)])
        height, width = page.pixels.shape[:2]
        return to_page(self.scoring.apply(found, self.labels), (width, height), page)


def open_torch(folder: Path, device: torch.device | str = "cpu") -> TorchDetector:
    """Load the detector of the run in ``folder``.

    Raises:
        UserError: no run, or its training has not ended.
    """
    run = open_run(folder)
    detector = load_detector(run).to(device)
    weights = fingerprint(run.checkpoints / WEIGHTS)
    name = f"{folder.resolve().name} {weights[:12]}"
    return TorchDetector(detector, device, name, weights, read_scoring(folder))

"""The detector of a run folder, in PyTorch, behind the same protocol as the ONNX one."""

from pathlib import Path

import numpy as np
import torch

from doc_detect.data import to_tensor
from doc_detect.pages import Page
from doc_detect.runtime import Detections, to_page
from doc_detect.trained import WEIGHTS, load_detector
from seminar_common.files import fingerprint
from seminar_common.runs import open_run


class TorchDetector:
    """A :class:`doc_detect.runtime.PageDetector` that runs a trained PyTorch detector on the CPU."""

    def __init__(self, folder: Path, score_threshold: float | None = None):
        """Load the run in ``folder``; ``score_threshold`` leaves out more than the detector itself does.

        Raises:
            UserError: no run, or its training has not ended.
        """
        run = open_run(folder)
        self._detector = load_detector(run)
        self._least = score_threshold or 0.0
        self.labels = tuple(self._detector.labels)
        self.size, self.trim = self._detector.config.size, self._detector.config.trim
        self.name = f"{folder.resolve().name} {fingerprint(run.checkpoints / WEIGHTS)[:12]}"
        torch.set_num_threads(1)  # pages are worked on side by side

    @torch.inference_mode()
    def detect(self, page: Page) -> Detections:
        """Return what is on ``page``."""
        (found,) = self._detector.predict([to_tensor(np.ascontiguousarray(page.pixels))])
        keep = found.scores >= self._least
        boxes, scores, labels = (x[keep].cpu().numpy() for x in (found.boxes, found.scores, found.labels))
        height, width = page.pixels.shape[:2]
        return to_page(Detections(boxes, scores, labels), (width, height), page)

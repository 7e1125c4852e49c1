"""Other layout detectors, to measure beside ours on the same pages."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from doc_detect.detectors.detections import Detections
from doc_detect.detectors.onnx import READING_CODE, to_page
from doc_detect.detectors.scoring import Scoring
from doc_detect.pages import Page
from seminar_common.errors import UserError
from seminar_common.identity import code_digest

RAPID_CLASSES = {
    "figure": "graphic",
    "figure_caption": "caption",
    "table": "table",
    "table_caption": "caption",
    "text": "main_text",
    "title": "title",
    "header": "running_title",
}
"""The names of rapid-layout's default model (CDLA's) that have one of ours; it knows no initials and no stamps."""


LOWEST_SCORE = 0.05
"""Asked for down to here, since average precision ranks detections of any score."""


class RapidLayoutDetector:
    """rapid-layout's default ONNX model, which comes inside its wheel, on whole pages as it is meant to be used.

    A :class:`doc_detect.detectors.onnx.PageDetector`.
    """

    name = "rapid-layout"

    size = 4096
    trim = False
    scoring = Scoring()
    labels: tuple[str, ...] = ("graphic", "table", "caption", "main_text", "title", "running_title")

    def __init__(self, threads: int = 1):
        """Load the model.

        Raises:
            UserError: rapid-layout is not installed.
        """
        try:
            from rapid_layout import RapidLayout  # ty: ignore[import-not-found]
        except ImportError as error:
            raise UserError(
                "rapid-layout is not installed: `uv sync --package doc-detect --group bench`, or leave it out of --peer"
            ) from error
        engine = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        self.model = RapidLayout(engine_cfg=engine, conf_thresh=LOWEST_SCORE)

    def identity(self) -> Mapping[str, Any]:
        """Return the version of rapid-layout, whose wheel holds the weights, and the digest of our code round it."""
        weights = f"rapid-layout {version('rapid-layout')}"
        return {"weights_file": weights, "code": code_digest(*READING_CODE, __name__)}

    def detect(self, page: Page) -> Detections:
        """Return what is on ``page`` of the classes that have a name of ours."""
        answer = self.model(np.ascontiguousarray(page.pixels[..., ::-1]))  # it takes BGR
        names = [str(name) for name in (answer.class_names if answer.class_names is not None else [])]
        known = [i for i, name in enumerate(names) if name in RAPID_CLASSES]
        numbers = [self.labels.index(RAPID_CLASSES[names[i]]) for i in known]
        boxes, scores = np.zeros((0, 4)), np.zeros(0)
        if known:
            boxes, scores = np.asarray(answer.boxes, float)[known], np.asarray(answer.scores, float)[known]
        height, width = page.pixels.shape[:2]
        return to_page(Detections(boxes, scores, np.array(numbers, np.int64)), (width, height), page)

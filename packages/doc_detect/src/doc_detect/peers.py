"""Other layout detectors, to measure beside ours on the same pages."""

import numpy as np

from doc_detect.classes import class_index
from seminar_common.errors import UserError

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


class RapidLayoutFinder:
    """rapid-layout's default ONNX model, which comes inside its wheel, on whole pages as it is meant to be used.

    Detections of any score are asked for, since average precision ranks them all.
    """

    size = 4096
    trim = False
    labels = ("graphic", "table", "caption", "main_text", "title", "running_title")

    def __init__(self, threads: int = 1, lowest_score: float = 0.05):
        """Load the model.

        Raises:
            UserError: rapid-layout is not installed.
        """
        try:
            from rapid_layout import RapidLayout  # ty: ignore[import-not-found]
        except ImportError as error:
            raise UserError(
                "rapid-layout is not installed: `uv sync --package doc-detect --group bench`, or leave --peers empty"
            ) from error
        engine = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        self.model = RapidLayout(engine_cfg=engine, conf_thresh=lowest_score)

    def find(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return boxes [N, 4], scores [N] and numbers in ``CLASSES`` [N] of RGB pixels, uint8 [h, w, 3]."""
        answer = self.model(np.ascontiguousarray(pixels[..., ::-1]))  # it takes BGR
        names = [str(name) for name in (answer.class_names if answer.class_names is not None else [])]
        known = [i for i, name in enumerate(names) if name in RAPID_CLASSES]
        if not known:
            return np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)
        assert answer.boxes is not None and answer.scores is not None
        boxes, scores = np.asarray(answer.boxes, float)[known], np.asarray(answer.scores, float)[known]
        return boxes, scores, np.array([class_index(RAPID_CLASSES[names[i]]) for i in known])

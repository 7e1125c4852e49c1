"""A detector in ONNX, without PyTorch: a page in, boxes in the page's own pixels out.

The graph takes ``image``, float32 [1, 3, H, W] of RGB in 0..1 with H and W multiples of ``pad_multiple``, and
gives ``boxes`` [N, 4] (xyxy in input pixels) and ``scores`` [N, C] before non-maximum suppression, which
:mod:`doc_detect.detectors.postprocess` does in NumPy. What else is to be known stands in the model's metadata (:class:`ModelFacts`).
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from doc_detect.detectors.detections import Detections
from doc_detect.detectors.postprocess import detections
from doc_detect.detectors.scoring import Scoring, scoring_of
from doc_detect.pages import Page, PageRef, ReadOptions, read_content, read_page
from seminar_common.errors import UserError
from seminar_common.files import check_file, fingerprint
from seminar_common.identity import code_digest
from seminar_common.images import PIXEL_CODE, resize

if TYPE_CHECKING:
    import numpy as np

METADATA_KEY = "doc_detect"
READING_CODE = (
    *PIXEL_CODE,
    "doc_detect.pages",
    "doc_detect.detectors.postprocess",
    "doc_detect.detectors.scoring",
    "doc_detect.predictions",
)
"""What every detector's findings go through, from the file to what is written."""
THINNEST = 0.1
"""Detections that are thinner than this many pixels on the page are none: findings are stored in tenths."""


class PageDetector(Protocol):
    """Finds objects on a decoded page; called from several threads."""

    name: str
    """What made the predictions: a file's name and fingerprint."""
    labels: tuple[str, ...]
    size: int
    """Longest side in pixels that it looks at: pages need not be decoded larger."""
    trim: bool
    """Whether it was trained on pages without their uniform margins (:func:`doc_detect.pages.read_content`)."""

    scoring: Scoring
    """What its scores mean, and the margin that people leave round its boxes."""

    def identity(self) -> Mapping[str, Any]:
        """Return the facts that its answers depend on: digests of weights, settings and code."""
        ...

    def detect(self, page: Page) -> Detections:
        """Return what is on ``page``, in its own pixels."""
        ...


@dataclass(frozen=True)
class ModelFacts:
    """What the metadata entry ``doc_detect`` of an ONNX file says, as JSON."""

    labels: tuple[str, ...]
    size: int
    """Longest side of the resized page in pixels."""
    trim: bool = False
    """Whether uniform margins are cut off a page before it is looked at."""
    pad_multiple: int = 32
    score_threshold: float = 0.05
    """Positions with a lower raw score are looked at no further."""
    nms_iou: float = 0.5
    """Of two boxes of a class that overlap more than this, the one that scores less goes."""
    max_detections: int = 100
    name: str = "source-only"
    """The model's name in result tables."""
    scoring: Scoring = Scoring()
    """Entries ``calibration``, ``floor`` and ``margin`` of the metadata."""

    def __post_init__(self) -> None:
        if not self.labels or self.size < 1 or self.pad_multiple < 1:
            raise ValueError("labels, size or pad_multiple are empty")


def read_for(detector: PageDetector, ref: PageRef, options: ReadOptions | None = None) -> Page:
    """Decode a page as ``detector`` wants to see it.

    Raises:
        BadPage: the page can't be read.
    """
    read = read_content if detector.trim else read_page
    return read(ref, detector.size, options)


def default_model() -> Path:
    """Return the ONNX file that comes with the package.

    Raises:
        UserError: it isn't there.
    """
    with as_file(files("doc_detect") / "models" / "default.onnx") as path:
        if not path.is_file():
            raise UserError(
                f"{path}: the default detector is missing; install again, or give --model or --run"
            )
        return path


def named_model(model: Path) -> Path:
    """Return the ONNX file that ``model`` names: itself, or with the word ``default`` the one that ships."""
    return default_model() if str(model) == "default" else model


class OnnxDetector:
    """A :class:`PageDetector` that runs an ONNX file."""

    def __init__(self, path: Path | None = None, threads: int = 1, size: int | None = None):
        """Load ``path``, by default the detector that ships.

        Args:
            path: The file.
            threads: CPU threads for one page.
            size: Longest side in pixels that pages are looked at, in place of the file's own.

        Raises:
            UserError: the file is missing, no ONNX model, or none of this package's.
        """
        path = path or default_model()
        self._session = _open_session(path, threads)
        facts = _read_facts(self._session, path)
        self.facts, self.labels, self.trim = facts, facts.labels, facts.trim
        self.size = size or facts.size
        self.scoring = facts.scoring
        self._weights = fingerprint(path)
        self.name = f"{path.name} {self._weights[:12]}"

    def identity(self) -> Mapping[str, Any]:
        """Return digests of the file and of the code that reads pages, runs the graph and suppresses."""
        size = {} if self.size == self.facts.size else {"size": self.size}
        return {"weights_file": self._weights, "code": code_digest(*READING_CODE, __name__), **size}

    def detect(self, page: Page) -> Detections:
        """Return what is on ``page``; safe to call from several threads."""
        image, seen = prepare(page.pixels, self.size, self.facts.pad_multiple)
        boxes, scores = self.dense(image)
        found = detections(
            boxes,
            scores,
            score_threshold=self.facts.score_threshold,
            nms_iou=self.facts.nms_iou,
            max_detections=self.facts.max_detections,
        )
        return to_page(self.scoring.apply(Detections(*found), self.labels), seen, page)

    def dense(self, image: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """Return boxes [N, 4] and raw scores [N, C] of a prepared page [1, 3, H, W], before suppression."""
        boxes, scores = self._session.run(["boxes", "scores"], {"image": image})
        return boxes, scores


def _open_session(path: Path, threads: int) -> Any:
    import onnxruntime

    check_file(path, "give an ONNX file made by `doc-detect export`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common base class
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not an ONNX model that onnxruntime can load ({reason})") from error


def _read_facts(session: Any, path: Path) -> ModelFacts:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise UserError(
            f"{path}: an ONNX model, but not made by `doc-detect export` (no {METADATA_KEY!r} metadata)"
        )
    try:
        values: Mapping[str, Any] = json.loads(text)
        known = {field.name for field in dataclasses.fields(ModelFacts)} - {"scoring"}
        facts: dict[str, Any] = {name: value for name, value in values.items() if name in known}
        facts["labels"] = tuple(facts["labels"])
        return ModelFacts(**facts, scoring=scoring_of(values))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: its {METADATA_KEY!r} metadata is broken ({error}); export it again"
        ) from error


def prepare(pixels: "np.ndarray", size: int, multiple: int) -> "tuple[np.ndarray, tuple[int, int]]":
    """Reduce to a longest side of ``size`` and pad right and bottom with black to multiples of ``multiple``.

    A smaller picture is not enlarged: blurred type resembles an engraving, and the detector never saw it in training.

    Args:
        pixels: RGB, uint8 [h, w, 3].
        size: Largest longest side in pixels.
        multiple: Of both sides of the result.

    Returns:
        float32 [1, 3, H, W] in 0..1, and the width and height of the part that is no padding.
    """
    import numpy as np

    pixels = resize(pixels, min(size, max(pixels.shape[:2])))
    height, width = pixels.shape[:2]
    padded = [-(-side // multiple) * multiple for side in (height, width)]
    image = np.zeros((1, 3, *padded), np.float32)
    np.multiply(pixels.transpose(2, 0, 1), np.float32(1 / 255), out=image[0, :, :height, :width])
    return image, (width, height)


def to_page(found: Detections, seen: tuple[int, int], page: Page) -> Detections:
    """Scale boxes from an image of ``seen`` = (width, height) pixels to the page's own.

    What is thinner than :data:`THINNEST` there goes, such as the edge of a box that lies off the page.
    """
    boxes = page.to_own(found.boxes, seen)
    solid = ((boxes[:, 2:] - boxes[:, :2]) > THINNEST).all(axis=1)
    return Detections(boxes[solid], found.scores[solid], found.labels[solid])

"""What a detector's raw scores and boxes mean to a person: probabilities, a floor, and the margin that people leave.

A network's scores mean something else in each class: on one class 0.5 is nearly certain, on another a guess. Here a
raw score s becomes ``sigmoid(slope * logit(s) + offset)``, with two numbers a class that are fitted on held-out pages
(Platt 1999, "Probabilistic outputs for support vector machines", on the logit of the score). A score of 0.5 then
says of every class that such a detection is as often right as wrong.

A box of ours is the extent of the ink. People draw theirs a little wider, by a nearly constant length whatever the
object's size. ``margin`` is that length for each class, as a share of the longest side of what the detector saw.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seminar_common.errors import UserError
from seminar_common.files import read_json, write_json

if TYPE_CHECKING:
    import numpy as np

    from doc_detect.detectors.detections import Detections

FILE = "scoring.json"
"""Its file in a run folder."""
_EDGE = 1e-6
"""Raw scores are taken to be this far from 0 and 1, where a logit has no value."""


@dataclass(frozen=True)
class Scoring:
    """How the raw scores of each class become probabilities, and what people would draw."""

    calibration: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Slope and offset of each class; a class that is not there keeps its raw scores."""
    floor: float = 0.0
    """Detections that score less, as a probability, are left out."""
    margin: Mapping[str, float] = field(default_factory=dict)
    """Share of the seen window's longest side by which people's boxes of each class stand off the ink."""

    def __post_init__(self) -> None:
        if any(slope <= 0 for slope, _ in self.calibration.values()):
            raise ValueError("a calibration that turns the order of scores round")
        if not 0 <= self.floor < 1 or any(not 0 <= share < 1 for share in self.margin.values()):
            raise ValueError("floor or margin is no share")

    def apply(self, found: "Detections", labels: tuple[str, ...]) -> "Detections":
        """Return detections with probabilities for scores, best first, without those below the floor.

        Args:
            found: Detections with raw scores.
            labels: The detector's classes.
        """
        import numpy as np

        slope, offset = self._numbers(labels)
        raw = found.scores.astype(np.float64).clip(_EDGE, 1 - _EDGE)
        lines = slope[found.labels] * np.log(raw / (1 - raw)) + offset[found.labels]
        known = np.array([label in self.calibration for label in labels], bool)
        scores = np.where(known[found.labels], 1 / (1 + np.exp(-lines)), found.scores).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self.floor]
        return dataclasses.replace(
            found, boxes=found.boxes[order], scores=scores[order], labels=found.labels[order]
        )

    def raw_score(self, label: str, probability: float) -> float:
        """Return the raw score of a class that means ``probability``."""
        import numpy as np

        slope, offset = self.calibration.get(label, (1.0, 0.0))
        line = (np.log(probability / (1 - probability)) - offset) / slope
        return float(1 / (1 + np.exp(-line)))

    def _numbers(self, labels: tuple[str, ...]) -> "tuple[np.ndarray, np.ndarray]":
        import numpy as np

        pairs = np.array([self.calibration.get(label, (1.0, 0.0)) for label in labels], np.float64)
        return pairs[:, 0], pairs[:, 1]

    def facts(self) -> dict[str, Any]:
        """Return it as JSON has it, with the raw score of each class that means 0.5."""
        thresholds = {label: round(self.raw_score(label, 0.5), 4) for label in self.calibration}
        return {
            "calibration": {label: list(pair) for label, pair in self.calibration.items()},
            "thresholds": thresholds,
            "floor": self.floor,
            "margin": dict(self.margin),
        }


def scoring_of(facts: Mapping[str, Any]) -> Scoring:
    """Return what :meth:`Scoring.facts` wrote; what is not there has no effect.

    Raises:
        ValueError, TypeError, AttributeError: it is damaged.
    """
    calibration = {
        str(label): (float(slope), float(offset))
        for label, (slope, offset) in facts.get("calibration", {}).items()
    }
    margin = {str(label): float(share) for label, share in facts.get("margin", {}).items()}
    return Scoring(calibration, float(facts.get("floor", 0.0)), margin)


def read_scoring(folder: Path) -> Scoring:
    """Return the scoring of a run folder; one that changes nothing where it has none.

    Raises:
        UserError: its file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return Scoring()
    try:
        return scoring_of(read_json(path))
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); remove it, and scores stay raw") from error


def write_scoring(scoring: Scoring, folder: Path) -> None:
    """Write the scoring into a run folder."""
    write_json(folder / FILE, scoring.facts())


def widened(
    boxes: "np.ndarray", labels: "np.ndarray", shares: "np.ndarray", side: float, size: tuple[int, int]
) -> "np.ndarray":
    """Return boxes as people would draw them: wider on each side by their class's share of ``side``, inside the page.

    Args:
        boxes: [N, 4] xyxy in the page's pixels.
        labels: [N] class numbers.
        shares: [C] margin of each class.
        side: Longest side of the window that was seen, in the page's pixels.
        size: Width and height of the page.
    """
    import numpy as np

    reach = (shares[labels] * side)[:, None] * np.array([-1, -1, 1, 1])
    return (boxes + reach).clip(0, np.array(size * 2))

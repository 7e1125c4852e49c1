"""What every detector answers with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Detections:
    """What was found on one page, highest score first."""

    boxes: "np.ndarray"
    """float32 [N, 4]: x1, y1, x2, y2 in the page's own pixels."""
    scores: "np.ndarray"
    """float32 [N], 0 to 1."""
    labels: "np.ndarray"
    """int64 [N], index into the detector's labels."""

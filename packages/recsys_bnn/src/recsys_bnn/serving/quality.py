"""ROC AUC and log loss of scores that stream by, in constant memory."""

import math

import numpy as np

BINS = 1 << 16
_WIDEST = 16.0
"""Logits beyond this share the outermost bins; it is a probability of 1e-7."""


class Quality:
    """Counts clicks and other rows by the bin of their logit.

    The area is that of the ROC curve through the bins (Fawcett, "An introduction to ROC analysis", 2006, Alg. 2, with
    a bin as a tie). Bins are 0.0005 wide in the logit, so that the error stays below the fourth decimal unless nearly
    all scores are equal.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((2, BINS), np.int64)
        self._loss = 0.0

    def add(self, probabilities: np.ndarray, clicks: np.ndarray) -> None:
        """Count rows with probabilities, float64 [N], and clicks, 0 or 1 [N]."""
        likely = np.clip(probabilities, 1e-15, 1 - 1e-15)
        of_click, of_other = np.log(likely), np.log1p(-likely)
        bins = np.clip(((of_click - of_other) / _WIDEST + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
        self._counts += np.bincount(bins + BINS * clicks.astype(np.int64), minlength=2 * BINS).reshape(
            2, BINS
        )
        self._loss -= float(np.where(clicks == 1, of_click, of_other).sum())

    @property
    def rows(self) -> int:
        """Rows that were counted."""
        return int(self._counts.sum())

    @property
    def roc_auc(self) -> float:
        """Probability that a click scores above another row, ties counting half; NaN unless both are there."""
        others, clicks = self._counts
        pairs = float(others.sum()) * float(clicks.sum())
        if not pairs:
            return math.nan
        below = np.cumsum(others) - others
        return float((clicks * (below + others / 2)).sum()) / pairs

    @property
    def log_loss(self) -> float:
        """Mean negative log likelihood, in nats; NaN without rows."""
        return self._loss / self.rows if self.rows else math.nan

"""A check that the rows of a log come in time order."""

import math
from pathlib import Path

import numpy as np

from seminar_common.errors import UserError


class TimeOrder:
    """Follows the times of a log from batch to batch.

    Args:
        path: File to name in the message.
        column: Column of the times.
        remedy: What to do about rows out of order.
    """

    def __init__(self, path: Path, column: str, remedy: str):
        self._path, self._column, self._remedy = path, column, remedy
        self._latest, self._rows = -math.inf, 0

    def check(self, times: np.ndarray) -> None:
        """Take the times of the next batch, [B].

        Raises:
            UserError: one is earlier than the one before it.
        """
        back = np.flatnonzero(np.diff(times, prepend=self._latest) < 0)
        if len(back):
            row = self._rows + int(back[0]) + 1
            raise UserError(
                f"{self._path}: row {row:,} of the log has an earlier {self._column} than the row before it; {self._remedy}"
            )
        self._latest, self._rows = times[-1], self._rows + len(times)

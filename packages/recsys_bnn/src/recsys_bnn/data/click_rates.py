"""Clicks by period of a log, gathered as its rows pass."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.data.chunks import LABEL, numbers

TENTHS = 10


class Clicks:
    """Remembers which rows are clicks, in one bit each."""

    def __init__(self) -> None:
        self.rows = 0
        self._ends = [0]
        self._totals = [0]
        self._bits: list[np.ndarray] = []

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the batches as they are."""
        for batch in batches:
            labels = numbers(batch.column(LABEL))
            self.rows += len(labels)
            self._ends.append(self.rows)
            self._totals.append(self._totals[-1] + int(np.count_nonzero(labels)))
            self._bits.append(np.packbits(labels))
            yield batch

    def before(self, row: int) -> int:
        """Return the number of clicks in the first ``row`` rows."""
        part = int(np.searchsorted(self._ends, row, side="right")) - 1
        inside = row - self._ends[part]
        rest = np.count_nonzero(np.unpackbits(self._bits[part], count=inside)) if inside else 0
        return self._totals[part] + int(rest)

    def by_period(self, days: dict[str, int]) -> list[dict[str, Any]]:
        """Return rows and click rate of each day, or of each tenth of the log where no days are known."""
        if not days:
            bounds = [self.rows * i // TENTHS for i in range(TENTHS + 1)]
            days = {f"tenth_{i + 1}": bounds[i + 1] - bounds[i] for i in range(TENTHS)}
        periods, start = [], 0
        for name, rows in days.items():
            clicks = self.before(start + rows) - self.before(start)
            periods.append({"period": name, "rows": rows, "click_rate": clicks / rows if rows else None})
            start += rows
        return periods

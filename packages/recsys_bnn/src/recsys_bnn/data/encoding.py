"""From chunks to the numbers that a model reads, by a vocabulary and a normalisation that were fitted before.

Negative integers are taken as 0 before the logarithm, as in the preprocessing of the reference DLRM (Naumov
et al., 2019, https://github.com/facebookresearch/dlrm), which then takes log(1 + x). TorchRec's Criteo script
shifts by 3 instead. Here log(1 + x) is also standardised by the training rows. A missing value becomes NaN, and the
model reads it as the mean; in both others it is a zero before the logarithm.

Decimal numbers of a table keep their sign: sign(x) log(1 + |x|), standardised. It is linear round 0, as small rates need
it, and tames prices that differ by orders of magnitude; for counts it is the same.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.compiled import rows as in_c
from recsys_bnn.compiled.rows import Kind, Values
from recsys_bnn.data.as_rows import id_rows, ready, transposed
from recsys_bnn.data.chunks import LABEL, PROBABILITY, cells, missing, numbers
from recsys_bnn.data.vocabulary import Vocabulary

_SMALL = 1 << 16
_LOGARITHMS = np.log1p(np.arange(_SMALL, dtype=np.float64))
_COUNTS = {pa.int32(): Kind.COUNTS32, pa.int64(): Kind.COUNTS64}
_WORTH_TABLES = 4096
"""Rows that are worth a table of all small counts of a feature."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and spread of numbers; sums of them are exact to rounding (Chan, Golub and LeVeque, 1983)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared differences to the mean."""
    low: float = math.inf
    high: float = -math.inf

    @classmethod
    def of(cls, values: np.ndarray) -> "Moments":
        """Return the moments of float64 values [N]."""
        if not len(values):
            return cls()
        mean = float(values.mean())
        squares = float(np.square(values - mean).sum())
        return cls(len(values), mean, squares, float(values.min()), float(values.max()))

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        if not count:
            return self
        gap = other.mean - self.mean
        return Moments(
            count,
            self.mean + gap * other.count / count,
            self.squares + other.squares + gap * gap * self.count * other.count / count,
            min(self.low, other.low),
            max(self.high, other.high),
        )

    @property
    def std(self) -> float:
        """Standard deviation, divided by N; exactly 0 where all values are equal."""
        return math.sqrt(self.squares / self.count) if self.high > self.low else 0.0


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of the logarithms of each integer feature over its present training values."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    """1 for a feature without spread, so that its values become 0."""
    kind: str = "log1p-standardise"
    signed: int = 0
    """So many of the last features keep their sign."""

    @classmethod
    def fit(cls, moments: Sequence[Moments], signed: int = 0) -> "Normalisation":
        """Take the means and deviations of each feature's logarithms."""
        return cls(tuple(m.mean for m in moments), tuple(m.std or 1.0 for m in moments), signed=signed)

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values; data sets without decimal numbers have no ``signed``."""
        found = dataclasses.asdict(self)
        return found if self.signed else {name: found[name] for name in found if name != "signed"}

    def encode(self, index: int, column: pa.Array) -> np.ndarray:
        """Return the normalised values of feature number ``index``, float32 [N]; NaN for a missing value."""
        signed = index >= len(self.mean) - self.signed
        if len(column) >= _WORTH_TABLES and not signed:
            found = self._looked_up(index, numbers(column))
        else:
            logs = signed_logarithms(column) if signed else logarithms(column)
            found = self._standardised(index, logs)
        if column.null_count:
            found[missing(column)] = np.nan
        return found

    def encode_rows(self, columns: Sequence[pa.Array | None], rows: int) -> np.ndarray:
        """Return the normalised values of all features, float32 [rows, I]; a column that is None is missing throughout."""
        library = in_c.calls() if rows >= _WORTH_TABLES else None
        if library is None:
            found = np.empty((len(columns), rows), np.float32)
            for index, column in enumerate(columns):
                found[index] = self._column(index, column, rows)
            return transposed(found)
        out = np.empty((rows, len(columns)), np.float32)
        for index in in_c.encode(library, [self._values(i, c, rows) for i, c in enumerate(columns)], out):
            values, gone = numbers(columns[index]), missing(columns[index])
            large = np.flatnonzero((values >= _SMALL) & ~gone)
            out[large, index] = self._standardised(index, np.log1p(values[large], dtype=np.float64))
        return out

    def _column(self, index: int, column: pa.Array | None, rows: int) -> np.ndarray:
        return np.full(rows, np.nan, np.float32) if column is None else self.encode(index, column)

    def _values(self, index: int, column: pa.Array | None, rows: int) -> Values:
        signed = index >= len(self.mean) - self.signed
        kind = None if column is None or signed else _COUNTS.get(column.type)
        if column is None or kind is None:
            return ready(self._column(index, column, rows))
        return Values(kind, *cells(column), self._tables[index])

    def _standardised(self, index: int, logs: np.ndarray) -> np.ndarray:
        return ((logs - self.mean[index]) / self.std[index]).astype(np.float32)

    def _looked_up(self, index: int, values: np.ndarray) -> np.ndarray:
        found = np.take(self._tables[index], values, mode="clip")
        large = np.flatnonzero(values >= _SMALL)
        found[large] = self._standardised(index, np.log1p(values[large], dtype=np.float64))
        return found

    @functools.cached_property
    def _tables(self) -> list[np.ndarray]:
        """The normalised values of small counts by feature, each float32 [``_SMALL``]: most counts are small."""
        return [self._standardised(index, _LOGARITHMS) for index in range(len(self.mean))]


def logarithms(column: pa.Array) -> np.ndarray:
    """Return log(1 + max(x, 0)) of a column, float64 [N]; any number where a value is missing."""
    values = np.maximum(numbers(column), 0)
    logs = _LOGARITHMS[np.minimum(values, _SMALL - 1)]  # most counts are small, and a table is faster
    large = np.flatnonzero(values >= _SMALL)
    logs[large] = np.log1p(values[large], dtype=np.float64)
    return logs


def signed_logarithms(column: pa.Array) -> np.ndarray:
    """Return sign(x) log(1 + |x|) of a column, float64 [N]; any number where a value is missing."""
    values = numbers(column).astype(np.float64)
    return np.copysign(np.log1p(np.abs(values)), values)


@dataclass(frozen=True)
class Encoded:
    """Rows as a model reads them."""

    labels: np.ndarray
    """uint8 [N]."""
    integers: np.ndarray
    """float32 [N, I]; NaN where a value is missing, as any number may be a value."""
    categoricals: np.ndarray
    """Ids within each field, int32 [N, C]; C is the number of fields, but for lists."""
    probabilities: np.ndarray | None
    """True click probabilities of generated rows, float64 [N]."""


def encode(chunk: pa.RecordBatch, vocabulary: Vocabulary, normalisation: Normalisation) -> Encoded:
    """Encode the rows of a chunk; nothing is fitted here."""
    rows, count, features = chunk.num_rows, len(normalisation.mean), chunk.columns[1:]
    integers = normalisation.encode_rows(features[:count], rows)
    fields = vocabulary.ids()
    ids = id_rows(fields, features[count : count + len(fields)], rows)
    known = PROBABILITY in chunk.schema.names
    probabilities = numbers(chunk.column(PROBABILITY)) if known else None
    return Encoded(numbers(chunk.column(LABEL)), integers, ids, probabilities)

"""Layouts of raw data. A format is one file here and one line in :data:`FORMATS`.

It yields chunks in the common form of :mod:`recsys_bnn.chunks` and translates the keys of categorical values
to the texts of the source and back.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from recsys_bnn.formats.bad_rows import BadRows
from recsys_bnn.formats.criteo import CriteoKaggle
from recsys_bnn.formats.text import Source


class Format(Protocol):
    """What `prepare` asks of a format; one object reads one data set."""

    integer_names: tuple[str, ...]
    categorical_names: tuple[str, ...]

    def chunks(self, sources: Sequence[Source], bad_rows: BadRows) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources`` in time order, in the common form; hand bad rows to ``bad_rows``."""
        ...

    def default_name(self, rows: int) -> str:
        """Return the usual name of a data set of ``rows`` rows."""
        ...

    def texts(self, field: int, keys: np.ndarray) -> pa.Array:
        """Return the texts, as in the source, of the keys (uint32) of the categorical field number ``field``."""
        ...

    def keys(self, field: int, texts: pa.Array) -> np.ndarray:
        """Return the keys, uint32, of texts; the inverse of :meth:`texts`."""
        ...


FORMATS: dict[str, Callable[[], Format]] = {
    "criteo-kaggle": CriteoKaggle,
}

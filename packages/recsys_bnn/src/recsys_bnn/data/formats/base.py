"""What `prepare` asks of a format, and what `score` asks of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.keys import Keys
from recsys_bnn.data.formats.text import Parsed, Source
from recsys_bnn.data.parallel import OrderedMap


class Format(Protocol):
    """Reads one data set in the common form of :mod:`recsys_bnn.data.chunks`; an object is used once."""

    paths: Sequence[Path]
    """Files to read, in order; none for rows that are generated."""
    integer_names: tuple[str, ...]
    signed: int = 0
    """So many of the last integers are decimal numbers, which keep their sign."""
    categorical_names: tuple[str, ...]
    keys: Sequence[Keys]
    """For each categorical field, how its values become keys. Fields of lists come last."""
    longest: int | None = None
    """Items of a list that are read; None for as many as the longest list of the training rows has."""

    schema_text: str | None = None
    """What the columns are, where a file of the user says it; new rows are read by it."""

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources``, which are open ``paths``, in time order.

        Args:
            sources: The open files.
            bad_rows: What to do about bad rows.
            ordered_map: What works on independent pieces, in order. For a cluster the function and the pieces can be
                pickled.
        """
        ...

    def default_name(self, rows: int) -> str:
        """Return the usual name of a data set of ``rows`` rows."""
        ...

    def days(self) -> dict[str, int]:
        """Return the number of rows of each day in order, once all chunks were taken; empty where unknown."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return what else determined the rows, as JSON values, for the description of the data set."""
        return {}


class RowPiece(Protocol):
    """Some consecutive rows of one file that are not parsed yet; it can be pickled."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def rows(self) -> int:
        """Number of rows, bad ones included."""
        ...

    @property
    def first(self) -> int:
        """Number of the first row in its file, in the count that a bad row is named by."""
        ...

    def without(self, rows: int) -> "RowPiece":
        """Leave out the first ``rows`` rows, which are fewer than all."""
        ...

    def parse(self) -> Parsed:
        """Return batches with a column for each feature that the file has, by its name."""
        ...


class RowReader(Protocol):
    """Reads rows with or without a label in the order of their files, each by itself and in constant memory.

    A categorical column holds keys (uint32) or, of the kind ``text``, the texts themselves, or, of the kind ``list``,
    lists of texts. A null is a missing value.
    """

    paths: Sequence[Path]
    """Files of rows, in order."""
    integer_names: tuple[str, ...]
    signed: int = 0
    """So many of the last integers are decimal numbers, which keep their sign."""
    categorical_names: tuple[str, ...]
    kinds: tuple[str, ...]
    """For each categorical field, the kind of its :class:`Keys`."""
    label_column: str
    """Column of a batch, beside the features, with the labels (uint8, a null where one can't be read) of a file that
    has them."""
    id_column: str | None = None
    """Column of a batch with a text that names each row, where the format has one."""
    decisions: list[str]
    """What a look at the files decided, such as whether they hold labels, a line each; filled as they are read."""

    def pieces(self, source: Source) -> Iterator[RowPiece]:
        """Yield the rows of one of ``paths``, which is open as ``source``.

        Raises:
            UserError: the file can't be read, or is not of this format.
        """
        ...


def counted_name(stem: str, rows: int) -> str:
    """Return a name that tells the number of rows, e.g. ``criteo-10k``."""
    for unit, letter in ((1_000_000, "m"), (1000, "k")):
        if rows % unit == 0:
            return f"{stem}-{rows // unit}{letter}"
    return f"{stem}-{rows}"

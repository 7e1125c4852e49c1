"""What a report is made of: sections of figures, and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seminar_common.results import Results


class Picture(NamedTuple):
    """A picture in a report, such as a page with what was found on it."""

    image: bytes
    """A JPEG file's bytes."""
    caption: str


class Section(NamedTuple):
    """One part of a report: a result table and, where known, what it was made with."""

    title: str
    results: Results
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    figures: Sequence[tuple[str, str, Any]] = ()
    """A topic's own plots: data set, caption and matplotlib figure of each, after those of rows and curves."""
    pictures: Sequence[Picture] = ()
    links: Sequence[tuple[str, str]] = ()
    """Text and target (relative to the report) of what else there is to look at; a PDF leaves them out."""
    lines: str = "Model"
    """What the lines of its tables are."""

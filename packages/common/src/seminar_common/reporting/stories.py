"""What a topic tells in a report: its questions, how rows answer them, and its text.

A topic announces its story by an entry point of the group ``seminar.stories`` that names a :class:`Story`. The shared
package knows no topic: a report of rows whose topic is not installed has their tables and plots alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seminar_common.reporting.markdown import Block, by_heading, plain
from seminar_common.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = "seminar.stories"


class Drawing(NamedTuple):
    """A plot that answers a question."""

    caption: str
    draw: "Callable[[], Figure]"
    """Makes the figure; called when the report is written, since it waits for matplotlib."""


@dataclass(frozen=True)
class Answer:
    """What the rows say to a question."""

    sentence: str
    """The answer in one sentence, with its figures and their intervals."""
    more: tuple[str, ...] = ()
    """Sentences that qualify it."""
    rows: tuple[Row, ...] = ()
    """The rows that matter: those of a table of about six lines."""
    metrics: tuple[str, ...] = ()
    """Columns of that table, in order."""
    caption: str = ""
    """What that table shows."""
    drawing: Drawing | None = None


@dataclass(frozen=True)
class Question:
    """A question of a topic."""

    text: str
    answer: Callable[[Sequence[Results]], Answer | None]
    """Gives the answer that the tables of all runs hold; None where they say nothing about it."""
    part: str = "Results"
    """The section of a report that it belongs to: ``Results``, ``Ablations`` or ``Failure cases``."""


@dataclass(frozen=True)
class Story:
    """What a topic tells."""

    program: str
    """The topic's program and distribution, ``recsys-bnn``: runs are known by it."""
    questions: tuple[Question, ...]
    text: Path
    """Its text in Markdown. A heading of the first level begins a section of reports: Title, Abstract, Task, Related
    work, Method, Set-up, Limits, How to reproduce; Pictures says which command makes some where a run has none, and
    Pictures shown what those of a run show. Under Data each heading of the second level is a data set with its card, a list of
    ``**what**: text``. Under References each item of a list begins with ``**key**:``, as in ``[@key]``."""

    @cached_property
    def sections(self) -> Mapping[str, list[Block]]:
        """The blocks of its text by heading."""
        return {part.title: part.blocks for part in by_heading(self.text.read_text(encoding="utf-8")).parts}

    @property
    def title(self) -> str:
        """What a report of this topic is called."""
        return plain(self.sections["Title"][0]["runs"])

    @cached_property
    def cards(self) -> Mapping[str, list[tuple[str, list[dict[str, str]]]]]:
        """Card of each data set by its name: what, and the runs of its text."""
        cards: dict[str, list[tuple[str, list[dict[str, str]]]]] = {}
        name = ""
        for block in self.sections.get("Data", ()):
            if block["kind"] == "heading":
                name = block["text"]
            elif block["kind"] == "list":
                cards[name] = [_named(runs) for runs in block["items"]]
        return cards

    def card(self, dataset: str) -> str | None:
        """Return the name of the card of ``dataset``: its own, or that of the set that it is a variant of."""
        fits = [name for name in self.cards if dataset == name or dataset.startswith(f"{name}-")]
        return max(fits, key=len, default=None)

    @cached_property
    def references(self) -> Mapping[str, list[dict[str, str]]]:
        """Its references by key."""
        return references(self.sections.get("References", ()))


def references(blocks: Sequence[Block]) -> dict[str, list[dict[str, str]]]:
    """Return the references of a section: the runs of each by its key."""
    found = [_named(runs) for block in blocks if block["kind"] == "list" for runs in block["items"]]
    return {key: runs for key, runs in found if key}


def _named(runs: list[dict[str, str]]) -> tuple[str, list[dict[str, str]]]:
    """Split the runs of ``**name**: text`` into name and text; without a name it is empty."""
    if runs[0]["style"] != "strong" or len(runs) < 2:
        return "", runs
    rest = dict(runs[1], text=runs[1]["text"].removeprefix(":").lstrip())
    return runs[0]["text"], [rest, *runs[2:]]


@cache
def stories() -> Mapping[str, Story]:
    """Return the story of every installed topic by its program."""
    found = [entry.load() for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)]
    return {story.program: story for story in found}


def topic_of(results: Results, config: Mapping[str, Any] | None = None) -> str:
    """Return the program that made a table: by its run's settings, else by its command; empty if none is known."""
    named = str((config or {}).get("topic", ""))
    if named in stories():
        return named
    used = (program for program in stories() if re.search(rf"(?<![\w-]){program}(?![\w-])", results.command))
    return next(used, "")

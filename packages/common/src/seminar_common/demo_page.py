"""The page that a demo ends with: a story for each topic, on one page that needs no network.

A topic fills a :class:`Story`. What the template needs of it is computed here, as plain JSON values, so that a
finished story can be kept and shown again.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seminar_common.markup import templates
from seminar_common.results import Results

if TYPE_CHECKING:
    from seminar_common.report import Picture


@dataclass(frozen=True)
class Shot:
    """A picture."""

    image: bytes
    """The bytes of a JPEG, a PNG or an SVG file. An SVG may take colours from the page: ``var(--ink)``, ``--muted``,
    ``--line``, ``--accent``, ``--soft``, ``--card``."""
    caption: str
    """Says what is seen, also to people who don't see it."""


@dataclass(frozen=True)
class Bar:
    """One figure among others."""

    label: str
    value: float
    text: str
    """The figure in print."""
    low: float | None = None
    """Lower end of its interval."""
    high: float | None = None
    """Upper end of its interval."""
    ours: bool = False
    """Whether it is what the story is about."""


@dataclass(frozen=True)
class Bars:
    """Figures that compare, each a bar."""

    title: str
    bars: Sequence[Bar]
    note: str = ""
    start: float = 0.0
    """Value at the left end of the bars."""
    end: float | None = None
    """Value at the right end; by default the largest."""


@dataclass(frozen=True)
class Panel:
    """Pictures that belong together."""

    title: str
    shots: Sequence[Shot]
    note: str = ""
    small: bool = False
    """Whether several stand beside each other on a phone, too."""


@dataclass(frozen=True)
class Story:
    """What a topic's demo shows."""

    name: str
    """What the topic is about, in a word or two."""
    question: str
    """What it answers."""
    gained: str
    """The gain in a few words: the largest letters of its card."""
    answer: str
    """One sentence with the measured figures and their intervals."""
    card: Shot
    """The picture of its card, about 16 to 10."""
    results: Results
    bars: Sequence[Bars] = ()
    panels: Sequence[Panel] = ()
    notes: Sequence[str] = ()
    """What a reader must know: what was not measured, what did not work."""
    commands: Sequence[tuple[str, str]] = ()
    """Three lines that do the same on the reader's data: what it does, and the command."""
    links: Sequence[tuple[str, str]] = ()
    """Text and target of what else there is to look at; targets are relative to the topic's folder."""
    pages: Sequence["Picture"] = ()
    """Pictures for the topic's report."""


def content(story: Story) -> dict[str, Any]:
    """Return what the page shows of a story, as JSON values."""
    return {
        "name": story.name,
        "question": story.question,
        "gained": story.gained,
        "answer": story.answer,
        "card": _shot(story.card),
        "bars": [_bars(group) for group in story.bars],
        "panels": [
            {
                "title": panel.title,
                "note": panel.note,
                "small": panel.small,
                "shots": [_shot(one) for one in panel.shots],
            }
            for panel in story.panels
        ],
        "notes": [*story.notes],
        "commands": [{"what": what, "command": command} for what, command in story.commands],
        "links": [{"text": text, "target": target} for text, target in story.links],
    }


_KINDS = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png"}


def _shot(shot: Shot) -> dict[str, str]:
    """Return a picture as an SVG element or as the address of its bytes."""
    if kind := _KINDS.get(shot.image[:2]):
        return {
            "source": f"data:{kind};base64,{base64.b64encode(shot.image).decode()}",
            "caption": shot.caption,
        }
    return {"svg": shot.image.decode(), "caption": shot.caption}


def _bars(group: Bars) -> dict[str, Any]:
    end = group.end or max(
        (value for bar in group.bars for value in (bar.value, bar.high or bar.value)), default=1.0
    )

    def share(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - group.start) / ((end - group.start) or 1.0))), 2)

    return {
        "title": group.title,
        "note": group.note,
        "bars": [
            {
                "label": bar.label,
                "text": bar.text,
                "ours": bar.ours,
                "width": share(bar.value),
                "interval": None
                if bar.low is None or bar.high is None
                else [share(bar.low), round(share(bar.high) - share(bar.low), 2)],
            }
            for bar in group.bars
        ],
    }


def page(stories: Mapping[str, Mapping[str, Any]], generated: bool) -> str:
    """Return the page of the stories, by topic, whose folders stand beside it.

    Args:
        stories: Of each topic its :func:`content`, with ``seconds`` and ``processor_seconds``.
        generated: Whether they are of generated data.
    """
    from seminar_common.plots import printable
    from seminar_common.runs import processor_name

    total = sum(story["seconds"] for story in stories.values())
    text = (
        templates("seminar_common")
        .get_template("demo.html")
        .render(stories=stories, generated=generated, minutes=_minutes(total), processor=processor_name())
    )
    return printable(text)


def _minutes(seconds: float) -> str:
    """Return a time for print."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes"

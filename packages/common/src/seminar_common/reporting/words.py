"""The author's own words beside what a report makes of the rows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seminar_common.errors import UserError
from seminar_common.files import read_text
from seminar_common.reporting.markdown import Block, by_heading

FILE = "report.md"
"""A text that stands in a run folder."""

_KNOWN = {
    "Abstract": ("abstract", "summary"),
    "Introduction": ("introduction", "motivation"),
    "Task": ("task", "problem"),
    "Related work": ("related work", "background"),
    "Method": ("method", "methods", "approach"),
    "Data": ("data", "data sets", "datasets"),
    "Set-up": ("setup", "experimental setup", "experiments", "protocol"),
    "Results": ("results",),
    "Ablations": ("ablations", "ablation", "ablation study"),
    "Failure cases": ("failure cases", "failures"),
    "Limits": ("limits", "limitations"),
    "Discussion": ("discussion",),
    "Conclusion": ("conclusion", "conclusions"),
    "How to reproduce": ("how to reproduce", "reproducibility"),
    "References": ("references", "bibliography"),
}
PNG, JPEG = b"\x89PNG", b"\xff\xd8\xff"
OWN = ("Introduction", "Discussion", "Conclusion")
"""Sections that only an author can write."""


@dataclass(frozen=True)
class Words:
    """What an author wrote, by section."""

    title: str = ""
    sections: dict[str, list[Block]] = field(default_factory=dict)
    """By the name of a section of reports, or by a heading of the author's own."""

    def of(self, section: str) -> list[Block]:
        """Return what was written for a section."""
        return self.sections.get(section, [])

    @property
    def extra(self) -> dict[str, list[Block]]:
        """Sections that a report doesn't have by itself, in the author's order."""
        return {name: found for name, found in self.sections.items() if name not in _KNOWN}


def read_words(path: Path) -> Words:
    """Read a text in Markdown.

    Raises:
        UserError: it can't be read as text, or a picture that it names is missing.
    """
    text = by_heading(read_text(path))
    sections: dict[str, list[Block]] = {}
    for part in text.parts:
        name = section_named(part.title) if part.title else "Introduction"
        sections.setdefault(name, []).extend(_with_pictures(block, path) for block in part.blocks)
    return Words(text.title, sections)


def section_named(heading: str) -> str:
    """Return the section that a heading names, whatever its number or case; the heading itself if none."""
    plain = re.sub(r"^[\d.\s]+|[^\w\s]", "", heading.replace("-", "")).strip().lower()
    for name, others in _KNOWN.items():
        if plain in others:
            return name
    return heading


def together(words: Sequence[Words]) -> Words:
    """Return texts as one; sections of the same name follow each other."""
    sections: dict[str, list[Block]] = {}
    for one in words:
        for name, found in one.sections.items():
            sections.setdefault(name, []).extend(found)
    return Words(next((one.title for one in words if one.title), ""), sections)


def _with_pictures(block: Block, path: Path) -> Block:
    if block["kind"] != "picture-file":
        return block
    file = path.parent / block["file"]
    if file.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UserError(f"{path}: {block['file']} is no .jpg or .png; name a picture of one of these forms")
    if not file.is_file():
        raise UserError(f"{path}: no picture {block['file']} beside it; correct the name or add the file")
    image = file.read_bytes()
    if not image.startswith((PNG, JPEG)):
        raise UserError(f"{file}: its content is neither PNG nor JPEG; save the picture as one of them")
    return picture(image, block["caption"])


def picture(image: bytes, caption: str) -> Block:
    """Return a picture as a block."""
    kind = "png" if image.startswith(PNG) else "jpeg"
    return {"kind": "picture", "image": image, "format": kind, "caption": caption}

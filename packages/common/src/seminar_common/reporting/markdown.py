"""A small Markdown, read into blocks that both forms of a report print.

It knows headings, paragraphs, lists, quotations, fenced code, pictures on lines of their own and tables; inside a
line bold, emphasis, code, links to the web, and citations ``[@key]``. Everything else, HTML and typst's markup
included, is text. A block is a plain dictionary with its ``kind``; a line is a list of runs
``{"text": ..., "style": ..., "target": ...}``.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

Block = dict[str, Any]
Runs = list[dict[str, str]]

_INLINE = re.compile(
    r"`(?P<code>[^`]+)`"
    r"|\*\*(?P<strong>[^*]+)\*\*"
    r"|\*(?P<emph>[^*\s](?:[^*]*[^*\s])?)\*"
    r"|\[(?P<cite>@[\w:.-]+(?:; ?@[\w:.-]+)*)\]"
    r"|\[(?P<link>[^\[\]]+)\]\((?P<target>https?://[^\s()]+)\)"
)
_HEADING = re.compile(r"(#{1,6}) +(.*?)(?: +#+)?\s*$")
_ITEM = re.compile(r"\s*(?:([-*+])|(\d+)[.)]) +(.*)$")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^()\s]+)\)\s*$")
_FENCE = re.compile(r"\s*(```+|~~~+)")
_RULE_OF_TABLE = re.compile(r"\s*\|?\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)*\|?\s*$")


class Part(NamedTuple):
    """A heading of a text and what stands under it."""

    title: str
    """Empty for what stands before the first heading."""
    blocks: list[Block]


class Text(NamedTuple):
    """A text by its headings."""

    title: str
    """The one heading that stands over all others; empty where there is none."""
    parts: list[Part]


def inline(text: str) -> Runs:
    """Return the runs of one paragraph; white space counts as one blank."""
    text, runs, end = " ".join(text.split()), [], 0
    for found in _INLINE.finditer(text):
        runs += [_run(text[end : found.start()])] if found.start() > end else []
        runs.append(_styled(found))
        end = found.end()
    return [*runs, _run(text[end:])] if end < len(text) or not runs else runs


def _run(text: str, style: str = "", target: str = "") -> dict[str, str]:
    return {"text": text, "style": style, "target": target}


def _styled(found: re.Match[str]) -> dict[str, str]:
    if found["link"] is not None:
        return _run(found["link"], "link", found["target"])
    style = str(found.lastgroup)
    return _run(found[style], style)


def plain(runs: Runs) -> str:
    """Return the text of ``runs``."""
    return "".join(run["text"] for run in runs)


def paragraph(text: str) -> Block:
    """Return one paragraph whose text is in Markdown."""
    return {"kind": "paragraph", "runs": inline(text)}


def inline_plain(text: str) -> Runs:
    """Return a text in which nothing is markup as runs."""
    return [_run(text)]


def sentence(text: str) -> Block:
    """Return one paragraph of plain text: nothing in it is markup."""
    return {"kind": "paragraph", "runs": inline_plain(text)}


def heading(text: str, level: int = 0) -> Block:
    """Return a heading inside a section; level 0 is the first below the section's own."""
    return {"kind": "heading", "text": text, "level": level}


def code(text: str) -> Block:
    """Return lines in a fixed width, such as commands."""
    return {"kind": "code", "text": text}


def items(texts: Sequence[str]) -> Block:
    """Return a list of plain sentences."""
    return {"kind": "list", "ordered": False, "items": [[_run(text)] for text in texts]}


def blocks(text: str) -> list[Block]:
    """Return the blocks of a text; a heading is a block with its level (1 for ``#``)."""
    lines, found = text.replace("\r\n", "\n").split("\n"), []
    while lines:
        if not lines[0].strip():
            lines.pop(0)
        else:
            found.append(_next(lines))
    return found


def _next(lines: list[str]) -> Block:
    """Take the next block off ``lines``, whose first one is not empty."""
    if fence := _FENCE.match(lines[0]):
        return _fenced(lines, fence[1])
    if match := _HEADING.match(lines[0]):
        lines.pop(0)
        return heading(plain(inline(match[2])), len(match[1]))
    if match := _PICTURE.match(lines[0].strip()):
        lines.pop(0)
        return {"kind": "picture-file", "caption": match[1], "file": match[2]}
    if "|" in lines[0] and len(lines) > 1 and "|" in lines[1] and _RULE_OF_TABLE.match(lines[1]):
        return _table(lines)
    if _ITEM.match(lines[0]):
        return _list(lines)
    return _paragraph(lines)


def _fenced(lines: list[str], fence: str) -> Block:
    lines.pop(0)
    taken = []
    while lines and not lines[0].strip().startswith(fence):
        taken.append(lines.pop(0))
    del lines[:1]
    return code("\n".join(taken))


def _table(lines: list[str]) -> Block:
    cells = []
    while lines and "|" in lines[0]:
        line = lines.pop(0).strip().removeprefix("|").removesuffix("|")
        cells.append([inline(cell.replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", line)])
    width = len(cells[0])
    body = [[*line, *([inline("")] * width)][:width] for line in cells[2:]]
    return {"kind": "grid", "head": cells[0], "lines": body}


def _list(lines: list[str]) -> Block:
    ordered, texts = _ITEM.match(lines[0])[2] is not None, []  # ty: ignore[not-subscriptable]
    while lines and lines[0].strip():
        item = _ITEM.match(lines[0])
        if item:
            texts.append(item[3])
        elif _begins_another(lines[0]):
            break
        else:
            texts[-1] += f" {lines[0]}"
        lines.pop(0)
    return {"kind": "list", "ordered": ordered, "items": [inline(text) for text in texts]}


def _paragraph(lines: list[str]) -> Block:
    taken = [lines.pop(0)]
    while lines and lines[0].strip() and not _begins_another(lines[0]) and not _ITEM.match(lines[0]):
        taken.append(lines.pop(0))
    return paragraph(" ".join(line.strip().removeprefix("> ") for line in taken))


def _begins_another(line: str) -> bool:
    return any(pattern.match(line) for pattern in (_HEADING, _FENCE, _PICTURE))


def by_heading(text: str) -> Text:
    """Return a text by its highest headings; deeper ones stay among the blocks, as levels 0, 1, ...

    A single highest heading with others below it is the text's title.
    """
    found = blocks(text)
    levels = sorted({block["level"] for block in found if block["kind"] == "heading"})
    title = ""
    highest = [b for b in found if b["kind"] == "heading" and levels and b["level"] == levels[0]]
    if len(highest) == 1 and len(levels) > 1 and found[0] is highest[0]:
        title = highest[0]["text"]
        found, levels = found[1:], levels[1:]
    return Text(title, _parts(found, levels[0] if levels else 1))


def _parts(found: Sequence[Block], level: int) -> list[Part]:
    parts = [Part("", [])]
    for block in found:
        if block["kind"] == "heading" and block["level"] <= level:
            parts.append(Part(block["text"], []))
        elif block["kind"] == "heading":
            parts[-1].blocks.append(heading(block["text"], block["level"] - level - 1))
        else:
            parts[-1].blocks.append(block)
    return [part for part in parts if part.title or part.blocks]

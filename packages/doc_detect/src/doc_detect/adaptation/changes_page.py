"""``changes.html``: what an adaptation changed, page by page. One file that needs no network, no script and no other."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from doc_detect.adaptation.base import Lessons
from doc_detect.adaptation.changes import Find, PageChanges, compare, differing
from doc_detect.adaptation.criterion import KEPT, Judgement, Look
from doc_detect.figures.thumbnails import thumbnail
from seminar_common.files import write_text
from seminar_common.images import shrink
from seminar_common.markup import templates
from seminar_common.plots import printable

CHANGES = "changes.html"
"""In a run folder: the page."""
MOST_SHOWN = 40
LONG_SIDE = 640
"""Longest side of a picture, in pixels."""
MOST_LISTED = 12
"""Finds that are listed below a picture."""
TEXT = 0.036
"""Height of a label on a picture, as a share of its width: about 12 pixels on a card."""


def write_changes(
    out: Path,
    looks: Sequence[Look],
    labels: Sequence[str],
    judgement: Judgement,
    lessons: Lessons,
    title: str,
) -> None:
    """Write the page of what changed, atomically.

    Args:
        out: The file.
        looks: What both detectors find on the held-out pages; none where nothing was learned.
        labels: Their classes.
        judgement: What is to be said of the adapted one.
        lessons: What it has learned from.
        title: Name of the collection.

    Raises:
        UserError: it can't be written, or the picture of a page is gone.
    """
    changes = [compare(look, labels) for look in looks]
    shown = differing(changes)[:MOST_SHOWN]
    names = _short([page.page.name for page in shown])
    content: dict[str, Any] = {
        "title": printable(title),
        "judgement": judgement,
        "tone": _TONES.get(judgement.verdict, ""),
        "refused": judgement.verdict in KEPT and bool(looks),
        "pages": len(looks),
        "learned": bool(lessons.learned),
        "kinds": list(dict.fromkeys(kind for counts in lessons.counts.values() for kind in counts)),
        "classes": list(_classes(changes, labels, lessons)),
        "cards": [_card(*each) for each in zip(range(len(shown)), names, shown, strict=True)],
        "telling": sum(page.changed > 0 for page in shown),
    }
    write_text(out, templates("doc_detect", "seminar_common").get_template("changes.html").render(content))


_TONES = {"adapted": "better", "worse, kept the source": "worse"}


def _classes(
    changes: Sequence[PageChanges], labels: Sequence[str], lessons: Lessons
) -> Iterator[dict[str, Any]]:
    """Yield a line of the table for each class: what there was to learn from, and what changed on all pages."""
    for label in labels:
        totals = {kind: sum(page.count(kind, label) for page in changes) for kind in ("kept", "new", "gone")}
        learned = label in lessons.learned
        yield {"label": label, "learned": learned, "counts": lessons.counts.get(label, {}), **totals}


def _short(names: Sequence[str]) -> list[str]:
    """Return the names of pages without the folder that all of them are in."""
    paths = [Path(name).absolute() for name in names]
    try:
        folder = Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # there is none, or they are on several drives
        return list(names)
    return [path.relative_to(folder).as_posix() for path in paths]


def _card(number: int, name: str, changes: PageChanges) -> dict[str, Any]:
    """Return what the template needs to know of a page."""
    seen = changes.page.read()
    pixels = shrink(seen.pixels, LONG_SIDE)
    height, width = pixels.shape[:2]
    scale = width / seen.pixels.shape[1]
    drawn = []
    for find in reversed(changes.finds):  # what was kept lies below
        boxes = [None if box is None else seen.to_seen(box[None])[0] * scale for box in find.boxes]
        drawn.append(_drawn(find, boxes, width))
    return {
        "id": f"page-{number + 1}",
        "name": printable(name),
        "picture": thumbnail(pixels, LONG_SIDE),
        "width": width,
        "height": height,
        "text": round(TEXT * width, 1),
        "drawn": drawn,
        "counts": [(changes.count(kind), kind) for kind in ("new", "gone", "kept")],
        "finds": [{"kind": find.kind, "text": _line(find)} for find in changes.finds[:MOST_LISTED]],
        "more": max(0, len(changes.finds) - MOST_LISTED),
    }


def _drawn(find: Find, boxes: Sequence[np.ndarray | None], width: int) -> dict[str, Any]:
    """Return the boxes of a find on its picture, and the label of one that is new or gone."""
    rects = [
        _rect(name, box) for name, box in zip(("source", "adapted"), boxes, strict=True) if box is not None
    ]
    score = find.scores[1] if find.kind == "new" else find.scores[0]
    label = "" if find.kind == "kept" else f"{find.label} {score:.2f}"
    text = TEXT * width
    left, top = rects[0]["x"], rects[0]["y"]
    x = max(2.0, min(left, width - 0.56 * text * len(label) - 2))  # letters are about as wide
    y = top - 0.3 * text if top > 1.3 * text else top + text
    return {"kind": find.kind, "rects": rects, "label": label, "x": round(x, 1), "y": round(y, 1)}


def _rect(of: str, box: np.ndarray) -> dict[str, Any]:
    x1, y1, x2, y2 = (round(float(edge), 1) for edge in box)
    return {"of": of, "x": x1, "y": y1, "w": round(x2 - x1, 1), "h": round(y2 - y1, 1)}


def _line(find: Find) -> str:
    before, after = ("–" if score is None else f"{score:.2f}" for score in find.scores)
    return f"{find.label} {before} → {after}"

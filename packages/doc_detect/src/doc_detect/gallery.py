"""One HTML page to look at thousands of scans: thumbnails with boxes, filters by class and score, keyboard.

The page needs no server and no network: thumbnails stand in it. Only cards in view are drawn.
"""

import html
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from doc_detect.classes import CLASSES
from doc_detect.figures.thumbnails import thumbnail
from doc_detect.pages import BadPage, PageRef
from doc_detect.predictions import CONFIG, SURE, open_predictions
from doc_detect.settings.job import GallerySettings
from seminar_common.errors import UserError
from seminar_common.files import atomic_path
from seminar_common.progress import progress, say
from seminar_common.style import page_style

if TYPE_CHECKING:
    import numpy as np

_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN_BY_BROWSERS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"))
_BYTES = 40_000_000
"""About how large a gallery may become: the more pages, the smaller their thumbnails."""
_BYTES_OF_A_PIXEL = 0.13
"""What WebP takes for a pixel of a page, with base64: measured on printed pages of 16th to 19th century."""

Marked = tuple[str, float | None, Sequence[float]]
"""Class, score (None for the truth), and xyxy in the page's pixels."""


@dataclass(frozen=True)
class GalleryPage:
    """One page to show."""

    name: str
    image: "Path | PageRef | np.ndarray"
    """The page's file, or its pixels: uint8 [h, w, 3], RGB, of any size."""
    size: tuple[int, int]
    """Width and height that the boxes count."""
    detections: Sequence[Marked] = ()
    source: str = ""
    """What to group by: a book, a world."""


@dataclass(frozen=True)
class Start:
    """What the page shows at first; whoever looks at it can change both."""

    order: str = "pages"
    """A value of its list of orders: ``pages``, ``finds``, ``score`` or ``area``."""
    has: tuple[str, ...] = ()
    """Classes that the pages hold."""


def write_gallery(
    pages: Iterable[GalleryPage], out: Path, title: str, longest: int = 480, start: Start | None = None
) -> int:
    """Write the gallery of ``pages`` to ``out``, atomically; pages that can't be read are left out.

    Args:
        pages: In order; they are read one by one.
        out: The .html file.
        title: Its heading.
        longest: Longest side of the thumbnails in pixels.
        start: What it shows at first, by default all pages in order.

    Returns:
        How many pages are shown.
    """
    shown: list[dict[str, Any]] = []
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(_head(title))
        for page in pages:
            try:
                picture = thumbnail(page.image, longest)
            except BadPage:
                continue
            file.write(f'<script type="text/plain" id="t{len(shown)}">{picture}</script>\n')
            shown.append(_facts(page, out))
        data = json.dumps(_numbered(shown, start or Start()), separators=(",", ":")).replace("<", "\\u003c")
        script = (_TEMPLATES / "gallery.js").read_text(encoding="utf-8")
        file.write(f'<script type="application/json" id="data">{data}</script>\n')
        file.write(f"<script>\n{script}</script>\n</body>\n</html>\n")
    return len(shown)


def thumbnail_side(pages: int) -> int:
    """Return the longest side of thumbnails, 200 to 900 pixels, that keeps a gallery of ``pages`` near 40 MB."""
    area = _BYTES / (max(1, pages) * _BYTES_OF_A_PIXEL)  # of pages in the shape of a book's: 3 to 4
    return int(min(900, max(200, math.sqrt(area / 0.75))))


def _head(title: str) -> str:
    template = (_TEMPLATES / "gallery.html").read_text(encoding="utf-8")
    style = page_style() + (_TEMPLATES / "gallery.css").read_text(encoding="utf-8")
    return template.replace("{{ title }}", html.escape(title)).replace("{{ style }}", style)


def _facts(page: GalleryPage, out: Path) -> dict[str, Any]:
    """Return what the script needs to know of a page."""
    boxes = [
        [label, _rounded(score, 3), *(_rounded(x, 1) for x in xyxy)] for label, score, xyxy in page.detections
    ]
    facts = {"n": page.name, "s": [int(side) for side in page.size], "g": page.source, "d": boxes}
    path = page.image.path if isinstance(page.image, PageRef) else page.image
    if isinstance(path, Path) and path.suffix.lower() in _SHOWN_BY_BROWSERS:
        facts["u"] = quote(os.path.relpath(path.absolute(), out.parent.absolute()), errors="surrogateescape")
    return facts


def _numbered(pages: list[dict[str, Any]], start: Start) -> dict[str, Any]:
    """Return the script's data, with labels as numbers, in the order and the colours that they always have."""
    order = {label: number for number, label in enumerate(CLASSES)}
    names = {box[0] for page in pages for box in page["d"]} | set(start.has)
    labels = sorted(names, key=lambda name: (order.get(name, len(order)), name))
    number = {label: index for index, label in enumerate(labels)}
    for page in pages:
        page["d"] = [[number[box[0]], *box[1:]] for box in page["d"]]
    colours = [order.get(label, len(order) + index) for index, label in enumerate(labels)]
    first = {"order": start.order, "has": [number[label] for label in start.has]}
    return {"labels": labels, "colours": colours, "start": first, "pages": pages}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)


def main(settings: GallerySettings) -> None:
    """Write the gallery that ``settings`` describe; the function behind ``doc-detect gallery``."""
    out = settings.out or _default_out(settings.predictions)
    pages = _pages_of(settings)
    if settings.pages:
        pages = _some(pages, settings)
    title = settings.title or settings.predictions.resolve().name
    with progress("gallery", len(pages)) as advance:
        start = Start(settings.order, settings.has)
        shown = write_gallery(_counted(pages, advance), out, title, thumbnail_side(len(pages)), start)
    say(
        f"{shown:,} of {len(pages):,} pages in {out} ({out.stat().st_size / 1e6:.1f} MB): open it in a browser"
    )


def _default_out(predictions: Path) -> Path:
    return (predictions if predictions.is_dir() else predictions.parent) / "gallery.html"


def _pages_of(settings: GallerySettings) -> list[GalleryPage]:
    source = settings.predictions
    if source.is_file() and source.suffix.lower() == ".json":
        for label in settings.has:
            if label not in CLASSES:
                raise UserError(f"--has {label}: no class; choose among {', '.join(CLASSES)}")
        return _of_coco(source, settings.images, settings.min_score)
    if not (source / CONFIG).exists():
        raise UserError(
            f"{source}: neither predictions nor a COCO .json; give the --out of `doc-detect predict`"
        )
    predictions = open_predictions(source, settings.images)
    predictions.check_labels(settings.has, "--has")
    return [
        GalleryPage(
            page.name,
            predictions.ref(page),
            (page.width, page.height),
            [(b.label, b.score, b.xyxy) for b in page.boxes if b.score >= settings.min_score],
            page.file.rpartition("/")[0] if page.number is None else page.file,
        )
        for page in predictions
    ]


def _of_coco(path: Path, images: Path | None, min_score: float) -> list[GalleryPage]:
    from doc_detect.coco import read_coco

    coco = read_coco(path)
    pages = []
    for page in coco.pages:
        given = [math.nan] * len(page.boxes) if page.scores is None else page.scores.tolist()
        scores = [None if math.isnan(score) else score for score in given]
        boxes = [
            (CLASSES[label], score, box)
            for label, score, box in zip(page.labels, scores, page.boxes.tolist(), strict=True)
            if label >= 0 and (score is None or score >= min_score)
        ]
        image = images / page.file_name if images else coco.image_path(page)
        source = str(page.facts.get("book") or page.facts.get("world") or "")
        pages.append(GalleryPage(page.file_name, image, (page.width, page.height), boxes, source))
    return pages


def _some(pages: list[GalleryPage], settings: GallerySettings) -> list[GalleryPage]:
    """Return ``settings.pages`` of those that are shown at first, in the order that all have."""
    held = [page for page in pages if set(settings.has) <= {label for label, *_ in _sure(page)}]
    if not held:
        raise UserError(
            f"{settings.predictions}: no page holds {' and '.join(settings.has)} with a score of {SURE} or more; "
            "leave --pages or --has out"
        )
    count = min(settings.pages, len(held))
    if settings.order == "pages":
        return [held[index * len(held) // count] for index in range(count)]
    best = sorted(range(len(held)), key=lambda index: -_rank(held[index], settings))[:count]
    return [held[index] for index in sorted(best)]


def _rank(page: GalleryPage, settings: GallerySettings) -> float:
    """Return what the page's script orders by at first: of the finds of the wanted classes, or of all."""
    finds = [find for find in _sure(page) if not settings.has or find[0] in settings.has]
    if settings.order == "finds":
        return len(finds)
    if settings.order == "score":
        return max((1.0 if score is None else score for _, score, _ in finds), default=0.0)
    return max(((x2 - x1) * (y2 - y1) / math.prod(page.size) for *_, (x1, y1, x2, y2) in finds), default=0.0)


def _sure(page: GalleryPage) -> list[Marked]:
    """Return what the page's script counts at first."""
    return [find for find in page.detections if find[1] is None or find[1] >= SURE]


def _counted(pages: Iterable[GalleryPage], advance: Callable[..., None]) -> Iterator[GalleryPage]:
    for page in pages:
        yield page
        advance(1)

"""The page on which a person looks at what was discovered, and names, merges, splits and corrects it.

It is one HTML file that needs no network. It holds facts about every image and thumbnails of some: those of the
others come from the images themselves while they lie where they lay, or from ``gcd-longtail review``. The scripts and
the style stand in ``templates/gallery``.
"""

import html
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from gcd_longtail.discovery.predictors import Predictor
from gcd_longtail.figures.likeness import Geometry, alike, by_likeness, geometry, places, suspicious
from gcd_longtail.figures.thumbnails import of_source
from gcd_longtail.images.sources.base import Source
from gcd_longtail.images.sources.folder import FileSource
from seminar_common.files import atomic_path, write_text
from seminar_common.style import page_style

FACTS = "gallery.json"
"""What a page shows, beside it in a run, so that `gcd-longtail review` need not look at features again."""
THUMBNAILS = 5000
"""Images with a thumbnail in the page, by default: 4 kB each, 20 MB in all."""
_TEMPLATES = Path(__file__).parents[1] / "templates" / "gallery"
_SCRIPTS = ("replay.js", "model.js", "store.js", "pictures.js", "actions.js", "views.js", "map.js", "page.js")
_ON_MAP = 3000
_SUSPICIOUS = 500


@dataclass(frozen=True)
class Shown:
    """The images of a discovery, to be shown."""

    source: Source
    numbers: np.ndarray
    """Number of each image in the source, int64 [N]."""
    features: np.ndarray
    """float32 [N, D]."""
    classes: np.ndarray
    """Class of each image, int64 [N]: as labelled, or as discovered."""
    labelled: np.ndarray
    """Whether a person named its class, bool [N]."""
    confidence: np.ndarray | None = None
    """Calibrated probability that the class of each image is right, float [N]; None where nobody knows."""
    settled: tuple[str, ...] = ()
    """Names of the classes that a person has settled before, and is not asked about again."""


@dataclass(frozen=True)
class About:
    """What the page says of the discovery."""

    title: str
    summary: tuple[str, ...] = ()
    """Sentences on the numbers found."""
    notes: tuple[str, ...] = ()
    """What a reader must know."""
    run: str = ""
    """Digest of the run that decisions are about; without one the page is only looked at."""
    per_class: int = 12
    """Images of a class that are shown at first."""


def centrality(predictor: Predictor, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return how near each image is to its class's mean in the space of the predictor, float64 [N], at most 0."""
    return -geometry(predictor, features, classes).own


def write_gallery(
    out: Path,
    shown: Shown,
    predictor: Predictor,
    names: Sequence[str],
    known: int,
    about: About,
    thumbnails: int = THUMBNAILS,
) -> None:
    """Write the page to ``out``, and its facts to :data:`FACTS` beside it, both atomically.

    Args:
        out: the .html file.
        shown: the images.
        predictor: whose space says which images are central and which classes alike.
        names: of all classes.
        known: the first of them are known, the others discovered.
        about: the page's words.
        thumbnails: most images that get a thumbnail in the page.
    """
    found = geometry(predictor, shown.features, shown.classes)
    order = np.lexsort((found.own, shown.classes))
    facts = _facts(shown, predictor, found, order, known, about) | {"names": list(names)}
    write_text(out.parent / FACTS, _json(facts))
    if isinstance(shown.source, FileSource):
        facts["folder"] = link(shown.source.path, out.parent)
    chosen = _with_thumbnails(facts, thumbnails)
    write_page(
        out, facts | {"thumbnails": chosen}, of_source(shown.source, shown.numbers[order][chosen].tolist())
    )


def _facts(
    shown: Shown, predictor: Predictor, found: Geometry, order: np.ndarray, known: int, about: About
) -> dict[str, Any]:
    """Return what the page knows; images are numbered by class, the most central of each first."""
    classes, place = shown.classes[order], np.argsort(order)
    labels = np.where(shown.labelled, shown.classes, -1)
    doubts = suspicious(found, predictor.predict(shown.features), labels)[:_SUSPICIOUS]
    chosen = _sample(order, classes)
    centres, points = places(found, predictor, shown.features, shown.classes, chosen)
    doubt = found.doubt if shown.confidence is None else 1 - shown.confidence
    keys = shown.source.listing.keys
    return {
        "version": 1,
        "run": about.run,
        "title": about.title,
        "summary": list(about.summary),
        "notes": list(about.notes),
        "perClass": about.per_class,
        "known": known,
        "settled": list(shown.settled),
        "sizes": found.sizes.tolist(),
        "keys": [keys[i] for i in shown.numbers[order].tolist()],
        "labelled": np.flatnonzero(shown.labelled[order]).tolist(),
        "calibrated": shown.confidence is not None,
        "doubt": np.round(1000 * np.clip(np.where(shown.labelled, 0, doubt), 0, 1))[order]
        .astype(int)
        .tolist(),
        "second": found.second[order].tolist(),
        "alike": alike(found),
        "byLikeness": by_likeness(found),
        "suspicious": [[int(place[image]), other] for image, other in doubts],
        "map": {
            "classes": np.round(centres, 4).tolist(),
            "images": place[chosen].tolist(),
            "points": np.round(points, 4).tolist(),
        },
    }


def _sample(order: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return images for the map, int64: some of each class, evenly from its centre to its edge."""
    if len(order) <= _ON_MAP:
        return order
    kept = []
    for members in np.split(order, np.flatnonzero(np.diff(classes)) + 1):
        count = min(len(members), max(3, round(_ON_MAP * len(members) / len(order))))
        kept.append(members[np.linspace(0, len(members) - 1, count).astype(int)])
    return np.concatenate(kept)


def link(folder: Path, start: Path) -> str:
    """Return the relative address of ``folder`` for a page that lies in ``start``."""
    return quote(os.path.relpath(folder.absolute(), start.absolute()), errors="surrogateescape")


# ------------------------------------------------------------------------------------------------ the file


def _with_thumbnails(facts: Mapping[str, Any], most: int) -> list[int]:
    """Return the images that get a thumbnail, ascending: those that the page shows at first, then the others evenly."""
    total = len(facts["keys"])
    if total <= most:
        return list(range(total))
    first = np.cumsum([0, *facts["sizes"]])
    labelled = np.zeros(total, bool)
    labelled[facts["labelled"]] = True
    wanted: list[int] = []
    for start, end in zip(first[:-1], first[1:], strict=True):
        members = np.arange(start, end)
        found = members[~labelled[members]] if (~labelled[members]).any() else members
        for part in centre_middle_edge(len(found), facts["perClass"]):
            wanted += found[part].tolist()
        wanted += at_random(members, facts["perClass"]).tolist()
    wanted += [image for image, _ in facts["suspicious"]]
    wanted += np.argsort(-np.array(facts["doubt"]), kind="stable")[:200].tolist()
    wanted += np.linspace(0, total - 1, most).astype(int).tolist()
    return sorted(list(dict.fromkeys(wanted))[:most])


def centre_middle_edge(size: int, count: int) -> list[range]:
    """Return which of ``size`` images, the most central first, are shown at first; the page's script does the same."""
    if size <= count:
        third = -(-size // 3)
        return [range(min(i * third, size), min((i + 1) * third, size)) for i in range(3)]
    each = max(1, count // 3)
    middle = (size - each) // 2
    return [range(each), range(middle, middle + each), range(size - each, size)]


def at_random(images: np.ndarray, count: int, salt: int = 0) -> np.ndarray:
    """Return ``count`` of ``images`` that look drawn at random; the page's script draws the same ones.

    Their numbers are mixed as by MurmurHash3's finalizer (Appleby, public domain) and the smallest are taken.
    """
    mixed = (images.astype(np.uint64) + np.uint64(salt) * np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13), (1, 16)):
        mixed ^= mixed >> np.uint64(shift)
        mixed = (mixed * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return images[np.argsort(mixed, kind="stable")[:count]]


def write_page(out: Path, facts: Mapping[str, Any], thumbnails: Iterable[str]) -> None:
    """Write a page with its ``facts`` and the ``thumbnails``, WebP in base64, of the images that the facts name."""
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(_head(facts["title"], "img-src data: file: 'self'"))
        for number, picture in zip(facts["thumbnails"], thumbnails, strict=True):
            file.write(f'<script type="text/plain" id="t{number}">{picture}</script>\n')
        file.write(_tail(facts))


def served_page(facts: Mapping[str, Any]) -> str:
    """Return the page for a server that sends thumbnails and takes decisions."""
    return _head(facts["title"], "img-src 'self' data:; connect-src 'self'") + _tail(facts)


def _head(title: str, sources: str) -> str:
    style = page_style() + _template("gallery.css")
    parts = {"title": html.escape(title), "style": style, "sources": sources}
    text = _template("gallery.html")
    for name, value in parts.items():
        text = text.replace("{{ " + name + " }}", value)
    return text


def _tail(facts: Mapping[str, Any]) -> str:
    data = _json(facts).replace("<", "\\u003c")
    scripts = "\n".join(_template(name) for name in _SCRIPTS)
    return (
        f'<script type="application/json" id="data">{data}</script>\n'
        f'<script>\n"use strict";\n{scripts}</script>\n</body>\n</html>\n'
    )


def _json(value: Any) -> str:
    return json.dumps(
        value, separators=(",", ":")
    )  # ASCII: a file name that is not UTF-8 can be written, too


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")

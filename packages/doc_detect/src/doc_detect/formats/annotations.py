"""Annotations as W3C and IIIF write them: reading all of their forms, and writing W3C's.

Read are the W3C's Web Annotation Data Model (annotations, lists, pages and collections of them), annotation pages of
IIIF Presentation 3, annotation lists of version 2, and manifests that bring these. A class is the value of a body with
the purpose ``tagging`` or ``classifying``; text is passed over. Two keys are ours: ``confidence``, the score of a
body, and ``doc-detect`` with what the forms have no place for. The context of what is written here says so.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from doc_detect.coco import Reading
from doc_detect.formats.regions import (
    Form,
    Layout,
    LayoutSet,
    Region,
    Source,
    Writing,
    classes_in,
    image_size,
)
from doc_detect.formats.selectors import Place, places
from doc_detect.pages.iiif import (
    Canvas,
    Json,
    canvases_of,
    identity,
    is_iiif,
    kind,
    listed,
    names_of,
    read_manifest,
    text,
)
from seminar_common.errors import UserError
from seminar_common.files import read_json, write_json

OWN = "doc-detect"
CONTEXT: Json = {
    "confidence": {
        "@id": "http://www.w3.org/2005/11/its/rdf#taConfidence",
        "@type": "http://www.w3.org/2001/XMLSchema#double",
    },
    OWN: None,
}
"""What our keys mean in JSON-LD: the score is ITS 2.0's confidence of a tool, the other one is nothing to others."""
_W3C = "http://www.w3.org/ns/anno.jsonld"
_CONTAINERS = ("AnnotationPage", "AnnotationList", "AnnotationCollection", "Layer")
_NAMING = ("tagging", "classifying", "identifying")
_WRITING = ("supplementing", "transcribing", "painting")
"""Motivations of what is no region: text of a page, and its image."""


def is_annotations(document: Any) -> bool:
    """Say whether JSON is annotations: one, a list, a page, a collection."""
    if isinstance(document, list):
        return bool(document) and kind(document[0]) == "Annotation"
    return kind(document) in ("Annotation", *_CONTAINERS)


def _reads(source: Source) -> bool:
    if source.path.is_dir():
        return any(_is_ours(document) for _, document in _documents(source.path))
    return _is_ours(source.json)


def _is_ours(document: Any) -> bool:
    return is_annotations(document) or is_iiif(document)


def _documents(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the JSON files in a folder and all below it, in the order of their names."""
    for path in sorted(folder.rglob("*.json")):
        source = Source(path, folder)
        try:
            document = source.json
        except UserError:
            continue
        yield path, document


@dataclass
class _Page:
    """A page that annotations point at, as it is put together."""

    id: str
    canvas: Canvas | None = None
    resource: Json = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    found: list[tuple[list[str], Place, float | None]] = field(default_factory=list)

    def size(self, source: Source) -> tuple[int, int]:
        """Return the page's size.

        Raises:
            ValueError: nothing says it.
        """
        for known in (self.own, self.resource):
            if all(isinstance(known.get(key), int) and known[key] > 0 for key in ("width", "height")):
                return known["width"], known["height"]
        if self.canvas is not None and self.canvas.size is not None:
            return self.canvas.size
        image = source.find_image(self.name())
        size = None if image is None else image_size(image)
        if size is None:
            raise ValueError(
                f"its size is not known: put its manifest or its image beside the annotations ({self.id})"
            )
        return size

    def name(self) -> str:
        """Return the page's image: as we wrote it, or as its address or its canvas's names it."""
        if isinstance(self.own.get("name"), str):
            return self.own["name"]
        if self.canvas is not None:
            found = names_of(self.canvas)
            return found[0][-1] if found else self.canvas.id
        path = urlsplit(self.id).path if "://" in self.id else self.id
        return unquote(path, errors="surrogateescape").lstrip("/") or self.id

    def facts(self) -> Mapping[str, Any]:
        """Return what else is known of the page."""
        if isinstance(self.own.get("facts"), dict):
            return self.own["facts"]
        return {} if self.canvas is None else self.canvas.facts()


def _read(source: Source, reading: Reading) -> LayoutSet:
    """Read annotations, and the manifests beside them, which know the sizes of canvases."""
    if source.path.is_dir():
        documents = list(_documents(source.path))
    else:
        documents = [(source.path, source.json), *_manifests_near(source.path)]
    gathered = _Gathered(source, reading)
    for _, document in documents:
        gathered.add_canvases(document)
    for path, document in documents if source.path.is_dir() else documents[:1]:
        gathered.add(document, path)
    return gathered.layouts()


def _manifests_near(path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the manifests in a file's folder and the one above it."""
    for folder in (path.parent, path.parent.parent):
        for other in sorted(folder.glob("*.json")):
            if other != path:
                try:
                    document = read_json(other)
                except UserError:
                    continue
                if kind(document) == "Manifest":
                    yield other, document


class _Gathered:
    """Annotations by the page that they are on."""

    def __init__(self, source: Source, reading: Reading):
        self.source, self.reading = source, reading
        self.canvases: dict[str, Canvas] = {}
        self.pages: dict[str, _Page] = {}
        self.seen: set[str] = set()
        self.own: list[Mapping[str, Any]] = []
        self.missing: list[str] = []

    def add_canvases(self, document: Any) -> None:
        if kind(document) == "Manifest":
            for canvas in read_manifest(document).canvases:
                self.canvases.setdefault(canvas.id, canvas)

    def add(self, document: Any, file: Path) -> None:
        """Take up all annotations in a document."""
        if isinstance(document, list):
            self._add_all(document, file)
        elif kind(document) == "Annotation":
            self._add_all([document], file)
        elif kind(document) in _CONTAINERS:
            self._add_container(document, file)
        elif kind(document) == "Manifest":
            self._add_manifest(document, file)

    def _add_manifest(self, manifest: Json, file: Path) -> None:
        for item in canvases_of(manifest):
            for container in (*listed(item.get("annotations")), *listed(item.get("otherContent"))):
                self._add_container(container, file, identity(item))

    def _add_container(self, container: Any, file: Path, canvas: str = "") -> None:
        """Take up an annotation page, list or collection; one that is only named must be in a file beside."""
        if not isinstance(container, dict) or not container.keys() & {"items", "resources", "first", OWN}:
            self.missing.append(identity(container))
            return
        if identity(container):
            if identity(container) in self.seen:
                return
            self.seen.add(identity(container))
        self._add_own(container)
        if canvas:
            self._page(canvas)
        self._add_all([*listed(container.get("items")), *listed(container.get("resources"))], file)
        if isinstance(container.get("first"), dict):
            self._add_container(container["first"], file)

    def _add_own(self, container: Json) -> None:
        """Take up what we wrote of pages, some of which have no annotation."""
        own = container.get(OWN)
        if not isinstance(own, dict):
            return
        self.own.append(own)
        for entry in listed(own.get("pages")):
            if isinstance(entry, dict) and isinstance(entry.get("source"), str):
                self._page(entry["source"]).own = entry

    def _page(self, name: str) -> _Page:
        return self.pages.setdefault(name, _Page(name, self.canvases.get(name)))

    def _add_all(self, annotations: Iterable[Any], file: Path) -> None:
        for annotation in annotations:
            if kind(annotation) != "Annotation":
                self.reading.fail(file, f"{identity(annotation) or 'an item'}: not an annotation")
                continue
            try:
                self._add_annotation(annotation)
            except (ValueError, TypeError, ArithmeticError, AttributeError) as error:
                self.reading.fail(file, f"annotation {identity(annotation) or 'without an id'}: {error}")

    def _add_annotation(self, annotation: Json) -> None:
        tags, score = _tags(annotation)
        if not tags:
            return  # an image, or text
        for place in places(annotation.get("target", annotation.get("on"))):
            if not place.source:
                raise ValueError("it points at nothing that has an id")
            page = self._page(place.source)
            page.resource = page.resource or place.resource
            if place.box is None:
                raise ValueError(f"it is on the whole of {place.source}, not on a region")
            page.found.append((tags, place, score))

    def layouts(self) -> LayoutSet:
        """Return the pages, those of manifests in their order.

        Raises:
            UserError: there are none.
        """
        order = {name: number for number, name in enumerate(self.canvases)}
        pages = sorted(self.pages.values(), key=lambda page: order.get(page.id, len(order)))
        layouts = [layout for page in pages if (layout := self._layout(page)) is not None]
        missing = [name for name in dict.fromkeys(self.missing) if name not in self.seen]
        if missing:
            self.reading.fail(
                self.source.path,
                f"{len(missing):,} lists of annotations are not in a file here: {missing[0]}",
            )
        if not layouts:
            first = f": {self.reading.failures[0].reason}" if self.reading.failures else ""
            raise UserError(f"{self.source.path}: no annotations of pages in it{first}")
        labelled = {classes for own in self.own if (classes := classes_in(own.get("labelled"))) is not None}
        facts = next((own["set"] for own in self.own if isinstance(own.get("set"), dict)), {})
        folder = self.source.path if self.source.path.is_dir() else self.source.path.parent
        return LayoutSet(
            tuple(_distinct(layouts)), frozenset.intersection(*labelled) if labelled else None, facts, folder
        )

    def _layout(self, page: _Page) -> Layout | None:
        try:
            width, height = page.size(self.source)
        except ValueError as error:
            self.reading.fail(self.source.path, str(error))
            return None
        regions = [
            Region(self.reading.names.label(*tags), box, score)
            for tags, place, score in page.found
            if (box := place.pixels(width, height)) is not None
        ]
        return Layout(page.name(), width, height, tuple(regions), page.facts())


def _distinct(layouts: list[Layout]) -> Iterator[Layout]:
    """Yield pages; images of one name in several manifests get that of the manifest before it."""
    times = Counter(layout.name for layout in layouts)
    for layout in layouts:
        book = layout.facts.get("manifest")
        if times[layout.name] > 1 and isinstance(book, str):
            parts = [
                part
                for part in urlsplit(book).path.split("/")
                if part not in ("", "manifest.json", "manifest")
            ]
            layout = Layout(
                str(PurePosixPath(*parts[-1:], layout.name)),
                layout.width,
                layout.height,
                layout.regions,
                layout.facts,
            )
        yield layout


def _tags(annotation: Json) -> tuple[list[str], float | None]:
    """Return what an annotation calls its place, the most telling first, and the score of that.

    Nothing is returned for the text and the image of a page. A comment without a tag is its own name.
    """
    motivation = [_word(one) for one in listed(annotation.get("motivation"))]
    given = [*listed(annotation.get("body")), *listed(annotation.get("resource"))]
    bodies = [
        next(iter(listed(body.get("items"))), body) if kind(body) == "Choice" else body for body in given
    ]
    bodies = [{"value": body} if isinstance(body, str) else body for body in bodies]
    bodies = [body for body in bodies if isinstance(body, dict)] or [{"value": annotation.get("bodyValue")}]
    naming = [body for body in bodies if _purpose(body) in _NAMING or kind(body) == "Tag"]
    if not naming and set(motivation) & set(_WRITING):
        return [], None
    if not naming and set(motivation) & set(_NAMING):
        naming = [body for body in bodies if not _purpose(body)]
    tags = [(name, body) for body in naming or bodies if (name := _name(body))]
    scores = [body["confidence"] for _, body in tags if isinstance(body.get("confidence"), int | float)]
    return [name for name, _ in tags] or ["(without a tag)"], float(scores[0]) if scores else None


def _word(term: Any) -> str:
    return str(term).rpartition("#")[2].rpartition(":")[2]


def _purpose(body: Json) -> str:
    return next((_word(one) for one in listed(body.get("purpose"))), "")


def _name(body: Json) -> str:
    """Return the text of a body, or the label or last part of the id of what it refers to."""
    source = body.get("source", body)
    for one in (body, source):
        for key in ("value", "chars", "label"):
            if isinstance(one, dict) and (found := text(one.get(key))):
                return found
    return unquote(identity(source).rstrip("/").rpartition("/")[2].rpartition("#")[2])


# ------------------------------------------------------------------------------------------------------ writing


def body_of(region: Region) -> Json:
    """Return the class of a region as a body, with its score."""
    body: Json = {"type": "TextualBody", "value": region.label, "format": "text/plain", "purpose": "tagging"}
    return body if region.score is None else {**body, "confidence": round(region.score, 4)}


def whole_pixels(region: Region, width: int, height: int) -> str:
    """Return a region as x,y,w,h in whole pixels, which is all that media fragments know; at least one each."""
    x1, y1, x2, y2 = region.xyxy
    left, right = _whole(x1, x2, width)
    top, bottom = _whole(y1, y2, height)
    return f"{left},{top},{right - left},{bottom - top}"


def _whole(low: float, high: float, side: int) -> tuple[int, int]:
    first, last = max(0, round(low)), min(side, round(high))
    if first < last:
        return first, last
    first = max(0, min(int(low), side - 1))
    return first, first + 1


def own_entry(layout: Layout, source: str) -> Json:
    """Return what the forms have no place for of a page."""
    size = {"width": layout.width, "height": layout.height}
    return {"source": source, "name": layout.name, **size, "facts": dict(layout.facts)}


def own_part(layouts: LayoutSet, entries: list[Json]) -> Json:
    """Return what the forms have no place for of a set of pages."""
    return {"labelled": sorted(layouts.classes), "set": dict(layouts.facts), "pages": entries}


def address(layout: Layout, writing: Writing) -> str:
    """Return the address of a page's image: below that of the server, or relative to the file."""
    name = quote(layout.name, errors="surrogateescape")
    if writing.image_url.startswith(("http://", "https://")):
        return writing.image_url + name
    return f"{writing.base_url.rstrip('/')}/{name}" if writing.base_url else name


def _write(layouts: LayoutSet, out: Path, writing: Writing) -> None:
    """Write one annotation page for all pages; what is on a canvas of IIIF points at the canvas."""
    items, entries = [], []
    for layout in layouts.pages:
        source = str(layout.facts.get("canvas") or address(layout, writing))
        entries.append(own_entry(layout, source))
        items += [_annotation(layout, source, number) for number in range(len(layout.regions))]
    page = {
        "@context": [_W3C, CONTEXT],
        "id": _urn(*(item["id"] for item in items), *(entry["source"] for entry in entries)),
        "type": "AnnotationPage",
        "items": items,
        OWN: own_part(layouts, entries),
    }
    write_json(out, page)


def _annotation(layout: Layout, source: str, number: int) -> Json:
    region = layout.regions[number]
    place = whole_pixels(region, layout.width, layout.height)
    selector = {
        "type": "FragmentSelector",
        "conformsTo": "http://www.w3.org/TR/media-frags/",
        "value": f"xywh=pixel:{place}",
    }
    return {
        "id": _urn(source, str(number), region.label, place),
        "type": "Annotation",
        "motivation": "tagging",
        "body": body_of(region),
        "target": {"type": "SpecificResource", "source": source, "selector": selector},
    }


def _urn(*parts: str) -> str:
    """Return an id that is the same for the same parts."""
    name = "\n".join(parts).encode("utf-8", "surrogateescape").hex()
    return uuid.uuid5(uuid.NAMESPACE_URL, name).urn


WEB_ANNOTATION = Form("web-annotation", "W3C Web Annotations or IIIF annotation pages", _reads, _read, _write)

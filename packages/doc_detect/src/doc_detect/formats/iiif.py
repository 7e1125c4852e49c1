"""IIIF: an annotation page for each canvas, and manifests that viewers show them with.

Forms: IIIF Presentation 3.0, and 2.1 for canvases of a manifest of version 2. Annotations have the motivation
``tagging``, which viewers show. A manifest that is given is copied with the annotations linked in it. Pages of no
manifest get one, version 3, for each folder. :mod:`doc_detect.formats.annotations` reads it all again, and says what
the keys ``confidence`` and ``doc-detect`` are. Contexts stay those of IIIF alone, since tools take no others.
"""

import copy
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from doc_detect.formats.annotations import OWN, address, body_of, own_entry, own_part, whole_pixels
from doc_detect.formats.regions import Form, Layout, LayoutSet, Region, Writing, file_names
from doc_detect.pages.canvases import read_document
from doc_detect.pages.iiif import Canvas, Json, NameIndex, canvases_of, identity, kind, listed, read_manifest
from doc_detect.pages.names import encodable
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.files import atomic_path, write_json
from seminar_common.progress import say

_P3 = "http://iiif.io/api/presentation/3/context.json"
_P2 = "http://iiif.io/api/presentation/2/context.json"
_FOLDER = "annotations"


@dataclass(frozen=True)
class _Annotated:
    """A page as annotations of a canvas."""

    layout: Layout
    """In the canvas's pixels."""
    canvas: str
    """Id of the canvas."""
    id: str
    """Of the annotation page."""
    file: str
    """Its file, relative to the output."""


@dataclass
class _Book:
    """A manifest to write, and the annotations of its canvases."""

    document: Json
    file: str
    pages: dict[str, _Annotated] = field(default_factory=dict)
    """By id of the canvas."""

    @property
    def second(self) -> bool:
        """Whether it is of version 2."""
        return "@type" in self.document


def _write(layouts: LayoutSet, out: Path, writing: Writing) -> None:
    """Write manifests, and annotation pages in a folder beside them.

    Raises:
        UserError: a manifest that is given is none, or no page belongs to a canvas.
    """
    books = _given(writing.manifests)
    on_canvases = _on_canvases(layouts.pages, books, writing)
    names = file_names([f"{_FOLDER}/{layout.name}" for layout, _ in on_canvases], ".json")
    if not on_canvases:
        raise UserError(
            "no page belongs to a IIIF canvas: name its manifest by --manifest, or say by --base-url where the pages will be"
        )
    pages = [
        _annotated(layout, canvas, name, writing)
        for (layout, canvas), name in zip(on_canvases, names, strict=True)
    ]
    known = {canvas: book for book in books for canvas in _ids(book.document)}
    made = {book.file: book for book in _made([page for page in pages if page.canvas not in known], writing)}
    for page in pages:
        if book := known.get(page.canvas):
            book.pages[page.canvas] = page
    books = [book for book in (*books, *made.values()) if book.pages]
    second = {canvas for book in books if book.second for canvas in book.pages}
    if second and not writing.base_url:
        say(
            "viewers fetch annotations of manifests of version 2 from their addresses: --base-url writes these"
        )
    with atomic_path(out) as temporary:
        for page in pages:
            write_json(temporary / page.file, _list(page, layouts, page.canvas in second))
        for book in books:
            write_json(temporary / book.file, _linked(book, layouts, writing))


def _given(paths: Sequence[Path]) -> list[_Book]:
    """Return the manifests that are given, each with a file name of its own."""
    names = file_names(
        [path.name if path.stem != "manifest" else f"{path.parent.name}.json" for path in paths], ".json"
    )
    books = [_Book(read_document(path), name) for path, name in zip(paths, names, strict=True)]
    for path, book in zip(paths, books, strict=True):
        if kind(book.document) != "Manifest":
            raise UserError(f"{path}: a collection; name the manifests in it")
    return books if len(books) != 1 else [replace(books[0], file="manifest.json")]


def _ids(manifest: Json) -> list[str]:
    return [identity(canvas) for canvas in canvases_of(manifest)]


def _on_canvases(
    layouts: Sequence[Layout], books: Sequence[_Book], writing: Writing
) -> list[tuple[Layout, str]]:
    """Return the pages in pixels of their canvases, with the canvases' ids; a page of no canvas is a failure."""
    by_name = _by_name(layouts, books)
    found = []
    for layout in layouts:
        canvas = layout.facts.get("canvas")
        if isinstance(canvas, str):
            found.append((layout, canvas))
        elif layout.name in by_name:
            found.append((_scaled(layout, by_name[layout.name]), by_name[layout.name].id))
        elif not writing.base_url:
            writing.failures.append(
                Failure(layout.name, "belongs to no canvas of a manifest; give --manifest or --base-url")
            )
        elif "#page=" in layout.name:
            writing.failures.append(
                Failure(layout.name, "a page of a PDF or TIFF; IIIF shows images of one page")
            )
        else:
            found.append(
                (
                    layout,
                    f"{writing.base_url.rstrip('/')}/canvas/{quote(layout.name, errors='surrogateescape')}",
                )
            )
    return found


def _by_name(layouts: Sequence[Layout], books: Sequence[_Book]) -> Mapping[str, Canvas]:
    """Return the canvases whose image has the name of a page, where one alone has it."""
    index = NameIndex[str]()
    for layout in layouts:
        if "canvas" not in layout.facts:
            index.add(PurePosixPath(layout.name), layout.name)
    canvases: dict[str, list[Canvas]] = {}
    for book in books:
        for canvas in read_manifest(book.document).canvases:
            if len(names := index.find(canvas)) == 1:
                canvases.setdefault(names[0], []).append(canvas)
    return {name: found[0] for name, found in canvases.items() if len(found) == 1}


def _scaled(layout: Layout, canvas: Canvas) -> Layout:
    """Return a page in pixels of its canvas, which may be larger or smaller than its image."""
    if canvas.size is None:
        return layout
    x, y = canvas.size[0] / layout.width, canvas.size[1] / layout.height
    regions = tuple(
        Region(region.label, (x1 * x, y1 * y, x2 * x, y2 * y), region.score)
        for region in layout.regions
        for x1, y1, x2, y2 in (region.xyxy,)
    )
    return Layout(layout.name, *canvas.size, regions, {**layout.facts, **canvas.facts()})


def _annotated(layout: Layout, canvas: str, file: str, writing: Writing) -> _Annotated:
    base = writing.base_url.rstrip("/")
    name = f"{base}/{quote(file, errors='surrogateescape')}" if base else f"{canvas}/annotations/{OWN}"
    return _Annotated(layout, canvas, name, file)


def _made(pages: Sequence[_Annotated], writing: Writing) -> Iterator[_Book]:
    """Yield a manifest for each folder of pages that are on no canvas of another's manifest."""
    base = f"{writing.base_url.rstrip('/')}/"
    folders: dict[str, list[_Annotated]] = {}
    for page in pages:
        if writing.base_url and page.canvas.startswith(f"{base}canvas/"):
            folders.setdefault(page.layout.name.rpartition("/")[0], []).append(page)
    files = file_names([folder or "manifest" for folder in folders], "")
    names = ["manifest.json"] if len(files) == 1 else [f"{file}.json" for file in files]
    for (folder, inside), name in zip(folders.items(), names, strict=True):
        document = {
            "@context": _P3,
            "id": base + quote(name, errors="surrogateescape"),
            "type": "Manifest",
            "label": {"none": [encodable(folder) or "Pages"]},
            "items": [_canvas(page, writing) for page in inside],
        }
        yield _Book(document, name, {page.canvas: page for page in inside})


def _canvas(page: _Annotated, writing: Writing) -> Json:
    """Return a canvas that shows a page's image."""
    size = {"width": page.layout.width, "height": page.layout.height}
    image: Json = {"id": address(page.layout, writing), "type": "Image", **size}
    if mime := mimetypes.guess_type(page.layout.name)[0]:
        image["format"] = mime
    painting = {
        "id": f"{page.canvas}/image",
        "type": "Annotation",
        "motivation": "painting",
        "body": image,
        "target": page.canvas,
    }
    return {
        "id": page.canvas,
        "type": "Canvas",
        "label": {"none": [encodable(page.layout.name)]},
        **size,
        "items": [{"id": f"{page.canvas}/page", "type": "AnnotationPage", "items": [painting]}],
    }


def _list(page: _Annotated, layouts: LayoutSet, second: bool) -> Json:
    """Return a page's annotations as a document of their own: an annotation page, or a list of version 2."""
    content = {"@context": _P2 if second else _P3, **_content(page, second)}
    return {**content, OWN: own_part(layouts, [own_entry(page.layout, page.canvas)])}


def _content(page: _Annotated, second: bool) -> Json:
    items = [_annotation(page, number, second) for number in range(len(page.layout.regions))]
    if second:
        return {"@id": page.id, "@type": "sc:AnnotationList", "resources": items}
    return {"id": page.id, "type": "AnnotationPage", "items": items}


def _annotation(page: _Annotated, number: int, second: bool) -> Json:
    layout = page.layout
    region = layout.regions[number]
    name = f"{page.id.removesuffix('.json')}/{number + 1}"
    target = f"{page.canvas}#xywh={whole_pixels(region, layout.width, layout.height)}"
    body = body_of(region)
    if not second:
        return {"id": name, "type": "Annotation", "motivation": "tagging", "body": body, "target": target}
    tag = {"@type": "oa:Tag", "chars": region.label, "format": "text/plain"}
    if "confidence" in body:
        tag["confidence"] = body["confidence"]
    return {
        "@id": name,
        "@type": "oa:Annotation",
        "motivation": "oa:tagging",
        "resource": [tag],
        "on": target,
    }


def _linked(book: _Book, layouts: LayoutSet, writing: Writing) -> Json:
    """Return a copy of a manifest that links the annotations: by their addresses, or whole where they have none."""
    manifest = copy.deepcopy(book.document)
    for canvas in canvases_of(manifest):
        if page := book.pages.get(identity(canvas)):
            key = "otherContent" if book.second else "annotations"
            canvas[key] = [
                *listed(canvas.get(key)),
                _link(page, layouts, book.second, whole=not writing.base_url),
            ]
    return _marked(manifest, book, writing)


def _link(page: _Annotated, layouts: LayoutSet, second: bool, whole: bool) -> Json:
    if whole:
        return {**_content(page, second), OWN: own_part(layouts, [own_entry(page.layout, page.canvas)])}
    return (
        {"@id": page.id, "@type": "sc:AnnotationList"}
        if second
        else {"id": page.id, "type": "AnnotationPage"}
    )


def _marked(manifest: Json, book: _Book, writing: Writing) -> Json:
    """Return a manifest that says that it is a copy with annotations, at its own address if it has one."""
    own, there = identity(manifest), "@id" if book.second else "id"
    address_here = f"{writing.base_url.rstrip('/')}/{quote(book.file)}" if writing.base_url else own
    facts: dict[str, Any] = {"Annotated by": f"doc-detect {version('doc-detect')}"}
    if own != address_here:
        facts["Annotated copy of"] = own
    entries = [
        {"label": key, "value": value}
        if book.second
        else {"label": {"en": [key]}, "value": {"none": [value]}}
        for key, value in facts.items()
    ]
    return {**manifest, there: address_here, "metadata": [*listed(manifest.get("metadata")), *entries]}


IIIF = Form("iiif", "IIIF manifests with annotations", write=_write, folder=True)

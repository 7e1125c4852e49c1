"""Manifests to pages: reads manifests and collections, and finds each canvas's image on disk, or fetches it.

What is fetched stays in a folder, so that a later call goes on: ``BOOK/manifest.json`` and ``BOOK/0001_LABEL_DIGEST.jpg``.
Names are made of the letters and digits of ids and labels alone, so none leads out of the folder.
"""

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import escape, glob
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from doc_detect.pages.download import Downloader, NotFetched, parse_json
from doc_detect.pages.iiif import (
    Canvas,
    Json,
    NameIndex,
    identity,
    image_request,
    is_iiif,
    is_whole,
    kind,
    members,
    path_of,
    read_manifest,
)
from doc_detect.pages.page import PageRef
from seminar_common import files, images
from seminar_common.errors import UserError

FOLDER = "iiif"
"""Folder of manifests and images in a folder of predictions."""
MANIFEST = "manifest.json"
_DEEPEST = 20
"""Collections in collections that are followed."""
_FETCH = "--download fetches it"


@dataclass(frozen=True)
class CanvasPage:
    """A canvas's image, or why there is none."""

    ref: PageRef
    """The image; without one, the manifest's file and the canvas's number."""
    problem: str = ""


def split_inputs(inputs: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return what names images, and what names manifests: addresses, JSON files and globs of these."""
    plain, manifests = [], []
    for item in inputs:
        is_json = item.suffix.lower() in (".json", ".jsonld")
        if is_address(item) or (is_json and item.is_file()):
            manifests.append(item)
        elif is_json and set(str(item)) & set("*?[") and (found := sorted(glob(str(item), recursive=True))):  # noqa: PTH207
            manifests += [Path(name) for name in found]
        else:
            plain.append(item)
    return plain, manifests


def is_address(item: Path) -> bool:
    """Say whether an input is an address on the network; as a path it has lost a slash."""
    return re.match(r"https?:/", str(item)) is not None


def address_of(item: Path) -> str:
    """Return an input's address as it was typed."""
    return re.sub(r"^(https?):/+", r"\1://", str(item))


@dataclass
class Library:
    """The pages of some manifests and collections."""

    inputs: Sequence[Path]
    """Files and addresses."""
    folder: Path
    """Where manifests and images are kept."""
    images: Path | None = None
    """Where images on disk are; by default each manifest's own folder."""
    downloader: Downloader | None = None
    """What fetches; None keeps off the network."""
    pixels: int = 2000
    """Longest side of an image that is fetched; 0 for all there are."""
    _documents: dict[Path, Json] = field(default_factory=dict, init=False)
    _taken: dict[Path, tuple[str, str]] = field(default_factory=dict, init=False)
    _seen: dict[str, Path] = field(default_factory=dict, init=False)
    _indices: dict[Path, NameIndex[Path]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for item in self.inputs:
            if not is_address(item):
                self._documents[item] = read_document(item)
            elif self.downloader is None and not self._copy(address_of(item)).is_file():
                raise UserError(f"{address_of(item)}: on the network; {_FETCH}")

    def holders(self) -> list[Path]:
        """Return the folders that hold the pages."""
        local = [self.images or item.parent for item in self._documents]
        fetches = self.inputs and (self.downloader is not None or not local)
        return [*local, self.folder] if fetches else local

    def pages(self) -> Iterator[CanvasPage]:
        """Yield every canvas of every manifest, each once; images are fetched one by one as they are needed."""
        for item in self.inputs:
            if is_address(item):
                yield from self._fetched(address_of(item), None, 0)
            else:
                yield from self._known(self._documents[item], item.absolute(), item.parent, 0)

    def _copy(self, address: str) -> Path:
        return self.folder.absolute() / _book_name(address) / MANIFEST

    def _fetched(self, address: str, beside: Path | None, depth: int) -> Iterator[CanvasPage]:
        """Yield the pages of what an address names."""
        copy = self._copy(address)
        if not copy.is_file():
            if self.downloader is None:
                yield CanvasPage(PageRef(copy), f"{address}: not on disk; name its file, or {_FETCH}")
                return
            try:
                document = self.downloader.json(address)
            except NotFetched as why:
                yield CanvasPage(PageRef(copy), str(why))
                return
            if not is_iiif(document) or not is_whole(document):
                yield CanvasPage(PageRef(copy), f"{address}: neither a manifest nor a collection")
                return
            files.write_json(copy, document)
        yield from self._known(read_document(copy), copy, beside, depth)

    def _known(self, document: Json, file: Path, beside: Path | None, depth: int) -> Iterator[CanvasPage]:
        """Yield the pages of a manifest or collection that stands in ``file``; ``beside`` is the folder of images."""
        name = identity(document) or str(file)
        if name in self._seen:
            if file != self._seen[name]:
                yield CanvasPage(PageRef(file), f"its id {name} is that of {self._seen[name]}, which is read")
            return
        self._seen[name] = file
        if kind(document) == "Manifest":
            yield from self._pages_of(document, file, beside)
            return
        if depth == _DEEPEST:
            yield CanvasPage(PageRef(file), f"{name}: more than {_DEEPEST} collections in one another")
            return
        for member in members(document):
            if not is_whole(member):
                yield from self._fetched(identity(member), beside, depth + 1)
                continue
            copy = self._copy(identity(member) or json.dumps(member))
            files.write_json(copy, member)
            yield from self._known(member, copy, beside, depth + 1)

    def _pages_of(self, document: Json, file: Path, beside: Path | None) -> Iterator[CanvasPage]:
        manifest = read_manifest(document, str(file))
        kept = file if file.is_relative_to(self.folder.absolute()) else self._copy(manifest.id or str(file))
        if kept != file:
            files.write_json(kept, document)  # `convert` writes annotations into it
        if not manifest.canvases:
            yield CanvasPage(PageRef(file), f"{manifest.id or file}: a manifest without a canvas")
        for canvas in manifest.canvases:
            try:
                yield self._page(canvas, file, kept.parent, beside)
            except NotFetched as why:
                yield CanvasPage(PageRef(file, canvas.number), str(why))

    def _page(self, canvas: Canvas, file: Path, folder: Path, beside: Path | None) -> CanvasPage:
        if canvas.problem:
            raise NotFetched(f"canvas {canvas.number}, {canvas.id or canvas.label}: {canvas.problem}")
        found = self._on_disk(canvas, beside) or folder / _page_name(canvas, self.pixels)
        if not found.is_file():
            if self.downloader is None:
                raise NotFetched(f"{canvas.service or canvas.image}: not on disk; {_FETCH}")
            fetch_image(self.downloader, canvas, self.pixels, found)
        return CanvasPage(PageRef(found.absolute(), canvas=canvas))

    def _on_disk(self, canvas: Canvas, beside: Path | None) -> Path | None:
        place = self.images or beside
        if place is None:
            return None
        found = self._index(place).find(canvas)
        if len(found) > 1:
            names = ", ".join(sorted(str(path) for path in found)[:3])
            raise NotFetched(
                f"canvas {canvas.id}: several files may be its image ({names}); name a folder by --images"
            )
        if not found:
            return None
        own = (canvas.id, canvas.manifest)
        if (other := self._taken.setdefault(found[0], own)) != own:
            raise NotFetched(
                f"canvas {canvas.id}: its image {found[0].name} is that of {other[0]} in {other[1]}, too"
            )
        return found[0]

    def _index(self, folder: Path) -> NameIndex[Path]:
        if folder not in self._indices:
            self._indices[folder] = _images_in(folder, self.folder)
        return self._indices[folder]


def manifests_in(folder: Path) -> list[Path]:
    """Return the manifests, without collections, that a library keeps in its ``folder``."""
    found = sorted(folder.glob(f"*/{MANIFEST}"))
    return [path for path in found if kind(read_document(path)) == "Manifest"]


def read_document(path: Path) -> Json:
    """Read a manifest or collection.

    Raises:
        UserError: it is none.
    """
    files.check_file(path)
    try:
        document = parse_json(path.read_bytes())
    except ValueError as why:
        raise UserError(f"{path}: not JSON; give images, PDFs, folders, or IIIF manifests") from why
    if not is_iiif(document):
        raise UserError(
            f"{path}: not a IIIF manifest or collection (of version 2 or 3); give images, PDFs or folders"
        )
    return document


def fetch_image(downloader: Downloader, canvas: Canvas, pixels: int, path: Path) -> None:
    """Write a canvas's image to ``path``, at about ``pixels`` on its longer side where its server makes sizes.

    Raises:
        NotFetched: no address of it gives an image.
    """
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):  # by a run that was killed
        left.unlink(missing_ok=True)
    first: NotFetched | None = None
    for ask in _requests(downloader, canvas, pixels):
        try:
            for address in ask():
                downloader.image(address, path)
                return
        except NotFetched as why:
            if why.passing:
                raise
            first = first or why
    raise first or NotFetched(f"canvas {canvas.id}: no address of an image")


def _requests(downloader: Downloader, canvas: Canvas, pixels: int) -> Iterator[Callable[[], Sequence[str]]]:
    """Yield what may give the image, best first; each returns addresses, or raises NotFetched."""
    listed: list[str] = []

    def by_service() -> Sequence[str]:
        info = downloader.json(f"{canvas.service}/info.json")
        try:
            listed.extend(image_request(canvas.service, info if isinstance(info, dict) else {}, pixels))
        except ValueError as why:
            raise NotFetched(f"{canvas.service}: {why}") from why
        return listed[:1]

    if canvas.service:
        yield by_service
        yield from (lambda address=address: [address] for address in listed[1:])
    if canvas.image:
        yield lambda: [canvas.image]


def _images_in(folder: Path, without: Path) -> NameIndex[Path]:
    """Look through a folder and all below it, but not through the folder ``without``."""
    index = NameIndex[Path]()
    seen = {os.path.realpath(without)}
    for parent, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # or a link that leads round
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name[0] != "."]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in images.SUFFIXES and name[0] != ".":
                index.add(path.relative_to(folder), path)
    return index


def _book_name(address: str) -> str:
    """Return the name of a manifest's folder: what its address says of the book, and a digest."""
    parts = [
        part
        for part in unquote(path_of(address)).split("/")
        if part.removesuffix(".json") not in ("manifest", "")
    ]
    return f"{_cleaned(parts[-1].removesuffix('.json') if parts else '', 40)}-{_digest(address)}"


def _page_name(canvas: Canvas, pixels: int) -> str:
    suffix = PurePosixPath(path_of(canvas.image)).suffix.lower()
    suffix = suffix if suffix in images.SUFFIXES and not canvas.service else ".jpg"
    what = _digest(f"{canvas.service or canvas.image} {pixels}")
    return f"{canvas.number:04d}_{_cleaned(canvas.label, 40)}_{what}{suffix}"


def _cleaned(text: str, longest: int) -> str:
    """Return the letters and digits of a text, with single underscores for all else."""
    return re.sub(r"[\W_]+", "_", unicodedata.normalize("NFC", text)).strip("_")[:longest] or "page"


def _digest(text: Any) -> str:
    return hashlib.blake2b(str(text).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()

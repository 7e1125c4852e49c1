"""IIIF manifests: which canvases they have, and which image each canvas shows.

Forms: the IIIF Presentation API 2.1 and 3.0, and the addresses of the IIIF Image API 1.1 to 3.0 in them. Nothing here
uses the network; :mod:`doc_detect.pages.canvases` finds the images.
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath, PurePosixPath
from typing import Any, Generic, TypeVar
from urllib.parse import unquote, urlsplit

from seminar_common import images

Json = dict[str, Any]
Item = TypeVar("Item")

_REQUEST = re.compile(r"/[^/]+/[^/]+/!?[\d.]+/\w+\.\w+$")
"""The end of an Image API request: region, size, rotation, quality and format."""
_IMAGE_SERVICE = re.compile(r"ImageService|iiif.io/api/image|image-api", re.IGNORECASE)


@dataclass(frozen=True)
class Canvas:
    """A page of a manifest."""

    id: str
    label: str
    number: int
    """Place in the manifest, from 1."""
    size: tuple[int, int] | None
    """Width and height, which boxes count; None where the manifest does not say."""
    manifest: str
    """Id of the manifest."""
    file: str = ""
    """The manifest's file on this machine."""
    image: str = ""
    """Address of the whole image."""
    service: str = ""
    """Base address of its image service."""
    version: int = 2
    """Of the Image API that the service speaks."""
    problem: str = ""
    """Why the canvas has no image that shows all of it."""

    def facts(self) -> dict[str, str]:
        """Return what tables and annotations keep of it."""
        facts = {"canvas": self.id, "canvas_label": self.label, "manifest": self.manifest}
        if self.service:
            facts["region_address"] = f"{self.service}/{{region}}/{_full(self.version)}"
        return facts


@dataclass(frozen=True)
class Manifest:
    """A manifest with its canvases, in order."""

    id: str
    label: str
    document: Json = field(repr=False)
    canvases: tuple[Canvas, ...]


def identity(value: Any) -> str:
    """Return the id of a resource, or of what only names it; an empty text if there is none."""
    if isinstance(value, str):
        return value
    found = value.get("id") or value.get("@id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def kind(value: Any) -> str:
    """Return the type of a resource without its prefix, e.g. ``Manifest`` of ``sc:Manifest``; empty if it has none."""
    found = value.get("type") or value.get("@type") if isinstance(value, dict) else None
    found = found[0] if isinstance(found, list) and found else found
    return found.rpartition(":")[2] if isinstance(found, str) else ""


def listed(value: Any) -> list[Any]:
    """Return a value that may be one or several as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """Return a label as plain text: a string, a language map, or values with ``@value``; the first one counts."""
    if isinstance(value, dict):
        value = value["@value"] if "@value" in value else next(iter(value.values()), "")
    if isinstance(value, list):
        return text(value[0]) if value else ""
    return "" if value is None else " ".join(str(value).split())


def is_iiif(document: Any) -> bool:
    """Say whether a document is a manifest or a collection."""
    return kind(document) in ("Manifest", "Collection")


def path_of(address: str) -> str:
    """Return the path in an address; of what is no address, all of it."""
    try:
        return urlsplit(address).path if "://" in address else address
    except ValueError:  # such as http://[
        return address


def members(collection: Json) -> Iterator[Json]:
    """Yield what a collection names: manifests and collections, whole or with their id alone."""
    for key in ("items", "members", "manifests", "collections"):
        for member in listed(collection.get(key)):
            member = {"id": member} if isinstance(member, str) else member
            if isinstance(member, dict) and (kind(member) in ("Manifest", "Collection", "")):
                yield member


def is_whole(document: Json) -> bool:
    """Say whether a manifest or collection brings its content, and does not only name it."""
    keys = ("items", "sequences", "members", "manifests", "collections")
    return any(isinstance(document.get(key), list) for key in keys)


def canvases_of(document: Json) -> list[Json]:
    """Return the canvases of a manifest as they stand there: of the first sequence, in version 2."""
    sequence = next((item for item in listed(document.get("sequences")) if isinstance(item, dict)), {})
    found = document.get("items") if "sequences" not in document else sequence.get("canvases")
    return [canvas for canvas in listed(found) if isinstance(canvas, dict)]


def read_manifest(document: Json, file: str = "") -> Manifest:
    """Return the canvases of a manifest in ``file``; one that can't be used has the reason in ``problem``."""
    name = identity(document)
    canvases: list[Canvas] = []
    seen: set[str] = set()
    for number, item in enumerate(canvases_of(document), 1):
        canvas = Canvas(identity(item), text(item.get("label")), number, _size(item), name, file)
        shown = _shown(item, canvas.size)
        if not canvas.id or canvas.id in seen:
            shown["problem"] = "another one has its id" if canvas.id else "it has no id"
        seen.add(canvas.id)
        canvases.append(replace(canvas, **shown))
    return Manifest(name, text(document.get("label")), document, tuple(canvases))


def _shown(item: Json, size: tuple[int, int] | None) -> Json:
    """Return what a :class:`Canvas` says of its one whole image, or ``problem``."""
    paintings = list(_paintings(item, size))
    whole = [resource for resource, covers in paintings if covers]
    if not paintings:
        return {"problem": "it shows no image"}
    if len(whole) != 1:
        return {"problem": f"it is painted by {len(paintings)} images; only a whole one is read"}
    shown = _picture(whole[0])
    return shown if any(shown.values()) else {"problem": "its image has no address"}


def _size(item: Json) -> tuple[int, int] | None:
    sides = [item.get(key) for key in ("width", "height")]
    try:
        width, height = (round(float(side)) for side in sides)  # ty: ignore[invalid-argument-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return (width, height) if 0 < width < 1_000_000 and 0 < height < 1_000_000 else None


def _paintings(item: Json, size: tuple[int, int] | None) -> Iterator[tuple[Any, bool]]:
    """Yield each image on a canvas, and whether it covers all of it."""
    for annotation in listed(item.get("images")):  # version 2
        if isinstance(annotation, dict):
            yield annotation.get("resource"), _covers(annotation.get("on"), size)
    for page in listed(item.get("items")):  # version 3
        for annotation in listed(page.get("items") if isinstance(page, dict) else None):
            if isinstance(annotation, dict) and "painting" in listed(annotation.get("motivation")):
                for body in listed(annotation.get("body")):
                    yield body, _covers(annotation.get("target"), size)


def _covers(target: Any, size: tuple[int, int] | None) -> bool:
    """Say whether a painted image covers the canvas: its target has no region, or one of the canvas's size."""
    _, _, fragment = identity(target).partition("#xywh=")
    if isinstance(target, dict) and target.get("selector") is not None:
        return False
    if not fragment:
        return True
    numbers = re.findall(r"-?\d+(?:\.\d+)?", fragment)
    return size is not None and [round(float(number)) for number in numbers] == [0, 0, *size]


def _picture(resource: Any) -> Json:
    """Return what a :class:`Canvas` says of a painted resource, or ``problem``."""
    resource = _first_choice(resource)
    if isinstance(resource, dict) and (resource.get("selector") or "full" in resource):
        return {"problem": "it shows a part of an image"}
    if isinstance(resource, dict) and isinstance(resource.get("source"), dict | str):
        resource = resource["source"]
    if not isinstance(resource, dict):
        return {"image": identity(resource)}
    if kind(resource) not in ("Image", ""):
        return {"problem": f"it shows no image, but {kind(resource)}"}
    return {"image": identity(resource), **_service(resource)}


def _first_choice(resource: Any) -> Any:
    """Return a choice's default, which is what viewers show first."""
    if kind(resource) == "Choice":
        return resource.get("default") or next(iter(listed(resource.get("items"))), None)
    return resource


def _service(resource: Json) -> Json:
    """Return the base address of an image's service and its version."""
    for service in listed(resource.get("service")):
        if isinstance(service, dict):
            about = " ".join(str(service.get(key, "")) for key in ("type", "@type", "@context", "profile"))
            if _IMAGE_SERVICE.search(about) or "level" in about:
                base = identity(service).removesuffix("/info.json").rstrip("/")
                return {"service": base, "version": _version(about)} if base else {}
    return {}


def names_of(canvas: Canvas) -> Sequence[tuple[str, ...]]:
    """Return what a canvas's image may be called on disk: parts of a path, from each of its addresses and its label.

    ``https://host/iiif/book%2F001.jp2/full/max/0/default.jpg`` may be ``book/001`` with any ending.
    """
    found = []
    for address in (canvas.service, canvas.image):
        path = _REQUEST.sub("", path_of(address))
        parts = tuple(part for part in unquote(path).split("/") if part not in ("", ".", ".."))
        if parts and parts not in found:
            found.append(parts)
    return [*found, (canvas.label,)] if canvas.label else found


class NameIndex(Generic[Item]):
    """Images, found by the names that canvases may have for them."""

    def __init__(self) -> None:
        self._items: dict[str, list[tuple[tuple[str, ...], Item]]] = {}

    def add(self, path: PurePath, item: Item) -> None:
        """Add what lies at ``path``, relative to a folder."""
        parts = tuple(_plain(part) for part in (*path.parts[:-1], _stem(path.name)))
        self._items.setdefault(parts[-1], []).append((parts, item))

    def find(self, canvas: Canvas) -> list[Item]:
        """Return what may be a canvas's image: the fewest that agree with most of its address."""
        for name in names_of(canvas):
            parts = tuple(_plain(part) for part in (*name[:-1], _stem(name[-1])))
            for joint in ("_", "-", "."):  # book/001 is often saved as book_001
                for start in range(len(parts) - 1):
                    if found := self._items.get(joint.join(parts[start:])):
                        return [item for _, item in found]
            if found := self._longest(parts):
                return found
        return []

    def _longest(self, parts: tuple[str, ...]) -> list[Item]:
        """Return what has this name and whose folders agree with most of the parts before it."""
        found = self._items.get(parts[-1], [])
        shared = [len(os.path.commonprefix([parts[::-1], own[::-1]])) for own, _ in found]
        return [item for (_, item), count in zip(found, shared, strict=True) if count == max(shared)]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in images.SUFFIXES else name


def image_request(base: str, info: Mapping[str, Any], longest: int) -> list[str]:
    """Return addresses of the whole image at about ``longest`` pixels on its longer side, best first.

    Args:
        base: Base address of the service.
        info: What its ``info.json`` says.
        longest: Pixels that are wanted; 0 for all that there are. An image is never enlarged.

    Raises:
        ValueError: ``info`` has no size.
    """
    version = _version(" ".join(str(item) for item in listed(info.get("@context"))))
    own = _size(dict(info))
    if own is None:
        raise ValueError("its info.json has no width and height")
    width, height = _wanted(own, info, longest)
    if _level(info) == 0:
        sizes = [_listed_size(info, longest)] if info.get("sizes") else []
        asked = [form for size in sizes if size for form in (f"{size[0]},{size[1]}", f"{size[0]},")]
        asked.append("")
    elif (width, height) == own and not _limits(info):
        asked = [""]
    else:
        asked = [f"{width},{height}"] if version == 3 else [f"{width},"]
    return [f"{base}/full/{_full(version, size)}" for size in asked]


def region_address(facts: Mapping[str, Any], xyxy: Sequence[float], size: tuple[int, int]) -> str:
    """Return the address of a region at its server, at full size; empty where ``facts`` name no server.

    Args:
        facts: Of the canvas, as :meth:`Canvas.facts` gives them.
        xyxy: The region, in pixels of a page of ``size``. It is asked for in percent of the image, which may have
            other pixels.
        size: Width and height.
    """
    x1, y1, x2, y2 = (100 * value / side for value, side in zip(xyxy, size * 2, strict=True))
    region = ",".join(f"{value:.4f}".rstrip("0").rstrip(".") for value in (x1, y1, x2 - x1, y2 - y1))
    return str(facts.get("region_address", "")).replace("{region}", f"pct:{region}")


def _full(version: int, size: str = "") -> str:
    """Return the end of an Image API request, of an image as large as there is unless a ``size`` is given."""
    return f"{size or ('max' if version == 3 else 'full')}/0/{'native' if version == 1 else 'default'}.jpg"


def _version(about: str) -> int:
    """Return the version of the Image API that a context, type or profile tells."""
    found = re.search(r"api/image/(\d)|ImageService(\d)", about)
    if found:
        return int(found[1] or found[2])
    return 1 if "image-api" in about else 2


def _level(info: Mapping[str, Any]) -> int:
    found = re.search(r"level(\d)", " ".join(str(item) for item in listed(info.get("profile"))))
    return int(found[1]) if found else 1


def _limits(info: Mapping[str, Any]) -> dict[str, float]:
    """Return the largest width, height and area that a server makes."""
    stated = [info, *(item for item in listed(info.get("profile")) if isinstance(item, dict))]
    found = {}
    for source in stated:
        for key in ("maxWidth", "maxHeight", "maxArea"):
            if isinstance(source.get(key), int | float) and source[key] > 0:
                found[key] = source[key]
    return found


def _wanted(own: tuple[int, int], info: Mapping[str, Any], longest: int) -> tuple[int, int]:
    """Return the size to ask for, in the image's shape and within the server's limits."""
    width, height = own
    limits = _limits(info)
    most_wide = limits.get("maxWidth", width)
    scale = min(
        1.0,
        longest / max(own) if longest else 1.0,
        most_wide / width,
        limits.get("maxHeight", limits.get("maxWidth", height)) / height,
        (limits.get("maxArea", width * height) / (width * height)) ** 0.5,
    )
    if scale == 1:
        return own
    return max(1, int(width * scale)), max(1, int(height * scale))


def _listed_size(info: Mapping[str, Any], longest: int) -> tuple[int, int] | None:
    """Return the smallest size that a server has ready and that is large enough, or its largest."""
    sizes = [size for item in listed(info.get("sizes")) if isinstance(item, dict) and (size := _size(item))]
    enough = [size for size in sizes if longest and max(size) >= longest]
    return min(enough, key=max) if enough else max(sizes, key=max, default=None)

"""A IIIF Image API server on this machine, with the faults that servers have, and manifests of what it serves."""

import io
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Server:
    """What it serves, and what it was asked for."""

    address: str = ""
    images: dict[str, np.ndarray] = field(default_factory=dict)
    """Pixels of each image, [h, w, 3], by its name: ``/iiif/NAME``."""
    info: dict[str, Any] = field(default_factory=dict)
    """What each ``info.json`` says beside the size."""
    documents: dict[str, Any] = field(default_factory=dict)
    """JSON by path."""
    faults: dict[str, list[Answer]] = field(default_factory=dict)
    """Answers that come first, by path."""
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    def service(self, name: str) -> str:
        return f"{self.address}/iiif/{name}"

    def answer(self, path: str) -> Answer:
        self.asked.append(path)
        if self.faults.get(path):
            return self.faults[path].pop(0)
        if path in self.documents:
            return 200, {"Content-Type": "application/json"}, json.dumps(self.documents[path]).encode()
        parts = path.split("/")
        if len(parts) < 4 or parts[1] != "iiif" or parts[2] not in self.images:
            return 404, {}, b"no such image"
        pixels, info = self.images[parts[2]], self.info.get(parts[2], {})
        if parts[3] == "info.json":
            said = {"@context": "http://iiif.io/api/image/2/context.json", "profile": ["level2.json"]}
            said |= {"@id": self.service(parts[2]), "protocol": "http://iiif.io/api/image"}
            said |= {"width": pixels.shape[1], "height": pixels.shape[0], **info}
            return 200, {"Content-Type": "application/json"}, json.dumps(said).encode()
        return self._picture(parts[4], Image.fromarray(pixels), info)

    def _picture(self, size: str, image: Image.Image, info: dict[str, Any]) -> Answer:
        listed = [f"{item['width']},{item['height']}" for item in info.get("sizes", [])]
        if "level0" in str(info.get("profile")) and size not in [*listed, "full", "max"]:
            return 404, {}, b"not one of the sizes"
        if size not in ("full", "max"):
            width, _, height = size.partition(",")
            own = (int(width), int(height) if height else round(int(width) * image.height / image.width))
            image = image.resize(own)
        buffer = io.BytesIO()
        image.save(buffer, "jpeg", quality=95, subsampling=0)
        return 200, {"Content-Type": "image/jpeg"}, buffer.getvalue()


@contextmanager
def serving() -> Generator[Server]:
    """Yield a server on 127.0.0.1 that ends with the block."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.agents.add(self.headers["User-Agent"])
            status, headers, body = server.answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


BASE = "https://library.example/book1"


def version_2(services: list[str], size: tuple[int, int] = (1200, 1800), base: str = BASE) -> dict[str, Any]:
    """Return a manifest with a canvas for each image service."""
    return {
        "@context": "http://iiif.io/api/presentation/2/context.json",
        "@id": f"{base}/manifest.json",
        "@type": "sc:Manifest",
        "label": "Book 1",
        "sequences": [
            {
                "@type": "sc:Sequence",
                "canvases": [
                    _canvas_2(f"{base}/canvas/p{number}", f"p. {number}", service, size)
                    for number, service in enumerate(services, 1)
                ],
            }
        ],
    }


def _canvas_2(name: str, label: str, service: str, size: tuple[int, int]) -> dict[str, Any]:
    image = {
        "@id": f"{service}/full/full/0/default.jpg",
        "@type": "dctypes:Image",
        "format": "image/jpeg",
        "service": {
            "@context": "http://iiif.io/api/image/2/context.json",
            "@id": service,
            "profile": "http://iiif.io/api/image/2/level2.json",
        },
    }
    painting = {"@type": "oa:Annotation", "motivation": "sc:painting", "resource": image, "on": name}
    return {
        "@id": name,
        "@type": "sc:Canvas",
        "label": label,
        "width": size[0],
        "height": size[1],
        "images": [painting],
    }


def version_3(services: list[str], size: tuple[int, int] = (1200, 1800), base: str = BASE) -> dict[str, Any]:
    """Return a manifest with a canvas for each image service."""
    return {
        "@context": "http://iiif.io/api/presentation/3/context.json",
        "id": f"{base}/manifest.json",
        "type": "Manifest",
        "label": {"en": ["Book 1"]},
        "items": [
            _canvas_3(f"{base}/canvas/p{number}", f"p. {number}", service, size)
            for number, service in enumerate(services, 1)
        ],
    }


def _canvas_3(name: str, label: str, service: str, size: tuple[int, int]) -> dict[str, Any]:
    image = {
        "id": f"{service}/full/max/0/default.jpg",
        "type": "Image",
        "format": "image/jpeg",
        "service": [{"id": service, "type": "ImageService3", "profile": "level2"}],
    }
    painting = {
        "id": f"{name}/painting",
        "type": "Annotation",
        "motivation": "painting",
        "body": image,
        "target": name,
    }
    return {
        "id": name,
        "type": "Canvas",
        "label": {"none": [label]},
        "width": size[0],
        "height": size[1],
        "items": [{"id": f"{name}/page", "type": "AnnotationPage", "items": [painting]}],
    }


@pytest.fixture
def server() -> Generator[Server]:
    """What answers on 127.0.0.1, and notes what it is asked for."""
    with serving() as started:
        yield started


@pytest.fixture(scope="session")
def manifest() -> Callable[..., dict[str, Any]]:
    """Return a function of a version, 2 or 3, and image services that makes a manifest."""

    def make(version: int, services: list[str], **options: Any) -> dict[str, Any]:
        return (version_2 if version == 2 else version_3)(services, **options)

    return make

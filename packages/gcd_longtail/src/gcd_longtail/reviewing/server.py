"""Serves the gallery of a run to a browser on this machine: pictures when they are asked for, decisions as they are made.

It listens on 127.0.0.1 alone. The address holds a random token, without which nothing is answered. The ``Host`` of each
request is checked, so that no page of another site reaches it under a name of its own (DNS rebinding), and so is the
``Origin`` of what is sent. Pictures are asked for by their number in the run, so that no other file can be named.
"""

import http.server
import json
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from gcd_longtail.figures.thumbnails import encoded, of_file
from gcd_longtail.images.sources.folder import file_of
from gcd_longtail.reviewing.ledger import Ledger
from seminar_common.device import usable_cores
from seminar_common.errors import UserError
from seminar_common.images import BadImage, read_image

HOST = "127.0.0.1"
LARGE = 1600
"""Longest side of an image that is looked at alone, in pixels."""
_MOST_SENT = 50_000_000
"""Bytes of decisions in one request."""
_KEPT = 64_000_000
"""Bytes of pictures that are kept in memory."""


@dataclass(frozen=True)
class Pictures:
    """The images of a run by their numbers in its gallery."""

    folder: Path
    keys: Sequence[str]

    def path(self, number: int) -> Path:
        """Return the file of an image.

        Raises:
            BadImage: there is no such image, or its name leads out of the folder.
        """
        if not 0 <= number < len(self.keys):
            raise BadImage("no such image")
        key = PurePosixPath(self.keys[number])
        if key.is_absolute() or ".." in key.parts:
            raise BadImage("a name that leads out of the folder")
        return file_of(self.folder, str(key))

    def thumbnail(self, number: int) -> bytes:
        """Return a small WebP; raise BadImage if the image can't be read."""
        return of_file(self.path(number))

    def large(self, number: int) -> bytes:
        """Return a WebP to look at; raise BadImage if the image can't be read."""
        return encoded(read_image(self.path(number), longest=LARGE).pixels, 85)


class Kept:
    """Pictures that were made lately."""

    def __init__(self, most_bytes: int = _KEPT):
        """Keep up to ``most_bytes``."""
        self._most, self._bytes, self._held = most_bytes, 0, OrderedDict[tuple[str, int], bytes]()
        self._lock, self._work = threading.Lock(), threading.Semaphore(usable_cores())

    def get(self, kind: str, number: int, make: Callable[[int], bytes]) -> bytes:
        """Return a picture, made by ``make`` if it is not there; no more are made at once than there are cores."""
        with self._lock:
            if (kind, number) in self._held:
                self._held.move_to_end((kind, number))
                return self._held[kind, number]
        with self._work:
            picture = make(number)
        with self._lock:
            if (kind, number) not in self._held:
                self._held[kind, number] = picture
                self._bytes += len(picture)
            while self._bytes > self._most:
                self._bytes -= len(self._held.popitem(last=False)[1])
        return picture


class ReviewServer(http.server.ThreadingHTTPServer):
    """Serves one run until it is shut down."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, page: str, pictures: Pictures, ledger: Ledger):
        """Listen on ``port``, 0 for a free one; raise a UserError if that can't be."""
        self.page, self.pictures, self.ledger = page.encode(), pictures, ledger
        self.kept, self.token = Kept(), secrets.token_urlsafe(18)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"--port {port}: can't listen there ({reason}); choose another, or 0 for a free one"
            ) from error

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that went away before its answer; show what else went wrong."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # ty: ignore[invalid-argument-type]

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    @property
    def names(self) -> tuple[str, ...]:
        """What a request may call this server."""
        return tuple(f"{host}:{self.server_port}" for host in (HOST, "localhost"))


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    server_version = "gcd-longtail"
    sys_version = ""

    @property
    def _review(self) -> ReviewServer:
        assert isinstance(self.server, ReviewServer)
        return self.server

    def do_GET(self) -> None:
        """Answer with the page or a picture."""
        what = self._asked()
        if what is None:
            return
        if what == "":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self._review.page)
            return
        kind, _, number = what.partition("/")
        pictures = self._review.pictures
        make = {"thumbnail": pictures.thumbnail, "image": pictures.large}.get(kind)
        if make is None or not (number.isascii() and number.isdigit() and len(number) < 10):
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        try:
            picture = self._review.kept.get(kind, int(number), make)
        except BadImage as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
            return
        self._send(HTTPStatus.OK, "image/webp", picture, "private, max-age=86400")

    def do_POST(self) -> None:
        """Store decisions; answer with those that the page does not know yet."""
        length = self.headers.get("Content-Length", "")
        sent = int(length) if length.isascii() and length.isdigit() else -1
        if not 0 <= sent <= _MOST_SENT:
            self.close_connection = True
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the decisions are too long, or of no length")
            return
        body = self.rfile.read(sent)
        what = self._asked()
        if what is None:
            return
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc not in self._review.names:
            self._refuse(HTTPStatus.FORBIDDEN, "another site may not decide here")
        elif what != "decisions" or self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        else:
            self._decide(body)

    def _decide(self, body: bytes) -> None:
        try:
            asked = json.loads(body)
            after, lines = int(asked["after"]), list(asked["lines"])
        except (ValueError, TypeError, KeyError):
            self._refuse(HTTPStatus.BAD_REQUEST, "not decisions")
            return
        try:
            answer = {"lines": self._review.ledger.exchange(after, lines)}
        except UserError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        except OSError as error:
            self._refuse(
                HTTPStatus.INSUFFICIENT_STORAGE, f"the decision is not stored ({error.strerror or error})"
            )
            return
        self._send(HTTPStatus.OK, "application/json", json.dumps(answer).encode())

    def _asked(self) -> str | None:
        """Return what was asked for behind the token; answer and return None if nobody may ask so."""
        if self.headers.get("Host") not in self._review.names:
            self._refuse(HTTPStatus.FORBIDDEN, "unknown host")
            return None
        token, slash, rest = urlsplit(self.path).path.removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(token.encode(), self._review.token.encode()):
            self._refuse(HTTPStatus.NOT_FOUND, "open the address that `gcd-longtail review` printed")
            return None
        return rest

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text.encode(errors="replace"))

    def _send(self, status: HTTPStatus, kind: str, body: bytes, keep: str = "no-store") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", keep)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""

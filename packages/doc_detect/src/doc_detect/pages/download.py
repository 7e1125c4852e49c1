"""Fetching files from servers, politely: one request at a time, with time-outs, a limit of size, and waiting when asked.

Only HTTP and HTTPS are spoken, after a redirect too: no address opens a file of this machine.
"""

import email.utils
import http.client
import json
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib import error, request
from urllib.parse import quote, urlsplit

from seminar_common.files import atomic_path
from seminar_common.images import BadImage, one_line_errors, open_image

ATTEMPTS = 5
TIMEOUT_S = 60.0
"""How long a server may say nothing."""
MOST_S = 600.0
"""How long one file may take, and how long a server may ask to wait."""
MOST_BYTES = 512 << 20
MOST_BYTES_OF_JSON = 64 << 20
_BLOCK = 1 << 16
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Answers after which another try makes sense."""


class NotFetched(Exception):
    """Something could not be fetched; the message is one line."""

    def __init__(self, reason: str, passing: bool = False):
        """Say why; ``passing`` where the same server may give it later."""
        super().__init__(" ".join(reason.split()))
        self.passing = passing


class _Passing(Exception):
    """A failure that may be over soon."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects to HTTP and HTTPS alone, and a few in a row."""

    max_redirections = 5

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise NotFetched(f"{req.full_url}: leads to {newurl}, which is not HTTP")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Downloader:
    """Fetches one thing after another."""

    def __init__(self, pause_s: float = 0.0, sleep: Callable[[float], None] = time.sleep):
        """Prepare; ``pause_s`` is waited between two requests."""
        self.pause_s, self.sleep = pause_s, sleep
        self._last: float | None = None
        self._opener = request.OpenerDirector()  # unlike build_opener, without file:, ftp: and data:
        for handler in (
            request.ProxyHandler(),
            request.UnknownHandler(),
            request.HTTPHandler(),
            request.HTTPSHandler(),
            request.HTTPDefaultErrorHandler(),
            _Redirects(),
            request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def json(self, url: str) -> Any:
        """Return the JSON at an address.

        Raises:
            NotFetched: it can't be had, or is no JSON.
        """
        data = self._retried(
            url,
            lambda: b"".join(self._blocks(url, MOST_BYTES_OF_JSON, "application/ld+json, application/json")),
        )
        try:
            return parse_json(data)
        except ValueError as why:
            raise NotFetched(f"{url}: not JSON") from why

    def image(self, url: str, path: Path) -> None:
        """Write the image at an address to ``path``, under a temporary name until all of it is there.

        Raises:
            NotFetched: it can't be had, or is no image.
        """
        self._retried(url, lambda: self._image(url, path))

    def _image(self, url: str, path: Path) -> None:
        with atomic_path(path) as temporary:
            with temporary.open("wb") as file:
                for block in self._blocks(url, MOST_BYTES, "image/*"):
                    file.write(block)
            try:
                with one_line_errors(), open_image(temporary):
                    pass
            except BadImage as why:
                raise NotFetched(f"{url}: the server sent no image ({why})") from why

    def _retried(self, url: str, fetch: Callable[[], Any]) -> Any:
        if not re.match("https?://", url):
            raise NotFetched(f"{url}: only http and https are fetched")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return fetch()
            except _Passing as why:
                wait = 2.0 ** (attempt - 1) if why.wait is None else why.wait
                if attempt == ATTEMPTS or wait > MOST_S:
                    asked = f", and asks to wait {wait:.0f} s" if why.wait else ""
                    raise NotFetched(f"{url}: {why}{asked}; run it again later", passing=True) from why
                self.sleep(wait)

    def _blocks(self, url: str, most_bytes: int, accept: str) -> Iterator[bytes]:
        """Yield what an address holds, block by block."""
        self._wait()
        deadline = time.monotonic() + MOST_S
        with _explained(url), self._open(url, accept) as answer:
            stated = answer.headers.get("Content-Length", "")
            expected = int(stated) if stated.isdigit() else None
            count = 0
            while block := answer.read(_BLOCK):
                count += len(block)
                if max(count, expected or 0) > most_bytes:
                    raise NotFetched(f"{url}: larger than {most_bytes >> 20} MiB")
                if time.monotonic() > deadline:
                    raise NotFetched(f"{url}: not finished after {MOST_S:.0f} s")
                yield block
            if expected is not None and count != expected:
                raise _Passing(f"the connection broke after {count:,} of {expected:,} bytes")

    def _open(self, url: str, accept: str) -> Any:
        headers = {"User-Agent": user_agent(), "Accept": accept}
        escaped = quote(
            url, safe="!#$%&'()*+,/:;=?@[]~"
        )  # ids in the wild hold spaces and letters that URLs must not
        return self._opener.open(request.Request(escaped, headers=headers), timeout=TIMEOUT_S)

    def _wait(self) -> None:
        if self._last is not None and (left := self._last + self.pause_s - time.monotonic()) > 0:
            self.sleep(left)
        self._last = time.monotonic()


def parse_json(data: bytes) -> Any:
    """Return the content of JSON, which has no NaN and no infinite numbers.

    Raises:
        ValueError: it is none.
    """

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number of JSON")

    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=refuse)
    except RecursionError as why:
        raise ValueError("too deep") from why


def user_agent() -> str:
    """Return how requests say who asks."""
    return f"doc-detect/{version('doc-detect')} (Python-urllib; reads IIIF manifests page by page)"


@contextmanager
def _explained(url: str) -> Generator[None]:
    """Turn what goes wrong with a request into one line, and say whether it may be over soon."""
    try:
        yield
    except error.HTTPError as why:
        reason = f"the server answers {why.code} {why.reason}"
        wait = _retry_after(why.headers.get("Retry-After"))
        why.close()
        if why.code in _PASSING:
            raise _Passing(reason, wait) from why
        raise NotFetched(f"{url}: {reason}") from why
    except (error.URLError, http.client.HTTPException, OSError, ValueError) as why:
        reason = str(getattr(why, "reason", why)) or type(why).__name__
        if isinstance(why, ValueError | http.client.InvalidURL) or "CERTIFICATE_VERIFY" in reason:
            raise NotFetched(f"{url}: {reason}") from why
        raise _Passing(reason) from why


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a server asks to wait: a number, or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        then = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())

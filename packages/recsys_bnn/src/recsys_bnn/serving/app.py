"""The HTTP interface: /score, /rank, /model, /health and /metrics, as a FastAPI application."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys_bnn.serving import openapi
from recsys_bnn.serving.held import Held
from recsys_bnn.serving.metrics import CONTENT_TYPE, Metrics
from recsys_bnn.serving.requests import BadRequest, shortened
from recsys_bnn.serving.served import Asked, Served, best
from recsys_bnn.settings.serve import ServeSettings
from seminar_common.progress import say

PATHS = ("/score", "/rank", "/model", "/health", "/metrics", "/openapi.json")
_JSON = "application/json"
_BRIEF_S = 2e-4
"""Seconds of work that a thread is not woken up for: to wake it takes half as long."""
_READ_ON = 4
"""So many times the limit is read, and dropped, of a body that is too large: a client that is cut off while it sends
never reads why."""


def make_app(held: Held[Served], settings: ServeSettings, workers: int) -> FastAPI:
    """Return the application that answers with the model that ``held`` holds."""
    service = Service(held, settings, workers)
    app = FastAPI(
        title="recsys-bnn serve",
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        lifespan=service.lifespan,
        docs_url=None,  # these pages would fetch scripts from elsewhere
        redoc_url=None,
    )
    app.router.route_class = _Plain
    features = held.current.bodies.features
    app.post("/score", **openapi.score(features, settings.max_rows))(service.score)
    app.post("/rank", **openapi.rank(features, settings.max_rows))(service.rank)
    app.get("/model", **openapi.MODEL)(service.model)
    app.get("/health", **openapi.HEALTH)(service.health)
    app.get("/metrics", **openapi.METRICS)(service.metrics_text)
    app.add_exception_handler(BadRequest, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(Counted, metrics=service.metrics)
    return app


class _Plain(APIRoute):
    """A path whose function takes the request itself and returns the whole answer; FastAPI describes it alone.

    Its own way there costs a tenth of a millisecond, to find arguments that these functions do not have.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        return self.endpoint


class Service:
    """What answers requests. Its threads score; the event loop reads, waits and writes, and scores what is brief."""

    def __init__(self, held: Held[Served], settings: ServeSettings, workers: int):
        self.held, self.metrics = held, Metrics()
        self._pace = _BRIEF_S
        self._settings, self._workers, self._waiting = settings, workers, 0
        self._threads: ThreadPoolExecutor | None = None
        self._say_which(held.current)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncGenerator[None]:
        """Keep threads, and watch the model's file, while the server runs."""
        self._threads = ThreadPoolExecutor(self._workers, "score")
        watch = asyncio.create_task(self._watch()) if self._settings.watch_s else None
        try:
            yield
        finally:
            if watch is not None:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch
            self._threads.shutdown()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.watch_s)
            taken = await asyncio.to_thread(self.held.look)
            if taken is not None:
                self.metrics.reloads.labels("taken" if taken else "refused").inc()
            if taken:
                self._say_which(self.held.current)
                say(f"took up a new model: {self.held.current.summary}")

    def _say_which(self, served: Served) -> None:
        self.metrics.model.info({"name": served.name, "digest": served.digest, "engine": served.engine})
        self.metrics.loaded.set(time.time())

    async def score(self, request: Request) -> Response:
        """Return the click probability of each row."""
        return await self._answer(request, self._score)

    async def rank(self, request: Request) -> Response:
        """Return the candidates with the highest click probabilities, best first."""
        return await self._answer(request, self._rank)

    def _score(self, served: Served, body: bytes) -> dict[str, Any]:
        probabilities = self._scored(served, served.asked_scores(body))
        return {"model": served.digest, "probabilities": probabilities.tolist()}

    def _rank(self, served: Served, body: bytes) -> dict[str, Any]:
        asked = served.asked_ranks(body)
        probabilities = self._scored(served, asked)
        places = best(probabilities, asked.top)
        return {
            "model": served.digest,
            "candidates": places.tolist(),
            "probabilities": probabilities[places].tolist(),
        }

    def _scored(self, served: Served, asked: Asked) -> np.ndarray:
        probabilities = served.score(asked)
        self.metrics.count(len(probabilities), asked.unknown)
        return probabilities

    async def _answer(self, request: Request, work: Callable[[Served, bytes], Any]) -> Response:
        """Read a body and let a thread work on it."""
        if self._waiting >= self._settings.max_waiting:
            raise BadRequest(f"busy: {self._waiting} requests are waiting; come again later", 503)
        self._waiting += 1
        try:
            body = await _body(request, self._settings.max_bytes)
            if len(body) * self._pace < _BRIEF_S:
                content = self._worked(work, body)
            else:
                loop = asyncio.get_running_loop()
                content = await loop.run_in_executor(self._threads, self._worked, work, body)
        finally:
            self._waiting -= 1
        return Response(content, media_type=_JSON)

    def _worked(self, work: Callable[[Served, bytes], Any], body: bytes) -> bytes:
        """Return the answer to a body, and learn how long a byte of one takes: the slowest of late counts."""
        begun = time.perf_counter()
        content = msgspec.json.encode(work(self.held.current, body))
        self._pace = max((time.perf_counter() - begun) / len(body), 0.9 * self._pace)
        return content

    async def model(self, request: Request) -> Response:
        """Return the card of the model that answers: features, bits, figures."""
        return Response(msgspec.json.encode(self.held.current.card), media_type=_JSON)

    async def health(self, request: Request) -> Response:
        """Say that the server answers, and with which model."""
        served = self.held.current
        content = {"status": "ok", "model": served.digest, "name": served.name, "engine": served.engine}
        return Response(msgspec.json.encode(content), media_type=_JSON)

    async def metrics_text(self, request: Request) -> Response:
        """Return counts and latencies in the text format of Prometheus."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)


async def _body(request: Request, max_bytes: int) -> bytes:
    """Return a body of JSON.

    Raises:
        BadRequest: it says that it is something else, or is too large.
    """
    headers = request.headers
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != _JSON:
        raise BadRequest(f"Content-Type: {kind or 'missing'}; send {_JSON}", 415)
    if headers.get("content-encoding", "identity") != "identity":
        raise BadRequest("Content-Encoding: send the body as it is, not compressed", 415)
    length = headers.get("content-length", "")
    size, parts = int(length) if length.isdecimal() else 0, []
    if size <= _READ_ON * max_bytes:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size <= max_bytes:
                parts.append(part)
            elif size > _READ_ON * max_bytes:
                break
    if size > max_bytes:
        raise BadRequest(f"body: larger than {max_bytes:,} bytes; send the rows in parts", 413)
    return b"".join(parts)


async def _refused(request: Request, error: Exception) -> Response:
    """Answer with one line that says what is wrong."""
    if isinstance(error, HTTPException):
        status, message, headers = error.status_code, str(error.detail), dict(error.headers or {})
    else:
        assert isinstance(error, BadRequest)
        status, message, headers = error.status, str(error), {}
    if status == 413:
        headers["Connection"] = "close"  # what is left of the body isn't read
    if status == 503:
        headers["Retry-After"] = "1"
    return _error(status, message, headers)


async def _failed(request: Request, error: Exception) -> Response:
    """Answer for a fault of ours; the server's log has the traceback."""
    return _error(500, "a fault in the server; its log says which")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    content = msgspec.json.encode({"error": shortened(message)})
    return Response(content, status, dict(headers or {}), _JSON)


class Counted:
    """Counts requests and their seconds; ASGI middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in PATHS else "other"
        started, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            self._metrics.answered(path, status, time.perf_counter() - started)

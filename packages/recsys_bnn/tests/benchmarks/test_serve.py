import asyncio
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("fastapi")

from recsys_bnn.benchmarks.http_load import Client, flood, http_request, offer
from recsys_bnn.benchmarks.serve import highest_rate, rank_requests, serve_speed, write_model
from recsys_bnn.serving.served import served
from recsys_bnn.settings.serve import ServeLoad
from seminar_common.errors import UserError


@contextmanager
def answering(milliseconds: float, fail_every: int = 0) -> Generator[int]:
    """Serve one request after the other, each for so long; yield the port."""
    loop, started, seen, turn = asyncio.new_event_loop(), threading.Event(), 0, asyncio.Lock()
    ports: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while head := await reader.read(100_000):
            assert head.startswith(b"POST /rank HTTP/1.1\r\n")
            async with turn:
                await asyncio.sleep(milliseconds / 1e3)
            seen += 1
            status = b"500 no" if fail_every and seen % fail_every == 0 else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(run(), loop)
    started.wait()
    yield ports[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_times_count_from_the_moment_at_which_a_request_was_due() -> None:
    with answering(10) as port:
        requests = [http_request(port, "/rank", b"{}")]
        rng = np.random.default_rng(0)
        crowded = asyncio.run(offer(port, requests, 400, 0.2, rng))
        assert crowded.failed == 0 and len(crowded.milliseconds) == 80
        assert crowded.p99 > 300  # 80 requests of 10 ms come within 200 ms
        assert asyncio.run(offer(port, requests, 10, 0.3, rng)).p50 < crowded.p50
        assert 0 < asyncio.run(flood(port, requests, 3, 0.2)) <= 101


def test_failures_are_counted() -> None:
    with answering(0, fail_every=4) as port:
        answers = asyncio.run(
            offer(port, [http_request(port, "/rank", b"{}")], 200, 0.2, np.random.default_rng(0))
        )
    assert answers.failed == 10 and len(answers.milliseconds) == 30


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100_000)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async def twice() -> list[int]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        client, found = Client(port := server.sockets[0].getsockname()[1]), []
        for _ in range(2):
            found.append(await client.status(http_request(port, "/rank", b"{}")))
            await asyncio.sleep(0.05)
        server.close()
        return found

    assert asyncio.run(twice()) == [200, 200]


def test_the_highest_rate_stays_below_what_the_server_can_do() -> None:
    load = ServeLoad(window_s=0.2, limit_ms=100)
    with answering(5) as port:
        rate, answers = highest_rate(
            port, [http_request(port, "/rank", b"{}")], load, np.random.default_rng(0)
        )
    assert 0 < rate < 201 and answers.p99 < 100


def test_requests_are_those_that_the_model_takes(tmp_path: Path) -> None:
    write_model(tmp_path / "m", "medium", "binary", 50, 0)
    model = served(tmp_path / "m", "numpy", 1000)
    first, *others = rank_requests(1, 20, 50, 0)
    assert others and first != others[0]
    body = first.partition(b"\r\n\r\n")[2]
    asked = model.bodies.rank(body)
    assert asked.rows == 20 and len(asked.candidates) == 10 and len(asked.context) == 29
    assert len(set(model.score(model.asked_ranks(body)).tolist())) > 5
    assert json.loads(body)["top"] == 20


def test_a_model_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="--served huge: no such model; choose .*binary"):
        next(serve_speed(ServeLoad(served=("huge",)), ("medium",), 100, 0))

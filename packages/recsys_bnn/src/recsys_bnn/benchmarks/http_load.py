"""Requests to a server at a given rate, and what they took.

Requests come at random times (a Poisson process) whether or not earlier ones were answered, and a time counts from the
moment at which a request was due. A generator that waits for an answer before it sends the next request would leave
out just those that a slow server delays ("coordinated omission", G. Tene, "How NOT to Measure Latency", 2015).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

TIMEOUT_S = 30.0
"""Seconds after which a request counts as failed."""
SPARE = 4
"""Connections that are open before the load begins."""


@dataclass
class Answers:
    """What became of some requests."""

    milliseconds: list[float] = field(default_factory=list)
    """Of each that succeeded."""
    failed: int = 0
    """Without an answer, or with another status than 200."""

    @property
    def p50(self) -> float:
        """Median time, in ms."""
        return float(np.percentile(self.milliseconds, 50)) if self.milliseconds else float("inf")

    @property
    def p99(self) -> float:
        """99th percentile of the times, in ms."""
        return float(np.percentile(self.milliseconds, 99)) if self.milliseconds else float("inf")


def http_request(port: int, path: str, body: bytes) -> bytes:
    """Return the bytes of a POST of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client:
    """Connections to a server on this machine, opened as they are needed and used again."""

    def __init__(self, port: int):
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def open(self, count: int) -> None:
        """Open connections ahead."""
        self._free += [await self._connection() for _ in range(count)]

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)

    async def status(self, request: bytes) -> int:
        """Send a request and read its answer; return the status, 0 if the connection fails."""
        connection = None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                connection = self._idle() or await self._connection()
                reader, writer = connection
                writer.write(request)
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_length(head))
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            if connection is not None:
                connection[1].close()
            return 0
        self._free.append(connection)
        return int(head[9:12])

    def _idle(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return an open connection that nobody uses, if there is one; a server may close those that have long been idle."""
        while self._free:
            connection = self._free.pop()
            if not connection[0].at_eof():
                return connection
            connection[1].close()
        return None

    def close(self) -> None:
        """Close all connections."""
        for _, writer in self._free:
            writer.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


async def offer(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, rng: np.random.Generator
) -> Answers:
    """Send ``requests`` in turn, ``rate`` a second in the mean, for some seconds; wait for all answers."""
    due = np.cumsum(rng.exponential(1 / rate, max(1, int(rate * seconds)))).tolist()
    client, answers, clock = Client(port), Answers(), asyncio.get_running_loop().time
    await client.open(SPARE)
    begun = clock()

    async def one(at: float, request: bytes) -> None:
        if await client.status(request) == 200:
            answers.milliseconds.append(1e3 * (clock() - begun - at))
        else:
            answers.failed += 1

    async with asyncio.TaskGroup() as group:
        for number, at in enumerate(due):
            if (wait := begun + at - clock()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one(at, requests[number % len(requests)]))
    client.close()
    return answers


async def flood(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> float:
    """Return the requests a second of ``connections`` that each send the next one when they have an answer."""
    client, done, clock = Client(port), 0, asyncio.get_running_loop().time
    begun = clock()

    async def one(first: int) -> None:
        nonlocal done
        number = first
        while clock() < begun + seconds:
            done += await client.status(requests[number % len(requests)]) == 200
            number += connections

    await asyncio.gather(*map(one, range(connections)))
    client.close()
    return done / (clock() - begun)

"""The server over HTTP: what it answers, what it refuses, and that a new model costs no request."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

from recsys_bnn.runtime.packed import load  # noqa: E402
from recsys_bnn.serving import app  # noqa: E402
from recsys_bnn.serving.app import make_app  # noqa: E402
from recsys_bnn.serving.held import Held  # noqa: E402
from recsys_bnn.serving.served import Served, same_features, served  # noqa: E402
from recsys_bnn.settings.serve import ServeSettings  # noqa: E402

ROW: dict[str, Any] = {"age": 30, "price": 2.5, "user": "u3", "film": "f 2"}
JSON = {"Content-Type": "application/json"}
MOST = 50
BYTES = 200_000


class Client:
    def __init__(self, port: int):
        self.port = port

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] = JSON
    ) -> tuple[int, Any, str]:
        """Return status, content and content type of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            kind = answer.headers.get("Content-Type", "")
            text = answer.read()
            return answer.status, json.loads(text) if kind == "application/json" else text.decode(), kind
        finally:
            connection.close()

    def post(self, path: str, content: Any) -> tuple[int, Any]:
        return self.request("POST", path, json.dumps(content).encode())[:2]


@contextmanager
def serving(model: Path, **changes: Any) -> Generator[Client]:
    options = {"max_rows": MOST, "max_bytes": BYTES, "watch_s": 0.05, "engine": "numpy"} | changes
    settings = ServeSettings(model=model, **options)
    held: Held[Served] = Held(model, lambda path: served(path, "numpy", settings.max_rows), same_features)
    config = uvicorn.Config(make_app(held, settings, 2), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="event loop")
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Client(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client(visits: Path) -> Generator[Client]:
    with serving(visits / "m.safetensors") as client:
        yield client


def rows(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "age": None if i % 5 == 0 else int(rng.integers(90)),
            "price": float(rng.normal()),
            "user": ["u1", "u2", "nobody", None, 7, ""][i % 6],
            "film": f"f {i % 9}",
        }
        for i in range(count)
    ]


def columns(given: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in given] for name in given[0]}


def test_rows_and_columns_get_the_model_s_probabilities(client: Client, visits: Path) -> None:
    model = load(visits / "m.safetensors", engine="numpy")
    for given in (rows(20), columns(rows(20))):
        status, answer = client.post("/score", {"rows": given})
        assert status == 200 and answer["model"] == model.digest
        np.testing.assert_array_equal(answer["probabilities"], model.predict(rows(20)))


def test_candidates_are_ranked_as_their_whole_rows_are_scored(client: Client) -> None:
    some = [{"user": row["user"], "price": row["price"]} for row in rows(30)]
    shared = {"age": 41, "film": "f 3"}
    _, scored = client.post("/score", {"rows": [shared | one for one in some]})
    order = np.argsort(-np.array(scored["probabilities"]), kind="stable").tolist()
    for given in (some, columns(some)):
        status, answer = client.post("/rank", {"context": shared, "candidates": given, "top": 7})
        assert status == 200 and answer["candidates"] == order[:7]
        assert answer["probabilities"] == [scored["probabilities"][place] for place in order[:7]]
    assert client.post("/rank", {"context": shared, "candidates": some})[1]["candidates"] == order


def test_health_model_and_metrics_say_what_happened(client: Client, visits: Path) -> None:
    model = load(visits / "m.safetensors", engine="numpy")
    expected = {"status": "ok", "model": model.digest, "name": "float", "engine": "numpy"}
    assert client.request("GET", "/health")[:2] == (200, expected)
    assert client.request("GET", "/model")[:2] == (200, dict(model.card))
    client.post("/score", {"rows": rows(12)})
    client.post("/score", {"rows": []})
    status, text, kind = client.request("GET", "/metrics")
    assert status == 200 and kind.startswith("text/plain")
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(counts['recsys_requests_total{path="/score",status="422"}']) >= 1
    assert float(counts["recsys_rows_total"]) >= 12
    assert float(counts['recsys_unknown_values_total{field="user"}']) >= 4
    assert float(counts['recsys_request_seconds_count{path="/score"}']) >= 2
    assert f'digest="{model.digest}"' in text and 'name="float"' in text


def wide(**changes: Any) -> bytes:
    return json.dumps({"rows": [ROW, ROW | changes]}).encode()


def ranked(**changes: Any) -> bytes:
    given = {"context": {"age": 1, "price": 2}, "candidates": [{"user": "u1", "film": "f 1"}]} | changes
    return json.dumps(given).encode()


def without(name: str) -> bytes:
    return json.dumps({"rows": [{key: value for key, value in ROW.items() if key != name}]}).encode()


BAD_BODIES: list[tuple[str, bytes, int, str]] = [
    *(("/score", without(name), 422, f"required field {name}") for name in ROW),
    *(("/score", wide(**{name: True}), 422, f"rows[1].{name}: expected ") for name in ROW),
    *(("/score", wide(**{name: []}), 422, f"rows[1].{name}: expected ") for name in ROW),
    *(("/score", wide(**{name: {}}), 422, f"rows[1].{name}: expected ") for name in ROW),
    *(("/score", wide(**{name: 10**30}), 422, f"rows[1].{name}: expected int <= ") for name in ROW),
    ("/score", wide(age="30"), 422, "rows[1].age: expected int | float | null, got str"),
    ("/score", wide(age=2.5), 422, "age[1]: '2.5', expected a whole number"),
    ("/score", wide(age=1e300), 422, "age[1]: '1e+300', expected a whole number"),
    ("/score", wide(price="2"), 422, "rows[1].price: expected int | float | null, got str"),
    ("/score", wide(more=1), 422, "unknown field more"),
    ("/score", wide(**{"x" * 100_000: 1}), 422, "unknown field xxx"),
    ("/score", b'{"rows": [{"age": NaN}]}', 400, "not JSON"),
    ("/score", b'{"rows": [{"age": -Infinity}]}', 400, "not JSON"),
    ("/score", b'{"rows": [{"price": 1e999}]}', 422, "rows[0].price: number out of range"),
    ("/score", b"", 400, "not JSON"),
    ("/score", b"{", 400, "not JSON"),
    ("/score", b"rows=1", 400, "not JSON"),
    ("/score", b"\xff\xfe{}", 400, "not JSON"),
    ("/score", b'{"rows": [{"user": "\xff"}]}', 400, "not JSON"),
    ("/score", b'{"rows": "' + b"\\ud800" + b'"}', 400, "not JSON"),
    ("/score", b"\0" * 100, 400, "not JSON"),
    ("/score", b"[" * 100_000, 422, "expected object, got array"),
    ("/score", b'{"rows":' * 20_000, 422, "rows: object contains unknown field rows"),
    ("/score", b'{"rows": [{"user": ' + b"[" * 90_000, 422, "rows[0].user: expected"),
    ("/score", b"null", 422, "expected object, got null"),
    ("/score", b"{}", 422, "required field rows"),
    ("/score", b'{"rows": []}', 422, "rows: holds none"),
    ("/score", b'{"rows": {}}', 422, "rows: holds none"),
    ("/score", b'{"rows": [[]]}', 422, "rows[0]: expected object, got array"),
    ("/score", b'{"rows": [null]}', 422, "rows[0]: expected object, got null"),
    ("/score", b'{"rows": {"age": [1, 2], "price": [1]}}', 422, "rows.price: 1 values, but rows.age has 2"),
    ("/score", b'{"rows": {"age": [1]}}', 422, "price: missing; give it in each row"),
    ("/score", b'{"rows": {"age": [1.5], "price": [1], "user": ["a"], "film": ["b"]}}', 422, "age[0]: '1.5'"),
    ("/score", json.dumps({"rows": [ROW] * (MOST + 1)}).encode(), 413, "at most 50"),
    ("/score", wide(user="x" * BYTES), 413, "larger than 200,000 bytes"),
    ("/rank", ranked(candidates=[]), 422, "candidates: holds none"),
    ("/rank", ranked(candidates=[{}]), 422, "user: missing; give it in the context or each candidate"),
    (
        "/rank",
        ranked(candidates=[{"user": "u", "film": "f", "age": 1}]),
        422,
        "age: is in the context and in",
    ),
    (
        "/rank",
        ranked(candidates=[{"user": "u", "film": "f"}, {"user": "u"}]),
        422,
        "candidates[1].film: missing",
    ),
    ("/rank", ranked(context={"age": 1}), 422, "price: missing"),
    ("/rank", ranked(context={"age": 1.5, "price": 2}), 422, "context.age: '1.5', expected a whole number"),
    ("/rank", ranked(context=[]), 422, "context: expected object, got array"),
    (
        "/rank",
        ranked(context={"age": [1], "price": 2}),
        422,
        "context.age: expected int | float | null, got array",
    ),
    ("/rank", ranked(top=0), 422, "top: expected int >= 1"),
    ("/rank", ranked(top=-1), 422, "top: expected int >= 1"),
    ("/rank", ranked(top=1.5), 422, "top: expected int | null"),
    ("/rank", ranked(top="all"), 422, "top: expected int | null"),
    ("/rank", ranked(more=1), 422, "unknown field more"),
    ("/rank", b"[]", 422, "expected object, got array"),
]


def test_more_than_sixty_bad_bodies_are_each_refused_in_one_line(client: Client) -> None:
    assert len(BAD_BODIES) >= 60
    for path, body, status, message in BAD_BODIES:
        found = client.request("POST", path, body)
        assert found[0] == status and found[2] == "application/json", (body[:80], found)
        assert list(found[1]) == ["error"] and message in found[1]["error"], (body[:80], found)
        assert "\n" not in found[1]["error"] and len(found[1]["error"]) <= 300
    assert client.post("/score", {"rows": [ROW]})[0] == 200


BAD_REQUESTS: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "/", JSON, 404),
    ("POST", "/scores", JSON, 404),
    ("GET", "/../../etc/passwd", JSON, 404),
    ("GET", "/docs", JSON, 404),
    ("GET", "/score", JSON, 405),
    ("PUT", "/rank", JSON, 405),
    ("DELETE", "/model", JSON, 405),
    ("POST", "/health", JSON, 405),
    ("POST", "/score", {}, 415),
    ("POST", "/score", {"Content-Type": "text/plain"}, 415),
    ("POST", "/score", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("POST", "/score", {"Content-Type": "application/jsonp"}, 415),
    ("POST", "/score", JSON | {"Content-Encoding": "gzip"}, 415),
]


def test_requests_of_another_kind_are_refused_in_one_line(client: Client) -> None:
    for method, path, headers, status in BAD_REQUESTS:
        found = client.request(method, path, wide(), headers)
        assert found[0] == status and list(found[1]) == ["error"] and "\n" not in found[1]["error"], (
            path,
            found,
        )


def test_a_charset_and_a_text_of_100_kb_are_no_error(client: Client) -> None:
    body, headers = wide(user="x" * 100_000), {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.request("POST", "/score", body, headers)[0] == 200


def test_a_body_in_pieces_is_limited_as_well(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    pieces = iter([b'{"rows": ["', *[b"x" * 50_000] * 5])
    connection.request("POST", "/score", pieces, JSON, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_too_many_requests_at_once_are_told_to_come_again(
    visits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, score = threading.Event(), Served.score

    def slow(self: Served, *args: Any) -> Any:
        free.wait(30)
        return score(self, *args)

    with serving(visits / "m.safetensors", max_waiting=2) as client:
        monkeypatch.setattr(Served, "score", slow)
        found: list[int] = []

        def ask() -> None:
            while (status := client.post("/score", {"rows": [ROW]})[0]) == 503:
                time.sleep(0.02)  # the request below had come first
            found.append(status)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while client.post("/score", {"rows": [ROW] * (MOST + 1)})[0] != 503:
            assert time.monotonic() < deadline
        assert client.request("GET", "/health")[0] == 200
        free.set()
        for thread in threads:
            thread.join()
        assert found == [200, 200]
        assert client.post("/score", {"rows": [ROW]})[0] == 200


@pytest.mark.parametrize(("brief", "by"), [(1e9, "event loop"), (0.0, "score")])
def test_no_thread_is_woken_up_for_what_is_brief(
    brief: float, by: str, visits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, score = [], Served.score

    def seen(self: Served, *args: Any) -> Any:
        names.append(threading.current_thread().name)
        return score(self, *args)

    with serving(visits / "m.safetensors") as client:
        monkeypatch.setattr(app, "_BRIEF_S", brief)
        monkeypatch.setattr(Served, "score", seen)
        assert client.post("/score", {"rows": [ROW]})[0] == 200
        assert client.request("POST", "/score")[0] == 400
    assert len(names) == 1 and names[0].startswith(by)


def test_a_new_model_is_taken_up_without_a_failed_request(
    visits: Path, another: Callable[[Path, int], Path], tmp_path: Path, capfd: Any
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes((visits / "m.safetensors").read_bytes())
    with serving(path) as client:
        stop, statuses, digests = threading.Event(), [], []

        def ask() -> None:
            while not stop.is_set():
                status, answer = client.post("/score", {"rows": rows(20)})
                statuses.append(status)
                digests.append(answer.get("model"))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            wanted = []
            for seed in (1, 2):
                new = another(tmp_path / "new", seed)
                wanted.append(load(new).digest)
                new.replace(path)
                wait_for(client, wanted[-1])
            path.write_bytes(b"broken")
            deadline = time.monotonic() + 20
            while "refused the new model" not in capfd.readouterr().err:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert set(statuses) == {200} and {*wanted} <= {*digests}
        assert client.request("GET", "/health")[1]["model"] == wanted[-1]
        text = client.request("GET", "/metrics")[1]
        assert 'recsys_reloads_total{result="taken"} 2.0' in text
        assert 'recsys_reloads_total{result="refused"} 1.0' in text


def wait_for(client: Client, digest: str) -> None:
    deadline = time.monotonic() + 20
    while client.request("GET", "/health")[1]["model"] != digest:
        assert time.monotonic() < deadline
        time.sleep(0.02)

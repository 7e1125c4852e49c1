"""The command `serve` as a process: how it starts, what keeps it from starting, and how it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from recsys_bnn.serve import serve
from recsys_bnn.settings.serve import ServeSettings
from seminar_common.errors import UserError

BODY = json.dumps({"rows": [{"age": 30, "price": 2.5, "user": "u3", "film": "f 2"}]}).encode()


def test_sigterm_lets_a_request_in_flight_end(visits: Path) -> None:
    command = [sys.executable, "-m", "recsys_bnn.cli", "serve", "--model", str(visits / "m.safetensors")]
    with subprocess.Popen(
        [*command, "--port", "0", "--engine", "numpy"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        while "http://" not in said:
            said = process.stderr.readline()
        found = re.search(r"serving float, digest \w{12}, engine numpy at http://127.0.0.1:([0-9]+)", said)
        assert found, said
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=60) as connection:
            head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in connection.recv(4096)  # it is up, and has this connection
            connection.sendall(f"{head}\r\n".encode() + BODY[:10])
            process.send_signal(signal.SIGTERM)
            with pytest.raises(OSError):
                while True:  # until nobody listens any more
                    socket.create_connection(("127.0.0.1", int(found[1])), timeout=10).close()
            connection.sendall(BODY[10:])
            answer = b""
            while part := connection.recv(4096):
                answer += part
        assert b"HTTP/1.1 200 OK" in answer and b'"probabilities":[0.' in answer
        rest = process.communicate(timeout=60)[1]
        assert process.returncode == 0 and "Traceback" not in rest and rest.endswith("stopped\n")


def refusal(model: Path, **changes: Any) -> str:
    with pytest.raises(UserError) as refused:
        serve(ServeSettings(model=model, engine="numpy", port=changes.pop("port", 0), **changes))
    return str(refused.value)


def test_a_port_that_is_taken_is_one_line(visits: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(visits / "m.safetensors", port=port)
    assert message == (
        f"--host 127.0.0.1 --port {port}: can't listen there (Address already in use); choose another --port, "
        "or --port 0 for a free one"
    )
    assert "can't listen there" in refusal(visits / "m.safetensors", host="no such host")


def test_a_model_that_cannot_be_served_is_one_line(visits: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes((visits / "m.safetensors").read_bytes()[:5000])
    (tmp_path / "empty").touch()
    assert refusal(tmp_path / "cut").startswith(f"{tmp_path / 'cut'}: ")
    assert "is empty" in refusal(tmp_path / "empty")
    assert "is a folder" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "missing")


@pytest.mark.parametrize(
    ("option", "value"),
    [("port", -1), ("port", 65536), ("workers", -1), ("max_rows", 0), ("max_bytes", 0), ("max_waiting", 0)]
    + [("watch_s", -1.0), ("watch_s", float("nan")), ("watch_s", float("inf"))],
)
def test_settings_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(UserError, match=f"--{option.replace('_', '-')}"):
        ServeSettings(**{"model": Path("m"), option: value})

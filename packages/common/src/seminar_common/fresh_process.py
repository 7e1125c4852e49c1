"""A function in a Python process of its own, for measuring: nothing of the caller's memory, imports or threads.

The function is named ``package.module:function``, takes keyword arguments that JSON can hold and returns what JSON can
hold. What it prints is not read.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from seminar_common import files
from seminar_common.device import thread_variables
from seminar_common.errors import UserError
from seminar_common.files import jsonable


@dataclass(frozen=True)
class Measured:
    """What a call gave and what it took."""

    result: Any
    wall_s: float
    """Seconds of the call, without the start of Python and the import of its module."""
    cpu_s: float
    """Processor seconds of the call in all threads and ended children."""
    peak_rss_mb: float
    """Most memory of the whole process at once, in MB of 10^6 bytes."""


def call(
    function: str, arguments: Mapping[str, Any], *, threads: int = 1, timeout_s: float | None = None
) -> Measured:
    """Call ``function`` in a fresh process and wait for it; the process ends with the caller, however that ends.

    Args:
        function: Its name, ``package.module:function``.
        arguments: Keyword arguments; paths become strings.
        threads: Threads of the libraries that read the environment. PyTorch and OpenMP are among them; OpenCV is not.
        timeout_s: Seconds after which the process is killed.

    Raises:
        UserError: the function raised one, or failed, or the time is over; the message ends with its last words.
    """
    request = json.dumps({"function": function, "arguments": dict(arguments)}, default=jsonable)
    environment = {**os.environ, **thread_variables(threads)}
    with tempfile.TemporaryDirectory() as folder:
        answer, chatter = Path(folder) / "answer.json", Path(folder) / "stderr"
        command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, str(answer)]
        with chatter.open("wb") as stderr:
            status = _wait(command, request, environment, stderr, timeout_s, function)
        if status or not answer.exists():
            raise UserError(
                f"{function} failed in a process of its own ({_ended(status)}): {_last_words(chatter)}"
            )
        found = files.read_json(answer)
    if "user_error" in found:
        raise UserError(found["user_error"])
    return Measured(**found)


def _wait(
    command: list[str],
    request: str,
    environment: dict[str, str],
    stderr: Any,
    timeout_s: float | None,
    function: str,
) -> int:
    """Run the process to its end; return its exit status."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=stderr, stderr=stderr, env=environment
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(request.encode() + b"\n")
            process.stdin.flush()  # and left open: when this process is gone, the other one reads its end
            return process.wait(timeout_s)
        except BrokenPipeError:
            return process.wait()
        except subprocess.TimeoutExpired as error:
            raise UserError(f"{function} took longer than {timeout_s:g} s and was stopped") from error
        finally:
            process.kill()


def _ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name
    return f"{name}, as when memory runs out" if name == "SIGKILL" else name


def _last_words(chatter: Path, lines: int = 3) -> str:
    text = chatter.read_text(encoding="utf-8", errors="replace").strip()
    return " | ".join(text.splitlines()[-lines:]) or "it said nothing"


# ----------------------------------------------------------------------------------------- in the fresh process


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    module, name = request["function"].split(":")
    function = getattr(importlib.import_module(module), name)
    started, used = perf_counter(), _processor_seconds()
    try:
        result = function(**request["arguments"])
    except UserError as error:
        return {"user_error": str(error)}
    wall, cpu = perf_counter() - started, _processor_seconds() - used
    from seminar_common.cost import peak_rss_mb

    return {"result": result, "wall_s": wall, "cpu_s": cpu, "peak_rss_mb": peak_rss_mb()}


def _processor_seconds() -> float:
    """Return the processor time of this process, all its threads and the children that have ended.

    ``os.times`` counts in ticks of 10 ms, which is too coarse for a short call.
    """
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    files.write_json(Path(sys.argv[1]), _answer(asked))

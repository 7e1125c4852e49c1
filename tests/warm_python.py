"""Python that has started already: each run of it is a fork of one process that has imported what is heavy and not ours.

``warm_python.py ADDRESS FOLDER`` is that process. It listens at a socket, and fills a folder for PATH with a ``python`` and
the commands of the house, which ask it for a fork with their arguments, folder, environment and open files. The fork runs
the file that would have run, as ``__main__``, and imports all that is ours itself: only the seconds that PyTorch and others
take to be imported are shared. When who asked is killed, so is the fork. It all ends with the standard input.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import shlex
import signal
import socket
import sys
import threading
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

HEAVY = (
    "torch",
    "lightning_fabric.fabric",
    "torchvision",
    "timm",
    "sklearn.cluster",
    "sklearn.datasets",
    "numba",
)
HEAVY += (
    "matplotlib.figure",
    "scipy.optimize",
    "scipy.stats",
    "PIL.Image",
    "safetensors.torch",
    "tyro",
    "rich.console",
)
COMMANDS = ("doc-detect", "gcd-longtail", "recsys-bnn", "seminar")
OUTPUTS = (0, 1, 2)


def put_commands(folder: Path, address: str) -> None:
    """Make the folder with ``python`` and the commands."""
    unfinished = folder.with_name(f".{folder.name}")
    unfinished.mkdir()
    for name in ("python", *COMMANDS):
        words = [sys.executable, "-IS", __file__, "ask", address]
        if name in COMMANDS:
            words.append(str(Path(sys.executable).with_name(name)))
        file = unfinished / name
        file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        file.chmod(0o755)
    unfinished.rename(folder)


def ask(address: str, *words: str) -> NoReturn:
    """Run a file with arguments in a fork, and end as it does; for other words run Python itself."""
    if not words or not Path(words[0]).is_file():  # -c, -m or nothing
        os.execv(sys.executable, [sys.executable, *words])
    file, *args = words
    wanted = {
        "file": str(Path(file).absolute()),
        "args": args,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
    }
    message = json.dumps(wanted).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [len(message).to_bytes(4, "big")], [*OUTPUTS])
        server.sendall(message)
        sys.exit(int(server.recv(16)))


def serve(address: str, folder: Path) -> dict:
    """Import what is heavy and answer until standard input ends; return in each fork, with what was asked of it."""
    for name in HEAVY:
        if find_spec(name.split(".")[0]):
            import_module(name)
    threads = {file.read_text().strip() for file in Path("/proc/self").glob("task/[0-9]*/comm")}
    # A fork has one thread alone. PyArrow's memory allocator starts its own anew.
    assert threads <= {Path("/proc/self/comm").read_text().strip(), "jemalloc_bg_thd"}, threads
    gc.freeze()  # what a fork's garbage collection touches is copied
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        put_commands(folder, address)
        while True:
            ready, _, _ = select.select([listening, 0], [], [])
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:  # so that their seconds count as those of this process
                    pass
            if 0 in ready:
                os._exit(0)
            asking, _ = listening.accept()
            if not os.fork():
                listening.close()
                return answer(asking)
            asking.close()


def answer(asking: socket.socket) -> dict:
    """Return in a second fork what it was asked for; the first one waits for its end and says how it was."""
    header, files, _, _ = socket.recv_fds(asking, 4, len(OUTPUTS))
    message = b""
    while len(message) < int.from_bytes(header, "big"):
        message += asking.recv(2**16)
    process = os.fork()
    if not process:
        asking.close()
        for number, file in zip(OUTPUTS, files, strict=True):
            os.dup2(file, number)
            os.close(file)
        return json.loads(message)
    for file in (*OUTPUTS, *files):
        os.close(file)
    end = os.pidfd_open(process)
    killed = end not in select.select([asking, end], [], [])[0]
    if killed:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if not killed:
        code = os.waitstatus_to_exitcode(status)
        asking.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def run(file: str, args: list[str], folder: str, environment: dict[str, str]) -> NoReturn:
    """Run a file as Python does, and end without taking apart what is imported: each page of it would be copied."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv, sys.path[0] = [file, *args], str(Path(file).parent)
    code = 0
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(*sys.argv[2:])
    run(**serve(sys.argv[1], Path(sys.argv[2])))

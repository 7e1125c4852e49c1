"""Compile C once for this machine and load it.

A library stands in a cache folder under a digest of the sources, the compiler, its flags and the processor.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from seminar_common import files
from seminar_common.errors import UserError

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fno-tree-pre",  # else gcc copies sums from register to register in the innermost loops, and runs out of registers
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
)
"""A product and a sum are rounded one after the other, as NumPy does, wherever the code does not ask for both at once."""
LINK = ("-fvisibility=hidden", "-pthread")
NATIVE: tuple[tuple[str, ...], ...] = (("-march=native",), ("-mcpu=native",), ())
"""Levels of instructions, the best first; the next one is taken where a compiler does not know one."""
COMPILE_SECONDS = 300.0
T = TypeVar("T")


class Unavailable(Exception):
    """Compiled code can't run here; the text says why."""


@dataclass(frozen=True)
class Program:
    """What is compiled to one library."""

    sources: Path
    """A folder; a change of any file in it makes another library."""
    main: str
    """The file in it that includes the others."""


@dataclass(frozen=True)
class Built:
    """A compiled library."""

    path: Path
    compiler: str
    """First line of its version."""
    level: str
    """Its flags for the level of instructions."""

    def beside(self, name: str) -> Path:
        """Return the place of a file that belongs to this library."""
        return self.path.with_suffix(f".{name}")


def build(program: Program, march: str | None = None) -> Built:
    """Return the library of a program, compiled now if it is not in the cache.

    Args:
        program: What to compile.
        march: A level such as ``x86-64-v3``; None for all that this processor can.

    Raises:
        Unavailable: there is no C compiler, it fails, or no folder takes the library.
    """
    command = _compiler()
    version = _version(command)
    levels = NATIVE if march is None else ((f"-march={march}",),)
    return _first_that_compiles(program, command, version, levels)


def load(built: Built) -> ctypes.CDLL:
    """Return the library, loaded; a call of it lets other Python threads run.

    Raises:
        Unavailable: the system does not load it, as where the cache folder forbids programs.
    """
    return _load(built, ctypes.CDLL)


def load_brief(built: Built) -> ctypes.PyDLL:
    """Return the same library; other Python threads wait during its calls, which saves half a microsecond each."""
    return _load(built, ctypes.PyDLL)


def _load(built: Built, kind: Callable[[str], T]) -> T:
    try:
        return kind(str(built.path))
    except OSError as error:
        raise Unavailable(
            f"{built.path} can't be loaded ({error}); set XDG_CACHE_HOME to another folder"
        ) from error


def _first_that_compiles(
    program: Program, command: tuple[str, ...], version: str, levels: Iterable[tuple[str, ...]]
) -> Built:
    words = ""
    for level in levels:
        target = _cache() / f"{_key(program, command, version, level)}.so"
        built = Built(target, version, " ".join(level) or "no -march")
        if target.is_file():
            return built
        words = _compile(program, command, level, target)
        if not words:
            return built
    raise Unavailable(f"{' '.join(command)} failed: {words}")


def _compile(program: Program, command: tuple[str, ...], level: tuple[str, ...], target: Path) -> str:
    """Compile to ``target``; return the compiler's last words, or nothing if it succeeded."""
    try:
        with files.atomic_path(target) as temporary:
            main = str(program.sources / program.main)
            call = [*command, *FLAGS, *level, *LINK, "-o", str(temporary), main]
            done = subprocess.run(call, capture_output=True, text=True, timeout=COMPILE_SECONDS)
            if done.returncode:
                raise _CompilerFailed(_last_error(done.stderr))
    except _CompilerFailed as error:
        return str(error)
    except (OSError, UserError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the library can't be made: {error}") from error
    return ""


class _CompilerFailed(Exception):
    """What the compiler said."""


def _last_error(text: str) -> str:
    errors = [line for line in text.splitlines() if "error" in line]
    return (errors or text.splitlines() or ["it said nothing"])[0]


@functools.cache
def _compiler() -> tuple[str, ...]:
    asked = shlex.split(os.environ.get("CC", ""))
    for command in filter(None, (tuple(asked), ("cc",), ("gcc",), ("clang",))):
        if shutil.which(command[0]):
            return command
    raise Unavailable("no C compiler was found (CC, cc, gcc, clang); install gcc or clang")


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    return (done.stdout.splitlines() or ["unknown"])[0]


@functools.cache
def processor() -> str:
    """Return what tells this processor from others: its name and the instructions that it has."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kinds = ("model name", "flags", "Features", "CPU part")
    lines = dict.fromkeys(line for line in text.splitlines() if line.startswith(kinds))
    return f"{platform.machine()}\n" + "\n".join(lines)


def _key(program: Program, command: tuple[str, ...], version: str, level: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=10)
    for source in sorted(program.sources.iterdir()):
        digest.update(source.read_bytes())
    for part in (*command, version, *FLAGS, *level, *LINK, processor()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _cache() -> Path:
    """Return a folder for libraries that nobody but the user writes to."""
    home = os.environ.get("XDG_CACHE_HOME")
    places = [
        Path(home) if home else None,
        _home_cache(),
        Path(tempfile.gettempdir()) / f"cache-{os.getuid()}",
    ]
    for place in filter(None, places):
        folder = place / "recsys-bnn"
        if _own(folder):
            return folder
    raise Unavailable("no folder takes the compiled library; set XDG_CACHE_HOME to one")


def _home_cache() -> Path | None:
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return None


def _own(folder: Path) -> bool:
    """Make ``folder``; say whether it belongs to the user alone, as what stands there is run."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except OSError:
        return False
    others = stat.S_IWGRP | stat.S_IWOTH
    return state.st_uid == os.getuid() and not state.st_mode & others and os.access(folder, os.W_OK)

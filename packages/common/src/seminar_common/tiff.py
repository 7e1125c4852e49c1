"""The chain of a TIFF's frames, walked once a file, and any frame opened as if it were the first.

Pillow follows the chain from its start for every frame that is asked for, so that a book of 800 pages costs the square
of their number. Here a file's chain is remembered while the file does not change.
"""

import contextlib
import ctypes
import io
import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

_NEW_SUBFILE_TYPE = 254
_NOT_A_PAGE = 0b101  # a reduced-resolution copy or a transparency mask (TIFF 6.0, page 36)
_BIG = 43
"""The number in the header of a BigTIFF, whose offsets have 8 bytes."""


@dataclass(frozen=True)
class Frame:
    """One picture of a TIFF."""

    offset: int
    """Where its directory is in the file, in bytes."""
    derived: bool
    """Whether it is a preview or a mask of another frame."""


@dataclass(frozen=True)
class _Layout:
    """How numbers stand in a file."""

    order: str
    big: bool

    @property
    def first_offset(self) -> slice:
        """Where the header says where the first directory is."""
        return slice(8, 16) if self.big else slice(4, 8)

    def number(self, data: bytes | bytearray) -> int:
        return int.from_bytes(data, "little" if self.order == "<" else "big")

    def offset(self, value: int) -> bytes:
        return struct.pack(self.order + ("Q" if self.big else "I"), value)


def frames(source: Path | bytes) -> tuple[Frame, ...]:
    """Return the frames of a TIFF in the order of its chain.

    A chain that comes back to itself ends there. If it leads out of the file, its last frame is one that can't be read.

    Raises:
        OSError: the file can't be opened.
        ValueError: its header is none of a TIFF.
    """
    if isinstance(source, bytes):
        return _walk(io.BytesIO(source))
    status = source.stat()
    return _frames_of(source, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _frames_of(path: Path, size: int, changed: int) -> tuple[Frame, ...]:
    with path.open("rb") as file:
        return _walk(file)


def _walk(file: BinaryIO) -> tuple[Frame, ...]:
    header = file.read(16)
    layout = _layout(header)
    found: dict[int, Frame] = {}
    at = layout.number(header[layout.first_offset])
    while at and at not in found:
        found[at], at = _read_directory(file, at, layout)
    return tuple(found.values())


def _layout(header: bytes | bytearray) -> _Layout:
    if header[:2] not in (b"II", b"MM"):
        raise ValueError("no header of a TIFF")
    order = "<" if header[:2] == b"II" else ">"
    return _Layout(order, _BIG in header[2:4])


def _read_directory(file: BinaryIO, at: int, layout: _Layout) -> tuple[Frame, int]:
    """Return the frame at ``at`` and where the next one is, 0 if there is none."""
    count_size, entry_size, value_at = (8, 20, 12) if layout.big else (2, 12, 8)
    file.seek(min(at, 2**63 - 1))
    count = layout.number(file.read(count_size))
    entries = file.read(count * entry_size) if count < 1 << 16 else b""
    kind = 0
    for start in range(0, len(entries), entry_size):
        if layout.number(entries[start : start + 2]) == _NEW_SUBFILE_TYPE:
            wide = layout.number(entries[start + 2 : start + 4]) == 4  # LONG, not SHORT
            kind = layout.number(entries[start + value_at : start + value_at + (4 if wide else 2)])
    return Frame(at, bool(kind & _NOT_A_PAGE)), layout.number(file.read(8 if layout.big else 4))


def opened_at(source: Path | bytes, offset: int) -> BinaryIO:
    """Return a TIFF as a file whose header says that its first frame is the one at ``offset``.

    Raises:
        OSError: the file can't be opened.
        ValueError: its header is none of a TIFF.
    """
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
        header = bytearray(file.read(16))
    layout = _layout(header)
    header[layout.first_offset] = layout.offset(offset)
    if isinstance(source, Path):
        return io.BufferedReader(_WithHeader(source, bytes(header)))
    return io.BytesIO(bytes(header) + source[16:])


class _WithHeader(io.FileIO):
    """A file that begins with other bytes than it has. Its descriptor is that of the file as it is."""

    def __init__(self, path: Path, header: bytes):
        super().__init__(path)
        self._header = header

    def readinto(self, buffer: Any, /) -> int:
        at = self.tell()
        count = super().readinto(buffer)
        shown = self._header[at : at + count]
        memoryview(buffer)[: len(shown)] = shown
        return count


@cache
def silence_libtiff() -> None:
    """Keep libtiff's own lines from the terminal: what matters is in the error that Pillow raises.

    Pillow sets no handlers. The library that it has loaded is found among this process's, where the system tells them.
    """
    import PIL._imaging  # noqa: F401 (loads the library)

    # Where this does not work the lines stay, and nothing else is lost.
    with contextlib.suppress(OSError, AttributeError):
        loaded = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        for name in {line.split(maxsplit=5)[-1] for line in loaded if "libtiff" in line}:
            library = ctypes.CDLL(name)
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)

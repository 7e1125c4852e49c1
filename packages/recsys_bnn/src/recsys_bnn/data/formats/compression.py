"""Text files as people compress them: gzip, bzip2, xz, Zstandard, zip and tar, told by their first bytes.

A compressed archive may hold several files. One is read: the one that is named after ``::``, the only one, or the one
whose name begins as it is expected to, such as ``train.txt`` in ``dac.tar.gz``, Criteo's download. A file in an archive
may be compressed once more, such as ``train.gz`` in Avazu's.
"""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

import pyarrow as pa

from seminar_common.errors import UserError

SEPARATOR = "::"
"""Stands between an archive and the file in it."""
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "Zstandard": re.compile(rb"\x28\xb5\x2f\xfd"),
    "zip": re.compile(rb"PK(\x03\x04|\x05\x06)"),
}
ENDINGS = {".gz": "gzip", ".tgz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "Zstandard", ".zip": "zip"}
_TAR = re.compile(rb".{257}ustar", re.DOTALL)
_NO_DATA = re.compile(r"(^|/)(\.|_|readme|licen[cs]e|terms|changelog)|/$|\.(pdf|md|html)$", re.IGNORECASE)
_DAMAGED = (
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    pa.ArrowException,
    tarfile.TarError,
    zipfile.BadZipFile,
)
_CUT = re.compile("unexpected end|truncated|end-of-stream", re.IGNORECASE)
_PEEK = 512


class Readable(Protocol):
    """Text that is read into a buffer."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer as far as there is text; return the number of bytes, 0 at the end."""
        ...


def parted(path: Path) -> tuple[Path, str | None]:
    """Return a file and, of ``archive::member``, the member."""
    file, separator, member = str(path).partition(SEPARATOR)
    return (Path(file), member) if separator and member and not path.exists() else (path, None)


def kind_of(path: Path, first: bytes) -> str | None:
    """Return how a file that begins so is compressed, or None if it is not.

    Raises:
        UserError: its name ends as that of a compressed file, which it is not.
    """
    found = _kind(first)
    named = ENDINGS.get(path.suffix)
    if found is None and named is not None:
        raise UserError(
            f"{path}: named {path.suffix}, but not {named}; drop the ending if it is plain text, else fetch the file again"
        )
    return found


def _kind(first: bytes) -> str | None:
    return next((kind for kind, magic in _MAGIC.items() if magic.match(first)), None)


def member_of(path: Path, kind: str, member: str | None, prefer: Sequence[str]) -> str | None:
    """Return the name of the file to read in an archive, None where ``path`` is one compressed file.

    Args:
        path: A compressed file.
        kind: As :func:`kind_of` tells it.
        member: The name, or its last part, that the user gave.
        prefer: What the name begins with where there are several, the first choice first.

    Raises:
        UserError: it holds no such file, or several; or it is damaged.
    """
    with damage_named(path, kind), path.open("rb") as file:
        if kind == "zip":
            with zipfile.ZipFile(file) as archive:
                return _chosen(path, archive.namelist(), member, prefer)
        with _decompressed(cast(io.RawIOBase, file), kind) as stream:
            if _TAR.match(stream.peek(_PEEK)[:_PEEK]):
                with tarfile.open(fileobj=stream, mode="r|") as archive:
                    return _first_or_chosen(path, archive, member, prefer)
    if member is not None:
        raise UserError(f"{path}: is no archive of files; leave {SEPARATOR}{member} out")
    return None


def _first_or_chosen(path: Path, archive: tarfile.TarFile, member: str | None, prefer: Sequence[str]) -> str:
    """Choose as :func:`_chosen`, but stop at the first choice: to list a tar archive is to read all of it."""
    names = []
    for entry in archive:
        names.append(entry.name)
        if entry.isfile() and is_wanted(entry.name, member, prefer[:1]):
            return entry.name
    return _chosen(path, names, member, prefer)


def _chosen(path: Path, names: Sequence[str], member: str | None, prefer: Sequence[str]) -> str:
    data = [name for name in names if _is_data(name)]
    choices = [[n for n in names if is_wanted(n, member, (begin,))] for begin in prefer]
    found = next((choice for choice in choices if choice), data if member is None else [])
    if len(found) != 1:
        what = f"{len(found)} files that may be meant" if found else f"no file {member or 'of data'}"
        listed = f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" or "nothing"
        raise UserError(f"{path}: holds {what}; name one as {path}{SEPARATOR}NAME; it holds {listed}")
    return found[0]


def is_wanted(name: str, member: str | None, prefer: Sequence[str]) -> bool:
    """Say whether a file of an archive is the one that was named, or begins as one of ``prefer``."""
    if member is not None:
        return name.removeprefix("./") == member or PurePosixPath(name).name == member
    return _is_data(name) and PurePosixPath(name).name.lower().startswith(tuple(prefer))


def _is_data(name: str) -> bool:
    return not _NO_DATA.search(name)


@contextmanager
def unpacked(
    path: Path,
    file: BinaryIO,
    raw: io.RawIOBase,
    kind: str,
    member: str | None,
    also: Callable[[str], bool],
) -> Generator[Readable]:
    """Open a compressed file; reading it gives the text of ``member``, or its own.

    Args:
        path: The file, for messages.
        file: The same, open, in which a zip archive is sought.
        raw: The same file, read from front to back.
        kind: As :func:`kind_of` tells it.
        member: As :func:`member_of` tells it.
        also: Says whether another file, which a tar archive holds behind ``member``, might as well be meant.

    Raises:
        UserError: there is such a file.
    """
    with ExitStack() as stack:
        if kind == "zip":
            archive = stack.enter_context(zipfile.ZipFile(file))
            inside: Any = stack.enter_context(archive.open(str(member)))
        else:
            inside = stack.enter_context(_decompressed(raw, kind))
            if member is not None:
                inside = stack.enter_context(_tar_member(path, inside, member, also))
        if member is not None:  # a file in an archive may be compressed once more
            inside = stack.enter_context(io.BufferedReader(inside, 1 << 16))
            kind_inside = _kind(inside.peek(_PEEK))
            if kind_inside is not None and kind_inside != "zip":
                inside = stack.enter_context(_decompressed(inside, kind_inside))
        yield inside


@contextmanager
def _tar_member(
    path: Path, stream: io.BufferedReader, member: str, also: Callable[[str], bool]
) -> Generator[Any]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        found = next(entry for entry in archive if entry.name == member)
        yield archive.extractfile(found)
        for entry in archive:
            if entry.isfile() and entry.name != member and also(entry.name):
                raise UserError(f"{path}: holds {member} and {entry.name}; name one as {path}{SEPARATOR}NAME")


@contextmanager
def _decompressed(raw: io.RawIOBase | io.BufferedReader, kind: str) -> Generator[io.BufferedReader]:
    file = cast(Any, raw)
    if kind == "Zstandard":
        stream: Any = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
    elif kind == "gzip":
        stream = gzip.GzipFile(fileobj=file)
    else:
        stream = {"bzip2": bz2.BZ2File, "xz": lzma.LZMAFile}[kind](file)
    with io.BufferedReader(stream, 1 << 16) as opened:
        yield opened


@contextmanager
def damage_named(path: Path, kind: str) -> Generator[None]:
    """Make what damaged data raise a UserError."""
    try:
        yield
    except _DAMAGED as error:
        if isinstance(error, EOFError) or _CUT.search(str(error)):
            raise UserError(f"{path}: the {kind} data end too early; copy or fetch the file again") from error
        raise UserError(f"{path}: damaged {kind} data ({error}); copy or fetch the file again") from error
    except (NotImplementedError, RuntimeError) as error:  # a method that Python lacks, or a password
        raise UserError(f"{path}: can't be unpacked here ({error}); unpack it first") from error

"""Text files of one row a line: read in blocks, parse the blocks fast and in parallel, name bad lines exactly.

A format brings two parsers. The fast one takes a block of lines and gives up (None) on the least
irregularity; the plain one takes one line and is the specification. A block that the fast parser gives up on
is halved until the trouble is cornered in a few lines, which the plain parser then reads or names.
"""

import hashlib
import io
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.compiled import rows as in_c
from recsys_bnn.data.chunks import arrow
from recsys_bnn.data.formats.bad_rows import BadRow, BadRows, RowError
from recsys_bnn.data.formats.compression import (
    Readable,
    damage_named,
    is_wanted,
    kind_of,
    member_of,
    parted,
    unpacked,
)
from recsys_bnn.data.parallel import OrderedMap, on_shared_disk
from seminar_common.errors import UserError
from seminar_common.files import check_file

BLOCK_BYTES = 4 << 20
"""Text in one block, about 17,000 rows of Criteo: enough work to make a thread worth it, small enough to hold many."""
CLUSTER_BLOCK_BYTES = 32 << 20
"""The same on a cluster, where a block must be worth its way over the network."""
TO_LEARN_FROM, TO_SCORE = ("train",), ("test", "train")
"""What the name of the file begins with that is read in an archive of several."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PLAIN_LINES = 64
"""Blocks of at most so many lines go to the plain parser rather than being halved once more."""


@dataclass(frozen=True)
class Block:
    """Consecutive whole lines of one file."""

    path: Path
    line: int
    """Number of the first line in the file, from 1."""
    text: bytes
    """The lines, each with its line feed."""

    at: int | None = None
    """Where the lines begin in a plain file, in bytes; None if they don't stand so in one."""

    def part(self, start: int, stop: int | None = None) -> "Block":
        """Return the lines between two places in the text."""
        line = self.line + count_lines(self.text[:start])
        return Block(self.path, line, self.text[start:stop], None if self.at is None else self.at + start)

    def halves(self) -> "tuple[Block, Block]":
        """Split a block of at least two lines after a line near its middle."""
        middle = len(self.text) // 2
        cut = self.text.rfind(b"\n", 0, middle) + 1 or self.text.find(b"\n", middle) + 1
        return self.part(0, cut), self.part(cut)

    def __reduce__(self) -> tuple[Callable[..., "Block"], tuple[Any, ...]]:
        """Pickle where the lines stand, so that a worker reads the file itself; else the text."""
        if self.at is None:
            return Block, (self.path, self.line, self.text)
        return _read_block, (self.path, self.path.absolute(), self.line, self.at, len(self.text))

    def __str__(self) -> str:
        return f"{self.path}, from line {self.line} on"


def _read_block(path: Path, absolute: Path, line: int, at: int, size: int) -> Block:
    with on_shared_disk(absolute), absolute.open("rb") as file:
        file.seek(at)
        return Block(path, line, file.read(size), at)


class Source:
    """One input file, plain or compressed, read once from front to back; its bytes are digested as they pass.

    Args:
        path: The file; ``archive::member`` names one file in an archive.
        advance: Called with the number of bytes after each read, for a progress bar.
        block_bytes: Text in one block; by default ``BLOCK_BYTES``.
        prefer: What the name of the file to read begins with, if an archive holds several.
        digested: Whether a digest of the bytes is wanted, which takes as long as parsing.

    Raises:
        UserError: there is no such file, or it is empty or a folder.
    """

    def __init__(
        self,
        path: Path,
        advance: Callable[[int], None] = lambda count: None,
        block_bytes: int | None = None,
        *,
        prefer: Sequence[str] = TO_LEARN_FROM,
        digested: bool = True,
    ):
        self.path, self.bytes, self.prefer = path, 0, prefer
        self.file, self._member = parted(path)
        check_file(self.file)
        self._block_bytes = block_bytes or BLOCK_BYTES
        self._advance, self._digest = advance, hashlib.blake2b(digest_size=16) if digested else None

    def first_line(self) -> bytes:
        """Return the first line without its end, empty if there is none; the file is opened anew for it."""
        first = next(
            Source(self.path, block_bytes=1 << 16, prefer=self.prefer, digested=False).blocks(), None
        )
        return first.text.split(b"\n", 1)[0] if first else b""

    @property
    def digest(self) -> str:
        """BLAKE2 digest of the bytes so far, as :func:`seminar_common.files.fingerprint` gives it."""
        return self._digest.hexdigest() if self._digest else ""

    def blocks(self) -> Iterator[Block]:
        """Yield all lines of the file in blocks; a last line without a line feed gets one.

        A byte order mark at the start and blank lines at the end are left out, as many programs write them.

        Raises:
            UserError: the file can't be opened, its compressed data are damaged, or a line is so long that it
                can't be a table.
        """
        line, rest, at = 1, b"", 0
        buffer = bytearray(self._block_bytes)  # used again, as fresh memory costs more than the copy
        with self._open() as file, memoryview(buffer) as view:
            plain = isinstance(file, _Digesting)
            while size := self._fill(file, view):
                cut = buffer.rfind(b"\n", 0, size) + 1
                if cut:
                    text, rest = _without_blank_end(b"".join((rest, view[:cut])))
                    mark = 0 if at else _mark(text)
                    if len(text) > mark:
                        yield Block(self.path, line, text[mark:], at + mark if plain else None)
                    line, at = line + count_lines(text), at + len(text)
                rest += view[cut:size]
                if len(rest) > BLOCK_BYTES:
                    raise UserError(
                        f"{self.path}, line {line}: longer than {BLOCK_BYTES >> 20} MiB; is it a text table, with line ends?"
                    )
        rest = rest if at else rest[_mark(rest) :]
        if rest.strip(b"\r\n"):
            yield Block(self.path, line, rest + b"\n")

    def digest_all(self, *, advancing: bool = True) -> None:
        """Digest the bytes of a file that another reader takes apart."""
        with self.file.open("rb") as file:
            while data := file.read(BLOCK_BYTES):
                self._count(memoryview(data), advancing=advancing)

    @contextmanager
    def _open(self) -> "Generator[Readable]":
        """Open the file; reading gives its text."""
        try:
            file = self.file.open("rb")
        except OSError as error:
            raise UserError(
                f"{self.file}: can't be read ({error.strerror}); check its permissions"
            ) from error
        with file:
            kind = kind_of(self.file, file.peek(16)[:16])
            if kind is None and self._member is not None:
                raise UserError(
                    f"{self.file}: is no archive; leave {self.path.name.partition(self.file.name)[2]} out"
                )
            digesting = _Digesting(file, self._count)
            if kind is None:
                yield digesting
            else:
                with self._unpacked(file, digesting, kind) as text:
                    yield text

    @contextmanager
    def _unpacked(self, file: io.BufferedReader, digesting: "_Digesting", kind: str) -> "Generator[Readable]":
        # A pipe can't be opened twice, and holds no archive then.
        member = member_of(self.file, kind, self._member, self.prefer) if self.file.is_file() else None
        if kind == "zip":
            self.digest_all(advancing=False)
        chosen = [begin for begin in self.prefer if member and is_wanted(member, self._member, (begin,))]
        also = partial(is_wanted, member=self._member, prefer=chosen[:1])
        with damage_named(self.file, kind), unpacked(self.file, file, digesting, kind, member, also) as text:
            yield _Followed(text, file, self._advance) if kind == "zip" else text
        while kind != "zip" and digesting.read(BLOCK_BYTES):  # what stands behind the file in an archive
            pass

    def _count(self, data: memoryview, *, advancing: bool = True) -> None:
        if self._digest:
            self._digest.update(data)
        self.bytes += len(data)
        if advancing:
            self._advance(len(data))

    @staticmethod
    def _fill(file: Readable, view: memoryview) -> int:
        """Read text into ``view``; return the number of bytes, 0 at the end."""
        return file.readinto(view) or 0


class _Digesting(io.RawIOBase):
    """A file that hands each piece that is read from it to ``count`` as well."""

    def __init__(self, file: io.BufferedReader, count: Callable[[memoryview], None]):
        self._file, self._count = file, count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        size = self._file.readinto(view)
        self._count(view[:size])
        return size


class _Followed:
    """A file in a zip archive that tells how far in the archive it is."""

    def __init__(self, text: Readable, file: io.BufferedReader, advance: Callable[[int], None]):
        self._text, self._file, self._advance = text, file, advance
        self._at = 0

    def readinto(self, buffer: memoryview, /) -> int | None:
        size, at = self._text.readinto(buffer), self._file.tell()
        if not size:  # the archive holds other files, too
            at = os.fstat(self._file.fileno()).st_size
        self._advance(max(at - self._at, 0))
        self._at = max(at, self._at)
        return size


def _mark(text: bytes) -> int:
    return len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0


def _without_blank_end(text: bytes) -> tuple[bytes, bytes]:
    """Part whole lines from the blank ones at their end, which are left out unless more lines follow."""
    if not text.endswith((b"\n\n", b"\n\r\n")) and text[:2] not in (b"\n", b"\r\n"):
        return text, b""
    filled = len(text.rstrip(b"\r\n"))
    end = text.index(b"\n", filled) + 1 if filled else 0
    return text[:end], text[end:]


def count_lines(text: bytes) -> int:
    """Return the number of line feeds."""
    return in_c.count_lines(text)


def check_text(line: bytes) -> None:
    """Raise a RowError (reason ``blank``, ``nul`` or ``utf-8``) unless ``line`` holds text."""
    if not line:
        raise RowError("blank", "a blank line")
    if b"\0" in line:
        raise RowError("nul", f"a NUL byte at position {line.index(0) + 1}, expected text")
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise RowError(
            "utf-8", f"byte 0x{line[error.start]:02x} at position {error.start + 1} is not UTF-8"
        ) from error


def shown(cell: str) -> str:
    """Return a cell for a message: quoted, and cut short if it is long."""
    return repr(cell if len(cell) <= 24 else cell[:24] + "...")


Fast = Callable[[bytes], pa.RecordBatch | None]
Plain = Callable[[list[bytes]], tuple[pa.RecordBatch, list[tuple[int, RowError]]]]


@dataclass(frozen=True)
class Parsed:
    """Rows of one block, and its bad lines."""

    batches: list[pa.RecordBatch]
    bad: list[BadRow]


def parse_each(
    lines: Iterable[bytes], parse: Callable[[bytes], Sequence[Any]], schema: pa.Schema
) -> tuple[pa.RecordBatch, list[tuple[int, RowError]]]:
    """Parse ``lines`` one by one; return the rows, and the position and error of each line that is none."""
    rows, errors = [], []
    for position, line in enumerate(lines):
        try:
            rows.append(parse(line))
        except RowError as error:
            errors.append((position, error))
    return batch_of(rows, schema), errors


def batch_of(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Return rows of values as a record batch."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [arrow(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@dataclass(frozen=True)
class Lines:
    """Consecutive lines of one file with what parses them: a piece of work that can be pickled."""

    block: Block
    fast: Fast
    plain: Plain
    finish: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None
    """Turns what was parsed into what is wanted, if that is something else."""

    @property
    def rows(self) -> int:
        """Number of rows, bad ones included."""
        return count_lines(self.block.text)

    @property
    def path(self) -> Path:
        """The file."""
        return self.block.path

    @property
    def first(self) -> int:
        """Number of the first row in its file, as a :class:`BadRow` counts."""
        return self.block.line

    def without(self, rows: int) -> "Lines":
        """Leave out the first ``rows`` rows."""
        starts = np.flatnonzero(np.frombuffer(self.block.text, np.uint8) == ord("\n")) + 1
        return replace(self, block=self.block.part(int(starts[rows - 1]))) if rows else self

    def parse(self) -> Parsed:
        """Parse the lines."""
        parsed = parse_block(self.block, self.fast, self.plain)
        return parsed if self.finish is None else Parsed(list(map(self.finish, parsed.batches)), parsed.bad)

    def __str__(self) -> str:
        return str(self.block)


def parse_block(block: Block, fast: Fast, plain: Plain) -> Parsed:
    """Parse a block with ``fast`` where that succeeds and with ``plain`` round the lines where it does not.

    Args:
        block: Lines to parse.
        fast: Returns the rows of a text, or None if not all its lines are certainly rows.
        plain: Returns the rows among some lines, and the positions and errors of the others.
    """
    batch = fast(block.text)
    if batch is not None:
        return Parsed([batch], [])
    if block.text.count(b"\n") > PLAIN_LINES:
        parts = [parse_block(half, fast, plain) for half in block.halves()]
        return Parsed([b for p in parts for b in p.batches], [b for p in parts for b in p.bad])
    batch, errors = plain(block.text.split(b"\n")[:-1])
    bad = [BadRow(block.path, block.line + at, error.reason, str(error)) for at, error in errors]
    return Parsed([batch], bad)


def all_blocks(sources: Sequence[Source]) -> Iterator[Block]:
    """Yield the lines of ``sources`` one after the other."""
    return (block for source in sources for block in source.blocks())


def read_rows(
    blocks: Iterable[Block], fast: Fast, plain: Plain, bad_rows: BadRows, ordered_map: OrderedMap = map
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of ``blocks`` in order; bad ones go to ``bad_rows``.

    Args:
        blocks: Lines to parse.
        fast: As for :func:`parse_block`.
        plain: As for :func:`parse_block`.
        bad_rows: What to do about bad rows.
        ordered_map: Maps :func:`parse_block` over the blocks.

    Raises:
        UserError: a file can't be read, or a row is bad and bad rows are not to be skipped.
    """
    for parsed in ordered_map(partial(parse_block, fast=fast, plain=plain), blocks):
        for row in parsed.bad:
            bad_rows.add(row)
        yield from parsed.batches

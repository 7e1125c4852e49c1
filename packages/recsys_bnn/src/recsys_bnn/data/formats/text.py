"""Text files of one row a line: read in blocks, parse the blocks fast and in parallel, name bad lines exactly.

A format brings two parsers. The fast one takes a block of lines and gives up (None) on the least
irregularity; the plain one takes one line and is the specification. A block that the fast parser gives up on
is halved until the trouble is cornered in a few lines, which the plain parser then reads or names.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.data.formats.bad_rows import BadRow, BadRows, RowError
from recsys_bnn.data.parallel import OrderedMap, on_shared_disk
from seminar_common.errors import UserError
from seminar_common.files import check_file

BLOCK_BYTES = 4 << 20
"""Text in one block, about 17,000 rows of Criteo: enough work to make a thread worth it, small enough to hold many."""
CLUSTER_BLOCK_BYTES = 32 << 20
"""The same on a cluster, where a block must be worth its way over the network."""
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
    """One input file, plain or gzip, read once from front to back; its bytes are digested as they pass.

    Args:
        path: The file.
        advance: Called with the number of bytes after each read, for a progress bar.
        block_bytes: Text in one block; by default ``BLOCK_BYTES``.

    Raises:
        UserError: there is no such file, or it is empty or a folder.
    """

    def __init__(
        self,
        path: Path,
        advance: Callable[[int], None] = lambda count: None,
        block_bytes: int | None = None,
    ):
        check_file(path)
        self.path, self.bytes = path, 0
        self._block_bytes = block_bytes or BLOCK_BYTES
        self._advance, self._digest = advance, hashlib.blake2b(digest_size=16)

    @property
    def digest(self) -> str:
        """BLAKE2 digest of the bytes so far, as :func:`seminar_common.files.fingerprint` gives it."""
        return self._digest.hexdigest()

    def blocks(self) -> Iterator[Block]:
        """Yield all lines of the file in blocks; a last line without a line feed gets one.

        A byte order mark at the start and blank lines at the end are left out, as many programs write them.

        Raises:
            UserError: the file can't be opened, its gzip data are damaged, or a line is so long that it can't
                be a table.
        """
        line, rest, at = 1, b"", 0
        buffer = bytearray(self._block_bytes)  # used again, as fresh memory costs more than the copy
        with self._open() as file, memoryview(buffer) as view:
            plain = isinstance(file, _Digesting)
            while size := self._fill(file, view):
                if (
                    size >= len(BYTE_ORDER_MARK)
                    and not at
                    and not rest
                    and buffer.startswith(BYTE_ORDER_MARK)
                ):
                    at, size = at + len(BYTE_ORDER_MARK), size - len(BYTE_ORDER_MARK)
                    view[:size] = bytes(view[len(BYTE_ORDER_MARK) : size + len(BYTE_ORDER_MARK)])
                cut = buffer.rfind(b"\n", 0, size) + 1
                if cut:
                    text, rest = _without_blank_end(b"".join((rest, view[:cut])))
                    if text:
                        yield Block(self.path, line, text, at if plain else None)
                    line, at = line + count_lines(text), at + len(text)
                rest += view[cut:size]
                if len(rest) > BLOCK_BYTES:
                    raise UserError(
                        f"{self.path}, line {line}: longer than {BLOCK_BYTES >> 20} MiB; is it a text table, with line ends?"
                    )
        if rest.strip(b"\r\n"):
            yield Block(self.path, line, rest + b"\n")

    def digest_all(self) -> None:
        """Digest the bytes of a file that another reader takes apart."""
        with self.path.open("rb") as file:
            while data := file.read(BLOCK_BYTES):
                self._count(memoryview(data))

    @contextmanager
    def _open(self) -> "Generator[gzip.GzipFile | _Digesting, None, None]":
        """Open the file; reading gives its text, decompressed if it is gzip."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise UserError(
                f"{self.path}: can't be read ({error.strerror}); check its permissions"
            ) from error
        with file:
            is_gzip = file.peek(2)[:2] == b"\x1f\x8b"
            if self.path.suffix == ".gz" and not is_gzip:
                raise UserError(
                    f"{self.path}: named .gz, but not gzip; drop the ending if it is plain text, else fetch the file again"
                )
            digesting = _Digesting(file, self._count)
            yield gzip.GzipFile(fileobj=digesting) if is_gzip else digesting

    def _count(self, data: memoryview) -> None:
        self._digest.update(data)
        self.bytes += len(data)
        self._advance(len(data))

    def _fill(self, file: "gzip.GzipFile | _Digesting", view: memoryview) -> int:
        """Read text into ``view``; return the number of bytes, 0 at the end."""
        try:
            return file.readinto(view)
        except EOFError as error:
            raise UserError(
                f"{self.path}: the gzip data end too early; copy or fetch the file again"
            ) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise UserError(
                f"{self.path}: damaged gzip data ({error}); copy or fetch the file again"
            ) from error


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


def _without_blank_end(text: bytes) -> tuple[bytes, bytes]:
    """Part whole lines from the blank ones at their end, which are left out unless more lines follow."""
    if not text.endswith((b"\n\n", b"\n\r\n")) and text[:2] not in (b"\n", b"\r\n"):
        return text, b""
    filled = len(text.rstrip(b"\r\n"))
    end = text.index(b"\n", filled) + 1 if filled else 0
    return text[:end], text[end:]


def count_lines(text: bytes) -> int:
    """Return the number of line feeds."""
    # bytes.count stops at each one it finds, which is slow for so many.
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))


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
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
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

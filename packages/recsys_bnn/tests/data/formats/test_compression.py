"""Compressed files are read as the text in them, and damage is told in one line."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys_bnn.data.formats.text import TO_LEARN_FROM, TO_SCORE, Source
from seminar_common.errors import UserError
from seminar_common.files import fingerprint

TEXT = b"".join(b"%d\n" % number for number in np.random.default_rng(0).integers(10**9, size=2000))


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def zipped(*files: tuple[str, bytes]) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files:
                archive.writestr(name, data)
        return file.getvalue()


def tar(*files: tuple[str, bytes]) -> bytes:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, data in files:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        return file.getvalue()


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "Zstandard": zstd,
    "zip": lambda data: zipped(("log.txt", data)),
}
DAC = (("readme.txt", b"what it is\n"), ("test.txt", b"a test\n"), ("train.txt", TEXT))


def read(path: Path, **changes) -> bytes:
    return b"".join(block.text for block in Source(path, block_bytes=4096, **changes).blocks())


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_bytes_tell_how_a_file_is_compressed(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "log", KINDS[kind](TEXT))
    seen = []
    source = Source(path, seen.append)
    assert b"".join(block.text for block in source.blocks()) == TEXT
    assert sum(seen) == source.bytes == path.stat().st_size, "progress counts what is on the disk"
    assert source.digest == fingerprint(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_and_a_changed_file_are_named_in_one_line(tmp_path: Path, kind: str) -> None:
    data = KINDS[kind](TEXT)
    path = written(tmp_path / "log", data[: len(data) // 2])
    with pytest.raises(UserError, match=rf"log: .*{kind} data.*; copy or fetch the file again"):
        read(path)
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0xFF
    if kind != "Zstandard":  # whose checksum is optional, and Arrow writes none
        with pytest.raises(UserError, match=rf"log: .*{kind} data.*; copy or fetch the file again"):
            read(written(path, bytes(changed)))


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_a_name_that_lies_is_refused(tmp_path: Path, ending: str) -> None:
    with pytest.raises(UserError, match=rf"named {ending}, but not .*; drop the ending"):
        read(written(tmp_path / f"log{ending}", TEXT))


@pytest.mark.parametrize(
    "pack", [lambda *files: gzip.compress(tar(*files)), lambda *files: bz2.compress(tar(*files)), zipped]
)
def test_an_archive_of_several_files_is_read_where_it_should_be(tmp_path: Path, pack) -> None:
    path = (
        written(tmp_path / "dac.tar.gz", pack(*DAC))
        if pack is not zipped
        else written(tmp_path / "dac", pack(*DAC))
    )
    path = path.rename(tmp_path / "dac")
    assert read(path) == read(path, prefer=TO_LEARN_FROM) == TEXT
    assert read(path, prefer=TO_SCORE) == b"a test\n"
    assert read(tmp_path / "dac::readme.txt") == b"what it is\n"
    source = Source(path)
    assert sum(len(block.text) for block in source.blocks()) == len(TEXT)
    assert (source.bytes, source.digest) == (path.stat().st_size, fingerprint(path))
    with pytest.raises(
        UserError, match=r"dac: holds no file other.txt; name one as .*; it holds readme.txt, test.txt"
    ):
        read(tmp_path / "dac::other.txt")


@pytest.mark.parametrize("pack", [lambda *files: gzip.compress(tar(*files)), zipped])
def test_a_file_is_never_chosen_among_equals(tmp_path: Path, pack) -> None:
    path = written(tmp_path / "x", pack(("a/train_1.csv", b"1\n"), ("a/train_2.csv", b"2\n")))
    with pytest.raises(UserError, match=r"/x: holds .*train_1.csv.* a/train_2.csv"):
        read(path)
    assert read(tmp_path / "x::train_2.csv") == read(tmp_path / "x::a/train_2.csv") == b"2\n"
    path = written(
        tmp_path / "x", pack(("LICENSE", b"do\n"), ("clicks.csv", b"1\n"), ("__MACOSX/._clicks.csv", b"?"))
    )
    assert read(path) == b"1\n", "the only one that holds data"
    with pytest.raises(UserError, match="x: holds no file"):
        read(written(tmp_path / "x", pack(("readme.md", b"what\n"))))


def test_a_file_in_an_archive_may_be_compressed_once_more(tmp_path: Path) -> None:
    path = written(
        tmp_path / "avazu.zip", zipped(("train.gz", gzip.compress(TEXT)), ("test.gz", gzip.compress(b"t\n")))
    )
    assert read(path) == TEXT
    assert read(path, prefer=TO_SCORE) == b"t\n"


def test_what_is_no_archive_has_no_files(tmp_path: Path) -> None:
    written(tmp_path / "log", TEXT)
    with pytest.raises(UserError, match=r"log: is no archive; leave ::train.txt out"):
        read(tmp_path / "log::train.txt")
    written(tmp_path / "log.gz", gzip.compress(TEXT))
    with pytest.raises(UserError, match=r"log.gz: is no archive of files; leave ::train.txt out"):
        read(tmp_path / "log.gz::train.txt")


def test_several_streams_one_after_the_other_are_one_text(tmp_path: Path) -> None:
    for name, pack in (
        ("gzip", gzip.compress),
        ("bzip2", bz2.compress),
        ("xz", lzma.compress),
        ("zstd", zstd),
    ):
        assert read(written(tmp_path / name, pack(TEXT) + pack(TEXT))) == TEXT + TEXT

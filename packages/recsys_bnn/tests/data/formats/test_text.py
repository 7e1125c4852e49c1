"""Files of lines in all forms in which people have them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.data.formats import text
from recsys_bnn.data.formats.text import Source, count_lines


def lines_of(path: Path, block_bytes: int = 8) -> bytes:
    line, found = 1, b""
    for block in Source(path, block_bytes=block_bytes).blocks():
        assert block.line == line and block.text.endswith(b"\n")
        if block.at is not None:
            assert path.read_bytes()[block.at :].startswith(block.text)
        line, found = line + count_lines(block.text), found + block.text
    return found


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n\n", b"\r\n\r\n", b"\n\r\n"])
@pytest.mark.parametrize("start", [b"", text.BYTE_ORDER_MARK])
def test_a_mark_at_the_start_and_blank_lines_at_the_end_are_no_text(
    tmp_path: Path, start: bytes, end: bytes
) -> None:
    path = tmp_path / "x"
    path.write_bytes(start + b"one\n\ntwo\nthree" + end)
    expected = b"one\n\ntwo\nthree\r\n" if end.startswith(b"\r") else b"one\n\ntwo\nthree\n"
    for size in (4, 7, 64):
        assert lines_of(path, size) == expected


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "x"


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"", b"a", b"bcdefghij", b"\r", b"k\r"]), max_size=12), st.integers(3, 20))
def test_blocks_of_any_size_hold_all_lines_but_blank_ones_at_the_end(
    file: Path, lines: list[bytes], size: int
) -> None:
    file.write_bytes(b"".join(line + b"\n" for line in [*lines, b"\r"]))
    while lines and not lines[-1].strip(b"\r"):
        lines.pop()
    assert lines_of(file, size) == b"".join(line + b"\n" for line in lines)

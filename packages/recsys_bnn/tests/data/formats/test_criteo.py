import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.compiled import rows as rows_in_c
from recsys_bnn.data.formats import criteo, criteo_columns, text
from recsys_bnn.data.formats.bad_rows import BadRows, RowError
from recsys_bnn.data.formats.criteo import CriteoKaggle, Row, parse_line, parse_lines, parse_text
from recsys_bnn.data.formats.text import Block, Source, parse_block
from seminar_common import files
from seminar_common.errors import UserError

INTEGERS = [b"1", b"-2", b""] + [b"0"] * 10
HEX = [b"68fd1e64", b""] + [b"0000000a"] * 24


@pytest.fixture(scope="module", params=["C", "Numba", "NumPy"])
def either_parser(request: pytest.FixtureRequest) -> Iterator[None]:
    """Parse in C, or by what stands in for it without a compiler: a kernel, and what reads short texts without that."""
    if request.param == "C" and rows_in_c.calls() is None:
        pytest.skip("no C compiler")
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "C":
            patch.setattr(rows_in_c, "calls", lambda: None)
        patch.setattr(criteo_columns, "is_compiled", lambda: request.param == "Numba")
        yield


def line(label=b"0", integers=INTEGERS, categoricals=HEX):
    return b"\t".join([label, *integers, *categoricals])


def spell(row: Row) -> bytes:
    cells = [str(row.label), *("" if v is None else str(v) for v in row.integers)]
    cells += ["" if v is None else f"{v:08x}" for v in row.categoricals]
    return "\t".join(cells).encode()


def many(values, count):
    return st.tuples(*[st.none() | values] * count)


rows = st.builds(
    Row, st.integers(0, 1), many(st.integers(-(2**31), 2**31 - 1), 13), many(st.integers(0, 2**32 - 1), 26)
)


@st.composite
def mutated_lines(draw):
    """A row with up to three bytes replaced, inserted or deleted, mostly by bytes that are near misses."""
    data = bytearray(spell(draw(rows)))
    byte = st.sampled_from(b"\t09:`afgopAFG@xX-+ .\r\0\xff\xc3\"'e") | st.integers(0, 255)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data) - 1))
        new = bytes([draw(byte)]) if draw(st.booleans()) else b""
        data[at : at + draw(st.integers(0, 1))] = new
    return bytes(data).replace(b"\n", b"")


def test_a_line_is_a_label_13_integers_and_26_hex_values():
    row = parse_line(line(b"1"))
    assert row.label == 1
    assert row.integers == (1, -2, None, *[0] * 10)
    assert row.categoricals == (0x68FD1E64, None, *[10] * 24)


@settings(deadline=None)
@given(rows, st.sampled_from([b"", b"\n", b"\r\n"]))
def test_any_row_survives_writing_and_parsing(row, end):
    assert parse_line(spell(row) + end) == row


@settings(deadline=None)
@given(mutated_lines() | st.binary(max_size=60))
def test_any_bytes_are_a_row_or_raise_a_row_error(data):
    try:
        row = parse_line(data)
    except RowError as error:
        assert error.reason in {"blank", "nul", "utf-8", "columns", "label", "integer", "categorical"}
        assert "\n" not in str(error)
    else:
        assert parse_line(spell(row)) == row


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("bad", "reason", "message"),
    [
        (b"", "blank", "a blank line"),
        (line().replace(b"68fd1e64", b"68fd\x001e6"), "nul", "NUL byte at position 33"),
        (line().replace(b"68fd1e64", b"68fd1e6\xff"), "utf-8", "0xff at position 36 is not UTF-8"),
        (line() + b"\t", "columns", "41 columns, expected 40"),
        (line(categoricals=HEX[1:]), "columns", "39 columns, expected 40"),
        (line(b"2"), "label", "the label is '2'"),
        (line(b""), "label", "the label is ''"),
        (line(b"00"), "label", "the label is '00'"),  # a number parser would take it for 0
        (line(integers=[b"1.5", *INTEGERS[1:]]), "integer", "I1 is '1.5'"),
        (line(integers=[*INTEGERS[:12], b"0x1f"]), "integer", "I13 is '0x1f'"),  # Arrow would take it for 31
        (line(integers=[b" 1", *INTEGERS[1:]]), "integer", "I1 is ' 1'"),  # Arrow would trim it
        (line(integers=[b"2147483648", *INTEGERS[1:]]), "integer", "32 bits"),
        (line(integers=[b"9" * 5000, *INTEGERS[1:]]), "integer", "I1 is '999999999999999999999999...'"),
        (line(categoricals=[b"68fd1e6", *HEX[1:]]), "categorical", "C1 is '68fd1e6'"),
        (line(categoricals=[b"68FD1E64", *HEX[1:]]), "categorical", "C1 is '68FD1E64'"),
        (line(categoricals=[*HEX[:25], b"68fd1e6g"]), "categorical", "C26 is '68fd1e6g'"),
        (line() + b"\r\r", "categorical", "C26"),  # only one carriage return belongs to the line end
    ],
)
def test_each_fault_has_its_reason_and_names_the_value(bad, reason, message):
    with pytest.raises(RowError) as raised:
        parse_line(bad)
    assert raised.value.reason == reason
    assert message in str(raised.value)
    assert parse_text(bad + b"\n") is None


@pytest.mark.usefixtures("either_parser")
def test_leading_zeros_and_the_limits_of_32_bits_are_integers():
    cells = [b"007", b"-0", b"2147483647", b"-2147483648", b"0" * 5000, *[b""] * 8]
    expected = (7, 0, 2**31 - 1, -(2**31), 0, *[None] * 8)
    assert parse_line(line(integers=cells)).integers == expected
    fast = parse_text(line(integers=cells) + b"\n") or parse_lines([line(integers=cells)])[0]
    assert tuple(fast.column(i).to_pylist()[0] for i in range(1, 14)) == expected


@pytest.mark.usefixtures("either_parser")
@settings(deadline=None, max_examples=50)  # of each parser
@given(st.lists(mutated_lines() | st.just(b""), min_size=1, max_size=5), st.sampled_from([b"\n", b"\r\n"]))
def test_the_fast_parser_agrees_with_the_line_parser(lines, end):
    expected, errors = parse_lines([text + end[:-1] for text in lines])
    fast = parse_text(b"".join(text + end for text in lines))
    if fast is not None:
        assert not errors
        assert fast.equals(expected)


@pytest.mark.usefixtures("either_parser")
@settings(deadline=None, max_examples=50)  # of each parser
@given(st.lists(rows, min_size=1, max_size=5), st.sampled_from([b"\n", b"\r\n"]))
def test_the_fast_parser_takes_every_valid_row(valid, end):
    fast = parse_text(b"".join(spell(row) + end for row in valid))
    assert fast is not None
    columns = zip(*((r.label, *r.integers, *r.categoricals) for r in valid), strict=True)
    assert [c.to_pylist() for c in fast.columns] == [list(c) for c in columns]


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize("cell", ["integer", "categorical", "label"])
def test_the_fast_parser_agrees_on_every_byte_in_every_kind_of_cell(cell):
    for byte in range(256):
        changed = bytes([byte])
        text = {
            "integer": line(integers=[b"1" + changed + b"2", *INTEGERS[1:]]),
            "categorical": line(categoricals=[b"68fd1" + changed + b"64", *HEX[1:]]),
            "label": line(changed),
        }[cell]
        expected, errors = parse_lines([text])
        fast = parse_text(text + b"\n")
        assert (fast is None) == bool(errors), changed
        assert fast is None or fast.equals(expected)


@pytest.mark.usefixtures("either_parser")
def test_eight_nul_bytes_are_not_taken_for_a_missing_value():
    assert parse_text(line(categoricals=[b"\0" * 8, *HEX[1:]]) + b"\n") is None


@pytest.mark.usefixtures("either_parser")
def test_a_lone_carriage_return_is_no_line_end():
    assert parse_text(line() + b"\r" + line() + b"\n") is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6, unique=True))
def test_halving_finds_exactly_the_bad_lines(positions):
    lines = [line(b"1")] * 401
    for position in positions:
        lines[position] = b"nonsense"
    parsed = parse_block(Block(Path("f"), 10, b"\n".join(lines) + b"\n"), parse_text, parse_lines)
    assert [row.line for row in parsed.bad] == [10 + p for p in sorted(positions)]
    assert sum(batch.num_rows for batch in parsed.batches) == 401 - len(positions)


@pytest.mark.parametrize("size", [1, 7, 400, 4 << 20])
@pytest.mark.parametrize("last", [b"", b"\n"])
def test_blocks_hold_every_line_once_with_its_number(tmp_path, monkeypatch, size, last):
    monkeypatch.setattr(text, "BLOCK_BYTES", max(size, 200))
    path = tmp_path / "log.txt"
    path.write_bytes(b"\n".join(b"%d" % i * (i % 50) for i in range(1, 300)) + last)
    source = Source(path)
    blocks = list(source.blocks())
    assert b"".join(block.text for block in blocks) == path.read_bytes().removesuffix(b"\n") + b"\n"
    lines = [1]
    for block in blocks:
        assert block.line == lines[-1]
        lines.append(block.line + block.text.count(b"\n"))
    assert source.digest == files.fingerprint(path)
    assert source.bytes == path.stat().st_size


def test_gzip_is_read_whatever_the_name_and_digested_as_it_is(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes(
        gzip.compress(b"a\n", mtime=0) + gzip.compress(b"b\n", mtime=0)
    )  # two members, as `cat` of two files makes
    source = Source(path)
    assert [block.text for block in source.blocks()] == [b"a\nb\n"]
    assert source.digest == files.fingerprint(path)


def test_a_file_without_line_ends_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 1000)
    path = tmp_path / "image.raw"
    path.write_bytes(b"a\n" + b"x" * 5000)
    with pytest.raises(UserError, match=r"image.raw, line 2: longer than"):
        list(Source(path).blocks())


def test_the_first_bad_line_is_named_though_later_blocks_fail_too(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 1000)
    path = tmp_path / "log.txt"
    path.write_bytes((line() + b"\n") * 20 + b"bad\n" + (line() + b"\n") * 20 + b"worse\n" * 50)
    with pytest.raises(UserError, match=r"log.txt, line 21: 1 columns, expected 40"):
        list(CriteoKaggle([path]).chunks([Source(path)], BadRows("fail")))


@pytest.mark.parametrize(
    ("count", "name"),
    [
        (10_000, "criteo-10k"),
        (250_000, "criteo-250k"),
        (2_000_000, "criteo-2m"),
        (criteo.OFFICIAL_ROWS, "criteo-kaggle"),
        (1234, "criteo-1234"),
    ],
)
def test_a_log_is_named_by_its_rows(count, name):
    assert CriteoKaggle([]).default_name(count) == name

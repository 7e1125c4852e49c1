import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys_bnn.compiled import rows as rows_in_c
from recsys_bnn.compiled.rows import Cell
from recsys_bnn.data.formats.bad_rows import BadRows, RowError
from recsys_bnn.data.formats.delimited import (
    Column,
    Delimited,
    TextColumn,
    hex_key,
    integer_key,
    number,
    text_or_missing,
    whole,
)
from recsys_bnn.data.formats.libfm import feature
from recsys_bnn.data.formats.text import Source
from seminar_common.errors import UserError

COLUMNS = (
    Column("name", text_or_missing, pa.string(), "categorical"),
    Column("count", whole, pa.int32(), "integer"),
)
CSV = Delimited(COLUMNS, ["count", "other", "name"], quoted=True)

NUMBERS = (
    Column("index", feature, pa.uint32(), "feature", cell=Cell.INDEX),
    Column("hex", hex_key, pa.uint32(), "categorical", cell=Cell.HEX),
    TextColumn("id", text_or_missing, pa.string(), "id"),
    Column("whole", whole, pa.int32(), "integer", cell=Cell.WHOLE),
    Column("key", integer_key, pa.uint32(), "categorical", cell=Cell.WHOLE),
)
PRESENT = ["key", "other", "id", "hex", "index", "whole"]


@pytest.fixture(scope="module", params=["C", "Arrow"])
def either_reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """Part the cells in C, or by what stands in for it without a compiler."""
    if request.param == "C" and rows_in_c.calls() is None:
        pytest.skip("no C compiler")
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "C":
            patch.setattr(rows_in_c, "calls", lambda: None)
        yield


cell = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=5)
count = st.integers(-(2**31), 2**31 - 1).map(str) | st.sampled_from(["", "x", "1.0", " 1", "2147483648"])


@pytest.mark.usefixtures("either_reader")
@settings(deadline=None, max_examples=60)  # of each reader
@given(st.lists(st.tuples(count, cell, cell), min_size=1, max_size=8))
def test_the_fast_parser_agrees_with_the_line_parser_on_any_csv(rows):
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    text = file.getvalue().encode()
    expected, errors = CSV.parse_lines(text.split(b"\n")[:-1])
    fast = CSV.parse_text(text)
    assert fast is None or (not errors and fast.equals(expected))
    bad = [i for i, row in enumerate(rows) if row[0] in ("x", "1.0", " 1", "2147483648")]
    assert [position for position, _ in errors] == bad
    good = [row for i, row in enumerate(rows) if i not in bad]
    assert expected.column(0).to_pylist() == [name or None for _, _, name in good]


@pytest.mark.usefixtures("either_reader")
@settings(deadline=None, max_examples=60)
@example([b"\xef\xbb\xbf"])  # the CSV reader passes over a byte order mark
@example([b"\xef\xbb\xbf1,a,b", b"2,a,b"])
@given(st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b), min_size=1, max_size=4))
def test_the_fast_parser_agrees_with_the_line_parser_on_any_bytes(lines):
    fast = CSV.parse_text(b"".join(line + b"\n" for line in lines))
    expected, errors = CSV.parse_lines(lines)
    assert fast is None or (not errors and fast.equals(expected))


wholes = st.sampled_from(["", "0", "-0", "-7", "0012", "1234567", "12345678", "-2147483648", "2147483647"])
hexes = st.sampled_from(["", "0000000a", "ffffffff", "68fd1e64"])
indices = st.sampled_from(["7:1", "123456789:1", "000000001:1.", "8:1.00"])
NEAR_MISSES = [
    "-",
    "--1",
    "+1",
    " 1",
    "1 ",
    "2147483648",
    "9" * 30,
    "0000000A",
    "0000000",
    "00000000a",
    "0x000001",
]
NEAR_MISSES += ["7", "7:", ":1", "7:10", "7:1.01", "7:1x", "1234567890:1", "\r", "\0", "٣"]


@pytest.mark.usefixtures("either_reader")
@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(wholes, cell, cell, hexes, indices, wholes).map(list), min_size=1, max_size=20),
    st.none() | st.tuples(st.integers(0, 19), st.integers(0, 5), st.sampled_from(NEAR_MISSES)),
    st.sampled_from(["\t", ",", "::"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_numbers_of_usual_forms_are_read_as_each_cell_by_itself(rows, odd, separator, end):
    if odd is not None:
        rows[odd[0] % len(rows)][odd[1]] = odd[2]
    reader = Delimited(NUMBERS, PRESENT, separator=separator)
    text = "".join(separator.join(row) + end for row in rows).encode()
    expected, errors = reader.parse_lines(text.split(b"\n")[:-1])
    fast = reader.parse_text(text)
    assert fast is None or (not errors and fast.equals(expected))
    plain = not any("\r" in part or (len(separator) > 1 and "\t" in part) for row in rows for part in row)
    assert errors or not plain or fast is not None


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (b"", "blank", "a blank line"),
        (b"1,a\0,b", "nul", "a NUL byte at position 4"),
        (b"1,\xff,b", "utf-8", "byte 0xff at position 3"),
        (b"1,a", "columns", "2 columns, expected 3"),
        (b'1,"a,b', "quote", "quotes that don't match"),
        (b'1,"a"b,c', "quote", "quotes that don't match"),
        (b"1.5,a,b", "integer", "count is '1.5', expected a whole number of 32 bits or nothing"),
    ],
)
def test_each_fault_has_its_reason(line, reason, message):
    _, ((_, error),) = CSV.parse_lines([line])
    assert error.reason == reason
    assert message in str(error)
    assert CSV.parse_text(line + b"\n") is None


@pytest.mark.usefixtures("either_reader")
@pytest.mark.parametrize("separator", ['"', "\r", "\0"])
def test_a_separator_that_means_something_else_is_left_to_the_line_parser(separator):
    assert (
        Delimited(COLUMNS, ["name", "count"], separator=separator, quoted=True).parse_text(
            f"a{separator}1\n".encode()
        )
        is None
    )


@pytest.mark.usefixtures("either_reader")
@pytest.mark.parametrize("separator", ["::", "\t", ";"])
def test_cells_are_split_at_the_separator_alone(separator):
    reader = Delimited(COLUMNS, ["name", "count"], separator=separator)
    text = f'a"b, c{separator}7\n{separator}\n'.encode()
    fast = reader.parse_text(text)
    assert fast is not None
    assert fast.equals(reader.parse_lines(text.split(b"\n")[:-1])[0])
    assert fast.to_pylist() == [{"name": 'a"b, c', "count": 7}, {"name": None, "count": None}]


def read(tmp_path: Path, *contents: bytes) -> list[dict]:
    paths = [tmp_path / f"{i}.csv" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    reader = Delimited(COLUMNS, ["name", "count"], header=["name", "count"])
    batches = reader.read([Source(path) for path in paths], BadRows("fail"))
    return [row for batch in batches for row in batch.to_pylist()]


def test_each_file_has_a_header_that_is_no_row(tmp_path):
    assert read(tmp_path, b"name,count\na,1\n", b"\xef\xbb\xbfname,count\r\nb,2\r\n") == [
        {"name": "a", "count": 1},
        {"name": "b", "count": 2},
    ]


def test_lines_are_numbered_with_the_header(tmp_path):
    with pytest.raises(UserError, match=r"0.csv, line 3: count is 'x'"):
        read(tmp_path, b"name,count\na,1\nb,x\n")


def test_another_header_in_a_later_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"1.csv, line 1: the header is not 'name,count'"):
        read(tmp_path, b"name,count\na,1\n", b"count,name\n1,a\n")


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (whole, {"": None, "-0": 0, "007": 7, "-2147483648": -(2**31)}, ["1.0", "+1", "٣", "2147483648"]),
        (integer_key, {"": None, "-1": 2**32 - 1}, ["a"]),
        (hex_key, {"": None, "0000000a": 10}, ["A0000000", "0", "0x000001"]),
        (number, {"-1.5": -1.5, "1e3": 1000, ".5": 0.5}, ["", "nan", "inf", "1_000", "0x1p3", "1e9999"]),
    ],
)
def test_cells_are_read_strictly(parse, good, bad):
    assert {text: parse(text) for text in good} == good
    for text in bad:
        with pytest.raises(ValueError, match=r"number|hex digits"):
            parse(text)


def test_a_long_cell_is_cut_short_in_messages():
    with pytest.raises(RowError, match="count is 'xxxxxxxxxxxxxxxxxxxxxxxx...', expected"):
        COLUMNS[1].value("x" * 1000)

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys_bnn.data.formats.bad_rows import BadRows, RowError
from recsys_bnn.data.formats.delimited import (
    Column,
    Delimited,
    hex_key,
    integer_key,
    number,
    text_or_missing,
    whole,
)
from recsys_bnn.data.formats.text import Source
from seminar_common.errors import UserError

COLUMNS = (
    Column("name", text_or_missing, pa.string(), "categorical"),
    Column("count", whole, pa.int32(), "integer"),
)
CSV = Delimited(COLUMNS, ["count", "other", "name"], quoted=True)

cell = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=5)
count = st.integers(-(2**31), 2**31 - 1).map(str) | st.sampled_from(["", "x", "1.0", " 1", "2147483648"])


@settings(deadline=None)
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


@settings(deadline=None)
@example([b"\xef\xbb\xbf"])  # the CSV reader passes over a byte order mark
@example([b"\xef\xbb\xbf1,a,b", b"2,a,b"])
@given(st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b), min_size=1, max_size=4))
def test_the_fast_parser_agrees_with_the_line_parser_on_any_bytes(lines):
    fast = CSV.parse_text(b"".join(line + b"\n" for line in lines))
    expected, errors = CSV.parse_lines(lines)
    assert fast is None or (not errors and fast.equals(expected))


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

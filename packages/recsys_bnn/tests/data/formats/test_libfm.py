import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.data.formats.bad_rows import RowError
from recsys_bnn.data.formats.libfm import LineParser
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError


@pytest.fixture(scope="module")
def two_fields():
    return LineParser(2, labelled=True)


def run(paths, out, **settings):
    prepare(PrepareConfig(format="libfm", input=tuple(paths), out=out, **settings))
    return open_dataset(out)


def test_a_line_is_a_label_and_an_index_for_each_field(two_fields):
    assert two_fields.parse_line(b"1 3:1 10:1") == [1, 3, 10]
    assert two_fields.parse_line(b"-1\t007:1.0  10:1. \r") == [
        0,
        7,
        10,
    ]  # any white space, and 1 as a decimal


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (b"", "blank", "a blank line"),
        (b"1 3:1 \0", "nul", "NUL byte"),
        (b"1 3:1 \xff", "utf-8", "0xff"),
        (b"2 3:1 10:1", "label", "label is '2', expected 1, \\+1, 0 or -1"),
        (b"1 3:1", "columns", "1 features after the label, expected 2 as in the first line"),
        (b"1 3:0.5 10:1", "feature", "field_1 is '3:0.5', expected an index"),
        (b"1 3:1 -2:1", "feature", "field_2 is '-2:1'"),
        (b"1 3 10:1", "feature", "field_1 is '3'"),
    ],
)
def test_each_fault_has_its_reason(two_fields, line, reason, message):
    with pytest.raises(RowError, match=message) as raised:
        two_fields.parse_line(line)
    assert raised.value.reason == reason


lines = st.lists(
    st.from_regex(rb"[-+]?[012] [0-9]{1,3}:1(\.0)? [0-9]{1,3}:[01] ?\r?", fullmatch=True)
    | st.binary(max_size=9).filter(lambda line: b"\n" not in line),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(lines)
def test_the_fast_parser_agrees_with_the_line_parser(two_fields, lines):
    fast = two_fields.parse_text(b"".join(line + b"\n" for line in lines))
    expected, errors = two_fields.parse_lines(lines)
    assert fast is None or (not errors and fast.equals(expected))


def random_rows(count, seed=0):
    generator = np.random.default_rng(seed)
    users, apps = generator.integers(0, 20, count), generator.integers(20, 40, count)
    return [f"{1 if u % 2 else -1} {u}:1 {a}:1\n" for u, a in zip(users, apps, strict=True)]


def test_a_random_split_with_a_seed_is_the_default(tmp_path):
    rows = random_rows(1000)
    path = tmp_path / "apps.libfm"
    path.write_text("".join(rows))
    first, again = run([path], tmp_path / "first"), run([path], tmp_path / "again")
    other, by_time = run([path], tmp_path / "other", seed=1), run([path], tmp_path / "time", split="time")
    assert first.name == "apps"
    assert first.description["settings"]["split"] == "random"
    assert first.description["rows"] == by_time.description["rows"]
    labels = [d.rows("test").labels().tolist() for d in (first, again, other, by_time)]
    assert labels[0] == labels[1]
    assert labels[0] != labels[2]
    assert labels[3] == [int(row[0] == "1") for row in rows[800:]]


def test_each_field_has_ids_of_its_own(tmp_path):
    path = tmp_path / "apps.libfm"
    path.write_text("".join(random_rows(1000)))
    data = run([path], tmp_path / "out")
    assert data.categorical_names == ("field_1", "field_2")
    assert data.cardinalities == (22, 22)  # 20 values, missing and out of vocabulary


def test_several_files_are_one_log(tmp_path):
    rows = random_rows(100)
    for name, part in (("a", rows), ("b", rows[:40]), ("c", rows[40:])):
        (tmp_path / name).write_text("".join(part))
    whole = run([tmp_path / "a"], tmp_path / "whole", split="time")
    parts = run([tmp_path / "b", tmp_path / "c"], tmp_path / "parts", split="time")
    for split in ("train", "test"):
        assert (whole.rows(split).labels() == parts.rows(split).labels()).all()
    assert whole.counts(1).tolist() == parts.counts(1).tolist()


GOOD = "".join(random_rows(20)).encode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log", b"", "the file is empty"),
        ("log", b"label\n", "line 1: expected a label and index:1 for each field"),
        ("log", GOOD + b"1 3:1\n", "line 21: 1 features after the label, expected 2"),
        ("log", GOOD + b"x 3:1 4:1\n", "line 21: label is 'x'"),
        ("log", GOOD + b"1 3:2 4:1\n", "line 21: field_1 is '3:2'"),
        ("log", GOOD + b"1 \0 4:1\n", "line 21: a NUL byte at position 3"),
        ("log.gz", gzip.compress("".join(random_rows(5000)).encode())[:-50], "gzip data end too early"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        run([tmp_path / name], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_frappe(seminar_data, tmp_path):
    files = [seminar_data / "recsys" / f"frappe.{part}.libfm" for part in ("validation", "test")]
    data = run(files, tmp_path / "out")
    assert data.name == "frappe"
    assert data.description["rows"] == {"train": 60_608, "val": 8658, "test": 17_316}
    assert len(data.categorical_names) == 10
    raw = b"".join(path.read_bytes() for path in files).splitlines()
    clicks = sum(line.startswith(b"1") for line in raw)
    assert sum(data.rows(split).labels().sum(dtype=int) for split in ("train", "val", "test")) == clicks
    # every split has close to the same click rate, as a random one must (5 standard deviations)
    for rate in data.description["click_rate"].values():
        assert rate == pytest.approx(clicks / len(raw), abs=5 * (0.22 / 8658) ** 0.5)
    distinct = {line.split()[3] for line in raw}
    assert data.cardinalities[2] == len(distinct) + 2

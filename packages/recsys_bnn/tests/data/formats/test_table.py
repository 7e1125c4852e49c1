import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.formats import table
from recsys_bnn.data.formats.table import time
from recsys_bnn.data.formats.table_schema import parse_schema, read_schema
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError

SCHEMA = """
label = "stars"
threshold = 4
time = "when"
integers = ["age"]
categoricals = ["shop", "city"]
"""


def records(count=60):
    """Rows with quotes, separators, missing values and a column that the schema does not name."""
    generator = np.random.default_rng(0)
    for i in range(count):
        yield {
            "note": "ignored",
            "when": 1000 + i // 2,
            "age": None if i % 5 == 0 else int(generator.integers(-5, 90)),
            "city": None if i % 7 == 0 else ["Köln", 'the "Big" Apple, NY', "x"][i % 3],
            "shop": f"s{generator.integers(5)}",
            "stars": i % 5 + 1,
        }


def write_csv(path: Path, rows, separator=",") -> Path:
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(folder: Path, *paths: Path, schema: str = SCHEMA, out: str = "out", **settings) -> Dataset:
    (folder / "schema.toml").write_text(schema)
    config = PrepareConfig(
        format="table", input=paths, schema=folder / "schema.toml", out=folder / out, **settings
    )
    prepare(config)
    return open_dataset(folder / out)


def content(data: Dataset):
    batch = data.rows("train", "val", "test").columns()
    integers = [[None if np.isnan(value) else value for value in row] for row in batch.integers.tolist()]
    return batch.labels.tolist(), integers, batch.categoricals.tolist()


def test_a_csv_file_is_read_by_its_schema(tmp_path):
    data = run(tmp_path, write_csv(tmp_path / "visits.csv", records()), min_count=1)
    assert data.name == "visits"
    assert (data.integer_names, data.categorical_names) == (("age",), ("shop", "city"))
    assert data.description["rows"] == {"train": 42, "val": 6, "test": 12}
    labels, integers, categoricals = content(data)
    assert labels == [float(row["stars"] >= 4) for row in records()]
    assert [value[0] is None for value in integers] == [row["age"] is None for row in records()]
    table = pq.read_table(data.folder / "vocabulary.parquet").to_pylist()
    cities = {row["id"]: row["value"] for row in table if row["field"] == "city"}
    assert [cities[ids[1]] or None for ids in categoricals] == [row["city"] for row in records()]


@pytest.mark.parametrize("kind", ["parquet", "typed parquet", "gzip", "semicolons", "two files"])
def test_other_forms_of_a_table_give_the_same_rows(tmp_path, kind):
    rows = list(records())
    expected = content(run(tmp_path, write_csv(tmp_path / "a.csv", rows)))
    schema, paths = SCHEMA, [tmp_path / "b.parquet"]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), paths[0], row_group_size=7)
    elif kind == "typed parquet":  # integers with missing values as floats, dictionaries, timestamps
        for row in rows:
            row["age"] = None if row["age"] is None else float(row["age"])
            row["when"] = datetime.fromtimestamp(row["when"], UTC)
        table = pa.Table.from_pylist(rows)
        pq.write_table(table.set_column(4, "shop", table["shop"].dictionary_encode()), paths[0])
    elif kind == "gzip":
        paths = [tmp_path / "b.csv.gz"]
        paths[0].write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    elif kind == "semicolons":
        schema, paths = SCHEMA + 'separator = ";"\n', [write_csv(tmp_path / "b.csv", rows, ";")]
    else:  # of columns in another order
        other = [dict(sorted(row.items())) for row in rows[20:]]
        paths = [write_csv(tmp_path / "b1.csv", rows[:20]), write_csv(tmp_path / "b2.csv", other)]
    assert content(run(tmp_path, *paths, schema=schema, out="other")) == expected


def test_a_label_without_a_threshold_is_0_or_1(tmp_path):
    rows = [{"clicked": i % 2, "page": "ab"[i % 2]} for i in range(20)]
    schema = 'label = "clicked"\ncategoricals = ["page"]'
    for name in ("x.csv", "x.parquet"):
        if name.endswith("csv"):
            write_csv(tmp_path / name, rows)
        else:
            pq.write_table(
                pa.table({"clicked": [i % 2 == 1 for i in range(20)], "page": ["a", "b"] * 10}),
                tmp_path / name,
            )
        data = run(tmp_path, tmp_path / name, schema=schema, out=name + ".out")
        assert data.rows("train").labels().tolist() == [i % 2 for i in range(14)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5),
        ("1970-01-02", 86400),
        ("1970-01-01T00:01:00", 60),
        ("1970-01-01 01:00:00+01:00", 0),
        ("1970-01-01T00:00:01Z", 1),
    ],
)
def test_times_are_numbers_or_iso_dates(text, seconds):
    assert time(text) == seconds


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("label = ", "schema.toml: not TOML"),
        ('categoricals = ["a"]', "the key label is missing"),
        ('label = "a"', "names no features"),
        (
            'label = "a"\ncategorical = ["b"]',
            "unknown key 'categorical'; the keys are categoricals, header, integers",
        ),
        ('label = "a"\ncategoricals = "b"', "categoricals must be a list of names of columns, not 'b'"),
        ('label = "a"\nintegers = ["b"]\nthreshold = "4"', "threshold must be a number, not '4'"),
        (
            'label = "a"\nintegers = ["b"]\nseparator = "::::"',
            "separator must be one to three ASCII characters",
        ),
        ('label = "a"\nintegers = ["b"]\ncategoricals = ["b"]', "names the column 'b' twice"),
    ],
)
def test_a_wrong_schema_is_refused(tmp_path, schema, message):
    path = tmp_path / "schema.toml"
    path.write_text(schema)
    with pytest.raises(UserError, match=message):
        read_schema(path)


def test_a_schema_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text('\ufefflabel = "a"\nintegers = ["b"]')
    assert read_schema(path).columns == ["a", "b"]


def test_a_space_in_a_name_is_seen(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text('label = "a"\nintegers = ["b"]')
    with pytest.raises(UserError, match="'b' that .* names is not there; the file has a, ' b'"):
        read_schema(path).check(tmp_path / "x.csv", ["a", " b"])


def test_a_missing_schema_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.toml: no such file"):
        read_schema(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_column_that_is_not_there_is_named(tmp_path, name):
    rows = [{("store" if key == "shop" else key): row[key] for key in row} for row in records()]
    if name == "x.csv":
        write_csv(tmp_path / name, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    with pytest.raises(
        UserError, match=r"column 'shop' that .*schema.toml names is not there; the file has note, when"
    ):
        run(tmp_path, tmp_path / name)


HEAD = b"when,stars,age,shop,city\n"
GOOD = HEAD + b"".join(b"%d,%d,3,a,b\n" % (i, i % 5 + 1) for i in range(20))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.csv", b"", "x.csv: the file is empty"),
        ("x.csv", b"stars,stars,when,age,shop,city\n", "the column 'stars' that .* names is twice"),
        ("x.csv", HEAD, "holds no row of the format table"),
        ("x.csv", GOOD + b"21,5,3,a\n", "x.csv, line 22: 4 columns, expected 5"),
        ("x.csv", GOOD + b"21,good,3,a,b\n", "x.csv, line 22: stars is 'good', expected a number"),
        ("x.csv", GOOD + b"21,,3,a,b\n", "x.csv, line 22: stars is '', expected a number"),
        ("x.csv", GOOD + b"21,5,3.5,a,b\n", "x.csv, line 22: age is '3.5', expected a whole number"),
        (
            "x.csv",
            GOOD + b"noon,5,3,a,b\n",
            "x.csv, line 22: when is 'noon', expected a number or an ISO 8601",
        ),
        ("x.csv", GOOD + b'21,5,3,"a\nb",c\n', "x.csv, line 22: quotes that don't match"),
        ("x.csv", GOOD + b"21,5,3,\0,b\n", "x.csv, line 22: a NUL byte"),
        ("x.csv", GOOD + b"21,5,3,\xff,b\n", "x.csv, line 22: byte 0xff"),
        ("x.csv", GOOD + b"5,5,3,a,b\n", "row 21 of the log has an earlier when than the row before it"),
        ("x.csv", b"\xff\xfe\n", "x.csv, line 1: byte 0xff at position 1 is not UTF-8; expected a header"),
        ("x.csv.gz", gzip.compress(np.random.default_rng(0).bytes(999))[:-20], "the gzip data end too early"),
        ("x.parquet", b"PAR1 and no more", "x.parquet: not a whole Parquet file"),
        ("x.parquet", b"", "x.parquet: the file is empty"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        run(tmp_path, tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {name, "schema.toml"}


def test_a_bad_row_of_a_parquet_file_is_numbered_and_can_be_skipped(tmp_path):
    rows = list(records())
    rows[10]["stars"] = None
    rows[40]["age"] = 1.5
    for row in rows:
        row["age"] = None if row["age"] is None else float(row["age"])
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet", row_group_size=9)
    with pytest.raises(UserError, match=r"x.parquet, row 11: stars is '', expected a number"):
        run(tmp_path, tmp_path / "x.parquet")
    data = run(tmp_path, tmp_path / "x.parquet", on_error="skip")
    assert data.description["skipped"]["reasons"] == {"integer": 1, "label": 1}
    assert [row["line"] for row in data.description["skipped"]["first"]] == [11, 41]
    assert content(data)[0] == [float(r["stars"] >= 4) for i, r in enumerate(rows) if i not in (10, 40)]


def test_a_column_of_lists_is_refused(tmp_path):
    rows = [{**row, "shop": {"a": 1}} for row in records()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"x.parquet: the column 'shop' is of the type struct"):
        run(tmp_path, tmp_path / "x.parquet")


def test_a_random_split_needs_no_order(tmp_path):
    rows = [{**row, "when": -row["when"]} for row in records()]
    path = write_csv(tmp_path / "x.csv", rows)
    with pytest.raises(UserError, match="row 3 of the log has an earlier when"):
        run(tmp_path, path)
    assert run(tmp_path, path, split="random").description["settings"]["split"] == "random"


VALUES = """
label = "clicked"
integers = ["visits", "stamp"]
numbers = ["price"]
categoricals = ["shop", "id"]
missing = ["-", "?"]
"""


def values(count=60):
    """Rows with whole numbers beyond 32 bits, decimal ones, and ids that only text tells apart."""
    generator = np.random.default_rng(1)
    for i in range(count):
        yield {
            "clicked": i % 2 == 1,
            "visits": None if i % 6 == 0 else int(generator.integers(-3, 200_000)),
            "stamp": 1_700_000_000_000_000_000 + i,
            "price": None if i % 4 == 0 else round(float(generator.normal() * 10 ** (i % 5)), 3),
            "shop": None if i % 7 == 0 else i % 3,
            "id": 9_007_199_254_740_992 + i % 2,
        }


def spelled(kind, value):
    """Spell a value as a program would."""
    if kind == "pandas" and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**50:
        return f"{value}.0"  # a column of whole numbers with missing ones becomes one of decimals
    if kind == "R" and isinstance(value, bool):
        return str(value).upper()
    if kind == "" and isinstance(value, bool):
        return str(int(value))
    if kind == "labels of -1 and 1" and isinstance(value, bool):
        return "1.0" if value else "-1"
    if value is None:
        return {"pandas": "", "R": "NA", "MySQL": "\\N", "str": "None", "own": "?"}.get(kind, "")
    return str(value)


@pytest.mark.parametrize(
    "kind", ["pandas", "R", "MySQL", "str", "own", "labels of -1 and 1", "parquet", "blanks"]
)
def test_values_are_read_as_programs_write_them(tmp_path, kind):
    rows = list(values())
    plain = [{name: spelled("", value) for name, value in row.items()} for row in rows]
    expected = run(tmp_path, write_csv(tmp_path / "a.csv", plain), schema=VALUES)
    assert expected.integer_names == ("visits", "stamp", "price")
    path, schema = tmp_path / "b", VALUES
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "blanks":
        header, body = (tmp_path / "a.csv").read_text().split("\n", 1)
        path.write_text(header.replace(",", " , ") + "\n" + body)
    else:
        write_csv(path, [{name: spelled(kind, value) for name, value in row.items()} for row in rows])
    if kind in ("R", "str"):  # a category may be called NA
        schema = VALUES.replace('"-"', '"NA", "None"')
    found = run(tmp_path, path, schema=schema, out="other")
    assert content(found) == content(expected)
    assert found.vocabulary == expected.vocabulary


def test_decimal_numbers_keep_their_sign_and_are_standardised(tmp_path):
    rows = [{"clicked": i % 2, "rate": (i - 30) / 1000, "price": -(10.0 ** (i % 7))} for i in range(60)]
    schema = 'label = "clicked"\nnumbers = ["rate", "price"]'
    data = run(tmp_path, write_csv(tmp_path / "x.csv", rows), schema=schema)
    raw = np.array([[row["rate"], row["price"]] for row in rows])
    logs = np.sign(raw) * np.log1p(np.abs(raw))
    expected = (logs - logs[:42].mean(axis=0)) / logs[:42].std(axis=0)
    found = data.rows("train", "val", "test").columns().integers
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert data.description["normalisation"]["signed"] == 2


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (
            table.integer,
            {
                "": None,
                " 25.0": 25,
                "1e5": 100_000,
                "True": 1,
                "-9223372036854775808": -(2**63),
                "<NA>": None,
            },
            ["25.5", "9223372036854775808", "1_000", "inf", "x"],
        ),
        (
            table.decimal,
            {"2": 2, "-1.5e3": -1500, "False": 0, "nan": None, "NULL": None, ".5 ": 0.5},
            ["inf", "1e999", "1,5", "x"],
        ),
        (
            table.category,
            {
                "": None,
                "\\N": None,
                "25.0": "25",
                "-1.0": "-1",
                "1.50": "1.50",
                "NA": "NA",
                " a": " a",
                "1.": "1.",
            },
            [],
        ),
        (
            table.click,
            {"1": 1, "0": 0, "-1": 0, "1.0": 1, "0.0": 0, "True": 1, "false": 0, "+1": 1},
            ["", "2", "0.5", "yes", "nan"],
        ),
    ],
)
def test_each_spelling_has_one_meaning(read, good, bad):
    assert {text: read(text) for text in good} == good
    for text in bad:
        with pytest.raises(ValueError, match=r"0 or 1|number"):
            read(text)


@settings(deadline=None)
@given(
    st.lists(
        st.floats(width=64).map(repr)
        | st.sampled_from(["", " 1", "1 ", "NA", "1e400", "x", "0x1p3", "1_0", "+5", "١", "Infinity", "1e5"]),
        min_size=1,
        max_size=4,
    )
)
def test_numbers_are_read_at_once_as_one_by_one(texts):
    column = table.feature_columns(parse_schema('label = "a"\nnumbers = ["n"]', Path("s")))[0]
    try:
        expected = [column.parse(text) for text in texts]
    except ValueError:
        with pytest.raises(ValueError, match="a finite number"):
            column.convert(pa.array(texts))
    else:
        assert column.convert(pa.array(texts)).to_pylist() == expected


@pytest.mark.parametrize("separator", ["::", "|", "\t", ";"])
def test_files_without_a_header_and_with_any_separator(tmp_path, separator):
    expected = content(
        run(tmp_path, write_csv(tmp_path / "a.csv", [{**row, "city": "x"} for row in records()]))
    )
    names = ["note", "when", "age", "city", "shop", "stars"]
    lines = [
        separator.join("" if row[n] is None else str(row[n]) for n in names)
        for row in ({**r, "city": "x"} for r in records())
    ]
    (tmp_path / "b.dat").write_text("\n".join(lines) + "\n")
    schema = SCHEMA + f"separator = {json.dumps(separator)}\nheader = {json.dumps(names)}\n"
    assert content(run(tmp_path, tmp_path / "b.dat", schema=schema, out="other")) == expected
    with pytest.raises(UserError, match=r"b.dat, line 1: 6 columns, expected 5"):
        run(tmp_path, tmp_path / "b.dat", schema=schema.replace('"note", ', ""), out="third")


def test_a_table_with_a_mark_an_index_and_quotes_in_its_header(tmp_path):
    rows = list(records())
    expected = content(run(tmp_path, write_csv(tmp_path / "a.csv", rows)))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    header = ",".join(["", *(f'"{name}"' for name in lines[0].split(","))])
    text = "\r\n".join([header, *(f"{number},{line}" for number, line in enumerate(lines[1:])), "", ""])
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert content(run(tmp_path, tmp_path / "b.csv", out="other")) == expected

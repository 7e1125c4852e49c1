import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys_bnn.data.dataset import SPLITS, open_dataset
from recsys_bnn.data.formats.avazu import HEADER, Avazu, hour
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError


def row(hour="14102100", click="0", **changed):
    cells = dict.fromkeys(HEADER, "7") | {
        name: "1fbe01fe"
        for name in HEADER
        if name.startswith(("site", "app")) or name in ("device_id", "device_ip", "device_model")
    }
    cells |= {"id": "10000169349117863715", "click": click, "hour": hour, **changed}
    return ",".join(cells[name] for name in HEADER) + "\n"


def log(rows):
    return ",".join(HEADER) + "\n" + "".join(rows)


GOOD = [row(f"1410{day}{h:02}", str(h % 2)) for day in range(21, 31) for h in range(24)]


def run(path, out, **settings):
    prepare(PrepareConfig(format="avazu", input=(path,), out=out, **settings))
    return open_dataset(out)


def test_an_hour_is_counted_from_a_monday():
    assert hour("00010300") == 0
    assert hour("14102100") // 24 % 7 == 1  # 21 October 2014 was a Tuesday
    assert hour("14102123") % 24 == 23
    assert hour("16022900") - hour("16022823") == 1  # a leap day


@pytest.mark.parametrize("text", ["", "1410210", "14102124", "14130100", "15022900", "2014-10-", "١٤١٠٢١٠٠"])
def test_other_hours_are_refused(text):
    with pytest.raises(ValueError, match="an hour as YYMMDDHH"):
        hour(text)


@pytest.mark.parametrize("gz", [False, True])
def test_features_are_all_columns_but_the_id_with_the_hour_as_two(tmp_path, gz):
    path = tmp_path / ("train.gz" if gz else "train")
    path.write_bytes(gzip.compress(log(GOOD).encode()) if gz else log(GOOD).encode())
    data = run(path, tmp_path / "out")
    assert data.name == "avazu-240"
    assert data.integer_names == ()
    assert data.categorical_names == ("hour_of_day", "weekday", *HEADER[3:])
    assert len(data.categorical_names) == 23
    assert data.cardinalities[:4] == (26, 9, 3, 3)
    batch = data.rows("train").columns()
    table = pq.read_table(data.folder / "vocabulary.parquet").to_pylist()
    values = {r["id"]: r["value"] for r in table if r["field"] == "hour_of_day"}
    assert [values[i] for i in batch.categoricals[:24, 0].tolist()] == [str(h) for h in range(24)]
    assert next(r["value"] for r in table if r["field"] == "device_ip" and r["id"] == 2) == "1fbe01fe"
    assert batch.labels[:4].tolist() == [0, 1, 0, 1]


def test_days_are_dates_and_can_split_the_log(tmp_path):
    path = tmp_path / "train"
    path.write_text(log(GOOD))
    described = run(path, tmp_path / "out", split="day").description
    assert described["rows"] == {"train": 192, "val": 24, "test": 24}
    assert [p["period"] for p in described["periods"]] == [f"2014-10-{day}" for day in range(21, 31)]
    assert {p["click_rate"] for p in described["periods"]} == {0.5}


def test_negative_values_such_as_of_c20_are_values(tmp_path):
    path = tmp_path / "train"
    path.write_text(log([row(click=str(i % 2), C20="-1") for i in range(20)]))
    data = run(path, tmp_path / "out")
    table = pq.read_table(data.folder / "vocabulary.parquet").to_pylist()
    assert [r["value"] for r in table if r["field"] == "C20"] == [None, "", "-1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (
            log(GOOD[:3]).replace("click", "clicks").encode(),
            "line 1: expected the header of Avazu's train file",
        ),
        ("".join(GOOD).encode(), "line 1: expected the header"),
        (log([*GOOD[:3], row(click="2")]).encode(), "line 5: click is '2', expected 0 or 1"),
        (
            log([*GOOD[:3], row(hour="14102125")]).encode(),
            "line 5: hour is '14102125', expected an hour as YYMMDDHH",
        ),
        (log([*GOOD[:3], row()[:-3]]).encode(), "line 5: 23 columns, expected 24"),
        (log([*GOOD[:3], row(site_id="xyz")]).encode(), "line 5: site_id is 'xyz', expected 8 hex digits"),
        (log([*GOOD[:3], row(C14="1.5")]).encode(), "line 5: C14 is '1.5', expected a whole number"),
        (log([*GOOD[:3], row(C14="\0")]).encode(), "line 5: a NUL byte"),
        (log([GOOD[1], GOOD[0]]).encode(), "row 2 of the log has an earlier hour than the row before it"),
        (log([]).encode(), "holds no row of the format avazu"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, content, message):
    path = tmp_path / "train"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        run(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["train"]


def test_truncated_gzip_is_named(tmp_path):
    generator = np.random.default_rng(0)
    rows = [row(device_ip=f"{ip:08x}") for ip in generator.integers(2**32, size=5000)]
    path = tmp_path / "train.gz"
    path.write_bytes(gzip.compress(log(rows).encode())[:-50])
    with pytest.raises(UserError, match=r"train.gz: the gzip data end too early"):
        run(path, tmp_path / "out")


def test_rows_out_of_order_are_found_across_files(tmp_path):
    for name, rows in (("a", GOOD[10:20]), ("b", GOOD[:10])):
        (tmp_path / name).write_text(log(rows))
    settings = PrepareConfig(format="avazu", input=(tmp_path / "a", tmp_path / "b"), out=tmp_path / "out")
    with pytest.raises(UserError, match="row 11 of the log has an earlier hour"):
        prepare(settings)


def test_rows_that_are_split_at_random_may_come_in_any_order(tmp_path):
    (tmp_path / "log").write_text(log([*GOOD[10:20], *GOOD[:10]]))
    data = run(tmp_path / "log", tmp_path / "out", split="random")
    assert sum(len(data.rows(split)) for split in SPLITS) == 20
    # Rows of a day don't stand together, so that rates by day would be those of others.
    periods = next(value for value in data.description.values() if "click_rate" in str(value))
    assert "2014" not in str(periods)


def test_columns_are_found_by_name_whatever_their_order(tmp_path):
    order = [
        "click",
        *sorted(HEADER[2:]),
        "mday",
    ]  # as other libraries write them: no id, and features of their own
    rows = [dict(zip(HEADER, line.rstrip().split(","), strict=True)) | {"mday": "21"} for line in GOOD]
    lines = [",".join(order), *(",".join(row[name] for name in order) for row in rows)]
    (tmp_path / "other").write_text("\n".join(lines))
    (tmp_path / "train").write_text(log(GOOD))
    expected, found = run(tmp_path / "train", tmp_path / "a"), run(tmp_path / "other", tmp_path / "b")
    assert found.vocabulary == expected.vocabulary
    assert (found.rows("test").columns().categoricals == expected.rows("test").columns().categoricals).all()


def test_the_header_is_checked_before_anything_is_read(tmp_path):
    (tmp_path / "x").write_text("id,click\n1,0\n")
    with pytest.raises(UserError, match="with 24 columns, found 'id,click' with 2"):
        Avazu([tmp_path / "x"])

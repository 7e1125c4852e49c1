import gzip
from pathlib import Path

import pytest

from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.data.formats.criteo_1tb import Criteo1TB, day_files
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError


def day_lines(day: int, rows: int) -> bytes:
    """Rows whose first integer is the day and whose first categorical is the day as well."""
    return b"".join(
        b"%d\t%d" % (i % 2, day) + b"\t0" * 12 + b"\t%08x" % day + b"\t" * 25 + b"\n" for i in range(rows)
    )


def write_days(folder: Path, days: dict[str, int]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in days.items():
        content = day_lines(int(name.split("_")[1].split(".")[0]), rows)
        (folder / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return folder


def test_days_come_in_numeric_order_from_files_and_folders_plain_or_gzip(tmp_path):
    folder = write_days(tmp_path / "days", {"day_9.gz": 1, "day_10": 1, "day_11.txt.zst": 1})
    (folder / "README").write_text("not a day")
    extra = tmp_path / "day_8"
    extra.write_bytes(day_lines(8, 1))
    assert [path.name for path in day_files([folder, extra])] == [
        "day_8",
        "day_9.gz",
        "day_10",
        "day_11.txt.zst",
    ]


def test_the_last_day_is_the_test_and_the_day_before_it_the_validation(tmp_path):
    folder = write_days(tmp_path / "days", {"day_0": 10, "day_1.gz": 20, "day_2": 6, "day_3.gz": 8})
    prepare(PrepareConfig(format="criteo-1tb", input=(folder,), out=tmp_path / "out"))
    data = open_dataset(tmp_path / "out")
    assert data.name == "criteo-1tb-44"
    assert data.description["rows"] == {"train": 30, "val": 6, "test": 8}
    assert data.description["settings"]["split"] == "day"
    assert "val_fraction" not in data.description["settings"]
    assert [(p["period"], p["rows"], p["click_rate"]) for p in data.description["periods"]] == [
        ("day_0", 10, 0.5),
        ("day_1", 20, 0.5),
        ("day_2", 6, 0.5),
        ("day_3", 8, 0.5),
    ]
    # the vocabulary knows days 0 and 1 alone
    assert data.description["out_of_vocabulary_rate"]["C1"] == {"train": 0.0, "val": 1.0, "test": 1.0}


def test_a_split_by_fraction_ignores_the_days(tmp_path):
    folder = write_days(tmp_path / "days", {"day_0": 10, "day_1": 30})
    prepare(PrepareConfig(format="criteo-1tb", input=(folder,), out=tmp_path / "out", split="time"))
    assert open_dataset(tmp_path / "out").description["rows"] == {"train": 28, "val": 4, "test": 8}


def test_a_day_missing_between_others_is_named(tmp_path):
    folder = write_days(tmp_path / "days", {"day_0": 1, "day_1": 1, "day_3.gz": 1, "day_5": 1})
    with pytest.raises(UserError, match=r"days/day_2: missing, though later days such as day_3.gz are given"):
        Criteo1TB([folder])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["day_1", "day_1.gz"], "day 1 is there twice"),
        (["train.txt"], "holds no file day_0, day_1"),
    ],
)
def test_other_folders_are_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=message):
        Criteo1TB([tmp_path])


def test_a_file_that_is_no_day_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"train.txt: expected a name such as day_0"):
        Criteo1TB([tmp_path / "train.txt"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("day_2", b"", "day_2: the file is empty"),
        ("day_2", day_lines(2, 5) + b"1\t2\n", "day_2, line 6: 2 columns, expected 40"),
        ("day_2", b"\0" * 10, "day_2, line 1: a NUL byte at position 1"),
        ("day_2", day_lines(2, 5) + b"9" + day_lines(2, 1)[1:], "day_2, line 6: the label is '9'"),
        ("day_2.gz", gzip.compress(day_lines(2, 5000))[:-20], "day_2.gz: the gzip data end too early"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, name, content, message):
    folder = write_days(tmp_path / "days", {"day_0": 10, "day_1": 10})
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        prepare(PrepareConfig(format="criteo-1tb", input=(folder,), out=tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["days"]


def test_two_days_are_too_few_for_a_split_by_day(tmp_path):
    folder = write_days(tmp_path / "days", {"day_0": 10, "day_1": 10})
    with pytest.raises(UserError, match="needs at least 3 days with rows, and the log has 2"):
        prepare(PrepareConfig(format="criteo-1tb", input=(folder,), out=tmp_path / "out"))

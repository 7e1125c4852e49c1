"""Folders of parts and patterns stand for files in the order of their numbers."""

import gzip
from pathlib import Path

import pytest

from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.data.formats.inputs import listed
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError

SCHEMA = 'label = "y"\ncategoricals = ["u"]\n'


def spark(folder: Path, ending: str = ".csv") -> Path:
    """A folder as Spark writes it."""
    folder.mkdir()
    for name in ("_SUCCESS", ".part-00002.csv.crc", *(f"part-{n}{ending}" for n in (10, 9, 0))):
        (folder / name).write_text("y,u\n" if name.startswith("part") else "")
    return folder


def test_parts_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = spark(tmp_path / "log")
    expected = tuple(folder / f"part-{n}.csv" for n in (0, 9, 10))
    assert listed([folder], folders=True) == expected
    assert listed([folder / "*"], folders=True) == expected
    assert listed([folder / "part-?.csv", folder / "part-10.csv"], folders=True) == expected
    assert listed([tmp_path / "*" / "part-*"], folders=False) == expected
    assert listed([folder], folders=False) == (folder,)


def test_a_name_with_brackets_is_a_file_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "log[1].csv").write_text("y,u\n")
    assert listed([tmp_path / "log[1].csv"], folders=True) == (tmp_path / "log[1].csv",)
    assert listed([tmp_path / "none.csv"], folders=True) == (tmp_path / "none.csv",), (
        "it is missed later, by its name"
    )


def test_what_is_not_clear_is_refused(tmp_path: Path) -> None:
    folder = spark(tmp_path / "log")
    with pytest.raises(UserError, match=r"--input .*/nothing-\*: no file matches this pattern"):
        listed([tmp_path / "nothing-*"], folders=True)
    with pytest.raises(UserError, match="part-9.csv: given twice"):
        listed([folder, folder / "part-9.csv"], folders=True)
    (folder / "notes.txt").touch()
    with pytest.raises(
        UserError, match=r"files of several kinds \(.csv, .txt\); give files, or a pattern in quotes"
    ):
        listed([folder], folders=True)
    (folder / "date=2020-01-01").mkdir()
    with pytest.raises(UserError, match="holds folders such as date=2020-01-01; give a pattern"):
        listed([folder], folders=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: is a folder with no file"):
        listed([tmp_path / "empty"], folders=True)


def test_a_folder_of_parts_is_one_log(tmp_path: Path) -> None:
    lines = [f"{i % 2},{'ab'[i % 3 % 2]}" for i in range(90)]
    (tmp_path / "log").mkdir()
    for part in range(3):
        text = "\n".join(["y,u", *lines[30 * part : 30 * part + 30]])
        (tmp_path / "log" / f"part-{part}.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "log" / "_SUCCESS").touch()
    (tmp_path / "schema.toml").write_text(SCHEMA)
    data = open_dataset(
        prepare(
            PrepareConfig(
                "table", input=(tmp_path / "log",), schema=tmp_path / "schema.toml", out=tmp_path / "out"
            )
        )
    )
    assert data.name == "log"
    assert data.rows("train", "val", "test").labels().tolist() == [int(line[0]) for line in lines]
    assert data.description["table_schema"] == SCHEMA

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.formats.table_schema import parse_schema, read_schema
from recsys_bnn.data.list_text import split_list
from recsys_bnn.data.lists import by_field, list_parts, lists_of, without_nulls
from recsys_bnn.data.raw_rows import RawRows, dataset_encoder
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError

SCHEMA = """
label = "click"
categoricals = ["user"]
lists = {genres = "|", tags = ","}
missing = ["?"]
"""
GENRES: list[list[str | None]] = [
    ["Action", "Comedy"],
    [],
    ["Comedy", "Comedy", "Drama"],
    [None, "Drama"],
    ["Rare"],
]
TAGS: list[list[Any]] = [[3, 17, 25], [3], [], [3, 17], [17, 99, 3, 3]]
CELLS = (
    ["Action|Comedy", "", " Comedy | Comedy|Drama", "?|Drama|", "Rare"],
    ["[3, 17, 25]", "3", "[]", "3.0,17", "['17', 99, 3, 3]"],
)


def rows(count: int = 60) -> dict[str, list[Any]]:
    """The five lists in turn, of which the last is too rare for ids of its own."""
    at = [4 if i == 30 else i % 4 for i in range(count)]
    return {
        "at": at,
        "click": [i % 3 == 0 for i in range(count)],
        "user": [f"u{i % 2}" for i in range(count)],
    }


def text(folder: Path) -> Path:
    made, path = rows(), folder / "log.csv"
    cells = [
        f'{int(click)},{user},{CELLS[0][at]},"{CELLS[1][at]}"'
        for at, click, user in zip(made["at"], made["click"], made["user"], strict=True)
    ]
    path.write_text("\n".join(["click,user,genres,tags", *cells, ""]))
    return path


def parquet(folder: Path) -> Path:
    made, path = rows(), folder / "log.parquet"
    lists = {"genres": [GENRES[at] for at in made["at"]], "tags": [TAGS[at] for at in made["at"]]}
    pq.write_table(pa.table({"click": made["click"], "user": made["user"], **lists}), path)
    return path


def run(folder: Path, path: Path, schema: str = SCHEMA, out: str = "out", **settings: Any) -> Dataset:
    (folder / "schema.toml").write_text(schema)
    config = PrepareConfig(
        format="table", input=(path,), schema=folder / "schema.toml", out=folder / out, **settings
    )
    prepare(config)
    return open_dataset(folder / out)


def decoded(data: Dataset, ids: np.ndarray) -> list[tuple[str | None, ...]]:
    """Return the values of each row and field, ``?`` for one out of vocabulary and "" for a missing one."""
    table = pq.read_table(data.folder / "vocabulary.parquet").to_pylist()
    values = {(row["field"], row["id"]): "?" if row["value"] is None else row["value"] for row in table}
    fields = by_field(ids, data.list_widths)
    return [
        tuple(
            "|".join(values[name, i] for i in each.tolist() if i >= 0)
            for name, each in zip(data.categorical_names, row, strict=True)
        )
        for row in zip(*fields, strict=True)
    ]


WANTED = [
    ("Action|Comedy", "3|17|25"),
    ("", "3"),
    ("Comedy|Comedy|Drama", ""),
    ("Drama", "3|17"),
    ("?", "17|?|3|3"),
]


@pytest.mark.parametrize("made", [text, parquet])
def test_lists_are_read_from_text_and_from_parquet(tmp_path: Path, made: Any) -> None:
    path = made(tmp_path)
    data = run(tmp_path, path)
    assert (data.categorical_names, data.list_widths, data.columns) == (("user", "genres", "tags"), (3, 4), 8)
    ids = data.rows("train", "val", "test").columns().categoricals
    expected = [(f"u{i % 2}", *WANTED[at]) for i, at in enumerate(rows()["at"])]
    assert decoded(data, ids) == expected
    assert data.description["missing_rate"]["genres"]["train"] == pytest.approx(11 / 42)
    assert data.description["out_of_vocabulary_rate"]["tags"]["train"] == pytest.approx(1 / 42)
    schema = read_schema(tmp_path / "schema.toml")
    [found] = RawRows("table", [path], dataset_encoder(data.folder), schema=schema).read()
    assert found.ids.tolist() == ids.tolist()


def test_items_are_counted_as_often_as_they_stand(tmp_path: Path) -> None:
    data = run(tmp_path, parquet(tmp_path))
    at = [at for at in rows()["at"][:42]]
    every = [item for a in at for item in GENRES[a] if item is not None]
    table = pq.read_table(data.folder / "vocabulary.parquet", filters=[("field", "==", "genres")]).to_pylist()
    counts = {row["value"]: row["count"] for row in table}
    assert counts == {
        None: 1,
        "": sum(not GENRES[a] for a in at),
        **{g: every.count(g) for g in ("Comedy", "Drama", "Action")},
    }


def test_longer_lists_are_cut_and_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = run(tmp_path, text(tmp_path), SCHEMA + "longest = 2")
    assert data.list_widths == (2, 2)
    ids = data.rows("train", "val", "test").columns().categoricals
    assert decoded(data, ids)[:3] == [
        ("u0", "Action|Comedy", "3|17"),
        ("u1", "", "3"),
        ("u0", "Comedy|Comedy", ""),
    ]
    assert data.description["cut_list_rate"]["genres"]["test"] == pytest.approx(3 / 12)
    assert "genres: some lists are longer" in capsys.readouterr().err


def test_new_rows_keep_the_width_of_their_vocabulary(tmp_path: Path) -> None:
    data = run(tmp_path, text(tmp_path))
    short = tmp_path / "short.csv"
    short.write_text("click,user,genres,tags\n" + "1,u0,Drama,3\n0,u1,Comedy,17\n" * 5)
    again = run(tmp_path, short, out="again", vocabulary=data.folder)
    assert (again.list_widths, again.vocabulary) == (data.list_widths, data.vocabulary)
    assert decoded(again, again.rows("train").columns().categoricals)[0] == ("u0", "Drama", "3")


def test_hashed_lists_and_sorted_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "click,t,user,tags\n" + "".join(f'{i % 2},{99 - i},u{i % 3},"{i},{i + 1}"\n' for i in range(60))
    )
    schema = 'label = "click"\ntime = "t"\nsort = true\ncategoricals = ["user"]\nlists = {tags = ","}\n'
    data = run(tmp_path, path, schema, hash_buckets=8, min_count=1)
    ids = data.rows("train").columns().categoricals
    assert "tags" in data.description["hashed"] and ids[:, 1:].min() >= 2 and ids[:, 1:].max() < 10
    assert (ids[:-1, 1] == ids[1:, 2]).all()  # the row before, in time, had one more


def test_a_log_without_lists_says_nothing_of_them(tmp_path: Path) -> None:
    data = run(tmp_path, text(tmp_path), 'label = "click"\ncategoricals = ["user", "genres"]')
    described = json.loads((data.folder / "dataset.json").read_text())
    assert not {"list_widths", "cut_list_rate"} & described.keys()
    assert data.list_widths == () and data.columns == 2


def test_lists_without_nulls_and_empty_ones() -> None:
    column = lists_of(np.array([2, 0, 3]), pa.array(["a", None, None, None, "b"]))
    lengths, items = list_parts(column)
    assert without_nulls(lengths, items).to_pylist() == [["a"], None, ["b"]]
    assert list_parts(column.slice(1))[0].tolist() == [0, 3]


@pytest.mark.parametrize(
    ("written", "items"),
    [("a|b", ["a", "b"]), ("[ a |'b']", ["a", "b"]), ("", [""]), ('"', ['"']), ("[1|2", ["[1", "2"])],
)
def test_a_list_in_text(written: str, items: list[str]) -> None:
    assert split_list(written, "|") == items


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('lists = ["genres"]', "lists must be a table of columns with what stands between their items"),
        ('lists = {genres = ""}', "lists must be"),
        ('lists = {user = "|"}', "names the column 'user' twice"),
        ("longest = 3", "longest is for columns of lists"),
        ('lists = {genres = "|"}\nlongest = 0', "longest must be a whole number from 1"),
    ],
)
def test_a_schema_that_is_wrong(line: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_schema(f'label = "click"\ncategoricals = ["user"]\n{line}', Path("schema.toml"))


def test_a_column_of_lists_under_categoricals_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="column of lists under lists"):
        run(tmp_path, parquet(tmp_path), 'label = "click"\ncategoricals = ["user", "genres"]')

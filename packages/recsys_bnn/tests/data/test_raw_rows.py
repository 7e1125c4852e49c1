"""Raw rows, labelled or not, are encoded as `prepare` encodes them, each in its place."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.data.formats import text
from recsys_bnn.data.formats.avazu import HEADER
from recsys_bnn.data.formats.table_schema import read_schema
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.data.parallel import parallel_map
from recsys_bnn.data.raw_rows import EncodedRows, RawRows, dataset_encoder, field_ids
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

ROWS = 300
DRAWN = np.random.default_rng(0).integers(0, 9, (ROWS, 32))


def criteo(folder: Path) -> tuple[Path, Path]:
    write_log(folder / "log.txt", SyntheticConfig(ROWS))
    lines = (folder / "log.txt").read_bytes().splitlines(keepends=True)
    (folder / "new.txt").write_bytes(b"".join(line[2:] for line in lines))
    return folder / "log.txt", folder / "new.txt"


def avazu(folder: Path) -> tuple[Path, Path]:
    hexadecimal = [n for n in HEADER if n.startswith(("site", "app", "device_i", "device_m"))]
    rows = [list(HEADER)]
    for number, drawn in enumerate(DRAWN):
        cells = [f"{d:08x}" if n in hexadecimal else str(d) for n, d in zip(HEADER, drawn, strict=False)]
        rows.append([str(number), str(drawn[1] % 2), f"141021{number * 24 // ROWS:02}", *cells[3:]])
    without = [[*row[2:], row[0]] for row in rows]  # no click, and the id at the end
    return written(folder / "train", rows, ","), written(folder / "test", without, ",")


def libfm(folder: Path) -> tuple[Path, Path]:
    rows = [[str(d[0] % 2 * 2 - 1), f"{d[1]}:1", f"{10 + d[2]}:1"] for d in DRAWN]
    return written(folder / "a.libfm", rows, " "), written(folder / "b.libfm", [row[1:] for row in rows], " ")


def table(folder: Path) -> tuple[Path, Path]:
    rows = [["rating", "age", "user"], *([str(d[0]), str(d[1]), f'"user, {d[2]}"'] for d in DRAWN)]
    turned = [[user, age] for _, age, user in rows]
    return written(folder / "log.csv", rows, ","), written(folder / "new.csv", turned, ",")


def parquet(folder: Path) -> tuple[Path, Path]:
    log, _ = table(folder)
    columns = {"user": [f"user, {d[2]}" for d in DRAWN], "age": DRAWN[:, 1]}
    pq.write_table(pa.table(columns), folder / "new.parquet", row_group_size=70)
    return log, folder / "new.parquet"


def movielens(folder: Path) -> tuple[Path, Path]:
    rows = [
        [str(d[0] + 1), str(d[1] + 1), str(d[2] % 5 + 1), str(978300000 + n)] for n, d in enumerate(DRAWN)
    ]
    written(
        folder / "movies.dat",
        [[str(n), f"Film {n} (199{n % 9})", "Comedy|Drama"] for n in range(1, 11)],
        "::",
    )
    written(folder / "users.dat", [[str(n), "FM"[n % 2], "25", str(n), "12345"] for n in range(1, 11)], "::")
    written(folder / "ratings.dat", rows, "::")
    return folder, written(folder / "pairs.dat", [row[:2] for row in rows], "::")


def written(path: Path, rows: list[list[str]], separator: str) -> Path:
    path.write_text("".join(separator.join(row) + "\n" for row in rows))
    return path


FORMATS = {
    "criteo-kaggle": criteo,
    "avazu": avazu,
    "libfm": libfm,
    "table": table,
    "table of Parquet": parquet,
    "movielens": movielens,
}
SCHEMA = 'label = "rating"\nthreshold = 4\nintegers = ["age"]\ncategoricals = ["user"]\n'


def options(name: str, folder: Path) -> dict[str, Any]:
    if not name.startswith("table"):
        return {}
    (folder / "schema.toml").write_text(SCHEMA)
    return {"schema": folder / "schema.toml"}


def read(name: str, folder: Path, data: Path, *paths: Path, **changes: Any) -> RawRows:
    schema = read_schema(folder / "schema.toml") if name.startswith("table") else None
    return RawRows(name.split(" ")[0], paths, dataset_encoder(data), schema=schema, **changes)


def joined(parts: list[EncodedRows]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([p.integers for p in parts]), np.concatenate([p.ids for p in parts])


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_rows_with_and_without_labels_are_encoded_as_prepare_does(
    name: str, hashed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, new = FORMATS[name](tmp_path)
    settings: dict[str, Any] = {"format": name.split(" ")[0], "input": (log,), "split": "time"}
    settings |= {"hash_buckets": 5 if hashed else None, **options(name, tmp_path)}
    data = open_dataset(prepare(PrepareConfig(out=tmp_path / "data", **settings)))
    expected = data.rows("train", "val", "test").columns()
    monkeypatch.setattr(text, "BLOCK_BYTES", 4096)
    for path in (log, new):
        rows = read(name, tmp_path, data.folder, path)
        with parallel_map(WorkConfig(2)) as ordered_map:
            parts = list(rows.read(ordered_map))
        integers, ids = joined(parts)
        np.testing.assert_array_equal(integers, expected.integers)
        np.testing.assert_array_equal(ids, expected.categoricals)
        assert [part.start for part in parts] == np.cumsum([0, *(part.rows for part in parts)])[:-1].tolist()
        assert len(rows.decisions) == 1
        labels = [click for part in parts if part.labels is not None for click in part.labels.to_pylist()]
        assert labels == (expected.labels.tolist() if path == log else [])
        assert all((part.names is None) == (name != "avazu") for part in parts)
    assert rows.decisions[0].startswith(f"{new}: ") and " no " in rows.decisions[0].replace("39 columns,", "")


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("visits")
    log, _ = table(folder)
    schema = options("table", folder)["schema"]
    prepare(PrepareConfig("table", input=(log,), schema=schema, out=folder / "data", min_count=1))
    return folder


def test_a_bad_row_leaves_a_gap_in_its_place(visits: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("age,user\n1,a\nx,b\n3,c\n\n")
    with pytest.raises(UserError, match=r"new.csv, line 3: age is 'x'"):
        list(read("table", visits, visits / "data", path).read())
    rows = read("table", visits, visits / "data", path, on_error="skip")
    (part,) = rows.read()
    assert part.rows == 3 and part.good is not None and part.good.tolist() == [0, 2]
    np.testing.assert_array_equal(part.spread(np.array([0.1, 0.3])), [0.1, np.nan, 0.3])
    assert rows.bad_rows.summary()["reasons"] == {"integer": 1}


def test_a_label_that_cannot_be_read_costs_no_row(visits: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("age,user,rating\n1,a,5\n2,b,\n3,c,soon\n4,c,3.5\n")
    (part,) = read("table", visits, visits / "data", path).read()
    assert part.labels is not None and part.labels.to_pylist() == [1, None, None, 0]


def test_reading_goes_on_from_any_row(visits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", 512)
    _, new = visits / "log.csv", visits / "new.csv"
    pq.write_table(
        pa.table({"user": [f"user, {d[2]}" for d in DRAWN], "age": DRAWN[:, 1]}), visits / "new.parquet"
    )
    whole = joined(list(read("table", visits, visits / "data", new, visits / "new.parquet").read()))
    for start in (0, 1, 57, ROWS, ROWS + 7, 2 * ROWS - 1):
        parts = list(read("table", visits, visits / "data", new, visits / "new.parquet").read(start=start))
        assert parts[0].start == start
        for a, b in zip(whole, joined(parts), strict=True):
            np.testing.assert_array_equal(a[start:], b)
    assert not list(read("table", visits, visits / "data", new).read(start=ROWS))


def test_a_missing_column_is_refused_or_filled(visits: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text('user\n"user, 3"\nnobody\n')
    with pytest.raises(
        UserError, match=r"new.csv: the column 'age' that the model reads is not there; the file has 'user'"
    ):
        list(read("table", visits, visits / "data", path).read())
    rows = read("table", visits, visits / "data", path, missing_columns="fill")
    (part,) = rows.read()
    assert np.isnan(part.integers).all()
    assert part.ids[0, 0] > 1 and part.ids[1, 0] == 0  # a value that training never saw
    assert any("no column age, taken as missing" in line for line in rows.decisions)


def test_other_features_are_refused(visits: Path, tmp_path: Path) -> None:
    write_log(tmp_path / "log.txt", SyntheticConfig(10))
    with pytest.raises(
        UserError, match=r"with the features I1, .* and 27 more; the model reads age, user \(text\)"
    ):
        read("criteo-kaggle", visits, visits / "data", tmp_path / "log.txt")
    with pytest.raises(
        UserError, match=r"rows of the format letters can't be scored; those of avazu, criteo"
    ):
        read("letters", visits, visits / "data", tmp_path / "log.txt")


def test_a_film_that_is_not_listed_keeps_its_number(tmp_path: Path) -> None:
    movielens(tmp_path)
    data = prepare(PrepareConfig("movielens", input=(tmp_path,), out=tmp_path / "data", split="time"))
    (tmp_path / "pairs.dat").write_text("1::1\n99::1\n1::99\n")
    (part,) = read("movielens", tmp_path, data, tmp_path / "pairs.dat").read()
    names = list(open_dataset(data).categorical_names)
    of = {name: part.ids[:, names.index(name)].tolist() for name in names}
    assert of["user_id"][1] == 0 and of["item_id"][2] == 0  # out of vocabulary
    assert of["gender"][1] == 1 and of["genre_1"][2] == 1  # missing
    assert np.isnan(part.integers[2, 1]) and not np.isnan(part.integers[1, 1])


def test_skipped_lines_of_criteo_keep_their_place_in_gzip(tmp_path: Path) -> None:
    log, new = criteo(tmp_path)
    data = prepare(PrepareConfig("criteo-kaggle", input=(log,), out=tmp_path / "data"))
    lines = new.read_bytes().splitlines(keepends=True)
    (tmp_path / "new.gz").write_bytes(gzip.compress(b"".join([*lines[:100], b"?\n", *lines[100:]])))
    parts = list(read("criteo-kaggle", tmp_path, data, tmp_path / "new.gz", on_error="skip").read())
    assert sum(part.rows for part in parts) == ROWS + 1
    ids = np.concatenate([part.spread(part.ids[:, 0].astype(np.float64)) for part in parts])
    expected = open_dataset(data).rows("train", "val", "test").columns().categoricals[:, 0]
    np.testing.assert_array_equal(np.delete(ids, 100), expected)
    assert np.isnan(ids[100])


def test_a_field_without_values_has_ids_for_missing_and_unknown_alone() -> None:
    ids = np.empty(2, np.int32)
    field_ids("hex", pa.array([], pa.string())).encode(pa.array([None, 7], pa.uint32()), ids)
    assert ids.tolist() == [1, 0]
    field_ids("text", pa.array([], pa.string())).encode(pa.array([None, "x"], pa.string()), ids)
    assert ids.tolist() == [1, 0]

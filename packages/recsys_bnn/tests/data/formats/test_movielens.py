import gzip
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.movielens import MovieLens, click
from recsys_bnn.data.formats.movielens_layouts import Item, User, find_layout
from recsys_bnn.data.formats.text import Source
from recsys_bnn.data.raw_rows import RawRows, dataset_encoder
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError

# The same ten ratings of two users and three films in four layouts, the times falling: user, film, rating, time.
RATINGS = [(1 + i % 2, (10, 20, 30)[i % 3], 1 + i % 5, 1000 - i) for i in range(10)]
USERS = {1: (24, "F", "artist"), 2: (53, "M", "writer")}
FILMS = {
    10: ("Été (1995)", "1995", ["Animation", "Children's", "Comedy", "Musical"]),
    20: ("Nowhere", "", []),
    30: ('Heat (1995), or: "Cold" (1986)', "1986", ["Crime"]),
}


def ml_100k(folder: Path) -> None:
    genres = ["unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary"]
    genres += [
        "Drama",
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
    ]
    genres += ["War", "Western"]
    lines = [
        "|".join(
            [str(n), title, f"01-Jan-{year}" if year else "", "", "", *(str(int(g in own)) for g in genres)]
        )
        for n, (title, year, own) in FILMS.items()
    ]
    (folder / "u.item").write_text("\n".join(lines) + "\n", encoding="latin-1")
    (folder / "u.data").write_text("".join(f"{u}\t{i}\t{r}\t{t}\n" for u, i, r, t in RATINGS))
    (folder / "u.user").write_text("".join(f"{n}|{a}|{g}|{o}|55117\n" for n, (a, g, o) in USERS.items()))


def ml_1m(folder: Path) -> None:
    (folder / "ratings.dat").write_text("".join(f"{u}::{i}::{r}::{t}\n" for u, i, r, t in RATINGS))
    films = [f"{n}::{title}::{'|'.join(genres) or 'unknown'}\n" for n, (title, _, genres) in FILMS.items()]
    (folder / "movies.dat").write_text("".join(films), encoding="latin-1")
    (folder / "users.dat").write_text(
        "".join(f"{n}::{g}::{a}::{o}::55117\n" for n, (a, g, o) in USERS.items())
    )


def ml_20m(folder: Path) -> None:
    rows = "".join(f"{u},{i},{r}.0,{t}\n" for u, i, r, t in RATINGS)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rows)
    films = []
    for n, (title, _, genres) in FILMS.items():
        quoted = '"' + title.replace('"', '""') + '"'
        films.append(f"{n},{quoted},{'|'.join(genres) or '(no genres listed)'}\n")
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "".join(films), encoding="utf-8")


def recbole(folder: Path) -> None:
    rows = "".join(f"{u}\t{i}\t{r}\t{t}\n" for u, i, r, t in RATINGS)
    (folder / "ml.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + rows)
    films = [f"{n}\t{t}\t{y or 'V'}\t{' '.join(g) or 'unkonwn'}\n" for n, (t, y, g) in FILMS.items()]
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (folder / "ml.item").write_text(header + "".join(films), encoding="utf-8")
    users = "".join(f"{n}\t{a}\t{g}\t{o}\t55117\n" for n, (a, g, o) in USERS.items())
    header = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    (folder / "ml.user").write_text(header + users)


LAYOUTS = [ml_100k, ml_1m, ml_20m, recbole]


def run(path: Path, out: Path, **settings) -> Dataset:
    prepare(PrepareConfig(format="movielens", input=(path,), out=out, **settings))
    return open_dataset(out)


def decoded(data: Dataset) -> list[dict]:
    """The rows as texts, in order; None for a missing value and ``?`` for one out of vocabulary."""
    table = pq.read_table(data.folder / "vocabulary.parquet").to_pylist()
    texts = {(row["field"], row["id"]): row["value"] for row in table}
    batch = data.rows("train", "val", "test").columns()
    rows = []
    for label, ids in zip(batch.labels.tolist(), batch.categoricals.tolist(), strict=True):
        values = [texts[name, i] for name, i in zip(data.categorical_names, ids, strict=True)]
        shown = ["?" if value is None else value or None for value in values]
        rows.append({"click": label, **dict(zip(data.categorical_names, shown, strict=True))})
    return rows


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_rows_by_time(tmp_path, layout):
    layout(tmp_path)
    data = run(tmp_path, tmp_path / "out", min_count=1, val_fraction=0, test_fraction=0)
    rows = decoded(data)
    for row, (user, film, rating, _) in zip(rows, reversed(RATINGS), strict=True):
        assert row["click"] == (rating >= 4)
        assert (row["user_id"], row["item_id"]) == (str(user), str(film))
        genres = [*FILMS[film][2], None, None, None][:3]
        assert [row["genre_1"], row["genre_2"], row["genre_3"]] == genres
        if layout is not ml_20m:  # which knows nothing about its users
            assert (row["gender"], row["occupation"]) == USERS[user][1:]
    assert data.integer_names == (("release_year",) if layout is ml_20m else ("age", "release_year"))
    assert data.description["missing_rate"]["release_year"]["train"] == 0.3  # film 20 has no year


def test_genres_may_be_one_field_of_lists(tmp_path):
    ml_100k(tmp_path)
    data = run(tmp_path, tmp_path / "out", min_count=1, val_fraction=0, test_fraction=0, genres="list")
    assert data.categorical_names == ("user_id", "item_id", "gender", "occupation", "genres")
    table = pq.read_table(data.folder / "vocabulary.parquet", filters=[("field", "==", "genres")])
    texts, ids = table["value"].to_pylist(), data.rows("train").columns().categoricals[:, 4:]
    for row, (_, film, _, _) in zip(ids.tolist(), reversed(RATINGS), strict=True):
        assert [texts[i] for i in row if i >= 0] == ([*FILMS[film][2]] or [""])
    [rows] = RawRows("movielens", [tmp_path], dataset_encoder(data.folder)).read()
    assert sorted(rows.ids[:, 4:].tolist()) == sorted(ids.tolist())


def test_features_are_the_same_in_every_layout(tmp_path):
    for layout in LAYOUTS:
        folder = tmp_path / layout.__name__
        folder.mkdir()
        layout(folder)
        format = MovieLens([folder])
        found = find_layout(folder)
        items = found.items.read(Source(format.paths[1]), BadRows("fail"))
        assert items == {
            n: Item(n, int(year) if year else None, tuple(genres)) for n, (_, year, genres) in FILMS.items()
        }
        if found.users:
            users = found.users.read(Source(format.paths[2]), BadRows("fail"))
            assert users == {n: User(n, *about) for n, about in USERS.items()}


def test_the_ratings_file_stands_for_its_folder(tmp_path):
    recbole(tmp_path)
    assert MovieLens([tmp_path / "ml.inter"]).paths == MovieLens([tmp_path]).paths


def test_ml_10m_has_no_users(tmp_path):
    ml_1m(tmp_path)
    (tmp_path / "users.dat").unlink()
    with pytest.raises(UserError, match=r"users.dat: no such file; its features are needed"):
        MovieLens([tmp_path])
    (tmp_path / "tags.dat").write_text("1::10::good::5\n")
    assert MovieLens([tmp_path]).integer_names == ("release_year",)


@pytest.mark.parametrize(("text", "expected"), [("4", 1), ("3.5", 0), ("4.0", 1), ("5", 1), ("0.5", 0)])
def test_a_rating_of_four_is_a_click(text, expected):
    assert click(text) == expected


@pytest.mark.parametrize("text", ["", "six", "6", "-1", "nan"])
def test_other_ratings_are_refused(text):
    with pytest.raises(ValueError, match="a rating from 0 to 5"):
        click(text)


@pytest.mark.parametrize(
    ("layout", "name", "old", "new", "message"),
    [
        (ml_100k, "u.data", "1\t10\t1", "1\t10", r"u.data, line 1: 3 columns, expected 4"),
        (ml_100k, "u.data", "1\t10\t1", "1\t10\tx", r"u.data, line 1: rating is 'x', expected a rating"),
        (
            ml_100k,
            "u.data",
            "1\t10\t1",
            "1\t11\t1",
            r"line 1: item_id is '11', expected a number that u.item lists",
        ),
        (
            ml_100k,
            "u.data",
            "1\t10\t1",
            "7\t10\t1",
            r"line 1: user_id is '7', expected a number that u.user lists",
        ),
        (ml_100k, "u.data", "1\t10\t1", "\0\t10\t1", r"u.data, line 1: a NUL byte at position 1"),
        (ml_100k, "u.data", "\t1000\n", "\tnoon\n", r"line 1: timestamp is 'noon', expected a number"),
        (ml_100k, "u.item", "20|Nowhere", "20|No|where", r"u.item, line 2: 25 columns, expected 24"),
        (ml_100k, "u.item", "20|Nowhere", "10|Nowhere", r"u.item, line 2: 10 is listed a second time"),
        (ml_100k, "u.user", "2|53", "b|53", r"u.user, line 2: the number is 'b'"),
        (ml_1m, "ratings.dat", "1::10::1::", "1:10::1::", r"ratings.dat, line 1: 3 columns, expected 4"),
        (ml_1m, "movies.dat", "20::", "20:", r"movies.dat, line 2: 2 columns, expected 3"),
        (
            ml_20m,
            "ratings.csv",
            "movieId",
            "film",
            r"line 1: expected the header userId,movieId,rating,timestamp",
        ),
        (
            ml_20m,
            "movies.csv",
            "genres",
            "kinds",
            r"movies.csv, line 1: expected the header movieId,title,genres",
        ),
        (ml_20m, "movies.csv", '20,"Nowhere"', '20,"Nowhere', r"movies.csv, line 3: quotes that don't match"),
        (recbole, "ml.inter", "timestamp:float", "time:float", r"ml.inter, line 1: no column timestamp"),
        (recbole, "ml.item", "item_id:token", "id:token", r"ml.item, line 1: no column item_id"),
        (recbole, "ml.user", "age:token", "years:token", r"ml.user, line 1: no column age"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, layout, name, old, new, message):
    layout(tmp_path)
    path = tmp_path / name
    encoding = "latin-1" if name in ("u.item", "movies.dat") else "utf-8"
    text = path.read_text(encoding)
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding)
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError, match=message):
        run(tmp_path, tmp_path / "out")
    assert set(tmp_path.iterdir()) == before


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        MovieLens([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="holds no MovieLens ratings"):
        MovieLens([tmp_path])
    with pytest.raises(UserError, match="movielens takes one folder"):
        MovieLens([tmp_path, tmp_path / "a"])
    (tmp_path / "ml-1m.zip").touch()
    with pytest.raises(UserError, match=r"ml-1m.zip: is packed; unpack it, and give the folder"):
        MovieLens([tmp_path / "ml-1m.zip"])
    recbole(tmp_path)
    (tmp_path / "ml.item").unlink()
    with pytest.raises(UserError, match=r"ml.item: no such file; its features are needed"):
        MovieLens([tmp_path])
    (tmp_path / "ml.item").write_text("")
    with pytest.raises(UserError, match=r"ml.item: the file is empty"):
        MovieLens([tmp_path])
    (tmp_path / "other.inter").write_text("")  # pairs to score, perhaps: they come without films of their own
    (tmp_path / "other.item").write_text("")
    with pytest.raises(UserError, match=r"other.inter: a second file of ratings"):
        MovieLens([tmp_path])


def test_truncated_gzip_is_named(tmp_path):
    ml_100k(tmp_path)
    content = "".join(f"1\t10\t{i % 5}\t{i}\n" for i in range(5000)).encode()
    (tmp_path / "u.data").write_bytes(
        gzip.compress(content, mtime=0)[:-50]
    )  # gzip is known by its first bytes
    with pytest.raises(UserError, match=r"u.data: the gzip data end too early"):
        run(tmp_path, tmp_path / "out")


def test_a_rating_of_an_unknown_film_can_be_skipped(tmp_path):
    ml_100k(tmp_path)
    path = tmp_path / "u.data"
    path.write_text(path.read_text() + "1\t99\t5\t7\n")
    data = run(tmp_path, tmp_path / "out", on_error="skip")
    assert sum(data.description["rows"].values()) == 10
    assert data.description["skipped"]["reasons"] == {"item": 1}


def test_ml_100k_of_recbole(seminar_data, tmp_path):
    folder = seminar_data / "recsys" / "ml-100k"
    data = run(folder, tmp_path / "out")
    assert data.name == "ml-100k"
    assert data.description["rows"] == {"train": 70_000, "val": 10_000, "test": 20_000}
    raw = np.genfromtxt(folder / "ml-100k.inter", skip_header=1)
    order = np.argsort(raw[:, 3], kind="stable")
    labels = data.rows("train", "val", "test").labels()
    assert (labels == (raw[order, 2] >= 4)).all()
    users, counts = np.unique(raw[order[:70_000], 0], return_counts=True)
    assert data.cardinalities[0] == 2 + (counts >= 2).sum()
    known = np.isin(raw[order[80_000:], 0], users[counts >= 2])
    assert data.description["out_of_vocabulary_rate"]["user_id"]["test"] == pytest.approx(1 - known.mean())
    assert data.description["missing_rate"]["release_year"]["train"] < 0.001

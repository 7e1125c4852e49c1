import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.data.films import Films
from recsys_bnn.prepare import prepare
from recsys_bnn.recommend import recommend, user_weights
from recsys_bnn.runtime.packed import load
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.recommend import RecommendSettings
from seminar_common.errors import UserError

TITLES = [
    "Toy Story",
    "Heat",
    "Usual Suspects, The",
    "Sabrina",
    "Sabrina",
    "Das Boot",
    "Fargo",
    "Star Wars: Episode IV - A New Hope",
    "M",
]
YEARS = [1995, 1995, 1995, 1995, 1954, 1981, 1996, 1977, 1931]
USERS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pack: Any) -> Path:
    """MovieLens in the layout of ml-1m, with a model ``m`` of random weights."""
    folder, rng = tmp_path_factory.mktemp("movielens"), random.Random(1)
    films = [f"{i}::{t} ({y})::Drama|Comedy" for i, (t, y) in enumerate(zip(TITLES, YEARS, strict=True), 1)]
    (folder / "movies.dat").write_text("\n".join(films) + "\n")
    users = [f"{u}::{'MF'[u % 2]}::25::{u % 3}::1234" for u in range(1, USERS + 1)]
    (folder / "users.dat").write_text("\n".join(users) + "\n")
    pairs = [(u, f) for u in range(1, USERS + 1) for f in rng.sample(range(1, len(TITLES) + 1), 5)]
    rng.shuffle(pairs)
    ratings = [f"{u}::{f}::{rng.randint(1, 5)}::{t}" for t, (u, f) in enumerate(pairs)]
    (folder / "ratings.dat").write_text("\n".join(ratings) + "\n")
    pack(
        open_dataset(prepare(PrepareConfig("movielens", input=(folder,), out=folder / "data"))), folder / "m"
    )
    return folder


def settings(folder: Path, **changes: Any) -> RecommendSettings:
    return RecommendSettings(**{"model": folder / "m", "movielens": folder, "engine": "numpy"} | changes)


def row(film: int, user: int) -> dict[str, Any]:
    return {
        "user_id": user,
        "item_id": film,
        "age": 25,
        "release_year": YEARS[film - 1],
        "gender": "MF"[user % 2],
        "occupation": str(user % 3),
        "genre_1": "Drama",
        "genre_2": "Comedy",
        "genre_3": None,
    }


def test_a_user_gets_the_films_that_they_have_not_rated_best_first(folder: Path, capsys: Any) -> None:
    found = recommend(settings(folder, user=3))
    rated = Films(folder).rated_by(3)
    assert len(rated) == 5 and len(found) == len(TITLES) - 5
    assert {one.film.id for one in found} == set(range(1, len(TITLES) + 1)) - rated
    model = load(folder / "m", engine="numpy")
    expected = [model.predict(row(one.film.id, 3)).item() for one in found]
    assert [one.probability for one in found] == pytest.approx(expected) == sorted(expected, reverse=True)
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"{found[0].probability:.3f}  {found[0].film.title}"


def test_genres_may_be_a_list(folder: Path, tmp_path: Path, pack: Any) -> None:
    data = prepare(PrepareConfig("movielens", input=(folder,), out=tmp_path / "data", genres="list"))
    model = load(pack(open_dataset(data), tmp_path / "m"))
    [best] = recommend(settings(folder, model=tmp_path / "m", user=3, top=1))
    features = row(best.film.id, 3) | {"genres": ["Drama", "Comedy"]}
    assert best.probability == pytest.approx(model.predict(features).item())


def test_json_names_films_by_number_and_title(folder: Path, capsys: Any) -> None:
    found = recommend(settings(folder, user=3, top=2, json=True))
    printed = json.loads(capsys.readouterr().out)
    assert printed == [
        {"item_id": one.film.id, "title": one.film.title, "probability": one.probability} for one in found
    ]
    assert len(printed) == 2 and printed[0]["title"].endswith(")")


def test_typed_ratings_are_spoken_for_by_users_who_would_rate_alike(folder: Path) -> None:
    found = recommend(settings(folder, rated=("toy story=5", "Heat = 2"), top=99))
    assert {one.film.id for one in found} == set(range(3, len(TITLES) + 1))
    model = load(folder / "m", engine="numpy")
    users = range(1, USERS + 1)
    likely = np.array([[model.predict(row(film, user)).item() for film in (1, 2)] for user in users])
    weights = likely[:, 0] * (1 - likely[:, 1])
    weights /= weights.sum()
    for one in found:
        mean = sum(w * model.predict(row(one.film.id, u)).item() for w, u in zip(weights, users, strict=True))
        assert one.probability == pytest.approx(mean)


def test_weights_of_certain_users_stay_finite() -> None:
    weights = user_weights(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), np.array([True, False]))
    assert weights.argmax() == 0 and weights.sum() == pytest.approx(1)
    many = user_weights(np.full((3, 2000), 0.01), np.ones(2000, bool))
    assert many == pytest.approx([1 / 3] * 3)


def test_titles_are_found_in_other_spellings(folder: Path) -> None:
    films = Films(folder)
    spellings = {
        "HEAT": 2,
        "usual suspects": 3,
        "The Usual Suspects (1995)": 3,
        "Sabrina (1954)": 5,
        "Boot": 6,
        "Toy Stroy": 1,
        "star wars, episode iv a new hope": 8,
        "m": 9,
    }
    assert {title: films.find(title).id for title in spellings} == spellings


BAD_TITLES = {
    "Sabrina": r"several films have this title: 'Sabrina \(1995\)', 'Sabrina \(1954\)'; add the year",
    "Star Wars": r"no film of .*movies.dat has this title; did you mean 'Star Wars: Episode IV",
    "Farrgoo": r"did you mean 'Fargo \(1996\)'\?",
    "qqqqqq": "check the title",
    "": "check the title",
    "Heat (1972)": "check the title",
}


@pytest.mark.parametrize("title", BAD_TITLES)
def test_a_title_that_means_no_film_is_answered_with_similar_ones(title: str, folder: Path) -> None:
    with pytest.raises(UserError, match=BAD_TITLES[title]):
        recommend(settings(folder, rated=(f"{title}=3",)))


@pytest.mark.parametrize(
    "text", ["Heat", "Heat=", "Heat=6", "Heat=-1", "Heat=nan", "Heat=inf", "Heat=good", "=3x"]
)
def test_what_is_no_rating_is_refused(text: str, folder: Path) -> None:
    with pytest.raises(UserError, match='expected "TITLE=RATING"'):
        recommend(settings(folder, rated=(text,)))


def test_an_unknown_user_is_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--user 99: no such user in .*; it has 12, from 1 to 12"):
        recommend(settings(folder, user=99))


def test_a_model_of_other_data_is_refused(folder: Path, visits: Path) -> None:
    with pytest.raises(UserError, match="but not user_id and item_id; give a model of a run on"):
        recommend(settings(folder, user=1, model=visits / "m.safetensors"))
    with pytest.raises(UserError, match="holds no MovieLens ratings"):
        recommend(settings(folder, user=1, movielens=visits))


def test_one_of_user_and_ratings_is_given() -> None:
    for both in ({}, {"user": 1, "rated": ("Heat=2",)}):
        with pytest.raises(UserError, match="--user, --rated: give one of them"):
            settings(Path("x"), **both)


def test_the_layout_of_recbole_has_titles_too(tmp_path: Path) -> None:
    (tmp_path / "a.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t5\t0\n"
    )
    (tmp_path / "a.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\n1\tHeat\t1995\n"
    )
    films = Films(tmp_path)
    assert films.find("heat").title == "Heat (1995)" and list(films.users) == [7]
    (tmp_path / "a.item").write_text("item_id:token\trelease_year:token\n1\t1995\n")
    with pytest.raises(UserError, match="no column movie_title"):
        Films(tmp_path)

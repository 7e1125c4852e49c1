"""Top films for a user of MovieLens, or for someone who names a few ratings, by a packed model.

A model of MovieLens knows a user by the row of a table. Someone whom training never saw has no row. So the users whom
it knows speak for them: each has a weight, the probability that the model gives to the typed ratings if they were this
user's, and a film's probability is the weighted mean over these users. With equal prior weights this is Bayes' rule
with the known users as hypotheses (Bishop, Pattern Recognition and Machine Learning, 2006, Sec. 14.1).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_bnn.data.films import Film, Films
from recsys_bnn.data.formats.movielens import CLICK_RATING, GENRE_FIELDS, GENRES
from recsys_bnn.data.formats.movielens_layouts import User
from recsys_bnn.data.id_table import OUT_OF_VOCABULARY
from recsys_bnn.runtime.packed import PackedModel, load
from recsys_bnn.settings.recommend import RecommendSettings
from seminar_common.errors import UserError
from seminar_common.progress import progress, say

MOST_USERS = 20_000
"""Known users that may speak for typed ratings, those with the most training rows first."""
SPEAKERS = 50
"""Users with the highest weights, who speak in the end."""
_ROWS = 1 << 17


@dataclass(frozen=True)
class Recommendation:
    """A film and the probability that it is rated 4 or more."""

    film: Film
    probability: float


def recommend(settings: RecommendSettings) -> list[Recommendation]:
    """Print and return the best films.

    Raises:
        UserError: the model was not trained on MovieLens, or the data set has no such user or film.
    """
    model = load(settings.model, engine=settings.engine)
    _require_movielens(model, settings)
    films = Films(settings.movielens)
    if settings.user is not None:
        found = for_user(model, films, settings.user)
    else:
        found = for_ratings(model, films, dict(_typed(films, text) for text in settings.rated))
    best = sorted(found, key=lambda one: -one.probability)[: settings.top]
    print(_json(best) if settings.json else _table(best))
    return best


def for_user(model: PackedModel, films: Films, number: int) -> list[Recommendation]:
    """Return the probability of each film that a user of the data set has not rated.

    Raises:
        UserError: there is no such user, or they have rated every film.
    """
    user = films.user(number)
    if not _known(model, [user], films.films[0])[0]:
        say(
            f"the model doesn't know user {number}: the films are ranked by their own features and the user's"
        )
    rated = films.rated_by(number)
    left = [film for film in films.films if film.id not in rated]
    if not left:
        raise UserError(
            f"--user {number}: has rated all {len(films.films):,} films; no film is left to recommend"
        )
    return list(map(Recommendation, left, _probabilities(model, [user], left)[0].tolist()))


def for_ratings(model: PackedModel, films: Films, ratings: dict[Film, float]) -> list[Recommendation]:
    """Return the probability of each film without a rating here, by the known users who would rate alike.

    Args:
        model: Trained on MovieLens.
        films: The data set.
        ratings: A rating from 0 to 5 by film.

    Raises:
        UserError: the model knows no user of the data set.
    """
    users = _known_users(model, films)
    rated, left = list(ratings), [film for film in films.films if film not in ratings]
    liked = np.array([ratings[film] >= CLICK_RATING for film in rated])
    with progress("comparing users", len(users), unit="users") as advance:
        parts = []
        for start in range(0, len(users), step := max(1, _ROWS // len(rated))):
            parts.append(_probabilities(model, users[start : start + step], rated))
            advance(len(parts[-1]))
    weights = user_weights(np.concatenate(parts), liked)
    speakers = np.argsort(-weights, kind="stable")[:SPEAKERS]
    share = weights[speakers] / weights[speakers].sum()
    mean = np.zeros(len(left))
    for part, user in zip(share.tolist(), speakers.tolist(), strict=True):
        mean += part * _probabilities(model, [users[user]], left)[0]
    return list(map(Recommendation, left, mean.tolist()))


def user_weights(probabilities: np.ndarray, liked: np.ndarray) -> np.ndarray:
    """Return the posterior probability of each of U users, float64 [U], given which of R films were liked.

    Args:
        probabilities: Of liking, by user and film, [U, R].
        liked: Whether each film was, bool [R].
    """
    of_ratings = np.where(liked, probabilities, 1 - probabilities)
    logs = np.log(np.maximum(of_ratings, 1e-12)).sum(axis=1)
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def _known_users(model: PackedModel, films: Films) -> list[User]:
    """Return the users that have a row of their own in the model, at most ``MOST_USERS``, most training rows first."""
    users = list(films.users.values())
    ids = _known(model, users, films.films[0])
    order = [place for place in np.argsort(ids, kind="stable").tolist() if ids[place] != OUT_OF_VOCABULARY]
    if not order:
        raise UserError(
            f"{films.layout.ratings.parent}: the model knows none of its users; give the data set it was trained on"
        )
    return [users[place] for place in order[:MOST_USERS]]


def _known(model: PackedModel, users: Sequence[User], film: Film) -> np.ndarray:
    """Return the id that the model gives to each user, int32 [U]."""
    columns = {name: values for name, values in _rows(users, [film]).items() if name in model.features}
    _, ids = model.encode(columns)
    return ids[:, model.categorical_names.index("user_id")]


def _probabilities(model: PackedModel, users: Sequence[User], films: Sequence[Film]) -> np.ndarray:
    """Return the probability of each user for each film, float64 [U, N]."""
    columns = {name: values for name, values in _rows(users, films).items() if name in model.features}
    return model.predict(columns).reshape(len(users), len(films))


def _rows(users: Sequence[User], films: Sequence[Film]) -> dict[str, list[Any]]:
    """Return the features of each pair of user and film as raw values; films vary fastest."""

    def of_users(name: str) -> list[Any]:
        return [value for user in users for value in [getattr(user, name)] * len(films)]

    genres = {f"genre_{i + 1}": [_genre(film, i) for film in films] * len(users) for i in range(GENRE_FIELDS)}
    return {
        "user_id": of_users("id"),
        "item_id": [film.id for film in films] * len(users),
        **{name: of_users(name) for name in ("age", "gender", "occupation")},
        "release_year": [film.year for film in films] * len(users),
        **genres,
        GENRES: [list(film.genres) for film in films] * len(users),
    }


def _genre(film: Film, place: int) -> str | None:
    return film.genres[place] if place < len(film.genres) else None


def _typed(films: Films, text: str) -> tuple[Film, float]:
    """Read TITLE=RATING."""
    title, equals, rating = text.rpartition("=")
    try:
        value = float(rating)
    except ValueError:
        value = -1.0
    if not equals or not 0 <= value <= 5:
        raise UserError(
            f'--rated {text!r}: expected "TITLE=RATING" with a rating from 0 to 5, such as "Toy Story=5"'
        )
    return films.find(title.strip()), value


def _require_movielens(model: PackedModel, settings: RecommendSettings) -> None:
    if not {"user_id", "item_id"} <= set(model.features):
        raise UserError(
            f"--model {settings.model}: reads {', '.join(model.features[:4])}, ..., but not user_id and item_id; "
            "give a model of a run on `recsys-bnn prepare movielens`"
        )


def _table(best: Sequence[Recommendation]) -> str:
    return "\n".join(f"{one.probability:.3f}  {one.film.title}" for one in best)


def _json(best: Sequence[Recommendation]) -> str:
    rows = [{"item_id": b.film.id, "title": b.film.title, "probability": b.probability} for b in best]
    return json.dumps(rows, ensure_ascii=False, indent=2)

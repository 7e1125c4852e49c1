"""MovieLens ratings with user and film features; a rating of 4 or more is a click.

F. M. Harper and J. A. Konstan, "The MovieLens Datasets", ACM TiiS, 2015. The layouts are those of
:mod:`recsys_bnn.data.formats.movielens_layouts`. Ratings are sorted by time, for which all of them are held in memory,
about 50 bytes each. A film's genres fill up to three fields, in the order in which the source lists them, and further
ones are left out; or they are one field of lists.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.data import chunks
from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.base import Format, RowReader, counted_name
from recsys_bnn.data.formats.delimited import Column, Delimited, number, or_none
from recsys_bnn.data.formats.keys import IntegerKeys, Keys, ListKeys, TextKeys
from recsys_bnn.data.formats.movielens_layouts import Item, User, find_layout, identity
from recsys_bnn.data.formats.text import Lines, Source
from recsys_bnn.data.parallel import OrderedMap
from seminar_common.errors import UserError

CLICK_RATING = 4.0
GENRE_FIELDS = 3
_GENRES = tuple(f"genre_{i + 1}" for i in range(GENRE_FIELDS))
GENRES = "genres"
"""Name of the field of lists."""
_PAIR = ("user_id", "item_id")
_NAMES = {
    100_000: "ml-100k",
    1_000_209: "ml-1m",
    10_000_054: "ml-10m",
    20_000_263: "ml-20m",
    25_000_095: "ml-25m",
    32_000_204: "ml-32m",
}


def click(text: str) -> int:
    """Read a rating as a click or none."""
    try:
        value = number(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 5:
        raise ValueError("a rating from 0 to 5")
    return int(value >= CLICK_RATING)


class MovieLens(Format):
    """The format `movielens`.

    Args:
        inputs: The folder of the data set, or the ratings file in it.
        listed: Take the genres of a film as one field of lists.

    Raises:
        UserError: the folder holds no layout that is known, or lacks one of its files.
    """

    def __init__(self, inputs: Sequence[Path], *, listed: bool = False):
        if len(inputs) > 1:
            raise UserError(
                f"--input {inputs[1]}: movielens takes one folder, with the ratings, films and users in it"
            )
        self._layout = find_layout(inputs[0])
        users = self._layout.users
        self.paths = [self._layout.ratings, self._layout.items.path, *([users.path] if users else [])]
        self._gender, self._occupation, self._listed = TextKeys(), TextKeys(), listed
        self._genres = ListKeys() if listed else TextKeys()
        of_users: dict[str, Keys] = {"gender": self._gender, "occupation": self._occupation}
        fields: dict[str, Keys] = {
            "user_id": IntegerKeys(),
            "item_id": IntegerKeys(),
            **(of_users if users else {}),
            **dict.fromkeys([GENRES] if listed else _GENRES, self._genres),
        }
        self.integer_names = ("age", "release_year") if users else ("release_year",)
        self.categorical_names, self.keys = tuple(fields), tuple(fields.values())

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the ratings by time; those of one second keep the order of the file."""
        layout = self._layout
        items = layout.items.read(sources[1], bad_rows)
        users = layout.users.read(sources[2], bad_rows) if layout.users else None
        clicks, item, user = self._ratings(sources[0], items, users, bad_rows, ordered_map)
        item_features = self._item_features(list(items.values()))
        user_features = self._user_features(list(users.values())) if users else None
        schema = chunks.schema(self.integer_names, self.categorical_names, lists=int(self._listed))
        for start in range(0, len(clicks), chunks.STAGED_ROWS):
            rows = slice(start, start + chunks.STAGED_ROWS)
            found = {chunks.LABEL: chunks.array(clicks[rows]), **_taken(item_features, item[rows])}
            if user_features:
                found |= _taken(user_features, user[rows])
            else:
                found["user_id"] = chunks.array(user[rows].astype(np.uint32))
            yield pa.RecordBatch.from_arrays([found[name] for name in schema.names], schema=schema)

    def _ratings(
        self,
        source: Source,
        items: dict[int, Item],
        users: dict[int, User] | None,
        bad_rows: BadRows,
        ordered_map: OrderedMap,
    ) -> list[np.ndarray]:
        """Return clicks (uint8), and places of film and user in ``items`` and ``users`` (int32), by time, each [N].

        Without ``users`` the users' numbers stand for their places.
        """
        layout = self._layout
        of_user = _Place.of(users, self.paths[2]) if users else identity
        columns = (
            Column("rating", click, pa.uint8(), "label"),
            Column("item_id", _Place.of(items, self.paths[1]), pa.int32(), "item"),
            Column("user_id", of_user, pa.int32(), "user"),
            Column("timestamp", number, pa.float64(), "timestamp"),
        )
        reader = Delimited(columns, layout.columns, separator=layout.separator, header=layout.header)
        table = pa.Table.from_batches(reader.read([source], bad_rows, ordered_map), reader.schema)
        order = np.argsort(table["timestamp"].to_numpy(), kind="stable")
        return [table[name].to_numpy()[order] for name in ("rating", "item_id", "user_id")]

    def _item_features(self, items: Sequence[Item]) -> dict[str, pa.Array]:
        """Return each feature by film, in the form of a chunk's columns."""
        found = _of_items(items, listed=self._listed)
        genres = {name: self._genres.column(found[name]) for name in found if name.startswith("genre")}
        return {"item_id": _numbers(items), **found, **genres}

    def _user_features(self, users: Sequence[User]) -> dict[str, pa.Array]:
        """Return each feature by user, in the form of a chunk's columns."""
        found = _of_users(users)
        gender, occupation = (
            self._gender.column(found["gender"]),
            self._occupation.column(found["occupation"]),
        )
        return {"user_id": _numbers(users), **found, "gender": gender, "occupation": occupation}

    def default_name(self, rows: int) -> str:
        """Return the usual name of the set of so many ratings, such as ``ml-100k``."""
        return _NAMES.get(rows) or counted_name("movielens", rows)

    def settings(self) -> dict[str, Any]:
        """Return which ratings are clicks."""
        return {"click_rating": CLICK_RATING, **({"genres": "list"} if self._listed else {})}


@dataclass(frozen=True)
class _Place:
    """Reads a film's or user's number as its place among those that a file lists."""

    places: dict[int, int]
    file: str

    @classmethod
    def of(cls, features: dict[int, Any], path: Path) -> "_Place":
        return cls({key: place for place, key in enumerate(features)}, path.name)

    def __call__(self, text: str) -> int:
        key = identity(text)
        if key not in self.places:
            raise ValueError(f"a number that {self.file} lists")
        return self.places[key]


def _taken(features: dict[str, pa.Array], places: np.ndarray) -> dict[str, pa.Array]:
    return {name: column.take(chunks.array(places)) for name, column in features.items()}


class MovieLensRows(RowReader):
    """Pairs of user and film, with or without a rating, joined with what is known of both.

    A user or film without a line of features keeps its number, and its features are missing.

    Args:
        inputs: The folder of the data set, or files of pairs in it. Where the folder's ratings have a header, that of
            a file names user and film as they do; elsewhere they are its first two columns.
        listed: Take the genres of a film as one field of lists.
    """

    label_column = "rating"

    def __init__(self, inputs: Sequence[Path], *, listed: bool = False):
        self._layout, self._listed = find_layout(inputs[0]), listed
        given = [path for path in inputs if path.is_file()]
        self.paths, self.decisions = given or [self._layout.ratings], []
        with_users = self._layout.users is not None
        self.integer_names = ("age", "release_year") if with_users else ("release_year",)
        of_users = ("gender", "occupation") if with_users else ()
        genres = {GENRES: ListKeys.kind} if listed else dict.fromkeys(_GENRES, TextKeys.kind)
        self.categorical_names = (*_PAIR, *of_users, *genres)
        of_pairs = (IntegerKeys.kind,) * len(_PAIR)
        self.kinds = (*of_pairs, *(TextKeys.kind,) * len(of_users), *genres.values())

    def pieces(self, source: Source) -> Iterator[Lines]:
        """Yield the lines of ``source``."""
        columns, first = self._layout.columns_in(source.path, source.prefer)
        self.decisions.append(f"{source.path}: {'ratings' if 'rating' in columns else 'no ratings'}")
        wanted = [Column(name, identity, pa.uint32(), "id") for name in _PAIR]
        if "rating" in columns:
            wanted.append(Column("rating", partial(or_none, click), pa.uint8(), "label"))
        return Delimited(wanted, columns, separator=self._layout.separator, header=first).pieces(
            source, self._joined
        )

    @cached_property
    def _joined(self) -> "_Joined":
        bad, layout = BadRows("skip"), self._layout
        items = list(layout.items.read(Source(layout.items.path), bad).values())
        users = list(layout.users.read(Source(layout.users.path), bad).values()) if layout.users else []
        if bad.reasons:
            self.decisions.append(f"{bad.reasons.total()} bad lines of films or users left out")
        features = (_numbers(users), _of_users(users)) if layout.users else None
        return _Joined((_numbers(items), _of_items(items, listed=self._listed)), features)


@dataclass(frozen=True)
class _Joined:
    """Adds the features of film and user to pairs of them."""

    items: tuple[pa.Array, dict[str, pa.Array]]
    """Numbers, and each feature by film."""
    users: tuple[pa.Array, dict[str, pa.Array]] | None

    def __call__(self, pairs: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow.compute as pc  # which takes a tenth of a second

        columns = dict(zip(pairs.schema.names, pairs.columns, strict=True))
        for name, known in (("item_id", self.items), ("user_id", self.users)):
            if known is not None:
                places = pc.call_function("index_in", [columns[name]], pc.SetLookupOptions(known[0]))
                columns |= {feature: values.take(places) for feature, values in known[1].items()}
        return pa.RecordBatch.from_pydict(columns)


def _numbers(found: Sequence[Item] | Sequence[User]) -> pa.Array:
    return chunks.arrow([one.id for one in found], pa.uint32())


def _of_items(items: Sequence[Item], *, listed: bool) -> dict[str, pa.Array]:
    """Return each feature by film; texts are as in the source."""
    features = {"release_year": chunks.arrow([item.year for item in items], pa.int32())}
    if listed:
        genres = [list(item.genres) or None for item in items]
        return features | {GENRES: chunks.arrow(genres, pa.list_(pa.string()))}
    for i, name in enumerate(_GENRES):
        features[name] = chunks.arrow(
            [item.genres[i] if i < len(item.genres) else None for item in items], pa.string()
        )
    return features


def _of_users(users: Sequence[User]) -> dict[str, pa.Array]:
    """Return each feature by user; texts are as in the source."""
    return {
        "age": chunks.arrow([user.age for user in users], pa.int32()),
        "gender": chunks.arrow([user.gender for user in users], pa.string()),
        "occupation": chunks.arrow([user.occupation for user in users], pa.string()),
    }

"""The folders in which MovieLens comes: which files they hold and how a line of each is read.

GroupLens: ``ml-100k`` (u.data, u.item, u.user), ``ml-1m`` and ``ml-10m`` (ratings.dat, movies.dat and, in ml-1m,
users.dat; ``::`` between cells), ``ml-20m`` and later and ``ml-latest`` (ratings.csv, movies.csv). RecBole: NAME.inter,
NAME.item and, where there are user features, NAME.user, with tabs and a header of ``name:type``.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from recsys_bnn.data.formats.bad_rows import BadRow, BadRows, RowError
from recsys_bnn.data.formats.compression import ENDINGS
from recsys_bnn.data.formats.delimited import header, split_cells
from recsys_bnn.data.formats.text import Source, check_text, shown
from seminar_common.errors import UserError
from seminar_common.files import check_file

# The flags of u.item in order, as u.genre names them.
# fmt: off
_U_ITEM_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)
# fmt: on
_NO_GENRE = ("", "unknown", "unkonwn", "(no genres listed)")
_ID = re.compile(r"[0-9]{1,9}", re.ASCII)
_TITLE_YEAR = re.compile(r"\(([0-9]{4})\)\s*$", re.ASCII)
_YEAR = re.compile(r"[0-9]{4}", re.ASCII)
_RATING_COLUMNS = ("user_id", "item_id", "rating", "timestamp")


class Item(NamedTuple):
    """Features of a film; None is a missing value."""

    id: int
    year: int | None
    genres: tuple[str, ...]


class User(NamedTuple):
    """Features of a user; None is a missing value."""

    id: int
    age: int | None
    gender: str | None
    occupation: str | None


F = TypeVar("F", Item, User)


def identity(text: str) -> int:
    """Read a user's or film's number."""
    if not _ID.fullmatch(text):
        raise ValueError("a whole number of at most 9 digits")
    return int(text)


@dataclass(frozen=True)
class FeatureFile(Generic[F]):
    """A table of films or users."""

    path: Path
    separator: str
    columns: int
    parse: Callable[[list[str]], F]
    """Reads the cells of a line; raises ValueError(what an id must be)."""
    headed: bool = False
    quoted: bool = False
    encoding: str = "utf-8"

    def read(self, source: Source, bad_rows: BadRows) -> dict[int, F]:
        """Return the features by number; bad lines go to ``bad_rows``.

        Raises:
            UserError: a line is bad and is not to be skipped, or there is none.
        """
        found: dict[int, F] = {}
        for line, text in self._lines(source):
            try:
                features = self._parsed(text)
                if features.id in found:
                    raise RowError("twice", f"{features.id} is listed a second time")
                found[features.id] = features
            except RowError as error:
                bad_rows.add(BadRow(self.path, line, error.reason, str(error)))
        if not found:
            raise UserError(f"{self.path}: lists nothing; is it the right file?")
        return found

    def _lines(self, source: Source) -> Iterator[tuple[int, bytes]]:
        for block in source.blocks():
            for number, text in enumerate(block.text.split(b"\n")[:-1], block.line):
                if number > 1 or not self.headed:
                    yield number, text

    def _parsed(self, line: bytes) -> F:
        line = line.removesuffix(b"\r")
        if self.encoding != "utf-8":
            line = line.decode(self.encoding).encode()
        check_text(line)
        cells = split_cells(line.decode(), self.separator, quoted=self.quoted)
        if len(cells) != self.columns:
            raise RowError("columns", f"{len(cells)} columns, expected {self.columns}")
        try:
            return self.parse(cells)
        except ValueError as error:
            raise RowError("id", f"the number is {shown(cells[0])}, expected {error}") from error


@dataclass(frozen=True)
class Layout:
    """The files of a data set, and the columns of its ratings."""

    ratings: Path
    separator: str
    columns: Sequence[str]
    """Names of the columns of the ratings, ``user_id``, ``item_id``, ``rating`` and ``timestamp`` among them."""
    header: Sequence[str]
    """Cells of the first line of the ratings; none if they begin there."""
    items: FeatureFile[Item]
    users: FeatureFile[User] | None

    def columns_in(self, path: Path, prefer: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        """Return the names of all columns of a file of pairs with or without ratings, and its header if it has one.

        Raises:
            UserError: it names no users or films, or has one column.
        """
        first = header(path, self.separator, prefer=prefer)
        if not self.header:
            if len(first) < 2:
                raise UserError(
                    f"{path}, line 1: one column, expected user and film with {self.separator!r} between"
                )
            return [*_RATING_COLUMNS, *map(str, range(len(first)))][: len(first)], ()
        own = dict(zip(self.header, self.columns, strict=True))
        names = [own.get(cell, cell.split(":")[0]) for cell in first]
        for name in ("user_id", "item_id"):
            if names.count(name) != 1:
                wanted = next(cell for cell, known in own.items() if known == name)
                raise UserError(f"{path}, line 1: no column {wanted}; expected a header with one such column")
        return names, first


def find_layout(path: Path) -> Layout:
    """Return the layout in the folder ``path``, or in the folder of the file ``path``.

    Raises:
        UserError: none that is known is there, or one of its files is missing or has another header.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    if path.suffix in ENDINGS:
        raise UserError(f"{path}: is packed; unpack it, and give the folder with ratings, films and users")
    folder = path if path.is_dir() else path.parent
    recbole = sorted(folder.glob("*.inter"))
    if recbole:
        return _recbole(recbole)
    layouts = {"u.data": _ml_100k, "ratings.dat": _dat, "ratings.csv": _csv}
    for name, layout in layouts.items():
        if (folder / name).exists():
            return layout(folder)
    raise UserError(
        f"{folder}: holds no MovieLens ratings; expected u.data, ratings.dat, ratings.csv or a file *.inter"
    )


def _ml_100k(folder: Path) -> Layout:
    items = FeatureFile(_needed(folder / "u.item"), "|", 5 + len(_U_ITEM_GENRES), _u_item, encoding="latin-1")
    users = FeatureFile(_needed(folder / "u.user"), "|", 5, lambda c: _user(c[0], c[1], c[2], c[3]))
    return Layout(folder / "u.data", "\t", _RATING_COLUMNS, (), items, users)


def _dat(folder: Path) -> Layout:
    items = FeatureFile(_needed(folder / "movies.dat"), "::", 3, _titled, encoding="latin-1")
    users = None
    if not (folder / "tags.dat").exists():  # ml-10m has tags and knows nothing about its users
        path = _needed(folder / "users.dat")
        users = FeatureFile(path, "::", 5, lambda c: _user(c[0], c[2], c[1], c[3]))
    return Layout(folder / "ratings.dat", "::", _RATING_COLUMNS, (), items, users)


def _csv(folder: Path) -> Layout:
    ratings, movies = folder / "ratings.csv", _needed(folder / "movies.csv")
    expected = ["userId", "movieId", "rating", "timestamp"]
    _expect_header(ratings, expected)
    _expect_header(movies, ["movieId", "title", "genres"])
    items = FeatureFile(movies, ",", 3, _titled, headed=True, quoted=True)
    return Layout(ratings, ",", _RATING_COLUMNS, expected, items, None)


def _recbole(found: Sequence[Path]) -> Layout:
    found = [
        path for path in found if path.with_suffix(".item").exists()
    ] or found  # others may list pairs to score
    if len(found) > 1:
        raise UserError(
            f"{found[1]}: a second file of ratings beside {found[0].name}; keep one in the folder"
        )
    ratings = found[0]
    columns = _recbole_columns(ratings, _RATING_COLUMNS)
    items = ratings.with_suffix(".item")
    names = _recbole_columns(_needed(items), ("item_id",))
    item = FeatureFile(items, "\t", len(names), lambda c: _recbole_item(names, c), headed=True)
    users = ratings.with_suffix(".user")
    user = None
    if users.exists():
        about = _recbole_columns(users, ("user_id", "age", "gender", "occupation"))
        at = [about.index(name) for name in ("user_id", "age", "gender", "occupation")]
        user = FeatureFile(users, "\t", len(about), lambda c: _user(*(c[i] for i in at)), headed=True)
    return Layout(ratings, "\t", columns, header(ratings, "\t"), item, user)


def _recbole_columns(path: Path, needed: Sequence[str]) -> list[str]:
    """Return the names in a header of ``name:type``, which must hold ``needed``."""
    names = [cell.split(":")[0] for cell in header(path, "\t")]
    missing = [name for name in needed if name not in names]
    if missing:
        raise UserError(
            f"{path}, line 1: no column {missing[0]}; expected a header such as {needed[0]}:token, with tabs between"
        )
    return names


def _needed(path: Path) -> Path:
    check_file(path, "its features are needed; take the whole folder of the data set")
    return path


def _expect_header(path: Path, expected: list[str]) -> None:
    found = header(path)
    if found != expected:
        raise UserError(
            f"{path}, line 1: expected the header {','.join(expected)}, found {shown(','.join(found))}"
        )


def _u_item(cells: list[str]) -> Item:
    flags = zip(_U_ITEM_GENRES, cells[5:], strict=True)
    return _item(cells[0], cells[2][-4:], [genre for genre, flag in flags if flag == "1"])


def _titled(cells: list[str]) -> Item:
    year = _TITLE_YEAR.search(cells[1])
    return _item(cells[0], year[1] if year else "", cells[2].split("|"))


def _recbole_item(names: Sequence[str], cells: list[str]) -> Item:
    found = dict(zip(names, cells, strict=True))
    genres = found.get("class", found.get("genre", "")).split(" ")
    return _item(found["item_id"], found.get("release_year", ""), genres)


def _item(number: str, year: str, genres: Sequence[str]) -> Item:
    """Make a film; what is no year, as in a few lines of ml-100k, is a missing one."""
    known = tuple(genre for genre in genres if genre not in _NO_GENRE)
    return Item(identity(number), int(year) if _YEAR.fullmatch(year) else None, known)


def _user(number: str, age: str, gender: str, occupation: str) -> User:
    known = int(age) if age.isascii() and age.isdigit() and len(age) < 4 else None
    return User(identity(number), known, gender or None, occupation or None)

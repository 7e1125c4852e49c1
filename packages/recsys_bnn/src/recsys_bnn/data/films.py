"""The films, users and ratings of a MovieLens folder, to recommend from; the layouts are those that `prepare` reads."""

import dataclasses
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.delimited import Column, Delimited, header
from recsys_bnn.data.formats.movielens_layouts import Layout, User, find_layout, identity
from recsys_bnn.data.formats.text import Source
from seminar_common.errors import UserError

CLOSE = 0.85
"""A title that is so similar at least (difflib's ratio) is taken for the one that was meant, if there is one such."""
_ARTICLE = r"(?:the|a|an|les?|la|il|el|das|der|die)"
_AT_THE_END, _IN_FRONT = re.compile(rf", {_ARTICLE}$"), re.compile(rf"^{_ARTICLE} (?=.)")
_YEAR = re.compile(r"\s*\(([0-9]{4})\)\s*$", re.ASCII)
_SIGNS = re.compile(r"[^\w\s]|_")


@dataclass(frozen=True)
class Film:
    """A film of the data set."""

    id: int
    title: str
    """With the year behind it, where the source has one."""
    year: int | None
    genres: tuple[str, ...]


class Films:
    """A data set in the folder ``path``, or in the folder of the file ``path``.

    Raises:
        UserError: it holds no layout that is known, or a line of its films can't be read.
    """

    def __init__(self, path: Path):
        self.layout = find_layout(path)
        self.films = _films(self.layout)

    @cached_property
    def users(self) -> dict[int, User]:
        """What is known of each user, by number; nothing but the number where the set says nothing."""
        users = self.layout.users
        if users is not None:
            return users.read(Source(users.path), BadRows("fail"))
        found = {
            int(user) for batch in self._ratings() for user in np.unique(batch.column("user_id").to_numpy())
        }
        return {user: User(user, None, None, None) for user in sorted(found)}

    def user(self, number: int) -> User:
        """Return what is known of a user.

        Raises:
            UserError: the data set has no such user.
        """
        if number not in self.users:
            raise UserError(
                f"--user {number}: no such user in {self.layout.ratings.parent}; it has {len(self.users):,}, "
                f"from {min(self.users)} to {max(self.users)}"
            )
        return self.users[number]

    def rated_by(self, user: int) -> set[int]:
        """Return the numbers of the films that a user has rated."""
        rated: set[int] = set()
        for batch in self._ratings():
            of_user = batch.column("user_id").to_numpy() == user
            rated.update(batch.column("item_id").to_numpy()[of_user].tolist())
        return rated

    def _ratings(self) -> Iterator[pa.RecordBatch]:
        layout = self.layout
        columns = [Column(name, identity, pa.int64(), "id") for name in ("user_id", "item_id")]
        reader = Delimited(columns, layout.columns, separator=layout.separator, header=layout.header)
        return reader.read([Source(layout.ratings)], BadRows("fail"))

    def find(self, title: str) -> Film:
        """Return the film that a title means: case, signs, a year and the place of an article don't matter.

        Raises:
            UserError: no film or several have this title; the message names what is similar.
        """
        wanted, year = _plain(title), _year(title)
        same = [film for film in self._by_title.get(wanted, ()) if year in (None, film.year)]
        if len(same) == 1:
            return same[0]
        if same:
            raise UserError(
                f"--rated {title!r}: several films have this title: {_listed(same)}; add the year"
            )
        similar = self._similar(wanted, year)
        sure = [f for f in similar if difflib.SequenceMatcher(None, wanted, _plain(f.title)).ratio() >= CLOSE]
        if len(sure) == 1:
            return sure[0]
        hint = f"did you mean {_listed(similar)}?" if similar else "check the title"
        raise UserError(f"--rated {title!r}: no film of {self.layout.items.path} has this title; {hint}")

    def _similar(self, wanted: str, year: int | None) -> list[Film]:
        """Return films whose title is like ``wanted``, and then those whose title holds it."""
        close = difflib.get_close_matches(wanted, self._by_title, n=4, cutoff=0.6)
        holding = [name for name in self._by_title if wanted and wanted in name and name not in close]
        films = [film for name in (*close, *holding) for film in self._by_title[name]]
        return [film for film in films if year in (None, film.year)]

    @cached_property
    def _by_title(self) -> dict[str, list[Film]]:
        found: dict[str, list[Film]] = {}
        for film in self.films:
            found.setdefault(_plain(film.title), []).append(film)
        return found


def _films(layout: Layout) -> list[Film]:
    titles: dict[int, str] = {}
    at, parse = _title_column(layout), layout.items.parse

    def keep_title(cells: list[str]):
        item = parse(cells)
        titles[item.id] = cells[at]
        return item

    items = dataclasses.replace(layout.items, parse=keep_title).read(
        Source(layout.items.path), BadRows("fail")
    )
    return [Film(i.id, _titled(titles[i.id], i.year), i.year, i.genres) for i in items.values()]


def _title_column(layout: Layout) -> int:
    """Return where the title stands in a line of a film."""
    if layout.ratings.suffix != ".inter":
        return 1
    names = [cell.split(":")[0] for cell in header(layout.items.path, layout.items.separator)]
    title = next((name for name in ("movie_title", "title") if name in names), None)
    if title is None:
        raise UserError(f"{layout.items.path}, line 1: no column movie_title; titles are needed to recommend")
    return names.index(title)


def _titled(title: str, year: int | None) -> str:
    return title if year is None or _YEAR.search(title) else f"{title} ({year})"


def _plain(title: str) -> str:
    """Return a title without year, article and signs, in small letters."""
    text = _AT_THE_END.sub("", _YEAR.sub("", title).casefold())
    return " ".join(_SIGNS.sub(" ", _IN_FRONT.sub("", text)).split())


def _year(title: str) -> int | None:
    found = _YEAR.search(title)
    return int(found[1]) if found else None


def _listed(films: list[Film]) -> str:
    return ", ".join(repr(film.title) for film in films[:4])

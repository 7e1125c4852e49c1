r"""The TOML file that says what the columns of a table are.

label = "rating"           # column of the label: 0 or 1 (also -1, True, False), unless there is a threshold
threshold = 4              # optional: at least this is a click
time = "timestamp"         # optional: a number or an ISO 8601 date and time, by which the rows are in order
sort = true                # optional: sort the rows by time; by default they must be in order
integers = ["age"]         # counts and other whole numbers
numbers = ["price"]        # decimal numbers
categoricals = ["user", "film"]
lists = {genres = "|"}     # optional: columns of several categories each, and what stands between them in text
longest = 20               # optional: items of a list that are read, the first ones
missing = ["unknown"]      # optional: texts that mean a missing value, beside the usual ones
separator = ","            # optional, of text files: such as ";", "\t" or "::"
header = ["rating", "user"]  # optional: names of all columns, in order, of text files without a header
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seminar_common.errors import UserError, choices
from seminar_common.files import read_text


@dataclass(frozen=True)
class TableSchema:
    """What the columns of a table are."""

    path: Path
    label: str
    threshold: float | None
    time: str | None
    integers: tuple[str, ...]
    categoricals: tuple[str, ...]
    separator: str
    numbers: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    sort: bool = False
    lists: Mapping[str, str] = field(default_factory=dict)
    """What stands between the items, by column of lists."""
    longest: int | None = None
    text: str = ""
    """The file's content."""

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the features that are no categories: whole numbers, then decimal ones."""
        return self.integers + self.numbers

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the categorical fields: those of one value, then those of lists."""
        return self.categoricals + tuple(self.lists)

    @property
    def columns(self) -> list[str]:
        """Names of all columns that are read."""
        return [self.label, *([self.time] if self.time else []), *self.numeric, *self.fields]

    def named(self, found: Sequence[str]) -> list[str]:
        """Return the names ``found`` in a file, without the blanks round one that is known without them."""
        bare = [name.strip() for name in found]
        known = set(self.columns)
        return [
            short if name not in known and short in known and bare.count(short) == 1 else name
            for name, short in zip(found, bare, strict=True)
        ]

    def check(self, path: Path, present: Sequence[str]) -> None:
        """Raise a UserError unless each column is among ``present``, those of the file ``path``, once."""
        for name in self.columns:
            if present.count(name) != 1:
                found = "twice" if name in present else "not there"
                raise UserError(
                    f"{path}: the column {name!r} that {self.path} names is {found}; "
                    f"the file has {', '.join(map(_shown, present[:20]))}{', ...' if len(present) > 20 else ''}"
                )


def _shown(name: str) -> str:
    """Return the name of a column, in quotes where spaces at its ends would not be seen."""
    return name if name == name.strip() else repr(name)


def read_schema(path: Path) -> TableSchema:
    """Read a schema.

    Raises:
        UserError: it is missing or no TOML, lacks a key, has an unknown one or one of another type, or names a
            column for two purposes.
    """
    return parse_schema(read_text(path).removeprefix("\ufeff"), path)  # some editors begin a file so


def parse_schema(text: str, path: Path) -> TableSchema:
    """Read a schema from its text; ``path`` names it in messages.

    Raises:
        UserError: as for :func:`read_schema`.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    unknown = content.keys() - _KEYS.keys()
    if unknown:
        raise UserError(f"{path}: unknown key {min(unknown)!r}; the keys are {choices(_KEYS)}")
    for key, (kind, _) in _KEYS.items():
        if key in content and not kind(content[key]):
            raise UserError(f"{path}: {key} must be {_KEYS[key][1]}, not {content[key]!r}")
    if "label" not in content:
        raise UserError(f"{path}: the key label is missing; it names the column of the label")
    names = {key: tuple(content.get(key, ())) for key in _NAMES}
    schema = TableSchema(
        path,
        content["label"],
        content.get("threshold"),
        content.get("time"),
        separator=content.get("separator", ","),
        sort=content.get("sort", False),
        lists=content.get("lists", {}),
        longest=content.get("longest"),
        text=text,
        **names,
    )
    _check(schema)
    return schema


def _check(schema: TableSchema) -> None:
    names = schema.columns
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{schema.path}: names the column {twice!r} twice; a column has one purpose")
    if not schema.numeric and not schema.fields:
        raise UserError(
            f"{schema.path}: names no features; list columns under integers, numbers or categoricals"
        )
    if schema.longest is not None and not schema.lists:
        raise UserError(
            f"{schema.path}: longest is for columns of lists; name some under lists, or leave it out"
        )
    if schema.sort and schema.time is None:
        raise UserError(f"{schema.path}: sort needs a column of time; name it, or leave sort out")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_name, value))


def _is_header(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and value != []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_separator(value: Any) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) < 4 and value.isascii() and not set(value) & set('"\r\n\0')
    )


def _is_lists(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_name(name) and _is_separator(between) for name, between in value.items()
    )


_NAMES = ("integers", "numbers", "categoricals", "missing", "header")
_KEYS = {
    "label": (_is_name, "the name of a column"),
    "threshold": (_is_number, "a number"),
    "time": (_is_name, "the name of a column"),
    "integers": (_is_names, "a list of names of columns"),
    "categoricals": (_is_names, "a list of names of columns"),
    "numbers": (_is_names, "a list of names of columns"),
    "lists": (_is_lists, 'a table of columns with what stands between their items, such as {genres = "|"}'),
    "longest": (lambda value: type(value) is int and 0 < value <= 10_000, "a whole number from 1 to 10000"),
    "missing": (_is_names, "a list of texts, the empty one being missing anyway"),
    "separator": (_is_separator, "one to three ASCII characters"),
    "header": (_is_header, "a list of the names of all columns"),
    "sort": (lambda value: isinstance(value, bool), "true or false"),
}

"""The TOML file that says what the columns of a table are.

label = "rating"           # column of the label: 0 or 1, unless there is a threshold
threshold = 4              # optional: at least this is a click
time = "timestamp"         # optional: a number or an ISO 8601 date and time, by which the rows are in order
integers = ["age"]         # counts and other whole numbers
categoricals = ["user", "film"]
separator = ","            # optional, of text files
"""

import tomllib
from dataclasses import dataclass
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

    @property
    def columns(self) -> list[str]:
        """Names of all columns that are read."""
        return [self.label, *([self.time] if self.time else []), *self.integers, *self.categoricals]

    def check(self, path: Path, present: list[str]) -> None:
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
    try:
        content = tomllib.loads(read_text(path).removeprefix("\ufeff"))  # some editors begin a file so
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
    schema = TableSchema(
        path,
        content["label"],
        content.get("threshold"),
        content.get("time"),
        tuple(content.get("integers", ())),
        tuple(content.get("categoricals", ())),
        content.get("separator", ","),
    )
    _check(schema)
    return schema


def _check(schema: TableSchema) -> None:
    names = schema.columns
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{schema.path}: names the column {twice!r} twice; a column has one purpose")
    if not schema.integers and not schema.categoricals:
        raise UserError(f"{schema.path}: names no features; list columns under integers or categoricals")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_name, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_separator(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1 and value.isascii() and value not in '"\r\n\0'


_KEYS = {
    "label": (_is_name, "the name of a column"),
    "threshold": (_is_number, "a number"),
    "time": (_is_name, "the name of a column"),
    "integers": (_is_names, "a list of names of columns"),
    "categoricals": (_is_names, "a list of names of columns"),
    "separator": (_is_separator, "one ASCII character"),
}

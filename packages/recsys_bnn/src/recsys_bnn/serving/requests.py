"""The bodies of requests: JSON to columns, by types that are made for the features of one model.

msgspec decodes straight into these types, so that a wrong value is refused where it stands, with its path, and a body
of a thousand candidates takes a fraction of a millisecond.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any

import msgspec

Values = Sequence[Any]
"""One value a row; None is a missing one."""
Columns = Mapping[str, Values]

LONGEST = 300
"""Letters of a message."""
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Number = Whole | float | None
Category = str | Whole | float | None
Categories = list[Category] | str | None
_TYPES: dict[str, Any] = {"whole": Number, "decimal": Number, "list": Categories}
"""What JSON holds for a kind of feature; a category where nothing stands here."""
Top = Annotated[int, msgspec.Meta(ge=1)] | None


class BadRequest(Exception):
    """A request that can't be answered, and the HTTP status that says so."""

    def __init__(self, message: str, status: int = 422):
        super().__init__(shortened(message))
        self.status = status


def shortened(message: str) -> str:
    """Return a message as one line of at most ``LONGEST`` letters."""
    line = " ".join(message.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


@dataclass(frozen=True)
class Feature:
    """What a model reads."""

    name: str
    kind: str
    """``whole`` or ``decimal`` for a number, else what the values of a category are
    (:class:`recsys_bnn.data.formats.keys.Keys`)."""


@dataclass(frozen=True)
class Rank:
    """A request to rank candidates."""

    context: Columns
    """Features that all candidates share, one value each."""
    candidates: Columns
    """The other features, a value for each candidate."""
    rows: int
    top: int


class Bodies:
    """Reads the bodies of requests to a model with these ``features``."""

    def __init__(self, features: Sequence[Feature], max_rows: int):
        self.features, self._max_rows = tuple(features), max_rows
        self._fields = {f"f{index}": feature.name for index, feature in enumerate(features)}
        whole = self._object("Row", lambda kind: kind)
        some = self._object("Candidate", lambda kind: kind, optional=True)
        columns = self._object("Columns", _list_of, optional=True)
        score = msgspec.defstruct("Score", [("rows", _list_of(whole) | columns)], forbid_unknown_fields=True)
        rank = msgspec.defstruct(
            "Rank",
            [
                ("candidates", _list_of(some) | columns),
                ("context", some, msgspec.field(default_factory=some)),
                ("top", Top, None),
            ],
            forbid_unknown_fields=True,
        )
        self._score, self._rank = msgspec.json.Decoder(score), msgspec.json.Decoder(rank)

    def _object(self, name: str, of: Callable[[Any], Any], *, optional: bool = False) -> Any:
        """Return a type with a field of ``of`` its kind for each feature."""
        default = {"default": msgspec.UNSET} if optional else {}
        fields = []
        for field, feature in zip(self._fields, self.features, strict=True):
            kind = of(_TYPES.get(feature.kind, Category))
            kind = kind | msgspec.UnsetType if optional else kind
            fields.append((field, kind, msgspec.field(name=feature.name, **default)))
        return msgspec.defstruct(name, fields, forbid_unknown_fields=True, gc=False)

    def score(self, body: bytes) -> tuple[Columns, int]:
        """Return the columns of a body of /score, and the number of rows.

        Raises:
            BadRequest: it is no JSON, or not of the form that is asked for, or has too many rows.
        """
        columns, rows = self._columns("rows", _decoded(self._score, body).rows)
        self._require(columns, {}, "each row")
        return columns, rows

    def rank(self, body: bytes) -> Rank:
        """Return what a body of /rank asks for.

        Raises:
            BadRequest: as for :meth:`score`.
        """
        asked = _decoded(self._rank, body)
        columns, rows = self._columns("candidates", asked.candidates)
        context = {
            name: (value,)
            for field, name in self._fields.items()
            if (value := getattr(asked.context, field)) is not msgspec.UNSET
        }
        self._require(columns, context, "the context or each candidate")
        return Rank(context, columns, rows, min(asked.top or rows, rows))

    def _columns(self, where: str, given: Any) -> tuple[dict[str, Values], int]:
        columns = self._of_rows(where, given) if isinstance(given, list) else self._of_columns(where, given)
        rows = len(given) if isinstance(given, list) else len(next(iter(columns.values()), ()))
        if not rows:
            raise BadRequest(f"{where}: holds none; give at least one")
        if rows > self._max_rows:
            raise BadRequest(
                f"{where}: {rows:,}, but a request may hold at most {self._max_rows:,}; send them in parts",
                413,
            )
        return columns, rows

    def _of_rows(self, where: str, rows: list[Any]) -> dict[str, Values]:
        columns = {}
        for field, name in self._fields.items():
            column = [getattr(row, field) for row in rows]
            absent = column.count(msgspec.UNSET)
            if absent and absent < len(rows):
                raise BadRequest(
                    f"{where}[{column.index(msgspec.UNSET)}].{name}: missing, but other {where} have it; "
                    "null says that a value is not known"
                )
            if not absent:
                columns[name] = column
        return columns

    def _of_columns(self, where: str, given: Any) -> dict[str, Values]:
        columns = {
            name: values
            for field, name in self._fields.items()
            if (values := getattr(given, field)) is not msgspec.UNSET
        }
        first = next(iter(columns), "")
        for name, values in columns.items():
            if len(values) != len(columns[first]):
                raise BadRequest(
                    f"{where}.{name}: {len(values):,} values, but {where}.{first} has {len(columns[first]):,}"
                )
        return columns

    def _require(self, columns: Columns, context: Columns, place: str) -> None:
        """Raise a BadRequest unless each feature is given once."""
        for feature in self.features:
            name = feature.name
            if name in columns and name in context:
                raise BadRequest(f"{name}: is in the context and in the candidates; give it once")
            if name not in columns and name not in context:
                raise BadRequest(f"{name}: missing; give it in {place}, null where its value is not known")


def _list_of(kind: Any) -> Any:
    return GenericAlias(list, (kind,))


_PATH = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        match = _PATH.fullmatch(str(error))
        what, path = match.groups() if match else (str(error), "")
        raise BadRequest(f"{path or 'body'}: {what[0].lower()}{what[1:].replace('`', '')}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"body: not JSON: {error}", 400) from error

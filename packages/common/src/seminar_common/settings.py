"""Settings dataclasses to JSON and back."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from seminar_common.errors import UserError

EARLIER = "earlier"
T = TypeVar("T")


def to_dict(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as nested dicts of JSON values; paths become absolute strings."""
    return dataclasses.asdict(settings, dict_factory=lambda items: {k: _plain(v) for k, v in items})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return str(value.absolute()) if isinstance(value, Path) else value


def from_dict(kind: type[T], values: dict[str, Any], source: Path) -> T:
    """Rebuild the settings dataclass ``kind`` from :func:`to_dict`'s output, read from ``source``.

    A setting that came later says in its field's metadata under :data:`EARLIER` what things were made with before.

    Raises:
        UserError: a key is missing or unknown, as after an update that changed the settings.
    """
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(typing.cast(Any, kind))
    values = {f.name: f.metadata[EARLIER] for f in fields if EARLIER in f.metadata} | values
    # A default may have changed since: it would stand for a value that the stored thing was not made with.
    for what, names in (("unknown", values.keys() - hints.keys()), ("missing", hints.keys() - values.keys())):
        if names:
            raise UserError(
                f"{source}: {what} setting {sorted(names)[0]!r}; another version wrote it, so make it again"
            )
    return kind(**{name: _restore(hints[name], value, source) for name, value in values.items()})


def _restore(hint: Any, value: Any, source: Path) -> Any:
    if value is None:
        return None
    if isinstance(hint, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, value, source)
    if hint is Path:
        return Path(value)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_restore(inner, item, source) for item in value)
    return value

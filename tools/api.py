"""What users build on, as text: the options of every command and the names of every package.

``python tools/api.py`` writes ``tests/api.txt``, and a test compares it: whoever changes the interface sees it in
the change, and says so in CHANGELOG.md. Of options it holds the name, the choices and the default, of Python names
the parameters. ``seminar_common`` promises its command line alone: topics ask for exactly their own version of it.
"""

import dataclasses
import enum
import inspect
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from seminar_common import files
from seminar_common.cli import Command
from seminar_common.progress import say

ROOT = Path(__file__).parents[1]
SNAPSHOT = ROOT / "tests" / "api.txt"
PROGRAMS = {
    "seminar": "seminar_common.seminar",
    "recsys-bnn": "recsys_bnn.cli",
    "doc-detect": "doc_detect.cli",
    "gcd-longtail": "gcd_longtail.cli",
}
PACKAGES = ("recsys_bnn", "doc_detect", "gcd_longtail")


def lines() -> Iterator[str]:
    """Yield a line an option and a line a public name, in an order that does not depend on the machine."""
    for program, module in PROGRAMS.items():
        for name, command in sorted(import_module(module).COMMANDS.items()):
            yield from (f"{program} {name} {option}" for option in sorted(_options(command)))
    for package in PACKAGES:
        yield from sorted(_names(package))


def _options(command: Command) -> Iterator[str]:
    import tyro

    preset = next(iter(command.presets.values()))() if command.presets else None
    for field, hint, value in _fields(command.settings, preset):
        marks = getattr(hint, "__metadata__", ())
        name = next((mark.name for mark in marks if getattr(mark, "name", None)), field.name)
        shown = name.upper() if tyro.conf.Positional in marks else "--" + name.replace("_", "-")
        allowed = list(_choices(hint))
        yield shown + (f" {{{','.join(allowed)}}}" if allowed else "") + f" = {value}"


def _fields(settings: Any, given: Any = None) -> Iterator[tuple[dataclasses.Field[Any], Any, str]]:
    """Yield the fields of settings and of their groups, with their types and defaults.

    Args:
        settings: A dataclass.
        given: An instance of it that holds the defaults, such as the first preset's; else they are the class's own.
    """
    hints = get_type_hints(settings, include_extras=True)
    for field in dataclasses.fields(settings):
        value = _default(field) if given is None else getattr(given, field.name)
        if dataclasses.is_dataclass(hint := hints[field.name]):
            yield from _fields(hint, value if isinstance(value, hint) else None)
        else:
            yield field, hint, "(required)" if value is dataclasses.MISSING else _text(value)


def _choices(hint: Any) -> Iterator[str]:
    """Yield the words that a type allows, where they are numbered."""
    if get_origin(hint) is Literal:
        yield from map(str, get_args(hint))
    elif get_origin(hint) in (Annotated, tuple, types.UnionType):
        for part in get_args(hint):
            yield from _choices(part)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    return str(value) if isinstance(value, Path) else repr(value)


def _names(package: str) -> Iterator[str]:
    module = import_module(package)
    for name in dir(module):
        what = getattr(module, name)
        foreign = callable(what) and what.__module__.split(".")[0] not in (*PACKAGES, "seminar_common")
        if not (name.startswith("_") or name == "lazy_exports" or inspect.ismodule(what) or foreign):
            yield from _described(f"{package}.{name}", what)


def _described(name: str, what: Any) -> Iterator[str]:
    """Yield a name with its parameters, and those of the public methods that a class defines."""
    if inspect.isclass(what):
        yield name + _parameters(what)
        for base in reversed(what.__mro__):
            if base.__module__.split(".")[0] == name.split(".")[0]:
                yield from _members(name, base)
    else:
        yield name + (_parameters(what) if callable(what) else "")


def _members(name: str, base: type) -> Iterator[str]:
    own = {
        *getattr(base, "__dataclass_fields__", ()),
        *getattr(base, "_fields", ()),
    }  # which are parameters already
    for key, value in vars(base).items():
        hidden = key.startswith("_") and key != "__call__"
        if key in own or hidden or key.endswith("_request"):  # which scikit-learn adds
            continue
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        yield f"{name}.{key}" + (_parameters(plain) if inspect.isfunction(plain) else "")


def _parameters(what: Any) -> str:
    """Return the parameters with their defaults; types are for the type checker."""
    try:
        signature = inspect.signature(what)
    except (TypeError, ValueError):  # a class that is built in C, or a protocol
        return ""
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    kept = [
        each.replace(default=_Shown(each.default)) if each.default is not each.empty else each
        for each in bare
    ]
    return str(inspect.Signature([each for each in kept if each.name != "self"]))


@dataclasses.dataclass(frozen=True)
class _Shown:
    """A default whose text does not depend on where it lies in memory."""

    value: Any

    def __repr__(self) -> str:
        if inspect.isclass(self.value) or inspect.isfunction(self.value):
            return self.value.__name__
        return "..." if " at 0x" in repr(self.value) else _text(self.value)


def text() -> str:
    """Return the whole interface."""
    return "".join(f"{line}\n" for line in dict.fromkeys(lines()))


if __name__ == "__main__":
    files.write_text(SNAPSHOT, text())
    say(f"wrote {SNAPSHOT.relative_to(ROOT)}")

"""Pages of the reference that are read off the code: every command with its options, and the table of results.

``python tools/reference.py`` writes ``docs/reference/commands.md`` and ``docs/reference/results.md``; a test says where
they are stale. Nothing heavy is imported: what an option does is its field's docstring, read from the source.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from seminar_common import files
from seminar_common.cli import Command
from seminar_common.display import CONDITIONS_GROUP, METRICS_GROUP, Metric, conditions, metrics
from seminar_common.extras import is_own
from seminar_common.progress import say
from seminar_common.results import SCHEMA, Curve, Results, Row

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
ORDER = ("recsys-bnn", "doc-detect", "gcd-longtail", "seminar")
"""The programs as the page has them; others follow by name."""


def main() -> None:
    """Write the pages, and say which changed."""
    for name, text in pages().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            files.write_text(path, text)
            say(f"wrote {path.relative_to(FOLDER.parents[1])}")


def pages() -> dict[str, str]:
    """Return the pages by their file names."""
    return {"commands.md": commands_page(), "results.md": results_page()}


# -------------------------------------------------------------------------------------------------- commands

INTRODUCTION = """# Commands and options

Every option of every command, as `--help-all` tells it. Options that few people need are folded, and `--help` leaves
them out. Where a command has presets, the default is that of the first one. `...` stands after what takes several values.
"""


def commands_page() -> str:
    """Return the page of all commands."""
    parts = [INTRODUCTION]
    for program, commands in _programs().items():
        names = ", ".join(f"[{name}](#{program}-{name})" for name in commands)
        parts.append(f"## {program}\n\n{names}\n")
        parts += [_command(program, name, command) for name, command in commands.items()]
    return "\n".join(parts)


def _programs() -> dict[str, Mapping[str, Command]]:
    own = {
        entry.name: import_module(entry.module).COMMANDS
        for entry in entry_points(group="console_scripts")
        if is_own(entry.module)
    }
    return {name: own[name] for name in (*ORDER, *sorted(set(own) - set(ORDER)))}


def _command(program: str, name: str, command: Command) -> str:
    parts = [f"### {program} {name}", _paragraphs(command.settings), _presets(command), _extra(command)]
    shown, advanced = [], []
    for option in options(command):
        (advanced if option.advanced else shown).append(option.row)
    parts.append(_table(("option", "default", "what"), shown))
    if advanced:
        table = _table(("option", "default", "what"), advanced)
        parts.append(
            f'<details markdown="1">\n<summary>{len(advanced)} options for experts</summary>\n\n{table}\n\n</details>'
        )
    if command.examples:
        lines = "\n".join(f"{program} {name} {example}".rstrip() for example in command.examples)
        parts.append(f"```\n{lines}\n```")
    return "\n\n".join(filter(None, parts)) + "\n"


def _paragraphs(kind: type) -> str:
    return _escaped(inspect.cleandoc(kind.__doc__ or ""))


def _presets(command: Command) -> str:
    names = [f"`{name}`" for name in command.presets or ()]
    return f"Presets: {', '.join(names)}." if names else ""


def _extra(command: Command) -> str:
    return f"Needs the extra `{command.extra}`." if command.extra else ""


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a command."""

    name: str
    """As it is typed, with what it takes: the choices, or the type."""
    default: str
    text: str
    """What it does."""
    advanced: bool

    @property
    def row(self) -> tuple[str, str, str]:
        """Its line of the table."""
        default = self.default if self.default in ("", "required") else f"`{self.default}`"
        return f"`{self.name}`", default, _escaped(self.text)


def options(command: Command) -> Iterator[Option]:
    """Yield the options of a command in the order of its help, those of its groups of settings after its own."""
    preset = next(iter(command.presets.values()))() if command.presets else None
    found = list(_fields(command.settings, preset))
    for group, owner, field, hint, value in sorted(found, key=lambda one: bool(one[0])):
        yield Option(
            _shown(field.name, hint),
            "required" if field.name in command.required or value is dataclasses.MISSING else _value(value),
            _field_texts(owner).get(field.name, ""),
            bool({field.name, group, f"{group}.{field.name}"} & set(command.advanced)),
        )


def _shown(name: str, hint: Any) -> str:
    """Return how an option is typed, with what it takes."""
    marks = getattr(hint, "__metadata__", ())
    name = next((mark.name for mark in marks if getattr(mark, "name", None)), name).replace("_", "-")
    if tyro.conf.Positional in marks:
        metavar = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), name.upper())
        return f"{metavar} {_kind(hint)}" if get_origin(_bare(hint)) is Literal else metavar
    return f"--{name}, --no-{name}" if _bare(hint) is bool else f"--{name} {_kind(hint)}"


def _fields(settings: Any, given: Any, group: str = "") -> Iterator[tuple[str, type, Any, Any, Any]]:
    """Yield group, owner, field, type and default of each option of settings and of their groups."""
    hints = get_type_hints(settings, include_extras=True)
    for field in dataclasses.fields(settings):
        value = _default(field) if given is None else getattr(given, field.name)
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            inner = value if isinstance(value, hint) else None
            yield from _fields(hint, inner, f"{group}.{field.name}".lstrip("."))
        else:
            yield group, settings, field, hint, value


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _kind(hint: Any) -> str:
    """Return what an option takes, in words."""
    hint = _bare(hint)
    if get_origin(hint) is Literal:
        return "{" + ",".join(map(str, get_args(hint))) + "}"
    if get_origin(hint) is tuple:
        return f"{_kind(get_args(hint)[0])} ..."
    if get_origin(hint) in (types.UnionType, getattr(types, "Union", types.UnionType)) or isinstance(
        hint, types.UnionType
    ):
        return "|".join(_kind(part) for part in get_args(hint) if part is not types.NoneType)
    return {"Path": "PATH"}.get(getattr(hint, "__name__", ""), getattr(hint, "__name__", str(hint)).upper())


def _value(value: Any) -> str:
    """Return a default as one would type it; empty for none."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(_value, value))
    return str(value)


@cache
def _field_texts(kind: type) -> dict[str, str]:
    """Return what the docstring under each field of a class says, the classes that it inherits from included."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        if not dataclasses.is_dataclass(base):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for before, after in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                match after:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        texts[before.target.id] = " ".join(text.split())
    return texts


# --------------------------------------------------------------------------------------------------- results

RESULTS = """# The table of results

Every command that measures writes `results.json`, and whatever shows figures reads it and nothing else: reports, plots,
comparisons, the tables of this documentation. It is

```json
{{"schema": {schema}, "command": "...", "rows": [...], "curves": [...], "notes": [...]}}
```

`seminar_common.results.read_results` reads it, schema 1 as well, and refuses what is none in one line. Keys without a value
are left out. Accuracies, AUCs and AP are fractions in the file and percent in print.

## A row

{rows}

Any other key is a fact of the topic's own, a text or a number. It sets rows apart as the keys above do. A paired difference
ends its metric in `_difference`, and names the model that was subtracted as `baseline`.

## A curve

One line of a plot, kept beside the rows so that a report needs no other file: {curves}. Its kind is `learning`, `roc` or
`calibration`.

## What says where a figure was measured

Only figures with equal values of these keys compare. A topic names its own by the entry point group `{conditions_group}`.

{conditions}

## Metrics

*Heading* is how tables print it. A topic names its own by the entry point group `{metrics_group}`. A metric that nobody named prints
under its own name.
"""


def results_page() -> str:
    """Return the page of the table of results."""
    head = RESULTS.format(
        schema=SCHEMA,
        rows=_table(("key", "what"), _keys(Row)),
        curves=", ".join(f"`{field.name}`" for field in dataclasses.fields(Curve)),
        conditions=_table(
            ("key", "in print"), [(f"`{key}`", f"`{form}`") for key, form in conditions().items()]
        ),
        conditions_group=CONDITIONS_GROUP,
        metrics_group=METRICS_GROUP,
    )
    assert {field.name for field in dataclasses.fields(Results)} == {"command", "rows", "curves", "notes"}
    return "\n".join([head, *_metric_parts()])


def _keys(kind: Any) -> list[tuple[str, str]]:
    texts = _field_texts(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name != "facts"]
    return [(f"`{name}`", _escaped(texts.get(name, ""))) for name in names]


def _metric_parts() -> Iterator[str]:
    brought = {entry.name: entry.load() for entry in entry_points(group=METRICS_GROUP)}
    of_topics = {name for one in brought.values() for name in one}
    shared = {name: metric for name, metric in metrics().items() if name not in of_topics}
    for title, some in (("All topics", shared), *sorted(brought.items())):
        lines = [_metric(name, metric) for name, metric in some.items()]
        yield f"### {title}\n\n{_table(('metric', 'heading', 'unit', 'better', 'what'), lines)}\n"


def _metric(name: str, metric: Metric) -> tuple[str, ...]:
    return (
        f"`{name}`",
        _escaped(metric.name),
        _escaped(metric.unit),
        metric.better,
        _escaped(metric.long_name),
    )


# ------------------------------------------------------------------------------------------------------ text


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Return ``text`` so that Markdown prints its signs; what stands in backticks is code and stays."""
    text = text.replace("``", "`")
    signs = {"<": "&lt;", "*": "\\*", "_": "\\_"}
    return re.sub(r"`[^`]*`|[<*_]", lambda found: signs.get(found[0], found[0]), text)


if __name__ == "__main__":
    main()

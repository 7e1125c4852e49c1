"""One way to make a command line: a table from command names to settings and a function.

A command's settings are a frozen dataclass whose field docstrings are the ``--help``; its function is
named by a string and imported only when the command runs, so that ``--help`` never waits for PyTorch.
"""

import functools
import importlib
import operator
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from seminar_common.errors import UserError, choices
from seminar_common.files import is_disk_full


@dataclass(frozen=True)
class Command:
    """One command of a command line."""

    settings: type
    """Frozen dataclass of the command's arguments."""
    target: str
    """The function that runs it with its settings, as ``package.module:function``."""
    presets: Mapping[str, Callable[[], Any]] | None = None
    """For a command with ``--preset``: functions that return the settings of a size, by name."""

    def run(self, settings: Any) -> None:
        """Import the function and call it."""
        module, function = self.target.split(":")
        getattr(importlib.import_module(module), function)(settings)


def main(
    prog: str, description: str, commands: Mapping[str, Command], args: Sequence[str] | None = None
) -> None:
    """Parse ``args`` (default: the process's), run the command and exit.

    Exit status: 0 done; 2 something the user can mend, in one line on standard error; 130 interrupted.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        settings = _parse(prog, description, commands, arguments)
        next(c for c in commands.values() if c.settings is type(settings)).run(settings)
    except UserError as error:
        _fail(prog, str(error))
    except OSError as error:
        if not is_disk_full(error):
            raise
        _fail(
            prog,
            f"{error.filename or 'writing'}: no space left on the disk; free some space and run it again",
        )
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(prog: str, message: str) -> None:
    print(f"{prog}: error: {message}", file=sys.stderr)
    sys.exit(2)


def _parse(prog: str, description: str, commands: Mapping[str, Command], args: list[str]) -> Any:
    import tyro

    kinds = []
    for name, command in commands.items():
        default = _preset_default(command, args) if args[:1] == [name] else None
        subcommand = (
            tyro.conf.subcommand(name) if default is None else tyro.conf.subcommand(name, default=default)
        )
        kinds.append(Annotated[command.settings, subcommand])  # ty: ignore[invalid-type-form]
    union = functools.reduce(operator.or_, kinds)
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    return tyro.cli(union, prog=prog, description=description, args=args, config=markers)


def _preset_default(command: Command, args: list[str]) -> Any:
    """Return the settings of the preset that ``args`` name, so that other options change single values of it."""
    if not command.presets:
        return None
    given = next((_option_value(args, i) for i, a in enumerate(args) if a.split("=")[0] == "--preset"), None)
    name = given or next(iter(command.presets))
    if name not in command.presets:
        raise UserError(f"--preset {name}: no such preset; choose {choices(command.presets)}")
    return command.presets[name]()


def _option_value(args: list[str], index: int) -> str:
    if "=" in args[index]:
        return args[index].split("=", 1)[1]
    return args[index + 1] if index + 1 < len(args) else ""

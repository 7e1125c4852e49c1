"""One way to make a command line: a table from command names to settings and a function.

A command's settings are a frozen dataclass whose field docstrings are the ``--help``; its function is
named by a string and imported only when the command runs, so that ``--help`` never waits for PyTorch.
"""

import contextlib
import dataclasses
import errno
import functools
import importlib
import operator
import os
import select
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from seminar_common import extras, files
from seminar_common.device import PASSIVE_WAITING, PlaceConfig, environment_set, thread_variables
from seminar_common.errors import UserError, choices
from seminar_common.files import is_disk_full
from seminar_common.progress import MOST_SILENCE, duration, heartbeat
from seminar_common.signals import Terminated, terminable

T = TypeVar("T")


@dataclass(frozen=True)
class Command:
    """One command of a command line."""

    settings: type
    """Frozen dataclass of the command's arguments."""
    target: str
    """The function that runs it with its settings, as ``package.module:function``."""
    presets: Mapping[str, Callable[[], Any]] | None = None
    """For a command with ``--preset``: functions that return the settings of a size, by name."""
    examples: tuple[str, ...] = ()
    """Options of typical calls, which end the ``--help``."""
    extra: str | None = None
    """Extra of the distribution without which the command can't run, such as ``train``."""
    inputs: tuple[str, ...] = ()
    """Fields with files or folders that must be there, checked before anything heavy is imported."""
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By field: what may be given in place of a path."""
    outputs: tuple[str, ...] = ("out",)
    """Fields with files or folders that are written, checked as early."""
    new: tuple[str, ...] = ()
    """Those of the outputs that are refused, as early, if they hold anything, unless ``--resume`` is given."""
    marks: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """By field: the files by which a folder is known, with the command that writes each. An input must hold one of
    them; an output of ``new`` that holds one is gone on with."""
    required: tuple[str, ...] = ()
    """Fields that must be given unless ``--resume`` is, although their default is None."""
    advanced: tuple[str, ...] = ()
    """Fields, of groups of settings as well, that only ``--help-all`` shows; they are accepted as any other."""
    waits: bool = False
    """Whether it waits for others, as a server does, and is not to say every half minute that it is at work."""

    def run(self, settings: Any) -> None:
        """Import the function and call it."""
        module, function = self.target.split(":")
        getattr(importlib.import_module(module), function)(settings)


def main(
    prog: str,
    description: str,
    commands: Mapping[str, Command],
    args: Sequence[str] | None = None,
    distribution: str | None = None,
) -> None:
    """Parse ``args`` (default: the process's), run the command and exit.

    Args:
        prog: Name of the program.
        description: What it is for.
        commands: Its commands by name.
        args: Arguments in place of the process's own.
        distribution: What is installed, for ``--version`` and extras; by default its name is ``prog``.

    Exit status: 0 done; 2 something the user can mend, in one line on standard error; 130 interrupted;
    141 the reader of the output has gone, as `head` does; 143 terminated.
    """
    for name, value in PASSIVE_WAITING.items():
        os.environ.setdefault(name, value)
    line = _Line(prog, description, commands, distribution or prog)
    status = line.status(list(sys.argv[1:] if args is None else args))
    if status:
        sys.exit(status)


@dataclass(frozen=True)
class _Line:
    """A command line and what is known of it."""

    prog: str
    description: str
    commands: Mapping[str, Command]
    distribution: str

    def status(self, args: list[str]) -> int:
        """Run ``args`` and return the exit status; what went wrong has been said then."""
        try:
            with terminable():
                try:
                    self._execute(args)
                finally:
                    sys.stdout.flush()  # here, not as the interpreter ends, where a closed pipe makes a traceback
        except BrokenPipeError:
            if not (closed := list(_closed_outputs())):
                raise
            for descriptor in closed:
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
            return 141
        except (KeyboardInterrupt, Terminated) as stop:
            interrupted = isinstance(stop, KeyboardInterrupt)
            self._say("interrupted" if interrupted else "terminated")
            return 130 if interrupted else 143
        except UserError as error:
            self._say(f"error: {error}")
            return 2
        return 0

    def _execute(self, args: list[str]) -> None:
        if args[-1:] == ["--version"] and len(args) <= 2:
            print(f"{self.prog} {extras.version(self.distribution)}")
            return
        with _examples_after_help(self, args):
            settings = parse(self.prog, self.description, self.commands, args)
        name, command = next((n, c) for n, c in self.commands.items() if c.settings is type(settings))
        check_paths(command, settings)
        if command.extra:
            extras.require(f"{self.prog} {name}", self.distribution, command.extra)
        with (
            contextlib.nullcontext()
            if command.waits
            else heartbeat(_still_working(f"{self.prog} {name}"), MOST_SILENCE),
            _mendable_errors(f"{self.prog} {name}", self.distribution, settings),
            environment_set(_thread_variables(settings)),
        ):
            command.run(settings)

    def _say(self, message: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(f"{self.prog}: {message}", file=sys.stderr, flush=True)


def _thread_variables(settings: Any) -> dict[str, str]:
    """Return what tells every library of ``--threads``: NumPy's own pools read it as they load, and never again."""
    threads = max((place.threads for place in _instances(settings, PlaceConfig)), default=0)
    return thread_variables(threads) if threads else {}


def _still_working(command: str) -> Callable[[], str]:
    """Return what a command says that has nothing better to say: the first time that it starts, then for how long."""
    started = time.monotonic()

    def line() -> str:
        seconds = time.monotonic() - started
        return f"{command}: " + ("starting" if seconds < MOST_SILENCE else f"at work for {duration(seconds)}")

    return line


@contextlib.contextmanager
def _examples_after_help(line: _Line, args: list[str]) -> Generator[None]:
    """Print the examples of the command whose help was asked for."""
    try:
        yield
    except SystemExit as stop:
        command = line.commands.get(args[0]) if args else None
        if not stop.code and command is not None and command.examples:
            if command.advanced and "--help-all" not in args:
                print(f"{line.prog} {args[0]} --help-all shows options for experts, too.\n")
            print(
                "examples:",
                *(f"  {line.prog} {args[0]} {text}".rstrip() for text in command.examples),
                sep="\n",
            )
        raise


@contextlib.contextmanager
def _mendable_errors(command: str, distribution: str, settings: Any) -> Generator[None]:
    """Make errors of the system that the user can mend, and missing libraries, UserErrors of one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or extras.is_own(error.name):
            raise  # a mistake of ours
        raise UserError(extras.missing_module(command, distribution, error.name)) from error
    except OSError as error:
        message = _of_the_system(error, list(_instances(settings, Path)))
        if message is None:
            raise
        raise UserError(message) from error


def _of_the_system(error: OSError, given: Sequence[Path]) -> str | None:
    """Return what to say of a full disk, of missing rights, and of a path below or above a given one; else None."""
    name = error.filename if isinstance(error.filename, str) else "writing"
    if is_disk_full(error):
        return f"{name}: no space left on the disk; free some space and run it again"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"{name}: {error.strerror}; change its rights, or give another path"
    path = Path(name).absolute()
    of_user = any(path.is_relative_to(g) or g.is_relative_to(path) for g in (g.absolute() for g in given))
    if of_user and isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return f"{name}: {error.strerror}; check the path"
    return None


def _instances(settings: Any, kind: type[T]) -> Iterator[T]:
    """Yield every value of ``kind`` in ``settings``, also of groups and tuples."""
    if isinstance(settings, kind):
        yield settings
    elif isinstance(settings, tuple):
        for value in settings:
            yield from _instances(value, kind)
    elif dataclasses.is_dataclass(settings):
        for field in dataclasses.fields(settings):
            yield from _instances(getattr(settings, field.name), kind)


def _closed_outputs() -> Iterator[int]:
    """Yield the descriptors of standard output and error whose reader has gone."""
    for descriptor in (1, 2):
        poll = select.poll()
        poll.register(descriptor, 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            yield descriptor


def check_paths(command: Command, settings: Any) -> None:
    """Look at the paths in ``settings`` before the work.

    Raises:
        UserError: a required one is not given, an input is not there, or an output can't be written.
    """
    for name in command.required:
        if _value(settings, name) is None and getattr(settings, "resume", None) is None:
            way_out = ", or --resume RUN" if hasattr(settings, "resume") else ""
            raise UserError(f"{_option(settings, name).strip()}: must be given{way_out}")
    for name in command.inputs:
        for path in _instances(_value(settings, name), Path):
            if str(path) in command.words.get(name, ()):
                continue
            archive = Path(str(path).partition("::")[0])  # of archive.zip::file
            if not path.exists() and not archive.is_file() and not _is_pattern_or_address(path):
                raise UserError(f"{_option(settings, name)}{path}: no such file or folder; check the path")
            _check_mark(_option(settings, name), path, command.marks.get(name, {}))
    for name in command.outputs:
        for path in _instances(_value(settings, name), Path):
            files.check_writable(path, _option(settings, name))
            if name in command.new and getattr(settings, "resume", None) is None:
                _refuse_existing(path, command.marks.get(name, {}), resumable=hasattr(settings, "resume"))


def _is_pattern_or_address(path: Path) -> bool:
    """Say whether a command itself has to find out what an input names: a glob, or an address on the network."""
    return bool(set(str(path)) & set("*?[")) or str(path).startswith(("http:/", "https:/"))


def _value(settings: Any, name: str) -> Any:
    """Return a field, ``source.images`` being that of a group, or None where these settings have none."""
    for part in name.split("."):
        settings = getattr(settings, part, None)
    return settings


def _option(settings: Any, name: str) -> str:
    """Return how an error names a field: as an option with a space behind it, or not at all where it has no name."""
    import tyro

    hint = get_type_hints(type(settings), include_extras=True).get(name)
    marks = getattr(hint, "__metadata__", ())
    if tyro.conf.Positional in marks:
        return ""
    if own := next(
        (mark.name for mark in marks if getattr(mark, "name", None)), None
    ):  # of tyro.conf.arg(name=...)
        return f"--{own} "
    return "--" + name.rsplit(".", maxsplit=1)[-1].replace("_", "-") + " "


def _check_mark(option: str, path: Path, marks: Mapping[str, Sequence[str]]) -> None:
    if not marks or not path.exists():
        return
    makers = [maker for file in marks.values() for maker in file]
    named = choices(f"`{maker}`" for maker in makers)
    if not _has_mark(path, marks):
        raise UserError(f"{option}{path}: holds no {choices(marks)}; give a folder that {named} wrote")
    made_by = _maker(path)
    if made_by is not None and made_by not in makers:
        raise UserError(f"{option}{path}: `{made_by}` wrote it; give a folder that {named} wrote")


def _maker(run: Path) -> str | None:
    """Return topic and command of the envelope in a run folder, None where there is none that can be read."""
    from seminar_common import runs

    with contextlib.suppress(UserError, TypeError, KeyError):
        config = files.read_json(run / runs.MARKER)
        return f"{config['topic']} {config['command']}"
    return None


def _has_mark(path: Path, marks: Mapping[str, Sequence[str]]) -> bool:
    return any((path / file).is_file() for file in marks)


def _refuse_existing(path: Path, marks: Mapping[str, Sequence[str]], resumable: bool) -> None:
    if not path.exists() or _has_mark(path, marks):
        return
    from seminar_common import runs

    if resumable:
        runs.refuse_existing(path)
    else:
        files.refuse_existing(path)


def parse(prog: str, description: str, commands: Mapping[str, Command], args: list[str]) -> Any:
    """Return the settings of the command that ``args`` name.

    Raises:
        UserError: the arguments make no sense together.
        SystemExit: help was asked for, or an argument is unknown.
    """
    import tyro

    command, name = commands.get(args[0]) if args else None, "".join(args[:1])
    kinds: list[Any] = []
    for key, each in commands.items():
        default = _preset_default(each, args) if key == name else None
        more = {} if default is None else {"default": default}
        kinds.append(Annotated[each.settings, tyro.conf.subcommand(key, **more)])  # ty: ignore[invalid-type-form]
    about = f"{description} `{prog} COMMAND --help` explains a command, `--version` prints the version."
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.DisallowNone)
    return tyro.cli(
        functools.reduce(operator.or_, kinds),
        prog=prog,
        description=about,
        args=["--help" if a == "--help-all" else a for a in args],
        config=markers,
        registry=_help_registry(command, args),
    )


def _help_registry(command: Command | None, args: list[str]) -> Any:
    """Return tyro rules for the help: leave out advanced options, and say of optional ones whether they are needed."""
    import tyro

    registry = tyro.constructors.ConstructorRegistry()
    if command is None or not {"-h", "--help", "--help-all"} & set(args):
        return registry
    hidden = () if "--help-all" in args else command.advanced
    inside = False

    def annotate(field: Any) -> Any:
        kind, text = field.type, field.helptext
        if field.name in hidden:
            kind = Annotated[kind, tyro.conf.Suppress]  # ty: ignore[invalid-type-form]
        elif field.name in command.required or field.default in (None, (), ""):
            # "(default: None)" says nothing that the text doesn't
            hint = "(required)" if field.name in command.required else ""
            hinted = tyro.conf.arg(help_behavior_hint=hint)
            kind = Annotated[kind, hinted]  # ty: ignore[invalid-type-form]
        return dataclasses.replace(field, type=kind, helptext=lambda: _flowing(text))

    @registry.struct_rule
    def rule(info: Any) -> Any:
        nonlocal inside
        if inside or not dataclasses.is_dataclass(info.type):
            return None
        inside = True
        try:
            spec = registry.get_struct_spec(info)
        finally:
            inside = False
        if not isinstance(spec, tyro.constructors.StructConstructorSpec):
            return spec
        return dataclasses.replace(spec, fields=tuple(annotate(field) for field in spec.fields))

    return registry


def _flowing(text: Any) -> str | None:
    """Return a field's docstring without the line breaks of the source, so that the terminal's width breaks it."""
    given = text() if callable(text) else text
    return None if given is None else " ".join(given.split())


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


def example_arguments(name: str, command: Command) -> Iterable[list[str]]:
    """Yield the arguments of each example of a command, split as a shell does."""
    import shlex

    return ([name, *shlex.split(text)] for text in command.examples)

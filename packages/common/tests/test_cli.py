import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from seminar_common import cli
from seminar_common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Greet:
    """Greet somebody."""

    name: str = "you"
    """Whom to greet."""
    preset: str = "small"
    """Size of the greeting."""
    times: int = 1
    """How often."""


@dataclasses.dataclass(frozen=True)
class Fail:
    """Fail."""

    how: str = "user"
    """Kind of failure."""
    file: Path = Path("given.txt")
    """A file."""


@dataclasses.dataclass(frozen=True)
class Knobs:
    """How it is done."""

    knob: int = 3
    """A knob for experts
    alone."""


@dataclasses.dataclass(frozen=True)
class Work:
    """Work."""

    data: Path | None = None
    """What to read."""
    source: Path | None = None
    """What else to
    read."""
    out: Path | None = None
    """What to write."""
    resume: Path | None = None
    """What to go on with."""
    kind: Literal["plain", "fancy"] = "plain"
    """How it looks."""
    knobs: Knobs = dataclasses.field(default_factory=Knobs)


@dataclasses.dataclass(frozen=True)
class Look:
    """Look at files."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """What to look at."""


@dataclasses.dataclass(frozen=True)
class Gather:
    """Gather what others wrote."""

    run: Path
    """What to read."""
    out: Path
    """What to make, or to go on with."""


def greet(settings: Greet) -> None:
    print(f"{settings.name} {settings.preset} {settings.times}")


def fail(settings: Fail) -> None:
    errors = {
        "user": UserError("file.txt, line 3: bad\nlabel"),
        "disk": OSError(errno.ENOSPC, "No space left on device", "out.bin"),
        "bug": OSError(errno.EIO, "broken"),
        "stop": KeyboardInterrupt(),
        "module": ModuleNotFoundError("No module", name="a_library_that_nobody_has"),
        "mistake": ModuleNotFoundError("No module seminar_common.nothing", name="seminar_common.nothing"),
        "rights": PermissionError(errno.EACCES, "Permission denied", "/etc/kept"),
        "read-only": OSError(errno.EROFS, "Read-only file system", "disk/out"),
        "gone": FileNotFoundError(errno.ENOENT, "No such file or directory", str(settings.file)),
        "folder": IsADirectoryError(errno.EISDIR, "Is a directory", str(settings.file)),
        "below": NotADirectoryError(errno.ENOTDIR, "Not a directory", f"{settings.file}/part"),
        "ours": FileNotFoundError(errno.ENOENT, "No such file or directory", "/opt/template.html"),
    }
    raise errors[settings.how]


COMMANDS = {
    "greet": cli.Command(
        Greet, f"{__name__}:greet", {"small": Greet, "large": lambda: Greet(preset="large", times=100)}
    ),
    "fail": cli.Command(Fail, f"{__name__}:fail"),
    "work": cli.Command(
        Work,
        "a_module_that_nobody_has:work",  # so a test that gets as far as the import shows it
        examples=("--data here --out there", "--resume there"),
        inputs=("data", "source"),
        required=("data",),
        advanced=("knob",),
    ),
    "look": cli.Command(
        Look, "a_module_that_nobody_has:look", inputs=("files",), words={"files": ("default",)}
    ),
    "gather": cli.Command(
        Gather,
        "a_module_that_nobody_has:gather",
        inputs=("run",),
        new=("out",),
        marks={
            "run": {"config.json": ("prog train", "prog find")},
            "out": {"gathered.json": ("prog gather",)},
        },
    ),
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands above be found by the name of this module, which pytest doesn't install."""
    from types import ModuleType

    module = ModuleType(__name__)
    module.greet, module.fail, module.__file__ = greet, fail, __file__  # the file has the fields' docstrings
    monkeypatch.setitem(sys.modules, __name__, module)


def run(*args: str) -> None:
    cli.main("prog", "A program.", COMMANDS, args, "seminar-common")


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Return the one line with which the command line refuses ``args``."""
    with pytest.raises(SystemExit) as stopped:
        run(*args)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("prog: error: ") and error.count("\n") == 1
    return error.removeprefix("prog: error: ").strip()


def test_a_command_gets_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    run("greet", "--name", "Ada")
    assert capsys.readouterr().out == "Ada small 1\n"


@pytest.mark.parametrize("option", [["--preset", "large"], ["--preset=large"]])
def test_a_preset_sets_what_other_options_do_not(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("greet", *option, "--name", "Ada")
    assert capsys.readouterr().out == "Ada large 100\n"
    run("greet", "--times", "2", *option)
    assert capsys.readouterr().out == "you large 2\n"


def test_an_unknown_preset_is_one_line_that_names_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        refused(capsys, "greet", "--preset", "huge") == "--preset huge: no such preset; choose large or small"
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("user", "file.txt, line 3: bad label"),
        ("disk", "out.bin: no space"),
        ("rights", "/etc/kept: Permission denied; "),
        ("read-only", "disk/out: Read-only file system; "),
        ("gone", "given.txt: No such file or directory; check"),
        ("folder", "given.txt: Is a directory; check"),
        ("below", "given.txt/part: Not a directory; check"),
        (
            "module",
            "prog fail needs the Python module a_library_that_nobody_has, which is not installed: pip ",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(how: str, message: str, capsys) -> None:
    assert refused(capsys, "fail", "--how", how).startswith(message)


def test_an_interrupt_has_the_shells_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("fail", "--how", "stop")
    assert stopped.value.code == 130


@pytest.mark.parametrize(("how", "words"), [("bug", "broken"), ("ours", "template"), ("mistake", "nothing")])
def test_a_bug_keeps_its_traceback(how: str, words: str) -> None:
    with pytest.raises((OSError, ModuleNotFoundError), match=words):
        run("fail", "--how", how)


@pytest.mark.parametrize("args", [["--version"], ["greet", "--version"]])
def test_the_version_is_that_of_the_distribution(args: list[str], capsys) -> None:
    run(*args)
    assert capsys.readouterr().out == f"prog {version('seminar-common')}\n"


@dataclasses.dataclass(frozen=True)
class Renamed:
    """Has an option that Python allows no field the name of."""

    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None


def test_an_option_is_named_as_it_is_given(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^--from .*absent: no such file or folder"):
        cli.check_paths(
            cli.Command(Renamed, "a:b", inputs=("source",), outputs=()), Renamed(tmp_path / "absent")
        )


def test_a_wrong_path_is_refused_before_anything_is_imported(tmp_path: Path, capsys) -> None:
    absent, file = str(tmp_path / "absent"), tmp_path / "file"
    file.write_text("kept")
    assert (
        refused(capsys, "work", "--data", absent)
        == f"--data {absent}: no such file or folder; check the path"
    )
    assert refused(capsys, "work") == "--data: must be given, or --resume RUN"
    error = refused(capsys, "work", "--data", str(file), "--out", str(file / "out"))
    assert error == f"--out {file}/out: can't be written (Not a directory: {file}); choose another --out"
    assert refused(capsys, "look", absent) == f"{absent}: no such file or folder; check the path"
    error = refused(capsys, "work", "--data", str(file), "--out", "/proc/run")
    assert error.startswith("--out /proc/run: can't be written (")
    # Nothing is wrong with these, so the import is reached.
    for args in (
        ["--resume", absent],
        ["--data", str(file), "--out", str(tmp_path / "a" / "b"), "--source", "*"],
    ):
        assert "a_module_that_nobody_has" in refused(capsys, "work", *args)
    assert "a_module_that_nobody_has" in refused(capsys, "look", "default")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"], "the check leaves nothing"


def test_a_folder_of_another_kind_is_refused_before_anything_is_imported(tmp_path: Path, capsys) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    gather = ["gather", "--run", str(run), "--out", str(out)]
    assert (
        refused(capsys, *gather)
        == f"--run {run}: holds no config.json; give a folder that `prog find` or `prog train` wrote"
    )
    (run / "config.json").write_text('{"topic": "other", "command": "train"}')
    assert (
        refused(capsys, *gather)
        == f"--run {run}: `other train` wrote it; give a folder that `prog find` or `prog train` wrote"
    )
    (run / "config.json").write_text('{"topic": "prog", "command": "find"}')
    assert "a_module_that_nobody_has" in refused(capsys, *gather)
    (run / "config.json").write_text("{}")
    assert "a_module_that_nobody_has" in refused(capsys, *gather), (
        "nothing is wrong, so the import is reached"
    )
    out.mkdir()
    assert "a_module_that_nobody_has" in refused(capsys, *gather), "an empty folder is as good as none"
    (out / "mine.txt").write_text("kept")
    assert (
        refused(capsys, *gather)
        == f"{out}: exists already and is not overwritten; choose another --out, or remove it first"
    )
    (out / "gathered.json").write_text("{}")
    assert "a_module_that_nobody_has" in refused(capsys, *gather), "its own folder is gone on with"


def help_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(*args)
    assert not stopped.value.code
    return capsys.readouterr().out


def test_help_lists_choices_needs_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "work", "--help")
    assert text.endswith("examples:\n  prog work --data here --out there\n  prog work --resume there\n")
    lines = [" ".join(line.strip("│ ").split()) for line in text.splitlines()]
    assert "--data PATH What to read. (required)" in lines
    assert "--source PATH What else to read." in lines, "the source's line breaks flow, and None is no value"
    assert "{plain,fancy}" in text


def test_options_for_experts_are_accepted_and_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--knob" not in help_of(capsys, "work", "--help")
    text = help_of(capsys, "work", "--help-all")
    assert "--knob INT" in text and "experts alone" in text
    settings = cli.parse("prog", "A program.", COMMANDS, ["work", "--knob", "5"])
    assert settings == Work(knobs=Knobs(5))


PROGRAM = """
import dataclasses, sys, time
from multiprocessing import get_context
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from seminar_common import cli, files

@dataclasses.dataclass(frozen=True)
class Many:
    "Print many lines."
    lines: int = 100_000

@dataclasses.dataclass(frozen=True)
class Long:
    "Work long in other processes."
    out: Path = Path("out")
    method: str = "spawn"

def many(settings):
    for line in range(settings.lines):
        print("line", line)

def long(settings):
    with files.atomic_path(settings.out) as temporary:
        temporary.mkdir()
        with ProcessPoolExecutor(2, get_context(settings.method)) as pool:
            pool.submit(time.sleep, 0).result()
            work = [pool.submit(time.sleep, 60) for _ in range(4)]
            print("working", flush=True)
            work[0].result()

if __name__ == "__main__":
    commands = {"many": cli.Command(Many, "program:many"), "long": cli.Command(Long, "program:long")}
    cli.main("prog", "A program.", commands)
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """Return the command that runs the program above."""
    (tmp_path / "program.py").write_text(PROGRAM)
    return [sys.executable, str(tmp_path / "program.py")]


@pytest.mark.parametrize("args", ["many", "many --lines 1", "many --help"])
def test_a_reader_that_goes_away_is_no_error(program: list[str], args: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # gone before the first line, so also what waits in the buffer at the end finds nobody
    done = subprocess.run(
        [*program, *args.split()], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_termination_leaves_no_worker_and_nothing_half_written(
    program: list[str], tmp_path: Path, method: str
) -> None:
    command = [*program, "long", "--out", str(tmp_path / "out"), "--method", method]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None and running.stdout.readline() == "working\n"
        started = time.monotonic()
        running.send_signal(signal.SIGTERM)
        error = running.communicate(timeout=30)[1]
    assert time.monotonic() - started < 20, "work that waits is not done first"
    assert running.returncode == 143
    assert error.splitlines()[-1] == "prog: terminated" and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    assert is_empty_soon(running.pid), "a process of its group is left"


def is_empty_soon(group: int) -> bool:
    """Say whether a process group has no members; Python's own resource tracker takes a moment to see the end."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


THREADS = """
import dataclasses, sys
from seminar_common import cli
from seminar_common.device import DeviceConfig

@dataclasses.dataclass(frozen=True)
class Work:
    device: DeviceConfig = dataclasses.field(default_factory=DeviceConfig)

@dataclasses.dataclass(frozen=True)
class Count:
    '''Count threads.'''

    work: Work = dataclasses.field(default_factory=Work)

@dataclasses.dataclass(frozen=True)
class Other:
    '''Do something else.'''

def count(settings):
    from threadpoolctl import threadpool_info
    import numpy

    print({pool["num_threads"] for pool in threadpool_info()})

if __name__ == "__main__":
    commands = {"count": cli.Command(Count, "__main__:count"), "other": cli.Command(Other, "__main__:count")}
    cli.main("count", "", commands, ["count", "--threads", "1"])
"""


def test_threads_bind_the_pools_of_numpy_too(tmp_path: Path) -> None:
    pytest.importorskip("threadpoolctl")
    script = tmp_path / "count.py"
    script.write_text(THREADS)
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.stdout == "{1}\n", done.stderr

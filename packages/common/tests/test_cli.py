import dataclasses
import errno

import pytest

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


def greet(settings: Greet) -> None:
    print(f"{settings.name} {settings.preset} {settings.times}")


def fail(settings: Fail) -> None:
    errors = {
        "user": UserError("file.txt, line 3: bad\nlabel"),
        "disk": OSError(errno.ENOSPC, "No space left on device", "out.bin"),
        "bug": OSError(errno.EIO, "broken"),
        "stop": KeyboardInterrupt(),
    }
    raise errors[settings.how]


COMMANDS = {
    "greet": cli.Command(
        Greet, f"{__name__}:greet", {"small": Greet, "large": lambda: Greet(preset="large", times=100)}
    ),
    "fail": cli.Command(Fail, f"{__name__}:fail"),
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands above be found by the name of this module, which pytest doesn't install."""
    import sys
    from types import ModuleType

    module = ModuleType(__name__)
    module.greet, module.fail = greet, fail
    monkeypatch.setitem(sys.modules, __name__, module)


def run(*args: str) -> None:
    cli.main("prog", "A program.", COMMANDS, args)


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
    with pytest.raises(SystemExit) as stopped:
        run("greet", "--preset", "huge")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "prog: error: --preset huge: no such preset; choose large or small\n"


@pytest.mark.parametrize(
    ("how", "message"), [("user", "file.txt, line 3: bad label"), ("disk", "out.bin: no space")]
)
def test_what_the_user_can_mend_is_one_line_and_status_2(how: str, message: str, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("fail", "--how", how)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"prog: error: {message}") and error.count("\n") == 1


def test_an_interrupt_has_the_shells_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("fail", "--how", "stop")
    assert stopped.value.code == 130


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(OSError, match="broken"):
        run("fail", "--how", "bug")

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from seminar_common.cli import Command
from seminar_common.reporting import differing
from seminar_common.reporting.differing import changed, options


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    steps: int = 10


@dataclass(frozen=True)
class Settings:
    data: str
    preset: str = "small"
    inner: Inner = field(default_factory=Inner)
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Sized:
    preset: str = "small"
    epochs: int = 1


@pytest.fixture(autouse=True)
def tool(monkeypatch):
    commands = {
        "train": Command(Settings, "x:y"),
        "sized": Command(Sized, "x:y", {"small": Sized, "large": lambda: Sized("large", 9)}),
    }
    entry = SimpleNamespace(name="tool", module="tool.cli")
    monkeypatch.setattr(differing, "entry_points", lambda group: [entry])
    monkeypatch.setattr(differing.importlib, "import_module", lambda name: SimpleNamespace(COMMANDS=commands))


def config(command, **settings):
    return {"topic": "tool", "command": command, "settings": settings}


def test_settings_that_are_the_defaults_are_left_out():
    given = config("train", data="clicks", preset="small", inner={"rate": 0.3, "steps": 10}, names=["a"])
    assert [tuple(one) for one in changed(given)] == [("data", "clicks", ""), ("inner.rate", "0.3", "0.1")]


def test_a_preset_is_compared_with_itself():
    assert changed(config("sized", preset="large", epochs=9)) == []
    assert [tuple(one) for one in changed(config("sized", preset="large", epochs=1))] == [
        ("epochs", "1", "9")
    ]


@pytest.mark.parametrize("given", [None, {}, {"settings": [1]}, config("no-such-command", a=1)])
def test_what_says_nothing_of_defaults_is_none(given):
    assert changed(given) is None


def test_options_are_those_of_a_plain_command_line():
    assert options("tool study --data 'my data' --seeds 0 1 --fast --k=true") == [
        ("--data", "my data"),
        ("--seeds", "0 1"),
        ("--fast", ""),
        ("--k", "true"),
    ]
    assert (
        options("for d in a b; do tool evaluate --data $d; done") == []
    )  # a script has no options of its own
    assert options("it's broken") == []

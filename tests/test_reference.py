"""The generated pages of the reference: up to date, whole, and quick to make."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

import reference
from seminar_common.cli import Command

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_a_page_says_what_the_code_says(name: str) -> None:
    written = (reference.FOLDER / name).read_text(encoding="utf-8")
    assert written == reference.pages()[name], "run `uv run python tools/reference.py`"


def test_every_option_is_explained() -> None:
    for program, commands in reference._programs().items():
        for name, command in commands.items():
            silent = [option.name for option in reference.options(command) if not option.text]
            assert not silent, f"{program} {name}"


@dataclasses.dataclass(frozen=True)
class Group:
    size: int | None = None
    """Side of it, in `px`."""
    words: tuple[str, ...] = ("a", "b")
    """Some <words>."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Do it."""

    kind: tyro.conf.Positional[Literal["one", "two"]]
    """Which."""
    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE [FILE ...]")]
    """Files."""
    group: Group = Group()
    """A group."""
    loud: bool = False
    """Say it."""
    way_out: Path | None = None
    """Where to."""


def test_options_are_shown_as_they_are_typed() -> None:
    command = Command(Settings, "m:f", required=("way_out",), advanced=("group.size",))
    assert [(*option.row, option.advanced) for option in reference.options(command)] == [
        ("`KIND {one,two}`", "required", "Which.", False),
        ("`FILE [FILE ...]`", "required", "Files.", False),
        ("`--loud, --no-loud`", "`no`", "Say it.", False),
        ("`--way-out PATH`", "required", "Where to.", False),
        ("`--size INT`", "", "Side of it, in `px`.", True),
        ("`--words STR ...`", "`a b`", "Some &lt;words>.", False),
    ]


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, reference; reference.pages(); print(*{'torch', 'numpy', 'pyarrow', 'PIL'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "tools", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""

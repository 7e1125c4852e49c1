"""What holds for the rooms of a topic (docs/explain/architecture.md): what stands at the top, and who imports whom."""

import ast
import functools
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPICS = sorted(path.name for path in (ROOT / "packages").iterdir() if path.name != "common")
ENTRIES = {"cli", "checks", "metric_names"}
"""What the entry points of every topic name."""
VOCABULARIES = {"doc_detect": {"classes", "coco", "predictions"}}
"""What all rooms of a topic speak of."""
RUN_COMMANDS = {"benchmarks"}
"""Rooms that call commands in order to measure them."""


def source(topic: str) -> Path:
    return ROOT / "packages" / topic / "src" / topic


@functools.cache
def imports(topic: str) -> dict[str, set[str]]:
    """Return by room or module at the top of a topic those that it imports, also inside functions."""
    found: dict[str, set[str]] = {}
    for file in source(topic).rglob("*.py"):
        room = file.relative_to(source(topic)).parts[0].removesuffix(".py")
        if room != "__init__":
            found.setdefault(room, set()).update(imported(file, topic) - {room})
    return found


def imported(file: Path, topic: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import hides which room it is from"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith(f"{topic}.")}


def commands(topic: str) -> set[str]:
    return {name.replace("-", "_") for name in import_module(f"{topic}.cli").COMMANDS}


@pytest.mark.parametrize("topic", TOPICS)
def test_at_the_top_stand_the_commands_and_few_others(topic: str) -> None:
    top = {file.stem for file in source(topic).glob("*.py")} - {"__init__"}
    assert top - ENTRIES - commands(topic) == VOCABULARIES.get(topic, set())
    assert ENTRIES <= top


@pytest.mark.parametrize("topic", TOPICS)
def test_imports_between_rooms_make_no_circle(topic: str) -> None:
    tuple(TopologicalSorter(imports(topic)).static_order())  # a CycleError names the rooms


@pytest.mark.parametrize("topic", TOPICS)
def test_no_room_imports_a_command(topic: str) -> None:
    rooms = {room for room in imports(topic) if (source(topic) / room).is_dir()} - RUN_COMMANDS
    above = {"cli"} | commands(topic)
    up = {room: names for room in rooms if (names := imports(topic)[room] & above)}
    assert not up


@pytest.mark.parametrize("topic", TOPICS)
def test_settings_are_the_bottom_and_cost_nothing(topic: str) -> None:
    assert imports(topic)["settings"] <= VOCABULARIES.get(topic, set())
    modules = [f"{topic}.settings.{file.stem}" for file in (source(topic) / "settings").glob("[!_]*.py")]
    heavy = ("numpy", "torch", "PIL", "pyarrow", "onnxruntime", "matplotlib", "scipy")
    code = f"import sys, {', '.join(modules)}; print(*set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert modules and done.stdout.strip() == ""

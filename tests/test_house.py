"""What holds for every package: who imports whom, and what a command line costs before it works."""

import ast
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPICS = sorted(path.name for path in (ROOT / "packages").iterdir() if path.name != "common")
MODULES = sorted((ROOT / "packages").glob("*/src/**/*.py"))


def imported_names(file: Path) -> set[str]:
    """Return the first part of every module that ``file`` imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT / "packages")))
def test_no_module_imports_a_topic_other_than_its_own(file: Path) -> None:
    own = file.relative_to(ROOT / "packages").parts[0]
    assert not imported_names(file) & (set(TOPICS) - {own})


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT / "packages")))
def test_topics_leave_the_choice_of_a_device_to_common(file: Path) -> None:
    if file.relative_to(ROOT / "packages").parts[0] == "common":
        pytest.skip("common is where the choice is made")
    text = file.read_text(encoding="utf-8")
    assert ".cuda(" not in text and "torch.cuda" not in text


def commands() -> list[tuple[str, str]]:
    """Return (program, command) of every command line of the house; an empty command is the program itself."""
    found = []
    for entry in entry_points(group="console_scripts"):
        if entry.module.split(".")[0] in {"seminar_common", *TOPICS}:
            module = __import__(entry.module, fromlist=["COMMANDS"])
            found += [(entry.name, command) for command in ["", *module.COMMANDS]]
    return sorted(found)


@pytest.mark.parametrize(("program", "command"), commands())
def test_help_teaches_and_imports_nothing_heavy(program: str, command: str) -> None:
    # The modules that a process imported say more than its time, which depends on the machine.
    entry = next(e for e in entry_points(group="console_scripts") if e.name == program)
    code = (
        f"import sys; sys.argv = [{program!r}, *{[command] if command else []!r}, '--help']\n"
        f"from {entry.module} import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'matplotlib', 'polars', 'pyarrow', 'numba', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout and "Traceback" not in done.stderr
    if command:
        undocumented = [
            line for line in done.stdout.splitlines() if line.strip().startswith("│ --") and len(line) < 8
        ]
        assert not undocumented


def test_every_topic_has_a_demo() -> None:
    assert sorted(entry.name for entry in entry_points(group="seminar.demos")) == TOPICS


def test_an_unknown_command_is_refused_with_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seminar_common.seminar", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "nothing" in done.stderr


def test_no_file_names_a_registry_host_or_carries_a_lock() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    hosts = ["py" + "pi.org", "python" + "hosted", "npm" + "js.org"]
    for name in listed:
        path = ROOT / name
        if path.suffix in {".md", ".toml", ".py", ".yml", ".json", ".cff", ""} and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not [host for host in hosts if host in text], name
    assert not [name for name in listed if name.endswith("uv.lock")]

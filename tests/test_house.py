"""What holds for every package: who imports whom, and what a command line costs before it works."""

import ast
import dataclasses
import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_type_hints

import pytest

from seminar_common import files
from seminar_common.cli import example_arguments, parse
from seminar_common.errors import UserError

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


HEAVY = (
    "numpy",
    "torch",
    "matplotlib",
    "polars",
    "pyarrow",
    "numba",
    "sklearn",
    "scipy",
    "onnxruntime",
    "cv2",
)


def programs() -> dict[str, ModuleType]:
    """Return the module of every command line of the house by the program's name."""
    entries = entry_points(group="console_scripts")
    own = [entry for entry in entries if entry.module.split(".")[0] in {"seminar_common", *TOPICS}]
    return {entry.name: import_module(entry.module) for entry in sorted(own, key=lambda e: e.name)}


def commands() -> list[tuple[str, str]]:
    """Return (program, command) of every command of the house."""
    return [(program, name) for program, module in programs().items() for name in module.COMMANDS]


LOOK = """
import contextlib, importlib, io, json, os, sys, time

heavy, modules, lines = json.loads(sys.argv[1])
mains = {program: importlib.import_module(module).main for program, module in modules.items()}
imported = time.process_time()
for program, *args in lines:
    if os.fork():
        _, status = os.wait()
        assert status == 0, (program, args)
        continue
    sys.argv, text, code = [program, *args], io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(text):
            mains[program]()
    except SystemExit as end:
        code = end.code or 0
    seen = sorted(set(heavy) & set(sys.modules))
    print(json.dumps([[program, *args], code, seen, imported + time.process_time(), text.getvalue()]), flush=True)
    os._exit(0)
"""
"""Runs command lines, each in a fork of a process that has imported the command lines of all programs and nothing else."""


@pytest.fixture(scope="module")
def printed() -> dict[tuple[str, ...], tuple[str, float]]:
    """What each command line of help and version prints, and its CPU seconds, having imported nothing heavy."""
    lines = [(program, option) for program in programs() for option in ("--help", "--version")]
    lines += [(program, command, "--help") for program, command in commands()]
    modules = {program: module.__name__ for program, module in programs().items()}
    # The modules that a process imported say more than its time, which depends on the machine.
    asked = json.dumps([HEAVY, modules, lines])
    done = subprocess.run([sys.executable, "-c", LOOK, asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [(line, code, heavy) for line, code, heavy, _, _ in answers if code or heavy]
    return {tuple(line): (text, seconds) for line, _, _, seconds, text in answers}


@pytest.mark.parametrize("program", programs())
def test_a_program_lists_its_commands_and_says_its_version(program: str, printed: dict) -> None:
    text, seconds = printed[program, "--help"]
    assert "usage" in text and all(f"• {name}" in text for name in programs()[program].COMMANDS)
    assert seconds < 1
    text, _ = printed[program, "--version"]
    distribution = "seminar-common" if program == "seminar" else program
    assert text == f"{program} {version(distribution)}\n"


@pytest.mark.parametrize(("program", "command"), commands())
def test_help_teaches_by_examples_and_imports_nothing_heavy(
    program: str, command: str, printed: dict
) -> None:
    text, seconds = printed[program, command, "--help"]
    assert "usage" in text
    assert seconds < 1
    assert not [line for line in text.splitlines() if line.strip().startswith("│ --") and len(line) < 8]
    assert "{None}" not in text and "(default: None)" not in text
    examples = text.split("examples:\n")[1].splitlines()
    assert len(examples) >= 2 and all(line.startswith(f"  {program} {command}") for line in examples)


@pytest.mark.parametrize(("program", "command"), commands())
def test_examples_are_commands_that_parse(program: str, command: str) -> None:
    table = programs()[program].COMMANDS
    for args in example_arguments(command, table[command]):
        settings = parse(program, "", table, args)
        assert type(settings) is table[command].settings
        missing = [name for name in table[command].required if getattr(settings, name) is None]
        assert not missing or settings.resume is not None, f"{args} leaves out {missing}"


def field_names(settings: Any) -> set[str]:
    """Return the fields of settings and of their groups, those of a group also as ``group.field``."""
    names = set()
    for field in dataclasses.fields(settings):
        names.add(field.name)
        kind = get_type_hints(settings)[field.name]
        if dataclasses.is_dataclass(kind):
            inner = field_names(kind)
            names |= inner | {f"{field.name}.{name}" for name in inner}
    return names


@pytest.mark.parametrize(("program", "command"), commands())
def test_a_command_marks_fields_that_it_has(program: str, command: str) -> None:
    given = programs()[program].COMMANDS[command]
    outputs = set(given.outputs) - {"out"}  # which most commands have
    marked = {*given.inputs, *given.required, *given.advanced, *outputs}
    assert not marked - field_names(given.settings)


@pytest.mark.parametrize(("program", "command"), commands())
def test_a_command_names_a_function_that_is_there(program: str, command: str) -> None:
    # Read, not imported: a light installation has no PyTorch to import it with.
    module, function = programs()[program].COMMANDS[command].target.split(":")
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    nodes = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    imported = {a.asname or a.name for node in nodes if isinstance(node, ast.ImportFrom) for a in node.names}
    assert function in defined | imported


@pytest.mark.parametrize("package", ["seminar_common", *TOPICS])
def test_importing_a_package_imports_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; assert not set({HEAVY!r}) & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_path_with_a_typo_is_refused_at_once() -> None:
    args = ["train", "--data", "no/such/folder"]
    code = (
        f"import sys; sys.argv = ['recsys-bnn', *{args!r}]\nfrom recsys_bnn.cli import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "recsys-bnn: error: --data no/such/folder: no such file or folder; check the path\n"


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


@pytest.mark.parametrize(
    "work",
    [
        "doc_detect.adapt_study:adapt_study",
        "doc_detect.study:study",
        "gcd_longtail.estimate_k:compare",
        "gcd_longtail.loop:loop",
        "gcd_longtail.study:study",
        "recsys_bnn.study:study",
    ],
)
def test_two_studies_do_not_write_to_one_folder(work: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    module, name = work.split(":")
    with files.locked(tmp_path / "out"), pytest.raises(UserError, match="another run is writing to it"):
        getattr(import_module(module), name)(SimpleNamespace(out=tmp_path / "out"))

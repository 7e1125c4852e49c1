import subprocess
import sys
from pathlib import Path

import pytest

import gcd_longtail
from gcd_longtail.cli import COMMANDS
from seminar_common.cli import Command, example_arguments, main, parse


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, gcd_longtail; assert 'make_method' in dir(gcd_longtail); "
        "print(*{'torch', 'numpy', 'sklearn', 'PIL', 'tyro'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_every_name_of_the_package_is_there() -> None:
    assert all(getattr(gcd_longtail, name).__name__ == name for name in gcd_longtail._EXPORTS)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("discover", "--views=2"),  # it takes the plain view alone
        ("train", "--precision=bf16-mixed"),  # methods compute in 32 bits
        ("study", "--precision=bf16-mixed"),
        ("bench", "--precision=bf16-mixed"),
        ("predict", "--precision=bf16-mixed"),  # that of the run's features
    ],
)
def test_an_option_without_effect_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    arguments = next(iter(example_arguments(command, COMMANDS[command])))
    parse("gcd-longtail", "", COMMANDS, arguments)
    with pytest.raises(SystemExit):
        parse("gcd-longtail", "", COMMANDS, [*arguments, option])
    assert option.split("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("command", ["split", "predict", "discover", "bench", "demo"])
def test_an_output_that_exists_is_refused_before_anything_heavy_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = list(example_arguments(command, COMMANDS[command]))[-1]
    (out := Path(arguments[arguments.index("--out") + 1])).parent.mkdir(exist_ok=True)
    out.write_text("of somebody")
    for name in ("photos", "more-photos", "labels.csv", "runs/ward"):
        Path(name).mkdir(parents=True, exist_ok=True)
    Path("runs/ward/config.json").touch()
    Path("found").mkdir(exist_ok=True)
    Path("found/decisions.jsonl").touch()
    monkeypatch.setattr(Command, "run", lambda *_: pytest.fail("the command ran"))
    with pytest.raises(SystemExit, match="2"):
        main("gcd-longtail", "", COMMANDS, arguments)
    message = capsys.readouterr().err.splitlines()
    assert message == [
        f"gcd-longtail: error: {out}: exists already and is not overwritten; choose another --out, or remove it first"
    ]

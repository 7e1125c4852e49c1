from dataclasses import dataclass
from pathlib import Path

import pytest

from seminar_common import runs
from seminar_common.errors import UserError
from seminar_common.identity import code_digest


def test_a_new_run_has_its_settings_and_environment(tmp_path: Path) -> None:
    run = runs.create(tmp_path / "run", {"seed": 3}, runs.environment(threads=2, data={"criteo-10k": "abc"}))
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "environment.json",
    ]
    assert run.config() == {"seed": 3}
    environment = run.environment()
    assert environment["threads"] == 2
    assert environment["data"] == {"criteo-10k": "abc"}


def test_the_environment_names_the_libraries_and_the_code_that_make_the_figures() -> None:
    environment = runs.environment(threads=1)
    # SciPy is required by the package; pytest is imported; safetensors is required and need not be imported yet.
    assert {"seminar-common", "numpy", "pytest", "safetensors"} <= environment["versions"].keys()
    assert environment["code"]["seminar_common"] == code_digest("seminar_common")


def test_a_command_is_written_as_the_shell_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/doc-detect", "predict", "my scans"])
    assert runs.command_line() == "doc-detect predict 'my scans'"


@dataclass(frozen=True)
class Settings:
    """Settings of a made-up command."""

    seed: int = 0


def test_every_config_has_one_envelope(tmp_path: Path) -> None:
    config = runs.envelope(
        "made-up", "train", Settings(3), model="float", dataset="d", data_fingerprint="f", pages=2
    )
    facts = {"model": "float", "dataset": "d", "data_fingerprint": "f", "pages": 2}
    assert config == {"topic": "made-up", "command": "train", **facts, "settings": {"seed": 3}}
    run = runs.create(tmp_path / "run", config, {})
    assert runs.stored_settings(run, Settings, "made-up", "train") == Settings(3)


@pytest.mark.parametrize("text", ["[]", "null", "7"])
def test_settings_that_are_no_object_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json: expected a JSON object"):
        runs.open_run(tmp_path).config()


def test_a_run_of_another_topic_is_refused(tmp_path: Path) -> None:
    run = runs.create(tmp_path / "run", runs.envelope("made-up", "train", Settings()), {})
    with pytest.raises(
        UserError, match="a run of `other train` is needed, but `made-up train` made this one"
    ):
        runs.stored_settings(run, Settings, "other", "train")


def test_an_existing_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    runs.create(tmp_path / "run", {}, {})
    with pytest.raises(UserError, match="--resume"):
        runs.create(tmp_path / "run", {}, {})
    with pytest.raises(UserError, match="choose another --out$"):
        runs.refuse_existing(tmp_path / "run", resumable=False)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        runs.open_run(tmp_path)


def test_the_log_is_cut_back_to_a_step_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    run = runs.create(tmp_path / "run", {}, {})
    for step in (10, 20, 30):
        run.log({"step": step})
    with run.metrics_file.open("a") as file:
        file.write('{"step": 4')  # a process was killed while it wrote this line
    assert [record["step"] for record in run.logged()] == [10, 20, 30]
    run.cut_log(20)
    run.log({"step": 25})
    assert [record["step"] for record in run.logged()] == [10, 20, 25]


def test_the_default_folder_says_what_ran() -> None:
    folder = runs.default_folder("recsys_bnn", "train", "small", 3)
    assert folder.parts[:2] == ("runs", "recsys_bnn")
    assert folder.name.startswith("train-small-seed3-")

from pathlib import Path

import pytest

from seminar_common import runs
from seminar_common.errors import UserError


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
    assert "torch" in environment["versions"]


def test_an_existing_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    runs.create(tmp_path / "run", {}, {})
    with pytest.raises(UserError, match="--resume"):
        runs.create(tmp_path / "run", {}, {})


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

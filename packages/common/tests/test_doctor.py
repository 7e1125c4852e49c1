import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from seminar_common import doctor
from seminar_common.doctor import DATA_VARIABLE, DoctorSettings, collect, data_folder, main


def test_the_machine_and_the_choice_of_device_are_said() -> None:
    pytest.importorskip("torch")
    names = {(check.area, check.name) for check in collect(None)}
    assert {
        ("machine", "processor"),
        ("device", "auto chooses"),
        ("kernel", "PyTorch"),
        ("data set", "folder"),
    } <= names


def test_missing_data_says_how_to_name_it() -> None:
    check = next(check for check in collect(None) if check.name == "folder")
    assert not check.found
    assert DATA_VARIABLE in check.state


def test_the_data_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "absent"))
    assert data_folder() is None


def test_brackets_in_a_path_are_printed_as_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # Rich would read them as markup.
    folder = tmp_path / "[red]"
    folder.mkdir()
    main(DoctorSettings(data=folder))
    text = capsys.readouterr().out
    assert "[red]" in "".join(c for c in text if c not in " \n│")


def test_a_light_install_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(doctor, "_has_torch", lambda: False)
    checks = collect(None)
    torch = next(check for check in checks if check.name == "PyTorch")
    assert not torch.found and "pip install" in torch.state
    assert "CUDA" not in {check.name for check in checks}
    assert "processor" in {check.name for check in checks}, "what needs no PyTorch is said all the same"


def test_a_topic_whose_library_is_missing_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("topic", "a_library_nobody_has:checks", doctor.GROUP)
    monkeypatch.setattr(doctor, "entry_points", lambda group: [entry])
    check = collect(None)[-1]
    assert (check.name, check.found) == ("topic", False)
    assert "a_library_nobody_has" in check.state and "pip install" in check.state

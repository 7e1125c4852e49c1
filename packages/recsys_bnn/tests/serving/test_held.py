import os
from pathlib import Path

import pytest

from recsys_bnn.serving.held import Held, copied
from seminar_common.errors import UserError


def read(path: Path) -> str:
    text = path.read_text()
    if not text.startswith("model"):
        raise UserError(f"{path}: no model")
    return text


def held(path: Path, **more: object) -> Held[str]:
    path.write_text("model 1")
    return Held(path, read, **more)


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_new_file_is_taken_up_when_it_has_settled(tmp_path: Path) -> None:
    models = held(tmp_path / "m")
    assert models.look() is None and models.current == "model 1"
    replace(models.path, "model 2")
    assert models.look() is None and models.current == "model 1"  # it may still be written
    assert models.look() is True and models.current == "model 2"
    assert models.look() is None


def test_a_broken_file_is_refused_once_and_the_old_model_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = held(tmp_path / "m")
    replace(models.path, "rubbish")
    assert [models.look() for _ in range(4)] == [None, False, None, None]
    assert models.current == "model 1"
    said = capsys.readouterr().err
    assert said == f"refused the new model, the old one stays: {models.path}: no model\n"
    replace(models.path, "model 3")
    assert [models.look(), models.look()] == [None, True] and models.current == "model 3"


def test_a_file_that_is_gone_leaves_the_model(tmp_path: Path) -> None:
    models = held(tmp_path / "m")
    models.path.unlink()
    assert [models.look() for _ in range(3)] == [None, None, None] and models.current == "model 1"


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fits(old: str, new: str) -> None:
        raise UserError(f"{new} is no {old}")

    models = held(tmp_path / "m", fits=fits)
    replace(models.path, "model 2")
    assert [models.look(), models.look()] == [None, False]
    assert "model 2 is no model 1" in capsys.readouterr().err and models.current == "model 1"


def test_a_copy_does_not_change_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"a" * 5000)
    with copied(path) as copy:
        os.truncate(path, 0)
        assert copy.read_bytes() == b"a" * 5000


@pytest.mark.parametrize("kind", ["missing", "folder", "empty"])
def test_what_is_no_file_is_refused_at_the_start(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    with pytest.raises(UserError):
        Held(path, read)

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seminar_common import files
from seminar_common.errors import UserError, choices


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    target = tmp_path / "file"
    files.write_text(target, "old")
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.atomic_path(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "part").write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_the_slower_of_two_runs_into_one_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="another run made it meanwhile"), files.atomic_path(out) as slower:
        slower.mkdir()
        with files.atomic_path(out) as faster:
            faster.mkdir()
            (faster / "kept").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in out.iterdir()] == ["kept"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_that_says_what_to_do(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(UserError, match="no space left") as caught,
        files.atomic_path(tmp_path / "file") as temporary,
    ):
        temporary.write_text("half")
        raise OSError(number, "disk")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_library_that_loses_the_error_number_is_still_understood() -> None:
    assert files.is_disk_full(RuntimeError("IO error: No space left on device (os error 28)"))
    assert not files.is_disk_full(RuntimeError("something else"))


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another --out"):
        files.write_text(tmp_path / "file" / "out" / "x.json", "text")


def test_json_refuses_nan_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_broken_json_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{\n"a": 1,\n"b": \n}')
    with pytest.raises(UserError, match=r"x\.json, line 4"):
        files.read_json(path)


@pytest.mark.parametrize(("make", "message"), [
    (lambda p: None, "no such file"),
    (lambda p: p.mkdir(), "is a folder"),
    (lambda p: p.write_bytes(b""), "is empty"),
    (lambda p: p.write_bytes(b"\xff\xfe"), "not UTF-8 at byte 0"),
])  # fmt: skip
def test_unusable_files_are_named(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "input"
    make(path)
    with pytest.raises(UserError, match=f"input: .*{message}"):
        files.read_text(path)


def test_an_existing_output_is_refused_but_an_empty_folder_is_not(tmp_path: Path) -> None:
    files.refuse_existing(tmp_path / "new")
    files.refuse_existing(tmp_path)
    (tmp_path / "kept").touch()
    with pytest.raises(UserError, match="not overwritten"):
        files.refuse_existing(tmp_path)


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a" * 3_000_000)
    other.write_bytes(b"a" * 3_000_000)
    assert files.fingerprint(one) == files.fingerprint(other)
    other.write_bytes(b"a" * 2_999_999 + b"b")
    assert files.fingerprint(one) != files.fingerprint(other)


def test_choices_read_as_english() -> None:
    assert choices(["small"]) == "small"
    assert choices({"smoke", "paper", "small"}) == "paper, small or smoke"


def test_a_message_is_one_line() -> None:
    assert str(UserError("a\n  b")) == "a b"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_weights_get_the_mode_of_any_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    torch = pytest.importorskip("torch")
    from seminar_common.checkpoints import save_tensors

    before = os.umask(umask)
    try:
        save_tensors(tmp_path / "model.safetensors", {"weight": torch.zeros(2)})
        files.write_text(tmp_path / "text", "text")
    finally:
        os.umask(before)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {
        "model.safetensors": mode,
        "text": mode,
    }


def test_arrays_come_back_and_equal_ones_give_equal_bytes(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    files.write_array(tmp_path / "a.npy", array)
    assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), array)
    for name in ("a.npz", "b.npz"):
        files.write_arrays(tmp_path / name, k=7, clusters=array.astype(np.int64))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert int(found["k"]) == 7 and np.array_equal(found["clusters"], array)


def test_arrays_of_objects_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    objects = np.array([{}, None], object)
    with pytest.raises(ValueError, match="allow_pickle|Object arrays"):
        files.write_array(tmp_path / "a.npy", objects)
    with pytest.raises(ValueError, match="bad holds Python objects"):
        files.write_arrays(tmp_path / "a.npz", good=np.zeros(2), bad=objects)
    assert not list(tmp_path.iterdir())


def test_a_signal_as_a_file_gets_its_mode_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, signals = Path.unlink, [KeyboardInterrupt()]

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".mode" and signals:
            raise signals.pop()
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt), files.atomic_path(tmp_path / "file") as temporary:
        temporary.touch(0o600)
    assert not list(tmp_path.iterdir())


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert files.read_json(tmp_path / "a.json") == {"a": 1}


# --------------------------------------------------------------------------------------- places for new things


def test_a_place_that_can_not_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused = {
        tmp_path / "file": "exists already",
        tmp_path: "exists already",
        tmp_path / "file" / "out": "--out .*can't be written .Not a directory",
        tmp_path / "link": "a link to nowhere",
        tmp_path / ("n" * 250): "File name too long",
    }
    for path, message in refused.items():
        with pytest.raises(UserError, match=message), files.reserved(path):
            pytest.fail("the work began")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "link"]


def test_an_empty_folder_needs_a_parent_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made stands beside the empty folder until it is whole."""
    (out := tmp_path / "out").mkdir()
    real = files.tempfile.TemporaryFile

    def read_only(dir: Path) -> object:
        if dir == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(dir=dir)

    with files.reserved(out):
        pass
    monkeypatch.setattr(files.tempfile, "TemporaryFile", read_only)
    with pytest.raises(UserError, match="can't be written .Permission denied"), files.reserved(out):
        pytest.fail("the work began")


def test_a_mount_point_can_not_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    with pytest.raises(UserError, match="is a mount point"), files.reserved(tmp_path):
        pytest.fail("the work began")


def test_a_place_is_made_by_one_run_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    other = f"from pathlib import Path; from seminar_common import files\nwith files.reserved(Path({str(out)!r})): pass"
    with files.reserved(out):
        run = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
        assert "UserError" in run.stderr and f"{out}: another run is writing to it" in run.stderr
    assert not list(tmp_path.iterdir()), "neither the lock nor the folder round it stays"
    with files.reserved(out), files.atomic_path(out) as temporary:
        temporary.mkdir()
    assert [one.name for one in out.parent.iterdir()] == ["out"]


def test_the_lock_of_a_killed_run_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".out.lock").touch()
    with files.locked(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_utf8_can_be_written() -> None:
    assert files.encodable("k\xe4se.png") == "k\xe4se.png"
    assert files.encodable(os.fsdecode(b"k\xe4se.png")) == "k\\xe4se.png"


def test_work_that_goes_on_in_its_folder_is_done_by_one_run_at_a_time(tmp_path: Path) -> None:
    @files.one_at_a_time
    def work(settings: SimpleNamespace) -> str:
        """Say where."""
        return f"in {settings.out}"

    assert work.__name__ == "work" and work.__doc__ == "Say where."
    assert work(SimpleNamespace(out=None)) == "in None"
    with files.locked(tmp_path / "out"), pytest.raises(UserError, match="another run is writing to it"):
        work(SimpleNamespace(out=tmp_path / "out"))
    assert work(SimpleNamespace(out=tmp_path / "out")) == f"in {tmp_path / 'out'}"

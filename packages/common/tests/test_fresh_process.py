import os
from pathlib import Path

import pytest

from seminar_common import fresh_process
from seminar_common.errors import UserError


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def test_memory_is_of_the_process_alone_and_grows_by_what_it_holds() -> None:
    here = bytearray(b"x") * 300_000_000
    small, large = (fresh_process.call("work_functions:allocate", {"megabytes": size}) for size in (1, 201))
    assert large.result == 201_000_000
    assert large.peak_rss_mb - small.peak_rss_mb == pytest.approx(200, abs=20)
    assert small.peak_rss_mb < len(here) / 1e6


def test_time_is_of_the_call_and_threads_are_as_asked() -> None:
    found = fresh_process.call("work_functions:spin", {"seconds": 0.3}, threads=3)
    assert found.result == "3"
    assert 0.3 <= found.cpu_s < 0.6
    assert found.wall_s >= 0.29


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (
            "shout",
            {},
            r"work_functions:shout failed .*\(exit status 1\): .*RuntimeError: the engine is missing$",
        ),
        ("die", {}, "SIGKILL, as when memory runs out"),
        ("refuse", {"path": Path("m.onnx")}, "^m.onnx: not a model$"),
        ("absent", {}, "has no attribute 'absent'"),
    ],
)
def test_what_went_wrong_is_one_line(function: str, arguments: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        fresh_process.call(f"work_functions:{function}", arguments)


def test_a_call_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="work_functions:sleep took longer than 2 s"):
        fresh_process.call("work_functions:sleep", {"folder": tmp_path}, timeout_s=2)
    (process,) = (int(file.stem) for file in tmp_path.glob("*.pid"))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)

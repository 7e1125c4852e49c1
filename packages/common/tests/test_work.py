import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seminar_common.errors import UserError
from seminar_common.work import (
    ATTEMPTS,
    Failed,
    WorkConfig,
    executor,
    results_as_completed,
    results_in_order,
)

HERE = Path(__file__).parent
PIECES = list(range(24))
SQUARES = [(n, n**2) for n in PIECES]


@pytest.fixture(autouse=True)
def functions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(HERE)
    import work_functions

    return work_functions


@pytest.mark.parametrize(("workers", "local"), [(1, "processes"), (2, "processes"), (2, "threads")])
def test_results_are_the_same_with_any_workers(functions, tmp_path: Path, workers: int, local) -> None:
    squares = functions.Squares(tmp_path)
    with executor(WorkConfig(workers), local) as pool:
        assert list(results_in_order(pool, squares, PIECES)) == SQUARES
        assert sorted(results_as_completed(pool, squares, PIECES)) == SQUARES
    assert {squares.begun(n) for n in PIECES} == {2}


@pytest.mark.parametrize("results", [results_in_order, results_as_completed])
def test_a_worker_that_is_killed_costs_its_piece_one_more_try_and_nothing_else(
    functions, tmp_path: Path, results
) -> None:
    squares = functions.Squares(tmp_path, kills=11)
    with executor(WorkConfig(2)) as pool:
        assert sorted(results(pool, squares, PIECES)) == SQUARES
    assert {n: squares.begun(n) for n in PIECES} == {n: 2 if n == 11 else 1 for n in PIECES}


def test_a_piece_that_no_worker_survives_fails_alone(functions, tmp_path: Path) -> None:
    squares = functions.Squares(tmp_path, kills=5, times=99)
    with executor(WorkConfig(2)) as pool:
        found = list(results_in_order(pool, squares, PIECES))
    assert [one for one in found if one[0] != 5] == [one for one in SQUARES if one[0] != 5]
    assert isinstance(found[5][1], Failed) and str(ATTEMPTS) in found[5][1].reason
    assert {n: squares.begun(n) for n in PIECES} == {n: ATTEMPTS if n == 5 else 1 for n in PIECES}


def test_a_piece_that_never_ends_fails_alone_and_at_once(functions) -> None:
    began = time.monotonic()
    with executor(WorkConfig(1), limit_s=2) as pool:  # a process even of one worker, because of the limit
        found = dict(results_as_completed(pool, functions.never_ends_at_3, range(6)))
    assert found == {**{n: n for n in range(6)}, 3: Failed("took longer than 2 s")}
    assert time.monotonic() - began < 2 * ATTEMPTS + 20


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_function_is_raised_here(functions, workers: int) -> None:
    with (
        pytest.raises(UserError, match="page 3 is not there"),
        executor(WorkConfig(workers)) as pool,
    ):
        list(results_in_order(pool, functions.fails, PIECES))


@pytest.mark.parametrize("results", [results_in_order, results_as_completed])
@pytest.mark.parametrize("workers", [1, 2])
def test_pieces_are_taken_as_they_are_needed(workers: int, results) -> None:
    taken: list[int] = []

    def pieces() -> Iterator[int]:
        for number in range(100_000):
            taken.append(number)
            yield number

    with executor(WorkConfig(workers), "threads") as pool:
        for count, _ in enumerate(results(pool, lambda number: number, pieces()), 1):
            assert len(taken) - count <= pool.capacity
            if count == 50:
                break


def test_an_instance_keeps_what_it_has_loaded_in_each_worker(functions) -> None:
    with executor(WorkConfig(2)) as pool:
        found = dict(answer for _, answer in results_in_order(pool, functions.Loaded(), PIECES))
        again = [answer for _, answer in results_in_order(pool, functions.Loaded(), PIECES)]
    assert 1 <= len(found) <= 2 and os.getpid() not in found
    assert len(set(found.values())) == len(found)
    assert all(found.get(process, model) == model for process, model in again)


def test_workers_have_one_thread_each_that_waits_without_spinning(functions, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with executor(WorkConfig(2)) as pool:
        ((_, found),) = results_in_order(pool, functions.settings_of_threads, [0])
    assert found == ("1", "PASSIVE")
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_ctrl_c_does_not_reach_a_worker_that_still_starts(functions) -> None:
    with executor(WorkConfig(2)) as pool:
        found = dict(results_in_order(pool, functions.is_interrupt_blocked, [0, 1]))
    assert found == {0: True, 1: True}
    assert not functions.is_interrupt_blocked(0)


def test_a_negative_number_of_workers_is_refused() -> None:
    with pytest.raises(UserError, match="--workers -1"):
        WorkConfig(-1)


# ------------------------------------------------------------------------------------------------ ends of processes

WORKERS = """
with executor(WorkConfig(2)) as pool:
        list(results_in_order(pool, sleep, [sys.argv[1]] * 2))
"""
PARENT = """
import sys
from seminar_common import fresh_process
from seminar_common.work import WorkConfig, executor, results_in_order
from work_functions import sleep
if __name__ == "__main__":
    """


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(
    ("body", "children"),
    [(WORKERS, 2), ("fresh_process.call('work_functions:sleep', {'folder': sys.argv[1]})", 1)],
    ids=["workers", "fresh process"],
)
def test_no_process_outlives_its_parent(
    tmp_path: Path, sent: signal.Signals, body: str, children: int
) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT + body.strip())
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True
    ) as parent:
        begun = _wait_for(lambda: found if len(found := list(tmp_path.glob("*.pid"))) == children else None)
        assert all(_runs(int(file.stem)) for file in begun)
        parent.send_signal(sent)
        _, said = parent.communicate(timeout=20)
    _wait_for(lambda: not any(_runs(int(file.stem)) for file in begun))
    assert parent.returncode == -sent
    assert said.count("Traceback") == (sent == signal.SIGINT), "the workers say nothing"


def _wait_for(found, seconds: float = 20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds} s")


def _runs(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# ------------------------------------------------------------------------------------------------------ a cluster


@contextmanager
def dask(folder: Path, workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a scheduler and worker processes that are started anew when they die; yield scheduler file and scheduler."""
    pytest.importorskip("distributed")
    file = folder / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    own = {"scheduler": ["--port", "0"], "worker": ["--nworkers", str(workers), "--nthreads", "1"]}
    own["worker"] += ["--local-directory", str(folder), "--death-timeout", "30"]
    # Two workers may die of a piece before Dask gives it up, in place of four: each start takes seconds.
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    }
    started = []
    try:
        for kind, options in list(own.items())[: 2 if workers else 1]:
            command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *common, *options]
            with (folder / f"{kind}.log").open("wb") as log:
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            _wait_for(file.exists, 30)
        yield str(file), started[0]
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dask(tmp_path_factory.mktemp("dask"), 2) as (file, _):
        yield file


@pytest.mark.slow
@pytest.mark.parametrize("results", [results_in_order, results_as_completed])
def test_a_cluster_gives_the_same_though_a_worker_is_killed(
    functions, tmp_path: Path, cluster: str, results
) -> None:
    squares = functions.Squares(tmp_path, kills=11)
    with executor(WorkConfig(cluster=cluster)) as pool:
        assert sorted(results(pool, squares, PIECES)) == SQUARES
    assert squares.begun(11) == 2


@pytest.mark.slow
def test_on_a_cluster_too_a_piece_that_no_worker_survives_fails_alone(
    functions, tmp_path: Path, cluster: str
) -> None:
    squares = functions.Squares(tmp_path, kills=5, times=99)
    with executor(WorkConfig(cluster=cluster)) as pool:
        found = list(results_in_order(pool, squares, PIECES))
    assert [one for one in found if one[0] != 5] == [one for one in SQUARES if one[0] != 5]
    assert isinstance(found[5][1], Failed)


@pytest.mark.slow
def test_of_a_batch_that_no_worker_survives_one_piece_fails(
    functions, tmp_path: Path, cluster: str, monkeypatch
) -> None:
    monkeypatch.setattr("seminar_common.work.DESERTED_S", 300.0)  # eight workers die and start anew
    squares = functions.Squares(tmp_path, kills=5, times=99)
    with executor(WorkConfig(cluster=cluster)) as pool:
        found = sorted(results_as_completed(pool, squares, PIECES, batch=5), key=lambda one: one[0])
    assert [one for one in found if one[0] != 5] == [one for one in SQUARES if one[0] != 5]
    assert isinstance(found[5][1], Failed)


@pytest.mark.slow
def test_on_a_cluster_too_a_piece_that_never_ends_fails_alone(functions, cluster: str, monkeypatch) -> None:
    monkeypatch.setattr("seminar_common.work.DESERTED_S", 300.0)  # four workers die and start anew
    with executor(WorkConfig(cluster=cluster), limit_s=2) as pool:
        found = dict(results_as_completed(pool, functions.never_ends_at_3, range(6)))
    failed = found.pop(3)
    assert found == {n: n for n in (0, 1, 2, 4, 5)}
    assert isinstance(failed, Failed) and "or took longer than 2 s" in failed.reason


@pytest.mark.slow
def test_an_error_on_a_cluster_is_raised_here_and_pieces_load_once(functions, cluster: str) -> None:
    with executor(WorkConfig(cluster=cluster)) as pool:
        answers = [answer for _, answer in results_in_order(pool, functions.Loaded(), PIECES)]
        with pytest.raises(UserError, match="page 3 is not there"):
            list(results_as_completed(pool, functions.fails, PIECES))
    assert len({model for _, model in answers}) == len({process for process, _ in answers}) <= 2


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_line(functions, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("seminar_common.work.CONNECT_S", 4.0)  # so long a lost scheduler is looked for
    with (
        dask(tmp_path, 1) as (file, scheduler),
        pytest.raises(UserError, match="run this again") as caught,
        executor(WorkConfig(cluster=file)) as pool,
    ):
        for number, _ in results_in_order(pool, functions.Squares(tmp_path), range(10_000)):
            if number == 5:
                scheduler.kill()
    assert "\n" not in str(caught.value)


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("seminar_common.work.CONNECT_S", 1.0)
    for address, said in (
        ("tcp://127.0.0.1:9", "no Dask scheduler answers"),
        ("nonsense://x", "no Dask scheduler answers"),
        (str(tmp_path / "scheduler.json"), "no such scheduler file"),
    ):
        with pytest.raises(UserError, match=said), executor(WorkConfig(cluster=address)):
            pass


def test_a_cluster_without_the_extra_is_one_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UserError, match=r"seminar-common\[cluster\]"),
        executor(WorkConfig(cluster="tcp://a:1")),
    ):
        pass


@pytest.mark.slow
def test_a_cluster_without_workers_is_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("seminar_common.work.DESERTED_S", 1.0)
    with (
        dask(tmp_path, 0) as (file, _),
        pytest.raises(UserError, match="no worker has joined it within 1 s"),
        executor(WorkConfig(cluster=file)),
    ):
        pass

"""Pages worked on by a real Dask cluster of two worker processes, one of which is killed in the middle."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from doc_detect.crop import crop
from doc_detect.predict import predict
from doc_detect.predictions import FAILURES, IMAGES, JOURNAL, PAGES, RESULTS
from doc_detect.settings.job import CropSettings, PredictSettings
from doc_detect.settings.synth import SynthSettings
from doc_detect.synth import synth
from seminar_common.work import WorkConfig

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


def wait_for(happened, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"did not happen within {seconds} s"
        time.sleep(0.02)


@contextmanager
def running(kind: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *options]
    command += ["--scheduler-file", str(folder / "scheduler.json")]
    with (
        (folder / f"{kind}.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WorkConfig, int]]:
    """Two workers, started anew when they die; the number is the process that starts them."""
    folder = tmp_path_factory.mktemp("dask")
    address = folder / "scheduler.json"
    with running("scheduler", folder, "--port", "0"):
        wait_for(address.exists)
        where = ["--local-directory", str(folder)]
        with running("worker", folder, "--nworkers", "2", "--nthreads", "1", *where) as nannies:
            yield WorkConfig(cluster=str(address)), nannies.pid


def workers_of(nannies: int) -> list[int]:
    """Return the worker processes that run now."""
    children = Path(f"/proc/{nannies}/task").glob("*/children")
    processes = [int(child) for file in children for child in file.read_text().split()]
    return [child for child in processes if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pages, and one that is cut off."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(60):
        page = Image.new("RGB", (700, 1000), "white")
        page.paste((200, 0, 0), (60, 90, 300 + 4 * number, 450))
        page.save(folder / f"{number:02d}.png")
    (folder / "broken.png").write_bytes((folder / "00.png").read_bytes()[:500])
    return folder


def test_predict_and_crop_lose_nothing_with_a_worker_that_is_killed(
    scans: Path, tiny_model: Path, tmp_path: Path, cluster: tuple[WorkConfig, int], monkeypatch
) -> None:
    work, nannies = cluster
    monkeypatch.chdir(
        scans.parent
    )  # relative paths mean the same to workers, which have another current folder
    killed = []

    def kill_one(*, after: int) -> None:
        journal = tmp_path / "there" / JOURNAL
        wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= after)
        killed.append(workers_of(nannies)[0])
        os.kill(killed[0], signal.SIGKILL)

    killer = Thread(target=kill_one, kwargs={"after": 9})
    killer.start()
    for out, where in (("there", work), ("here", WorkConfig(1))):
        predict(PredictSettings((Path(scans.name),), tmp_path / out, tiny_model, work=where))
    killer.join()
    assert killed
    found = {name: (tmp_path / "there" / name).read_bytes() for name in (IMAGES, RESULTS, PAGES, FAILURES)}
    assert found == {name: (tmp_path / "here" / name).read_bytes() for name in found}
    lines = [(tmp_path / out / JOURNAL).read_text().splitlines() for out in ("there", "here")]
    assert len(lines[0]) == 61 and sorted(lines[0]) == sorted(lines[1]), (
        "nothing is lost, nothing is there twice"
    )
    for out, where in (("crops there", work), ("crops here", WorkConfig(1))):
        crop(CropSettings(tmp_path / "here", tmp_path / out, images=Path(scans.name), work=where))
    assert contents(tmp_path / "crops there") == contents(tmp_path / "crops here")


def test_synth_draws_the_same_pages(tmp_path: Path, cluster: tuple[WorkConfig, int], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out, where in (("there", cluster[0]), ("here", WorkConfig(1))):
        synth(
            SynthSettings(Path(out), pages=6, long_side=300, val_share=0.34, system_fonts=False, work=where)
        )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")

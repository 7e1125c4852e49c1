"""SIGTERM to `study`, which trains and measures, as a scheduler sends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from recsys_bnn.data.dataset import Dataset
from seminar_common.training import RESUME

ONE_THREAD = ["--threads", "1"]


@pytest.mark.slow
def test_sigterm_leaves_what_can_be_gone_on_with_and_nothing_else(prepared: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    checkpoints = out / "runs" / "float-seed0" / "checkpoints"
    options = ["--preset", "smoke", "--epochs", "5000", "--data", prepared.folder, "--out", out, *ONE_THREAD]
    options += ["--models", "float", "--seeds", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "recsys_bnn.cli", "study", *options],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    while not (checkpoints / RESUME).exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and b"terminated" in said and b"Traceback" not in said
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.iterdir()) == ["out"]
    files = {path.name for path in out.rglob("*") if path.is_file()}
    assert files <= {"config.json", "environment.json", "metrics.jsonl", "study.json", RESUME}

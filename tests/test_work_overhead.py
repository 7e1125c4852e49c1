"""What holds for the measurement of what a piece of work costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import work_overhead
from seminar_common.results import read_results


@pytest.mark.slow
def test_each_way_to_work_is_measured_and_the_command_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    line = [
        sys.executable,
        work_overhead.__file__,
        "--out",
        str(tmp_path),
        "--pieces",
        "20",
        "--repeats",
        "1",
    ]
    subprocess.run(line, check=True, capture_output=True)
    results = read_results(tmp_path / "results.json")
    assert results.command == f"python tools/work_overhead.py --out {tmp_path} --pieces 20 --repeats 1"
    each = {row.model: row.value for row in results.rows if row.metric == "each_piece"}
    assert {row.model for row in results.rows if row.metric == "first_piece"} == set(each)
    assert list(each) == ["this process", "2 threads", "2 processes", "Dask, 2 worker processes"]
    assert 0 < each["this process"] < each["Dask, 2 worker processes"]

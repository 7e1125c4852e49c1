from pathlib import Path

import pytest

pytest.importorskip("torch")  # `bench` times training too

from recsys_bnn.bench import bench
from recsys_bnn.benchmarks.prepare import OURS, PEER
from recsys_bnn.settings.bench import BenchSettings
from seminar_common.errors import UserError

SCRIPT = """
def getCriteoAdData(datafile, o_filename, max_ind_range):
    import time
    lines = open(datafile).readlines()
    print("chatter")
    time.sleep(0.5)
    assert all(len(line.split("\\t")) == 40 for line in lines)
    open(datafile + ".npz", "w").close()
"""


def test_prepare_is_timed_beside_the_peers_script_on_the_same_rows(tmp_path: Path, capfd) -> None:
    home = tmp_path / "dlrm"
    home.mkdir()
    (home / "data_utils.py").write_text(SCRIPT)
    settings = BenchSettings(tmp_path / "bench", parts=("prepare",), peer=home, rows=3000)
    results = bench(settings)
    speeds = {row.model: row.value for row in results.rows if row.metric == "throughput_per_s"}
    assert set(speeds) == {OURS, PEER}
    assert (
        speeds[PEER] < 3000 / 0.5
    )  # its script is called, once for the warm rows and once for the timed ones
    ratio = results.one(model=OURS, metric="throughput_ratio", baseline=PEER)
    assert ratio.value == pytest.approx(speeds[OURS] / speeds[PEER])
    assert all(row.value > 20 for row in results.rows if row.metric == "peak_rss_mb")
    assert "chatter" not in capfd.readouterr().out
    assert sorted(path.name for path in settings.out.iterdir()) == [
        "environment.json",
        "report.html",
        "results.json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench", "dlrm"]


def test_a_folder_without_the_script_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data_utils\.py"):
        bench(BenchSettings(tmp_path / "bench", parts=("prepare",), peer=tmp_path, rows=1000))
    assert list(tmp_path.iterdir()) == []

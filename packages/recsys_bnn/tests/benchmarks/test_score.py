import os
from pathlib import Path

import pytest

pytest.importorskip("torch")

from recsys_bnn.bench import bench
from recsys_bnn.benchmarks import score
from recsys_bnn.settings.bench import BenchSettings, InferenceConfig
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError


@pytest.mark.slow
def test_raw_rows_are_scored_by_a_packed_model_and_by_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "MODELS", ("float",))
    seen: dict[str, int] = {}
    original = score._Scene.timed

    def counted(self: score._Scene, name: str, threads: int) -> score._Seconds:
        took = original(self, name, threads)
        if name == score.RIVAL:
            seen["torch"] = (self.folder / "scores.npy").stat().st_size
        else:
            seen[name] = len((self.folder / "scores.csv").read_text().splitlines())
        return took

    monkeypatch.setattr(score._Scene, "timed", counted)
    settings = BenchSettings(
        tmp_path / "bench",
        parts=("score",),
        rows=2000,
        repeats=1,
        inference=InferenceConfig(thread_counts=(1,)),
        device=DeviceConfig(threads=1),
    )
    results = bench(settings)
    assert seen == {"float": 2001, "torch": 128 + 8 * 2000}
    speeds = {row.model: row.value for row in results.rows if row.metric == "throughput_per_core_s"}
    assert set(speeds) == {score.RIVAL, "float"}
    ratio = results.one(model="float", metric="throughput_per_core_ratio", baseline=score.RIVAL)
    assert ratio.value == pytest.approx(speeds["float"] / speeds[score.RIVAL])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench"]


def test_what_a_process_takes_is_its_own_and_a_failure_is_told(tmp_path: Path) -> None:
    before = os.times().children_user
    took = score._took(["timeit", "-n", "1", "-r", "1", "sum(range(10**7))"], 1)
    assert 0.02 < took.processor <= os.times().children_user - before + 1
    with pytest.raises(UserError, match="timeit --bad failed: "):
        score._took(["timeit", "--bad"], 1)

from pathlib import Path

import pytest

pytest.importorskip("torch")


from recsys_bnn.bench import PEER, bench
from recsys_bnn.settings.bench import BenchSettings
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError

pytest.importorskip("bitorch", reason="the extra recsys-bnn[bitorch] is not installed")


def test_every_model_is_timed_beside_bitorchs_own(tmp_path: Path) -> None:
    settings = BenchSettings(
        tmp_path / "bench",
        parts=("training-step",),
        table_rows=50,
        batch_size=16,
        repeats=2,
        device=DeviceConfig(threads=1),
    )
    results = bench(settings)
    times = {row.model: row.value for row in results.rows if row.metric == "train_step_ms"}
    assert set(times) == {"float", "binary", PEER} and min(times.values()) > 0
    ratio = results.one(model=PEER, metric="train_step_ratio", baseline="binary")
    assert ratio.value == pytest.approx(times[PEER] / times["binary"])
    assert (ratio.batch, ratio.threads) == (16, 1)
    assert sorted(path.name for path in settings.out.iterdir()) == [
        "environment.json",
        "report.html",
        "results.json",
    ]
    with pytest.raises(UserError, match="bench"):
        bench(settings)

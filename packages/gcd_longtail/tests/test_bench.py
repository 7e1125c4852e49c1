from pathlib import Path

import numpy as np
import pytest

from gcd_longtail.bench import bench
from gcd_longtail.benchmarks import many_images, million_rows
from gcd_longtail.benchmarks.k_means import make_points
from gcd_longtail.benchmarks.peers import sort_peers
from gcd_longtail.settings.methods import BenchSettings
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError


def test_a_small_bench_measures_ours_and_scikit_learns(tmp_path: Path) -> None:
    settings = BenchSettings(
        tmp_path / "bench", rows=600, width=16, k=8, pictures=24, device=DeviceConfig(threads=1)
    )
    results = bench(settings)
    ours, theirs = (results.one(model=m, metric="inertia").value for m in ("kmeans", "scikit-learn-kmeans"))
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert results.one(model="ss-kmeans", metric="start_s").value > 0
    assert results.one(model="efficientnet-lite0", metric="images_per_s").value > 0
    ours, timm = (results.one(model=m, metric="images_per_cpu_s") for m in ("efficientnet-lite0", "timm"))
    assert ours.value > timm.value and ours.threads == timm.threads == 1 and ours.n == 7 * 24
    written = ["environment.json", "report.html", "results.json"]
    assert sorted(p.name for p in (tmp_path / "bench").iterdir()) == written
    with pytest.raises(UserError, match="bench"):
        bench(settings)


def test_many_rows_are_clustered_in_a_process_of_their_own() -> None:
    rows = {row.metric: row.value for row in million_rows.measure(rows=2000, width=8, k=10)}
    assert rows["million_s"] > 0 and rows["peak_rss_mb"] > 50
    # Noise of variance 1 in 8 dimensions around centres that are kept: the mean squared distance is about 8.
    assert 5 < rows["million_inertia_per_row"] < 9


@pytest.mark.slow
def test_a_discovery_of_many_images_runs_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_images, "PART", 400)
    monkeypatch.setattr(many_images, "CLASSES", 16)
    settings = BenchSettings(tmp_path / "bench", images=1000)
    rows = {row.metric: row for row in many_images.measure(settings)}
    assert rows["discover_s"].value > 0 and rows["peak_rss_mb"].value > 50
    assert rows["discover_s"].n == 1000 and rows["discover_s"].model == "shift-merge-mix"
    assert rows["k_estimated"].value >= many_images.CLASSES / 2
    assert not [*many_images.measure(BenchSettings(tmp_path / "bench"))]
    with pytest.raises(UserError, match="--images"):
        BenchSettings(tmp_path / "bench", images=10)


def test_the_points_have_every_known_class_labelled_and_are_unit_vectors() -> None:
    points = make_points(500, 8, 10, seed=1)
    assert np.array_equal(np.unique(points.labels), np.arange(5))
    np.testing.assert_allclose(np.linalg.norm(points.unlabelled, axis=1), 1, atol=1e-5)


def test_a_folder_that_is_no_peer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a checkout of GCD"):
        sort_peers((tmp_path,))

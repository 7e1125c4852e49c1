import pytest

pytest.importorskip("torch")

import json
from pathlib import Path

import numpy as np
from PIL import Image

from doc_detect.bench import Engine, bench, page_draws, speed_rows
from doc_detect.benchmarks import formats
from doc_detect.benchmarks.worker import Answer, measure
from doc_detect.settings.job import BenchSettings
from seminar_common.errors import UserError
from seminar_common.results import Row, read_results


@pytest.fixture
def labelled(tmp_path: Path, paint) -> Path:
    """Four pages with a graphic each, as COCO."""
    images, annotations = [], []
    for number in range(1, 5):
        Image.fromarray(paint(300, 400, graphic=(40, 60, 200, 300))).save(tmp_path / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 300, "height": 400})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": [40, 60, 160, 240]})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "graphic"}]}
    (tmp_path / "truth.json").write_text(json.dumps(document))
    return tmp_path / "truth.json"


def test_measures_speed_memory_and_quality_of_the_same_pages(
    labelled: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench"
    bench(
        BenchSettings(out=out, data=labelled, model=tiny_model, peer=(), threads=(1,), repeats=1, a4_pages=0)
    )
    results = read_results(out)
    assert {(row.metric, row.engine) for row in results.rows} == {
        (metric, "onnxruntime")
        for metric in ("throughput_per_s", "cpu_s_per_page", "peak_rss_mb", "size_mb", "ap50")
    }
    speed = results.one(metric="throughput_per_s")
    assert (speed.n, speed.threads) == (4, 1) and speed.ci_low <= speed.value <= speed.ci_high
    assert results.one(metric="ap50", label="graphic").value == pytest.approx(1)
    # The ONNX path holds no PyTorch, which alone would be over 300 MB.
    assert 40 < results.one(metric="peak_rss_mb").value < 300
    assert (out / "report.html").exists()
    with pytest.raises(UserError, match="exists already"):
        bench(BenchSettings(out=out, data=labelled, model=tiny_model))


def test_pages_of_a4_are_measured_in_each_format(
    labelled: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "LONG_SIDE", 400)  # 3,508 pixels take a second a page and format
    out = tmp_path / "bench"
    bench(BenchSettings(out, labelled, model=tiny_model, peer=(), threads=(1,), repeats=1, a4_pages=2))
    rows = [row for row in read_results(out).rows if "format" in row.facts]
    assert {row.facts["format"] for row in rows if row.metric == "cpu_s_per_page"} == set(formats.FORMATS)
    for name, (suffix, _) in formats.FORMATS.items():
        assert [path.suffix for path in (out / "a4" / name).iterdir()] == [suffix] * 2
    with Image.open(next((out / "a4" / "tiff-group4").iterdir())) as image:
        assert (image.mode, image.info["compression"]) == ("1", "group4")


def test_the_ratio_to_the_peer_is_paired_by_page() -> None:
    # Pages differ a hundredfold in cost, but on each of them ours costs a fourth: the ratio has no doubt.
    cpu = np.array([0.01, 0.1, 1.0])
    costs = {"onnx": cpu.tolist(), "rapid-layout": (4 * cpu).tolist()}
    engines = [Engine(name, "", Row(name, "", "", "", 0.0)) for name in costs]
    rows = speed_rows(engines, Answer(wall=costs, cpu=costs, found={}), 1, "pages", 0)
    (ratio,) = [row for row in rows if row.metric == "cpu_ratio"]
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == pytest.approx((0.25, 0.25, 0.25))
    assert (ratio.model, ratio.baseline) == ("onnx", "rapid-layout")
    (speed,) = [row for row in rows if row.metric == "throughput_per_s" and row.model == "onnx"]
    assert speed.value == pytest.approx(3 / 1.11) and speed.ci_low < speed.value < speed.ci_high


def test_draws_begin_with_every_page_once() -> None:
    draws = page_draws(5, 0)
    np.testing.assert_allclose(draws[0], 0.2)
    np.testing.assert_allclose(draws.sum(axis=1), 1)


def test_rapid_layout_runs_beside_ours(labelled: Path, tiny_model: Path) -> None:
    pytest.importorskip(
        "rapid_layout", reason="rapid-layout is not installed (`uv sync --package doc-detect --group bench`)"
    )
    files = tuple(str(labelled.parent / f"{number}.png") for number in (1, 2))
    answer = measure({"onnx": str(tiny_model), "rapid-layout": ""}, files, 1, 1)
    assert all(seconds > 0 for engine in answer["cpu"].values() for seconds in engine)
    assert [len(pages) for pages in answer["found"].values()] == [2, 2]


def test_a_worker_that_fails_says_why(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match="not an ONNX model"):
        bench(BenchSettings(out=tmp_path / "bench", data=labelled, model=tmp_path / "bad.onnx", peer=()))
    assert not (tmp_path / "bench").exists()

"""Speed of packed models beside rivals: their probabilities, the rows of a run, and what is said of what is missing."""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from recsys_bnn import bench as bench_module
from recsys_bnn.bench import bench
from recsys_bnn.benchmarks import inference as inference_module
from recsys_bnn.benchmarks import inference_models
from recsys_bnn.benchmarks.float_model import float_table
from recsys_bnn.benchmarks.inference import Inference, _Measured, check
from recsys_bnn.benchmarks.inference_models import configs, shape
from recsys_bnn.benchmarks.inference_plots import figures, spread
from recsys_bnn.benchmarks.inference_process import stay_on_cores, timed
from recsys_bnn.benchmarks.machine import LINE, Limits, demand
from recsys_bnn.benchmarks.runners import RUNNERS
from recsys_bnn.benchmarks.scenes import StudyScene, draw_ids
from recsys_bnn.benchmarks.turns import Lost, Subject, Turns
from recsys_bnn.data.dataset import Dataset
from recsys_bnn.runtime.numpy_engine import NumpyEngine
from recsys_bnn.runtime.random_spec import Shape, random_rows, random_spec
from recsys_bnn.runtime.spec import ModelSpec
from recsys_bnn.runtime.spec_check import check_spec
from recsys_bnn.settings.bench import BenchSettings, InferenceConfig
from recsys_bnn.settings.training import smoke
from recsys_bnn.train import train
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.results import Row, read_results

COMPARED = [
    name
    for name, runner in RUNNERS.items()
    if runner.tolerance is not None and runner.engine not in ("torch-compile", "native")
]
"""Compiling takes long; the C engine has tests of its own."""


@pytest.fixture(scope="module", params=[False, True], ids=["interactions", "first-order"])
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    kind = Shape(4, True, (9, 40, 5), dim=8, bottom=(6,), top=(12, 5), first_order=request.param)
    return random_spec(kind, np.random.default_rng(0))


@pytest.mark.parametrize("name", COMPARED)
def test_every_rival_gives_the_probabilities_of_the_float_model(
    name: str, spec: ModelSpec, tmp_path: Path
) -> None:
    runner = RUNNERS[name]
    if missing := runner.missing():
        pytest.skip(f"{missing[0]} is not installed")
    rng = np.random.default_rng(1)
    integers, ids = random_rows(spec, 50, rng)
    ids = ids.clip(0, spec.table.cardinalities - 1).astype(np.int32)
    np.save(tmp_path / "table.npy", float_table(spec))
    (tmp_path / name).mkdir()
    runner.export(spec, tmp_path / name, tmp_path / "table.npy")
    score = runner.open(tmp_path / name, 1)
    logits = np.asarray(score(*runner.inputs(integers, ids)), np.float64)
    expected = NumpyEngine(spec).logits(integers, ids).astype(np.float64)
    given, expected = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-expected))
    assert not check(Subject("m", name), given, expected)
    assert expected.std() > 0.05  # else anything would pass


def test_probabilities_that_are_none_of_the_float_model_are_refused() -> None:
    with pytest.raises(UserError, match=r"float@torch: .* 0.1 from"):
        check(Subject("float", "float@torch"), np.array([0.5, 0.6]), np.array([0.5, 0.5]))
    with pytest.raises(UserError):
        check(Subject("float", "float@torch"), np.array([np.nan]), np.array([0.5]))
    rounding = Subject("m", "mixed-e8-b8-w8-a8@torch")
    assert "0.1 from" in check(rounding, np.array([0.5, 0.7]), np.array([0.5, 0.5]))


def settings(out: Path, *subjects: str, **changes: object) -> BenchSettings:
    config = InferenceConfig(
        mlps=("medium",),
        small_table_rows=20,
        batches=(1, 4),
        thread_counts=(1,),
        seconds=0.02,
        subjects=subjects,
    )
    return BenchSettings(
        out,
        parts=("inference",),
        table_rows=20,
        repeats=2,
        inference=dataclasses.replace(config, **changes),
        device=DeviceConfig(threads=1),
    )


def test_a_run_measures_a_subject_at_each_point_and_what_starting_takes(tmp_path: Path) -> None:
    results = bench(settings(tmp_path / "bench", "binary-a4@numpy"))
    assert {(row.model, row.engine, row.ours) for row in results.rows} == {("binary-a4", "numpy", True)}
    assert all(row.value > 0 for row in results.rows)
    for metric in ("latency_us_p50", "latency_us_p99", "throughput_per_s"):
        points = [(row.batch, row.threads) for row in results.rows if row.metric == metric]
        assert points == [(1, 1), (4, 1)]
    once = ["file_mb", "call_us_1", "call_us_4", "cold_start_s", "libraries_mb", "model_rss_mb"]
    assert [row.metric for row in results.rows if row.batch is None] == once
    assert any("instruction sets" in note for note in results.notes)
    assert not list(tmp_path.glob("recsys-bnn-bench-*"))


def test_ratios_are_those_of_the_fastest_rival_and_of_our_own_engine(tmp_path: Path) -> None:
    whole = Inference(settings(tmp_path, "float@native"))
    measured = _Measured(whole, inference_module.scenes(whole.settings)[0], (), tmp_path)
    binary = Subject("binary", "native")
    times = {
        Subject("float", "float@torch"): 90.0,
        Subject("float", "float@onnxruntime"): 60.0,
        Subject("float", "native"): 8.0,
        Subject("mixed-e8-b8-w8-a8", "native"): 6.0,
        Subject("float", "numpy"): 1.0,
        binary: 2.0,
    }
    rows = list(measured._ratios(binary, times, {"batch": 1, "threads": 1}))
    assert [(row.metric, row.value, row.baseline) for row in rows] == [
        ("speedup_over_rivals", 30.0, "float@onnxruntime"),
        ("speedup_over_float", 4.0, None),
        ("speedup_over_int8", 3.0, None),
    ]


def test_what_an_interrupted_run_has_measured_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(self: Inference) -> Iterator[Row]:
        yield Row("float", "medium", "", "file_mb", 1.0, unit="MB")
        raise KeyboardInterrupt

    monkeypatch.setattr(Inference, "rows", rows)
    with pytest.raises(KeyboardInterrupt):
        bench_module.bench(settings(tmp_path / "bench"))
    kept = read_results(tmp_path / "bench")
    assert len(kept.rows) == 1 and "Interrupted: figures are missing." in kept.notes


def test_a_rival_that_is_not_installed_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = dataclasses.replace(RUNNERS["float@onnxruntime"], needs=("no_such_module",))
    monkeypatch.setattr(inference_module, "RUNNERS", {**RUNNERS, "float@onnxruntime": absent})
    whole = Inference(settings(tmp_path, "float@onnxruntime", "float@numpy"))
    scene = inference_module.scenes(whole.settings)[0]
    assert [subject.label for subject in whole._subjects(scene)] == ["float@numpy"]
    assert whole.notes == [
        "Not run: float@onnxruntime, as no_such_module is not installed; pip install 'recsys-bnn[bench]'."
    ]


def test_an_unknown_subject_is_refused(tmp_path: Path) -> None:
    whole = Inference(settings(tmp_path, "float@torhc"))
    with pytest.raises(UserError, match="--subjects float@torhc"):
        whole._subjects(inference_module.scenes(whole.settings)[0])


def test_a_subject_that_fails_says_why_and_the_others_go_on() -> None:
    subject = Subject("float", "numpy")
    with Turns([subject], 1) as turns:
        with pytest.raises(Lost, match="FileNotFoundError"):
            turns.ask(subject, "open", folder="nowhere", pool="nowhere", threads=1)
        turns._processes[subject].process.kill()
        with pytest.raises(Lost, match="its process ended with status"):
            turns.ask(subject, "choices")


def test_the_models_of_runs_are_scored_on_their_test_rows(prepared: Dataset, tmp_path: Path) -> None:
    runs = tmp_path / "study" / "runs"
    chosen = dataclasses.replace(smoke(), seed=1, data=prepared.folder, out=runs / "float-seed1")
    run = train(chosen)
    other = shutil.copytree(run.folder, runs / "float-seed2") / "config.json"
    other.write_text(other.read_text().replace('"seed": 1', '"seed": 2'))
    scene = StudyScene((tmp_path / "study",))
    assert scene.models() == ["float"] and scene._runs["float"].folder == run.folder  # the lower seed
    (pool,) = scene.pools()
    assert pool.labels is not None and len(pool.labels) == 800 < len(pool.ids)
    (name, packed), *_ = scene.specs()
    assert name == "float" and len(NumpyEngine(packed).logits(pool.integers[:9], pool.ids[:9])) == 9


def test_a_timed_call_is_one_of_many_and_the_first_does_not_count() -> None:
    seen: list[int] = []
    took = timed(lambda number: seen.append(number) or np.zeros(1), [(0,), (1,)], 0.0)
    assert len(took) == 3 and seen == [0, 1, 0, 1] and took.min() >= 0


def test_ids_are_those_of_the_tables() -> None:
    rng = np.random.default_rng(0)
    for draw, share in (("zipf", 0.5), ("uniform", 0.1)):
        ids = draw_ids(draw, 100, rng, 2000)
        assert ids.min() == 0 and ids.max() == 99
        assert np.mean(ids < 10) == pytest.approx(share, abs=0.02)


def test_what_a_model_needs_is_counted_by_hand() -> None:
    kind = Shape(3, False, (100, 100), dim=16, bottom=(8,), top=(4,), embedding_bits=1, top_bits=(1, 4))
    need = demand(random_spec(kind, np.random.default_rng(0)))
    inputs = 16 + 3  # the dense vector and the products of three vectors
    assert need.multiply_adds == {(1, 1): 3 * 16, (32, 32): 3 * 8 + 8 * 16, (1, 4): 4 * inputs + 4}
    assert (need.row_bytes, need.line_bytes, need.table_bytes) == (2 * 2, 2 * LINE, 200 * 2)


def test_the_bound_that_holds_is_the_slower_one(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits()
    monkeypatch.setattr(limits, "peak", lambda bits, threads: 1e9)
    need = demand(random_spec(Shape(0, False, (100, 100), top=()), np.random.default_rng(0)))
    monkeypatch.setattr(limits, "bandwidth", lambda size, threads: 1e15)
    microseconds, bound = limits.least_us(need, batch=1000, threads=1)
    assert bound == "arithmetic" and microseconds == pytest.approx(1000 * (16 + 1) / 1e9 * 1e6)
    monkeypatch.setattr(limits, "bandwidth", lambda size, threads: 1e3)
    microseconds, bound = limits.least_us(need, batch=1000, threads=1)
    assert bound == "memory" and microseconds == pytest.approx((1000 * 2 * 64 + 4) / 1e3 * 1e6)


def test_names_of_lines_do_not_cover_each_other() -> None:
    heights = spread([1.0, 1.01, 1.02, 5.0], 1.2)
    assert heights == sorted(heights) and heights[-1] == 5.0
    assert min(b / a for a, b in zip(heights, heights[1:], strict=False)) >= 1.2 - 1e-9


def test_plots_are_drawn_of_what_was_measured() -> None:
    def row(model: str, metric: str, value: float, **more: object) -> Row:
        return Row(model, "data", "", metric, value, engine="native", ours=True, **more)

    rows = [
        row(model, "latency_us_p50", us * batch, batch=batch, threads=1, subset="zipf ids")
        for model, us in (("float", 2.0), ("binary", 1.0))
        for batch in (1, 128)
    ]
    assert len(figures(rows)) == 1
    rows += [row("float", "roc_auc", 0.8), row("binary", "roc_auc", 0.7), row("float", "file_mb", 9)]
    assert [caption.split(",")[0] for _, caption, _ in figures(rows)][1:] == [
        "ROC AUC against median latency",
        "ROC AUC against median latency",
        "ROC AUC against bytes of the model's file.",
    ]
    assert figures([row("float", "file_mb", 9)]) == []


@pytest.mark.parametrize("name", ["float", "mixed-e1h2-b8-w1-a4"])
def test_large_tables_repeat_a_small_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_models, "_DRAWN_ROWS", 50)
    config = configs("medium")[name]
    small, large = (
        inference_models.random_model(config, rows, np.random.default_rng(0)) for rows in (50, 200)
    )
    check_spec(large)
    assert large.table.rows.tolist() == [200] * 26
    assert large.table.hot_rows.tolist() == [4 * count for count in small.table.hot_rows]
    assert (large.table.hot_rows > 0).all() == bool(config.hot_bits)
    integers, ids = random_rows(large, 20, np.random.default_rng(1))
    logits = NumpyEngine(large).logits(integers, ids)
    assert np.isfinite(logits).all() and logits.std() > 0.1
    assert len(large.table.cold) == 4 * len(small.table.cold)


@pytest.mark.parametrize("mlps", ["medium", "reference"])
def test_random_models_have_the_bits_of_their_names(mlps: str) -> None:
    for name, config in configs(mlps).items():
        kind = shape(config, 1000)
        assert config.name == name and kind.embedding_bits == config.embedding_bits
        assert kind.top_bits == config.top_bits.default and kind.bottom_bits == config.bottom_bits.default
        assert kind.hot_share == (config.hot_share if config.hot_bits else 0)


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="only Linux can keep a process to some cores"
)
def test_all_subjects_stay_on_the_same_cores() -> None:
    before = os.sched_getaffinity(0)
    try:
        stay_on_cores(1)
        assert os.sched_getaffinity(0) == {max(before)}
    finally:
        os.sched_setaffinity(0, before)

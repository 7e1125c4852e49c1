"""Splits without rows, without clicks, of clicks alone, and with one click: training and measuring go on."""

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.evaluate import evaluate
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import STUDY_PRESETS, EvaluateSettings, OptimizationConfig, smoke
from recsys_bnn.study import study
from recsys_bnn.train import train
from seminar_common.device import DeviceConfig
from seminar_common.report import report
from seminar_common.results import Results, read_results

PLACE = DeviceConfig(threads=1)


def poor(folder: Path, kind: str) -> Dataset:
    """Return 300 rows of two fields; validation and test have 30 and 60 of them, with as few clicks as ``kind`` says."""
    held_out = {
        "no rows": [],
        "no click": [0] * 90,
        "clicks alone": [1] * 90,
        "one click": ([1] + [0] * 29) * 3,
    }[kind]
    labels = [int(i % 3 == 0 or i % 7 == 0) for i in range(300 - len(held_out))] + held_out
    log = folder / "log.libfm"
    log.write_text("".join(f"{'1' if y else '-1'} {i % 9}:1 {10 + i % 3}:1\n" for i, y in enumerate(labels)))
    fractions = {"val_fraction": 0.0, "test_fraction": 0.0} if kind == "no rows" else {}
    prepare(
        PrepareConfig(
            format="libfm", input=(log,), out=folder / "data", name="poor", split="time", **fractions
        )
    )
    return open_dataset(folder / "data")


@pytest.mark.parametrize("kind", ["no rows", "no click", "clicks alone", "one click"])
def test_poor_splits_are_said_and_leave_out_what_has_no_value(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = poor(tmp_path, kind)
    base = dataclasses.replace(smoke(), data=data.folder, device=PLACE)
    optimization = OptimizationConfig(epochs=2, batch_size=64)
    run = train(dataclasses.replace(base, out=tmp_path / "run", optimization=optimization))
    assert "epoch 2: validation: " in capsys.readouterr().err
    results = evaluate(EvaluateSettings(run.folder, baseline=run.folder, resamples=100))
    check(results, kind)
    assert len(results.notes) == 2 and all(note in capsys.readouterr().err for note in results.notes[:1])
    assert results.notes[1] in run.report_file.read_text()
    assert read_results(run.folder) == results
    if kind == "no rows":
        report((run.folder,), tmp_path / "page.html")
        assert results.notes[1] in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("kind", ["no rows", "no click"])
def test_a_study_on_poor_splits_ends(kind: str, tmp_path: Path) -> None:
    data = poor(tmp_path, kind)
    chosen = dataclasses.replace(
        STUDY_PRESETS["smoke"](), data=data.folder, out=tmp_path / "study", device=PLACE
    )
    optimization = OptimizationConfig(batch_size=64)
    models = ("float", "4-bit", "logistic-regression")
    results = study(
        dataclasses.replace(chosen, models=models, seeds=(0,), optimization=optimization, resamples=100)
    )
    check(results, kind)
    assert len(results.notes) == 1


def check(results: Results, kind: str) -> None:
    metrics = {row.metric for row in results.rows if row.split == "test"}
    assert ("roc_auc" in metrics) == ("roc_auc_difference" in metrics) == (kind == "one click")
    assert ("log_loss" in metrics) == ("log_loss_difference" in metrics) == (kind != "no rows")
    assert all(row.ci_low is None for row in results.rows)
    assert any(row.metric == "size_mb" for row in results.rows)

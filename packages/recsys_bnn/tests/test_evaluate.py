import dataclasses
import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from sklearn.metrics import log_loss, roc_auc_score

from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.evaluate import cost_rows, evaluate
from recsys_bnn.model.trained import build_model, load_model, predict
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import EvaluateSettings, OptimizationConfig, smoke
from recsys_bnn.train import train
from seminar_common.checkpoints import load_tensors, save_tensors
from seminar_common.errors import UserError
from seminar_common.results import read_results
from seminar_common.runs import Run


@pytest.fixture(scope="module")
def runs(prepared: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, bits in (("float", 32), ("binary", 1)):
        model = dataclasses.replace(smoke().model, embedding_bits=bits, mlp_bits=bits)
        optimization = OptimizationConfig(epochs=2, batch_size=128)
        settings = dataclasses.replace(smoke(), model=model, optimization=optimization)
        made[name] = train(dataclasses.replace(settings, data=prepared.folder, out=folder / name))
    return made


def test_the_table_has_every_figure_with_interval_and_n(runs: dict[str, Run], prepared: Dataset) -> None:
    results = evaluate(
        EvaluateSettings(run=runs["binary"].folder, baseline=runs["float"].folder, resamples=200)
    )
    assert read_results(runs["binary"].folder).rows == results.rows
    for split, n in (("val", 400), ("test", 800)):
        for metric in ("roc_auc", "accuracy", "log_loss", "normalized_entropy"):
            row = results.one(split=split, metric=metric)
            assert row.n == n and row.seeds == (0,) and row.model == "binary" and row.dataset == "synthetic"
            assert row.ci_low is not None and row.ci_high is not None
            assert row.ci_low <= row.value <= row.ci_high
        assert 0 <= results.one(split=split, metric="calibration_error").value < 1
        difference = results.one(split=split, metric="roc_auc_difference")
        assert difference.baseline == "float"
    assert results.one(metric="size_mb").split == ""
    assert {curve.kind for curve in results.curves} == {"learning", "roc", "calibration"}


def test_the_figures_are_those_of_the_predictions(runs: dict[str, Run], prepared: Dataset) -> None:
    results = evaluate(EvaluateSettings(run=runs["float"].folder, resamples=100))
    rows = prepared.rows("test")
    model = load_model(runs["float"], prepared)
    probabilities = predict(model, rows, next(model.parameters()).device)
    assert results.one(split="test", metric="roc_auc").value == pytest.approx(
        roc_auc_score(rows.labels(), probabilities)
    )
    assert results.one(split="test", metric="log_loss").value == pytest.approx(
        log_loss(rows.labels(), probabilities)
    )


def test_a_paired_difference_is_that_of_the_two_tables(runs: dict[str, Run]) -> None:
    binary = evaluate(
        EvaluateSettings(run=runs["binary"].folder, baseline=runs["float"].folder, resamples=100)
    )
    full = evaluate(EvaluateSettings(run=runs["float"].folder, resamples=100))
    for metric in ("roc_auc", "accuracy", "log_loss"):
        difference = binary.one(split="test", metric=f"{metric}_difference").value
        expected = binary.one(split="test", metric=metric).value - full.one(split="test", metric=metric).value
        assert difference == pytest.approx(expected, abs=1e-12)


def test_a_binary_table_is_a_32nd_of_the_float_one(prepared: Dataset) -> None:
    def size(bits: int) -> float:
        config = dataclasses.replace(smoke().model, embedding_bits=bits)
        model = build_model(dataclasses.replace(smoke(), model=config), prepared)
        return next(
            row.value for row in cost_rows(model, config.name, "synthetic") if row.metric == "size_mb"
        )

    values = sum(prepared.cardinalities) * smoke().model.embedding_dim
    assert size(32) - size(1) == pytest.approx(values * 31 / 8 / 1e6)


def test_the_report_opens_offline_and_shows_the_figures(runs: dict[str, Run]) -> None:
    results = evaluate(EvaluateSettings(run=runs["float"].folder, resamples=100))
    page = runs["float"].report_file.read_text()
    assert f"{results.one(split='test', metric='roc_auc').value:.4f}" in page
    assert "<svg" in page and 'src="http' not in page


def test_a_split_that_was_learned_from_is_not_measured(prepared: Dataset, tmp_path: Path) -> None:
    optimization = OptimizationConfig(batch_size=128, fit_on="train+val")
    run = train(
        dataclasses.replace(smoke(), data=prepared.folder, out=tmp_path / "run", optimization=optimization)
    )
    results = evaluate(EvaluateSettings(run=run.folder, resamples=100))
    assert {row.split for row in results.rows} == {"", "test"}


def test_figures_of_other_data_leave_those_of_the_run_alone(
    runs: dict[str, Run], prepared: Dataset, tmp_path: Path
) -> None:
    run = runs["float"]
    evaluate(EvaluateSettings(run=run.folder, resamples=100))
    files = [run.results_file, run.report_file, run.folder / "environment.json"]
    before = [file.read_bytes() for file in files]
    log = prepared.folder.parent / "log.txt"
    config = PrepareConfig(format="criteo-kaggle", input=(log,), out=tmp_path / "other", test_fraction=0.5)
    prepare(dataclasses.replace(config, vocabulary=run.folder))
    other = open_dataset(tmp_path / "other")
    settings = EvaluateSettings(run=run.folder, data=other.folder, resamples=100)
    for out, folder in (
        (None, run.folder / f"on-{other.name}-{other.fingerprint[:8]}"),
        (tmp_path / "out", tmp_path / "out"),
    ):
        evaluate(dataclasses.replace(settings, out=out))
        assert read_results(folder).one(split="test", metric="roc_auc").n == 2000
        environment = json.loads((folder / "environment.json").read_text())
        assert environment["data"] == {other.name: other.fingerprint}
    assert [file.read_bytes() for file in files] == before
    with pytest.raises(UserError, match="out: "):
        evaluate(dataclasses.replace(settings, out=tmp_path / "out"))


def test_an_unfinished_run_is_refused_with_the_way_out(runs: dict[str, Run], tmp_path: Path) -> None:
    unfinished = tmp_path / "run"
    (unfinished / "checkpoints").mkdir(parents=True)
    (unfinished / "config.json").write_text((runs["float"].folder / "config.json").read_text())
    with pytest.raises(UserError, match="--resume"):
        evaluate(EvaluateSettings(run=unfinished))


def test_a_checkpoint_of_another_architecture_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    other = tmp_path / "run"
    (other / "checkpoints").mkdir(parents=True)
    config = json.loads((runs["float"].folder / "config.json").read_text())
    config["settings"]["model"]["top_mlp"] = [16]
    (other / "config.json").write_text(json.dumps(config))
    weights, _ = load_tensors(runs["float"].checkpoints / "model.safetensors")
    save_tensors(other / "checkpoints" / "model.safetensors", weights)
    with pytest.raises(UserError, match="another architecture: top"):
        evaluate(EvaluateSettings(run=other))


@pytest.mark.parametrize("name", ["checkpoints/model.safetensors", "config.json", "test.arrow"])
def test_a_byte_that_was_changed_is_noticed(
    name: str, runs: dict[str, Run], prepared: Dataset, tmp_path: Path
) -> None:
    run, data = shutil.copytree(runs["float"].folder, tmp_path / "run"), tmp_path / "data"
    shutil.copytree(prepared.folder, data)
    file = data / name if name.endswith("arrow") else run / name
    content = file.read_bytes()
    place = content.index(b"0.001") if name == "config.json" else len(content) // 2
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(UserError, match=f"{file.name}: was changed after"):
        evaluate(EvaluateSettings(run=run, data=data, out=tmp_path / "out", resamples=100))
    assert not (tmp_path / "out").exists()


def test_a_model_that_overflows_gives_no_figures(
    runs: dict[str, Run], prepared: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(runs["float"], prepared)
    model.top[-1].bias.data.fill_(float("nan"))
    with pytest.raises(UserError, match="no probability for 800 of 800 rows"):
        predict(model, prepared.rows("test"), next(model.parameters()).device)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        evaluate(EvaluateSettings(run=tmp_path))


def test_too_few_resamples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--resamples 10"):
        EvaluateSettings(run=tmp_path, resamples=10)


def test_the_summary_breaks_no_figure_on_a_terminal_of_80_columns(
    runs: dict[str, Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from seminar_common import summary

    monkeypatch.setattr(summary, "_console", lambda: Console(width=80, highlight=False))
    rows = evaluate(EvaluateSettings(runs["float"].folder, resamples=100)).rows
    words = set(capsys.readouterr().out.split())
    for row in rows:
        if row.metric == "roc_auc":
            assert row.ci_low is not None and row.ci_high is not None
            assert {f"{row.value:.4f}", f"[{row.ci_low:.4f},", f"{row.ci_high:.4f}]"} <= words

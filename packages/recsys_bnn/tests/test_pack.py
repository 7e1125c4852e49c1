import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import recsys_bnn
from recsys_bnn import pack as pack_module
from recsys_bnn.data.dataset import Dataset
from recsys_bnn.model.trained import load_model, predict
from recsys_bnn.pack import pack
from recsys_bnn.packing.model import to_spec
from recsys_bnn.packing.parity import parity
from recsys_bnn.runtime.engines import ENGINES, EngineUnavailable
from recsys_bnn.runtime.numpy_engine import NumpyEngine
from recsys_bnn.settings.pack import PackSettings
from recsys_bnn.settings.training import OptimizationConfig, smoke
from recsys_bnn.train import train
from seminar_common.errors import UserError
from seminar_common.report import report
from seminar_common.results import read_results
from seminar_common.runs import Run


@pytest.fixture(scope="module")
def run(prepared: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    model = dataclasses.replace(
        smoke().model, embedding_bits=1, embedding_scale="group", mlp_bits=1, activation_bits=4, hot_bits=8
    )
    settings = dataclasses.replace(smoke(), model=model, optimization=OptimizationConfig(batch_size=128))
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(dataclasses.replace(settings, data=prepared.folder, out=out))


@pytest.fixture(scope="module")
def packed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "model.safetensors"
    pack(PackSettings(run=run.folder, out=out, check_rows=500))
    return out


def test_it_scores_as_the_run_does(packed: Path, run: Run, prepared: Dataset) -> None:
    expected = predict(load_model(run, prepared), prepared.rows("test"), torch.device("cpu"))
    _, integers, ids = prepared.rows("test").columns()
    got = recsys_bnn.load(packed, engine="numpy").predict_encoded(integers, ids)
    assert np.mean(np.abs(got - expected) > 1e-5) < 0.01
    line = (prepared.folder.parent / "log.txt").read_text().splitlines()[-800]
    model = recsys_bnn.load(packed, engine="numpy")
    raw = dict(zip(model.features, line.split("\t")[1:], strict=True))
    np.testing.assert_allclose(model.predict(raw), got[:1], rtol=1e-6)


def test_what_is_written(packed: Path, run: Run) -> None:
    assert {path.name for path in packed.parent.iterdir()} == {"model.safetensors", "model.md"}
    card = packed.with_suffix(".md").read_text()
    assert card == recsys_bnn.load(packed, engine="numpy").card["card"]
    for said in (
        "Tables: 1 bit",
        "frequent rows 8 bits",
        "times as many",
        'recsys_bnn.load("model.safetensors")',
    ):
        assert said in card
    assert {path.name for path in (run.folder / "packed").iterdir()} == {
        "results.json",
        "report.html",
        "environment.json",
    }


def test_each_engine_that_runs_here_is_compared(packed: Path, run: Run) -> None:
    results = read_results(run.folder / "packed")
    names = {row.engine for row in results.rows if row.metric == "parity_share"}
    card, told = packed.with_suffix(".md").read_text(), recsys_bnn.load(packed, engine="numpy").card["parity"]
    assert "numpy" in names and names == told.keys()
    assert "numpy engine: " in card and "native engine: " in card
    assert ("native engine: not compared" in card) == ("native" not in names)
    assert all(found["rows"] == 500 and found["unexplained"] == 0 for found in told.values())


def test_a_fault_of_one_engine_is_enough(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiling(spec, threads):
        engine = NumpyEngine(dataclasses.replace(spec, top=spoiled_layers(spec)))
        engine.name = "native"
        return engine

    monkeypatch.setitem(ENGINES, "native", spoiling)
    with pytest.raises(UserError, match="by the native engine [0-9]+ of 300 packed scores differ"):
        pack(PackSettings(run=run.folder, out=tmp_path / "model", check_rows=300))
    assert not list(tmp_path.iterdir())


def test_an_engine_that_does_not_run_is_named_with_its_reason(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(spec, threads):
        raise EngineUnavailable("no C compiler was found")

    monkeypatch.setitem(ENGINES, "native", unavailable)
    pack(PackSettings(run=run.folder, out=tmp_path / "model", check_rows=50))
    assert (
        "native engine: not compared with PyTorch, no C compiler was found"
        in (tmp_path / "model.md").read_text()
    )


def test_a_report_shows_measured_bytes_beside_the_computed_ones(
    packed: Path, run: Run, tmp_path: Path
) -> None:
    report([run.folder / "packed"], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "Packed" in text and "Size" in text


def test_a_file_that_exists_is_not_overwritten(packed: Path, run: Run) -> None:
    before = packed.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        pack(PackSettings(run=run.folder, out=packed))
    assert packed.read_bytes() == before


def test_scores_that_differ_are_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "to_spec", spoiled)
    with pytest.raises(UserError, match="scores differ from PyTorch's by more than 1e-05"):
        pack(PackSettings(run=run.folder, out=tmp_path / "model", check_rows=300))
    assert not list(tmp_path.iterdir())


def spoiled(model):
    spec = to_spec(model)
    return dataclasses.replace(spec, top=spoiled_layers(spec))


def spoiled_layers(spec):
    last = spec.top[-1]
    return (*spec.top[:-1], dataclasses.replace(last, bias=last.bias + 0.01))


def test_a_code_that_was_rounded_the_other_way_is_told_from_a_wrong_one(run: Run, prepared: Dataset) -> None:
    model = load_model(run, prepared)
    spec, batch = to_spec(model), next(prepared.rows("test").batches(200))
    first = spec.top[0]

    def moved(by: float):
        inputs = dataclasses.replace(first.inputs, shift=first.inputs.shift + np.float32(by))
        changed = dataclasses.replace(spec, top=(dataclasses.replace(first, inputs=inputs), *spec.top[1:]))
        return parity(model, [NumpyEngine(changed)], [batch])["numpy"]

    assert moved(0).beyond <= 1
    assert moved(1e-6).unexplained == 0
    far = moved(0.01)
    assert far.beyond > 50 and far.unexplained > 0.9 * far.beyond


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="check-rows"):
        PackSettings(run=tmp_path, out=tmp_path / "a", check_rows=-1)
    with pytest.raises(UserError, match="model card"):
        PackSettings(run=tmp_path, out=tmp_path / "a.md")


def test_data_that_are_gone_are_asked_for(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a prepared data set|give their folder as --data"):
        pack(PackSettings(run=run.folder, out=tmp_path / "model", data=tmp_path))

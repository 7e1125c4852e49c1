import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

pytest.importorskip("torch")


from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.model.layers import LEAST_ROWS
from recsys_bnn.model.trained import build_model
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import STUDY_PRESETS, StudyModel, StudySettings
from recsys_bnn.study import _ALL, study, train_settings
from recsys_bnn.study_models.variants import ABLATIONS, BASELINE, REFERENCE, VARIANTS
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.results import read_results


def settings(data: Dataset, out: Path, **changes) -> StudySettings:
    base = STUDY_PRESETS[changes.pop("preset", "smoke")]()
    given = dict(data=data.folder, out=out, seeds=(0, 1), resamples=100, device=DeviceConfig(threads=1))
    return dataclasses.replace(base, **given | changes)


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study writes no report, which the first test below looks at."""
    monkeypatch.setattr("recsys_bnn.study.publish", lambda *sections, **options: None)


@pytest.fixture(scope="module")
def of_no_network(prepared: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of logistic regression, which tests only read."""
    out = tmp_path_factory.mktemp("of-no-network") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys_bnn.study.publish", lambda *sections, **options: None)
        study(settings(prepared, out, models=("logistic-regression",), seeds=(0,)))
    return out


def test_a_study_has_one_row_over_all_seeds_and_skips_what_is_done(prepared: Dataset, tmp_path: Path) -> None:
    models = ("float", "binary", "logistic-regression")
    first = study(settings(prepared, tmp_path / "study", models=models))
    auc = {row.model: row for row in first.rows if row.metric == "roc_auc"}
    assert set(auc) == set(models)
    assert auc["binary"].seeds == (0, 1) and auc["binary"].n == 800
    assert {row.model for row in first.rows if row.metric == "roc_auc_difference"} == {
        "binary",
        "logistic-regression",
    }
    assert {row.model for row in first.rows if row.metric == "size_mb"} == {"float", "binary"}
    weights = tmp_path / "study" / "runs" / "binary-seed1" / "checkpoints" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = study(settings(prepared, tmp_path / "study", models=(*models, "4-bit")))
    assert weights.stat().st_mtime_ns == before
    assert again.one(model="binary", metric="roc_auc").value == auc["binary"].value
    assert read_results(tmp_path / "study").rows == again.rows
    assert (tmp_path / "study" / "report.html").exists()


@pytest.mark.usefixtures("no_page")
def test_a_run_that_was_killed_is_resumed(
    prepared: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys_bnn.train import Trainer

    original = Trainer._train_step

    def killed(self: Trainer, batch) -> float:
        if self.shell.step == 20:
            raise KeyboardInterrupt
        return original(self, batch)

    chosen = settings(prepared, tmp_path / "study", models=("float",), seeds=(0,))
    monkeypatch.setattr(Trainer, "_train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        study(chosen)
    monkeypatch.undo()
    assert study(chosen).one(metric="roc_auc").n == 800


def test_an_unknown_model_is_refused_before_a_folder_is_made(prepared: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--models huge: no such model"):
        study(settings(prepared, tmp_path / "study", models=("float", "huge")))
    assert not (tmp_path / "study").exists()


def test_a_folder_of_another_study_is_refused(prepared: Dataset, of_no_network: Path) -> None:
    with pytest.raises(UserError, match="study: was computed from another preset .*choose another --out"):
        study(settings(prepared, of_no_network, models=("logistic-regression",), preset="small"))


@pytest.mark.usefixtures("no_page")
def test_a_quantized_model_needs_no_training_and_brings_the_float_one(
    prepared: Dataset, tmp_path: Path
) -> None:
    chosen = settings(prepared, tmp_path / "study", models=("4-bit",), seeds=(0,))
    results = study(chosen)
    assert sorted(path.name for path in (tmp_path / "study" / "runs").iterdir()) == [
        "4-bit-seed0",
        "float-seed0",
    ]
    assert results.one(model="4-bit", metric="roc_auc").n == 800


@pytest.mark.usefixtures("no_page")
def test_the_best_possible_figures_stand_beside_the_models_of_generated_rows(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    prepare(PrepareConfig(format="synthetic", rows=2000, out=folder))
    results = study(settings(open_dataset(folder), tmp_path / "study", models=("float-d1",), seeds=(0,)))
    best, model = (results.one(model=name, metric="roc_auc") for name in ("best-possible", "float-d1"))
    assert best.value > model.value and best.seeds is None


@pytest.mark.usefixtures("no_page")
def test_a_run_of_another_recipe_is_refused(
    prepared: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(prepared, tmp_path / "study", models=("float-d2",), seeds=(0,))
    study(chosen)
    monkeypatch.setitem(_ALL, "float-d2", VARIANTS["float-d1"])
    with pytest.raises(
        UserError,
        match="float-d2-seed0: was computed from another embedding dim .2 there, 1 here.; remove it",
    ):
        study(chosen)


def test_a_study_is_not_added_to_by_other_code_or_on_other_data(
    prepared: Dataset, of_no_network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(prepared, of_no_network, models=("logistic-regression",), seeds=(0,))
    prepare(PrepareConfig(format="synthetic", rows=1000, out=tmp_path / "other"))
    with pytest.raises(UserError, match=r"another data fingerprint .*choose another --out"):
        study(dataclasses.replace(chosen, data=tmp_path / "other"))
    monkeypatch.setattr("recsys_bnn.study.MAKE_FIGURES", ("recsys_bnn.model.dlrm",))
    with pytest.raises(UserError, match=r"another code .*choose another --out"):
        study(chosen)


@pytest.mark.usefixtures("no_page")
def test_a_kept_run_of_another_seed_is_refused(prepared: Dataset, tmp_path: Path) -> None:
    chosen = settings(prepared, tmp_path / "study", models=("float-d1",), seeds=(0,))
    study(chosen)
    runs = tmp_path / "study" / "runs"
    (runs / "float-d1-seed0").rename(runs / "float-d1-seed1")
    with pytest.raises(UserError, match="float-d1-seed1: was computed from another seed .0 there, 1 here."):
        study(dataclasses.replace(chosen, seeds=(1,)))


@pytest.mark.usefixtures("no_page")
def test_a_step_of_the_ablation_is_compared_with_its_model(prepared: Dataset, tmp_path: Path) -> None:
    step = "binary--one-sign-an-input"
    results = study(settings(prepared, tmp_path / "study", models=("binary", step), seeds=(0,)))
    row = results.one(ablation="one sign an input", baseline="binary", metric="roc_auc_difference")
    assert (row.model, row.seeds) == ("binary", (0,))
    assert results.one(ablation="one sign an input", metric="train_rows_per_s").value > 0


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_named_as_its_model_is(prepared: Dataset, tmp_path: Path, name: str) -> None:
    chosen = train_settings(name, 0, settings(prepared, tmp_path))
    if chosen.model.engine == "bitorch":
        pytest.importorskip("bitorch", reason="the extra recsys-bnn[bitorch] is not installed")
    model_name = chosen.model.name
    if name == REFERENCE:
        assert model_name == "float" and not chosen.model.first_order
        return
    suffix = name.removeprefix(model_name)
    assert suffix == "" or re.fullmatch(r"-d\d+|-(hashed|threshold)-\d+x", suffix)
    assert not suffix.startswith("-d") or suffix == f"-d{chosen.model.embedding_dim}"
    full, model = sum(prepared.cardinalities), build_model(chosen, prepared)
    if suffix.endswith("x"):
        share = 1 / int(suffix.split("-")[-1][:-1])
        assert (
            0.8 * share * full
            < len(model.embedding.weight)
            <= max(share * full, LEAST_ROWS * len(prepared.cardinalities))
        )


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_step_of_the_ablation_changes_its_model(prepared: Dataset, tmp_path: Path, name: str) -> None:
    chosen, step = settings(prepared, tmp_path), ABLATIONS[name]
    changed = dataclasses.replace(train_settings(name, 0, chosen), out=None)
    assert changed != dataclasses.replace(train_settings(step.model, 0, chosen), out=None)
    assert step.ablation


def test_help_lists_the_models_that_there_are() -> None:
    assert set(get_args(StudyModel)) == {*VARIANTS, *ABLATIONS, BASELINE}

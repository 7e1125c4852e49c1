from pathlib import Path

import pytest

pytest.importorskip("torch")


from recsys_bnn import demo as module
from recsys_bnn.checks import checks
from recsys_bnn.data.criteo_log import criteo_log
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.demo import main
from recsys_bnn.settings.training import OptimizationConfig
from seminar_common.demos import DemoSettings
from seminar_common.errors import UserError
from seminar_common.results import read_results


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of a few thousand rows, with everything else as it is."""
    monkeypatch.setattr(
        module, "LOG", SyntheticConfig(5000, main_share=0.2, dense_share=0.6, pairs=2, rank=2)
    )
    monkeypatch.setattr(module, "GENERATED", OptimizationConfig(epochs=3, batch_size=128, min_count=20))


@pytest.mark.slow
def test_the_demo_needs_nothing_and_shows_each_model_between_chance_and_the_bound(
    quick, tmp_path: Path
) -> None:
    main(DemoSettings(out=tmp_path / "demo"))
    results = read_results(tmp_path / "demo" / "recsys_bnn")
    auc = {row.model: row for row in results.rows if row.metric == "roc_auc" and row.split == "test"}
    assert set(auc) == {"best-possible", "logistic-regression", "float", "binary", "binary-a4"}
    assert {row.n for row in auc.values()} == {1000}
    for model in ("float", "binary", "binary-a4"):
        assert 0.5 < auc[model].value < auc["best-possible"].value
    assert results.one(model="binary", metric="roc_auc_difference", split="test").baseline == "float"
    page = (tmp_path / "demo" / "index.html").read_text()
    assert "best-possible" in page and "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_the_demo_takes_real_rows(seminar_data: Path, tmp_path: Path) -> None:
    main(DemoSettings(out=tmp_path / "demo", data=seminar_data))
    results = read_results(tmp_path / "demo" / "recsys_bnn")
    assert {row.dataset for row in results.rows} == {"criteo-10k"}
    assert results.one(model="binary", metric="roc_auc").n == 2000


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected one of recsys/criteo_kaggle_first_10000\.txt"):
        criteo_log(tmp_path)


def test_the_doctor_says_whether_the_log_is_there(tmp_path: Path) -> None:
    assert not checks(None)[0].found
    (tmp_path / "train.txt").touch()
    assert checks(tmp_path)[0].found

from pathlib import Path

import pytest

pytest.importorskip("torch")


from recsys_bnn import demo as module
from recsys_bnn.checks import checks
from recsys_bnn.data.criteo_log import criteo_log
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.demo import main, title
from seminar_common.demos import DemoSettings
from seminar_common.errors import UserError
from seminar_common.results import Results, Row, read_results


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of a few thousand rows, with everything else as it is."""
    monkeypatch.setattr(
        module, "LOG", SyntheticConfig(5000, main_share=0.2, dense_share=0.6, pairs=2, rank=2)
    )


@pytest.mark.slow
def test_the_demo_needs_nothing_and_leads_with_bytes_microseconds_and_auc(quick, tmp_path: Path) -> None:
    main(DemoSettings(out=tmp_path / "demo"))
    results = read_results(tmp_path / "demo" / "recsys_bnn")
    auc = {row.model: row for row in results.rows if row.metric == "roc_auc" and row.split == "test"}
    assert set(auc) == {"logistic-regression", "float", "binary", "binary-a4"}
    assert {row.n for row in auc.values()} == {1000} and all(row.value > 0.5 for row in auc.values())
    assert results.one(model="binary", metric="roc_auc_difference", split="test").baseline == "float"
    packed = [results.one(model=model, metric="packed_mb").value for model in ("float", "binary-a4")]
    assert packed[1] < packed[0]
    assert {row.batch for row in results.rows if row.metric == "latency_us_p50"} == {1, 128}
    page = (tmp_path / "demo" / "index.html").read_text()
    assert title(results) in page and "http://" not in page.replace("http://www.w3.org", "")


def test_the_lead_is_bytes_microseconds_and_auc_of_both_models() -> None:
    rows = [
        row
        for model, factor in (("binary-a4", 1), ("float", 10))
        for row in (
            Row(model, "synthetic", "", "packed_mb", 0.02 * factor),
            Row(model, "synthetic", "", "latency_us_p50", 3.0 * factor, batch=1),
            Row(model, "synthetic", "", "latency_us_p50", 40.0 * factor, batch=128),
            Row(model, "synthetic", "test", "roc_auc", 0.7),
        )
    ]
    expected = "Binary recommender: 20 kB, 40 \u00b5s for 128 rows, AUC 0.7000; float 200 kB, 400 \u00b5s"
    assert title(Results("", tuple(rows))).startswith(expected)


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

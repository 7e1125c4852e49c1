import dataclasses
from pathlib import Path

import pytest

from gcd_longtail import study as module
from gcd_longtail.config import FeatureConfig, FeaturesSettings, SourceConfig, SplitSettings
from gcd_longtail.features import features
from gcd_longtail.methods_config import StudySettings
from gcd_longtail.split import split
from gcd_longtail.study import study
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.results import read_results


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of long-tailed digits."""
    folder = tmp_path_factory.mktemp("study") / "digits"
    for seed in range(2):
        split(
            SplitSettings(folder / f"seed{seed}", SourceConfig(Path("digits")), imbalance_ratio=10, seed=seed)
        )
        features(FeaturesSettings(folder / f"seed{seed}", FeatureConfig("pixels", 8)))
    return folder


def settings(data: Path, out: Path, **changes) -> StudySettings:
    base = StudySettings(data, out, ("kmeans", "ward"), resamples=50, device=DeviceConfig(threads=1))
    return dataclasses.replace(base, **changes)


def test_a_study_has_a_row_over_all_splits_and_runs_nothing_twice(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = study(settings(data, tmp_path / "study"))
    for split_name in ("transductive", "test"):
        for k in ("true", "estimated"):
            row = first.one(model="ward", split=split_name, k=k, metric="macro_all")
            assert row.seeds == (0, 1) and row.ours and row.ci_low < row.value < row.ci_high
    assert first.one(model="k by hidden-classes", metric="k_estimated").value > 4
    assert first.one(model="k by counts", metric="k_absolute_error").value >= 0
    assert read_results(tmp_path / "study").rows == first.rows
    page = (tmp_path / "study" / "report.html").read_text()
    assert page.count("<svg") >= 5
    monkeypatch.setattr(module, "_run", lambda *arguments: pytest.fail("was done already"))
    again = study(settings(data, tmp_path / "study"))
    assert again.rows == first.rows


def test_a_study_that_was_killed_goes_on_where_it_was(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, original, done = settings(data, tmp_path / "study", k=("true",)), module._run, []

    def killed(case, problem, out) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(case)
        original(case, problem, out)

    monkeypatch.setattr(module, "_run", killed)
    with pytest.raises(KeyboardInterrupt):
        study(chosen)
    assert not (tmp_path / "study" / "results.json").exists()
    monkeypatch.setattr(module, "_run", lambda *arguments: (done.append(arguments[0]), original(*arguments)))
    study(chosen)
    assert len(done) == 4


def test_a_study_without_splits_or_with_an_unknown_method_is_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UserError, match="holds no split"):
        study(settings(tmp_path, tmp_path / "study"))
    with pytest.raises(UserError, match="no such method"):
        study(settings(data, tmp_path / "study", methods=("nothing",)))

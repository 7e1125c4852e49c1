import dataclasses
import shutil
from pathlib import Path
from typing import get_args

import pytest

from gcd_longtail import study as module
from gcd_longtail.discovery.methods import METHODS
from gcd_longtail.features import features
from gcd_longtail.figures import k_rows
from gcd_longtail.settings.commands import FeatureConfig, FeaturesSettings, SourceConfig, SplitSettings
from gcd_longtail.settings.methods import MethodName, StudySettings
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
    base = StudySettings(data, out, ("kmeans", "ward"), resamples=100, device=DeviceConfig(threads=1))
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

    def killed(case, device, out) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(case)
        original(case, device, out)

    monkeypatch.setattr(module, "_run", killed)
    with pytest.raises(KeyboardInterrupt):
        study(chosen)
    assert not (tmp_path / "study" / "results.json").exists()
    monkeypatch.setattr(module, "_run", lambda *arguments: (done.append(arguments[0]), original(*arguments)))
    study(chosen)
    assert len(done) == 4


def test_the_options_name_every_method_that_is_registered() -> None:
    assert set(get_args(MethodName)) == set(METHODS)


def test_a_study_without_splits_or_with_an_unknown_method_is_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UserError, match="holds no split"):
        study(settings(tmp_path, tmp_path / "study"))
    with pytest.raises(UserError, match="--methods nothing: no such method"):
        study(settings(data, tmp_path / "study", methods=("nothing",)))
    with pytest.raises(UserError, match="--resamples 0: an interval needs 100 or more"):
        settings(data, tmp_path / "study", resamples=0)


@pytest.fixture
def one_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A split of digits with their pixels at 8 px, to be changed by a test; a study of it writes no report."""
    monkeypatch.setattr(module, "publish", lambda out, title, section, **options: section.results)
    split(SplitSettings(tmp_path / "data", SourceConfig(Path("digits")), imbalance_ratio=20))
    features(FeaturesSettings(tmp_path / "data", FeatureConfig("pixels", 8)))
    return tmp_path / "data"


def test_a_study_of_new_features_has_their_figures_in_the_old_folder_too(
    one_split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(out: str) -> list:
        return study(settings(one_split, tmp_path / out, methods=("kmeans",))).rows

    old = rows("study")
    features(FeaturesSettings(one_split, FeatureConfig("pixels", 12)))
    new = rows("study")
    assert new == rows("fresh") != old
    monkeypatch.setattr(module, "_run", lambda *arguments: pytest.fail("both are kept"))
    assert rows("study") == new
    features(FeaturesSettings(one_split, FeatureConfig("pixels", 8)))
    assert rows("study") == old


def test_another_version_of_the_methods_is_not_mixed_with_the_stored_one(
    one_split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(one_split, tmp_path / "study", methods=("kmeans",), k=("true",))
    study(chosen)
    original, done = module._run, []
    monkeypatch.setattr(k_rows, "_method_code", lambda: "of tomorrow")
    monkeypatch.setattr(module, "_run", lambda *arguments: (done.append(arguments[0]), original(*arguments)))
    study(chosen)
    assert [case.method for case in done] == ["kmeans"]


def test_a_stored_result_under_a_foreign_name_is_refused(one_split: Path, tmp_path: Path) -> None:
    chosen = settings(one_split, tmp_path / "study", k=("true",))
    study(chosen)
    kmeans, ward = (next((tmp_path / "study").rglob(f"true-{name}-*.npz")) for name in ("kmeans", "ward"))
    shutil.copy(kmeans, ward)
    with pytest.raises(
        UserError, match="another method .kmeans there, ward here.; remove it, or take another --out"
    ):
        study(chosen)


def test_seeds_with_different_features_are_not_averaged(tmp_path: Path) -> None:
    for seed, size in ((0, 8), (1, 12)):
        folder = tmp_path / f"data/seed{seed}"
        split(SplitSettings(folder, SourceConfig(Path("digits")), seed=seed))
        features(FeaturesSettings(folder, FeatureConfig("pixels", size)))
    with pytest.raises(
        UserError, match="seed1: was computed from another image size .12 there, 8 here.*seed0"
    ):
        study(settings(tmp_path / "data", tmp_path / "study", methods=("kmeans",), k=("true",)))

import dataclasses
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from gcd_longtail import estimate_k
from gcd_longtail.discovery.number_of_classes import KEstimate
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.features import features
from gcd_longtail.figures import k_rows
from gcd_longtail.settings.commands import FeatureConfig, FeaturesSettings, SourceConfig, SplitSettings
from gcd_longtail.settings.methods import EstimateConfig, EstimateKSettings
from gcd_longtail.split import split
from seminar_common.device import PlaceConfig
from seminar_common.results import read_results


def test_the_estimate_stands_beside_other_rules_and_the_truth(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    split(SplitSettings(tmp_path / "data", SourceConfig(images), name="colours"))
    features(FeaturesSettings(tmp_path / "data", FeatureConfig("pixels", 8)))
    guess, threads = KEstimate(9, 7, 30, 3.0, {"counts": 6, "macro_accuracy": 3}), []

    def stub(problem: Problem, config: EstimateConfig, seed: int) -> KEstimate:
        threads.append({torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())})
        return guess

    monkeypatch.setattr(estimate_k, "estimate", stub)
    with threadpool_limits(2):
        estimate_k.estimate_k(EstimateKSettings(tmp_path / "data", device=PlaceConfig(threads=1)))
    assert threads == [{1}]
    shown = capsys.readouterr()
    assert "colours has 6 classes in truth" in shown.err
    lines = {" ".join(line.split()) for line in shown.out.splitlines()}
    assert {"k by hidden-classes 9 [7, 30] +50.0 [+16.7, +400.0]", "k by macro_accuracy 3 −50.0"} <= lines
    assert "do not rely on it" in shown.err


def test_many_splits_give_the_error_of_each_rule_and_how_often_the_interval_holds(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for seed in range(2):
        split(SplitSettings(tmp_path / f"data/seed{seed}", SourceConfig(images), name="colours", seed=seed))
        features(FeaturesSettings(tmp_path / f"data/seed{seed}", FeatureConfig("pixels", 8)))
    guesses = [KEstimate(9, 7, 30, 3.0, {"counts": 6}), KEstimate(6, 5, 8, 1.0, {"counts": 3})]
    monkeypatch.setattr(k_rows, "estimate", lambda problem, config, seed: guesses[seed])
    chosen = EstimateKSettings(tmp_path / "data", tmp_path / "out")
    estimate_k.estimate_k(chosen)
    results = read_results(tmp_path / "out")
    ours = {row.metric: row.value for row in results.rows if row.model == "k by hidden-classes"}
    assert ours["k_estimated"] == 7.5 and ours["k_absolute_error"] == 0.25 and ours["k_worst_error"] == 0.5
    assert ours["k_covered"] == 0.5 and results.one(model="k by counts", metric="k_worst_error").value == 0.5
    assert (tmp_path / "out" / "report.html").exists() and "K in interval" in capsys.readouterr().out

    monkeypatch.setattr(k_rows, "estimate", lambda *arguments: pytest.fail("was done already"))
    estimate_k.estimate_k(chosen)
    assert read_results(tmp_path / "out").rows == results.rows
    monkeypatch.setattr(
        k_rows, "estimate", lambda problem, config, seed: KEstimate(10, 8, 12, 1.0, {"counts": 6})
    )
    estimate_k.estimate_k(dataclasses.replace(chosen, estimate=EstimateConfig(rounds=7)))
    assert read_results(tmp_path / "out").one(model="k by hidden-classes", metric="k_estimated").value == 10

from pathlib import Path

import pytest

from gcd_longtail import estimate_command
from gcd_longtail.config import FeatureConfig, FeaturesSettings, SourceConfig, SplitSettings
from gcd_longtail.estimate_k import KEstimate
from gcd_longtail.features import features
from gcd_longtail.methods_config import EstimateKSettings
from gcd_longtail.split import split


def test_the_estimate_stands_beside_other_rules_and_the_truth(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    split(SplitSettings(tmp_path / "data", SourceConfig(images), name="colours"))
    features(FeaturesSettings(tmp_path / "data", FeatureConfig("pixels", 8)))
    guess = KEstimate(9, 7, 30, 3.0, {"counts": 6, "macro_accuracy": 3})
    monkeypatch.setattr(estimate_command, "estimate", lambda problem, config, seed: guess)
    assert estimate_command.estimate_k(EstimateKSettings(tmp_path / "data")) is guess
    shown = capsys.readouterr()
    assert "colours: 6 classes in truth" in shown.out
    lines = [" ".join(line.replace("│", " ").split()) for line in shown.out.splitlines()]
    assert {"estimate 9 7 to 30 +50 %", "counts 6 +0 %", "macro accuracy 3 -50 %"} <= set(lines)
    assert "do not rely on it" in shown.err

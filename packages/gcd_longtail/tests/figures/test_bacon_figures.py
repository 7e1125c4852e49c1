"""BaCon's figures. With BACON_CODE set to a checkout of its repository, its own function is run beside ours."""

import dataclasses
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_longtail.evaluate import evaluate
from gcd_longtail.features import features
from gcd_longtail.figures import bacon_figures
from gcd_longtail.figures.metrics import Scored, figures, intervals, score
from gcd_longtail.settings.commands import (
    EvaluateSettings,
    FeatureConfig,
    FeaturesSettings,
    SourceConfig,
    SplitSettings,
    TrainSettings,
)
from gcd_longtail.settings.methods import StudySettings
from gcd_longtail.split import split
from gcd_longtail.study import study
from gcd_longtail.train import train
from seminar_common.device import DeviceConfig, PlaceConfig
from seminar_common.errors import UserError


def measured(scored: Scored) -> dict[str, float]:
    found = bacon_figures.accuracies(scored.hits[None], scored.totals[None], scored.masks)
    return {name: float(values[0]) for name, values in found.items()}


def test_the_thirds_of_either_part_keep_equal_sizes_together() -> None:
    known, novel = [90, 80, 70, 60, 50, 40], [9, 9, 9, 5, 4, 3]
    groups = bacon_figures.size_groups(np.array(known + novel), 6)
    # Of six classes the third and the fifth are the marks, and belong to the middle.
    assert groups[:6] == ("many", "many", "medium", "medium", "medium", "few")
    assert groups[6:] == ("medium", "medium", "medium", "medium", "medium", "few")
    five = bacon_figures.size_groups(np.array([50, 40, 30, 20, 10, 5, 4, 3, 2, 1]), 5)
    assert five == ("many", "medium", "medium", "few", "few") * 2
    assert bacon_figures.size_groups(np.array([3, 2]), 1) == ("medium", "medium")


def test_every_figure_of_a_small_case_is_as_counted_by_hand() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 4, 5])
    clusters = np.array([0, 0, 0, 1, 1, 1, 2, 3, 3, 2, 4, 4])
    got = measured(score(truth, clusters, 3, ("many", "medium", "few") * 2, 6))
    assert got["bacon_all"] == pytest.approx(9 / 12)
    assert got["bacon_known"] == pytest.approx(6 / 7)
    assert got["bacon_known_many"] == pytest.approx(3 / 4) and got["bacon_known_few"] == 1
    assert got["bacon_novel_many"] == pytest.approx(2 / 3)
    assert got["bacon_known_deviation"] == pytest.approx(np.std([3 / 4, 1, 1]))


@given(st.integers(0, 10_000))
def test_all_old_and_new_are_our_accuracies_over_images(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scored = score(generator.integers(0, 6, 50), generator.integers(0, 7, 50), 3, ("many",) * 6, 7)
    theirs, ours = measured(scored), figures(scored)
    for part in ("all", "known", "novel"):
        assert theirs[f"bacon_{part}"] == ours[f"acc_{part}"]
    assert "bacon_known_deviation" not in theirs  # there is one group only


def test_intervals_hold_the_figures_they_are_of() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 6, 300)
    clusters = np.where(generator.random(300) < 0.7, truth, generator.integers(0, 6, 300))
    scored = score(truth, clusters, 3, ("many", "medium", "few") * 2, 6)
    found = intervals([scored], resamples=300, measure=bacon_figures.accuracies)
    assert found.keys() == measured(scored).keys()
    for name, one in found.items():
        assert one.value == measured(scored)[name]
        assert one.low is not None and one.high is not None and one.low < one.high


@pytest.mark.skipif("BACON_CODE" not in os.environ, reason="BACON_CODE names no checkout of BaCon")
def test_the_official_function_gives_the_same_from_the_same_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(os.environ["BACON_CODE"]) / "util"))
    monkeypatch.delitem(sys.modules, "cluster_and_log_utils", raising=False)
    import cluster_and_log_utils as official  # ty: ignore[unresolved-import]

    for seed in range(200):
        generator = np.random.default_rng(seed)
        known, novel = int(generator.integers(3, 30)), int(generator.integers(3, 12))
        classes = known + novel
        sizes = np.concatenate([generator.integers(2, 60, known), generator.integers(2, 60, novel)])
        train = np.repeat(np.arange(classes), sizes)
        parts = [train[train < known][::2], train[train < known][1::2], train[train >= known]]
        if len(np.unique(parts[0])) < known:  # a class without a label is none of the known ones
            continue
        truth = np.repeat(np.arange(classes), 10) if seed % 2 else train
        clusters = np.where(
            generator.random(len(truth)) < 0.6, truth, generator.integers(0, classes, len(truth))
        )
        clusters = generator.permutation(classes)[clusters]
        loader = SimpleNamespace(
            dataset=SimpleNamespace(
                labelled_dataset=SimpleNamespace(targets=parts[0].tolist()),
                unlabelled_dataset=SimpleNamespace(
                    datasets=[SimpleNamespace(targets=part.tolist()) for part in parts[1:]]
                ),
            )
        )
        args = SimpleNamespace(num_labeled_classes=known)
        official.set_args_mmf(args, loader)
        counted = np.bincount(np.concatenate(parts), minlength=classes)
        groups = bacon_figures.size_groups(counted, known)
        for part, name in (("known", "known"), ("unknown", "novel")):
            for size, theirs in (("many", "many"), ("medium", "median"), ("few", "few")):
                own = [c for c in range(classes) if groups[c] == size and (c < known) == (name == "known")]
                assert getattr(args, f"{part}_{theirs}_cls").tolist() == own
        total, old, new, by_group, _ = official.split_cluster_acc_v2(
            truth, clusters, truth < known, loader, args
        )
        got = measured(score(truth, clusters, known, groups, classes))
        names = [f"bacon_{part}_{size}" for part in ("known", "novel") for size in ("many", "medium", "few")]
        for name, value in zip(
            ["bacon_all", "bacon_known", "bacon_novel", *names], [total, old, new, *by_group], strict=True
        ):
            assert got.get(name, -0.01) == pytest.approx(value / 100), (seed, name)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of long-tailed digits."""
    folder = tmp_path_factory.mktemp("bacon") / "digits"
    for seed in range(2):
        one = SplitSettings(
            folder / f"seed{seed}", SourceConfig(Path("digits")), imbalance_ratio=10, seed=seed
        )
        split(one)
        features(FeaturesSettings(one.out, FeatureConfig("pixels", 8)))
    return folder


def test_evaluate_adds_the_figures_of_the_protocol_and_a_note(data: Path, tmp_path: Path) -> None:
    train(TrainSettings(data / "seed0", "kmeans", tmp_path / "run", device=PlaceConfig(threads=1)))
    plain = evaluate(EvaluateSettings(tmp_path / "run", resamples=100))
    assert not [row for row in plain.rows if row.metric.startswith("bacon")]
    both = evaluate(EvaluateSettings(tmp_path / "run", resamples=100, protocol="bacon"))
    assert [row for row in both.rows if not row.metric.startswith("bacon")] == list(plain.rows)
    assert both.notes == (*plain.notes, bacon_figures.NOTE)
    own = both.one(split="transductive", metric="acc_novel")
    assert both.one(split="transductive", metric="bacon_novel").value == own.value
    row = both.one(split="test", metric="bacon_all")
    assert row.ci_low < row.value < row.ci_high
    # k-means on the test images themselves finds other clusters than the nearest centre of the training ones.
    assert row.value != both.one(split="test", metric="acc_all").value


def test_a_study_keeps_the_clusters_of_the_protocol(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gcd_longtail.study.study_plots.of_dataset", lambda *_: ()
    )  # plots take most of the time
    device = DeviceConfig(threads=1)
    base = StudySettings(data, tmp_path / "study", ("kmeans",), k=("true",), resamples=100, device=device)
    plain = study(base)
    assert not [row for row in plain.rows if row.metric.startswith("bacon")]
    both = study(dataclasses.replace(base, protocol="bacon"))
    row = both.one(model="kmeans", split="test", metric="bacon_novel_few")
    assert row.seeds == (0, 1) and row.ci_low <= row.value <= row.ci_high
    stored = sorted((tmp_path / "study" / "found").rglob("*.npz"))
    assert len(stored) == 4 and sum("bacon" in np.load(file).files for file in stored) == 2


def test_fewer_test_images_than_clusters_are_refused() -> None:
    data = SimpleNamespace(test=np.zeros((3, 2), np.float32), folder=Path("data"))
    with pytest.raises(
        UserError, match="--protocol bacon clusters the test images, but data has 3 of them for 5"
    ):
        bacon_figures.clusters(SimpleNamespace(k=5), data, 0)  # type: ignore

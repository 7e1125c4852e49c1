import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gcd_longtail import train as training
from gcd_longtail.discovery.predictors import nearest_centroid
from gcd_longtail.discovery.problem import Discovered, Problem
from gcd_longtail.discovery.run import class_names, load_found, sort_novel
from gcd_longtail.evaluate import evaluate
from gcd_longtail.features import features
from gcd_longtail.figures.metrics import Scored, score
from gcd_longtail.figures.run_plots import by_frequency, destinations, shares
from gcd_longtail.predict import predict
from gcd_longtail.protocol.data import load
from gcd_longtail.settings.commands import (
    EvaluateSettings,
    FeatureConfig,
    FeaturesSettings,
    PredictSettings,
    SourceConfig,
    SplitSettings,
    TrainSettings,
)
from gcd_longtail.split import split
from gcd_longtail.train import train
from seminar_common import files, plots
from seminar_common.errors import UserError
from seminar_common.identity import digest
from seminar_common.results import read_results


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits with a long tail and their pixels."""
    folder = tmp_path_factory.mktemp("digits") / "seed0"
    split(SplitSettings(folder, SourceConfig(Path("digits")), imbalance_ratio=10))
    features(FeaturesSettings(folder, FeatureConfig("pixels", 8)))
    return folder


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    """A run of semi-supervised k-means on it, evaluated."""
    folder = data.parent / "run"
    train(TrainSettings(data, "ss-kmeans", folder))
    evaluate(EvaluateSettings(folder, resamples=100))
    return folder


def test_a_run_has_exactly_these_files(run: Path) -> None:
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    pictures = {name for name in names if name.startswith("pictures/")}
    assert "pictures/captions.json" in pictures and len(pictures) > 1
    assert names - pictures == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "checkpoints/model.safetensors",
        "results.json",
        "report.html",
    }


def test_a_run_is_scored_on_unlabelled_and_on_test_images(run: Path, data: Path) -> None:
    results, loaded = read_results(run), load(data)
    for name, n in (("transductive", len(loaded.unlabelled_labels)), ("test", len(loaded.test_labels))):
        row = results.one(split=name, metric="acc_all")
        assert row.n == n and row.get("k") == "true" and row.get("labels") == len(loaded.problem.labels)
        assert 0.3 < row.value < 1 and row.ci_low < row.value < row.ci_high
        assert (
            results.one(split=name, metric="acc_novel_v1").value
            >= results.one(split=name, metric="acc_novel").value
        )
    assert not [row for row in results.rows if row.metric.startswith("k_")]


def test_the_report_prints_what_the_features_know_and_how_accuracy_is_counted(run: Path) -> None:
    text = (run / "report.html").read_text()
    assert "Features are the pixels themselves" in text
    assert "one global assignment" in text
    assert text.count("<svg") >= 4


def test_the_figures_are_those_of_the_stored_assignments(run: Path, data: Path) -> None:
    loaded, (_, found) = load(data), load_found(run)
    best = 0
    truth = loaded.unlabelled_labels
    for number in range(
        10
    ):  # a lower bound: each class takes its most frequent cluster, if that is only its own
        best += np.bincount(found.discovery.assignments[truth == number], minlength=10).max()
    assert read_results(run).one(split="transductive", metric="acc_all").value <= best / len(truth)


def test_novel_clusters_are_numbered_from_the_largest(run: Path) -> None:
    _, found = load_found(run)
    sizes = np.bincount(found.discovery.assignments, minlength=found.discovery.k)[found.known :]
    assert (np.diff(sizes) <= 0).all()
    assert found.names[found.known :] == tuple(f"novel-{i}" for i in range(1, 6))


def test_renumbering_moves_assignments_and_predictions_alike() -> None:
    centres = np.array([[0.0], [10.0], [20.0], [30.0]])
    discovery = Discovered(np.array([1, 2, 3, 3, 0]), nearest_centroid(centres))
    renumbered = sort_novel(discovery, 1)
    assert renumbered.assignments.tolist() == [2, 3, 1, 1, 0]
    assert renumbered.predict(np.array([[9.0], [21.0], [31.0], [1.0]])).tolist() == [2, 3, 1, 0]


def test_numbers_that_a_person_gave_are_not_given_again() -> None:
    assert class_names(("cat", "novel-2", "novel-03"), 6) == (
        "cat",
        "novel-2",
        "novel-03",
        "novel-1",
        "novel-4",
        "novel-5",
    )
    assert class_names(("novel-2",), 10)[1:3] == ("novel-01", "novel-03")


def test_names_are_padded_to_sort_well() -> None:
    assert class_names(("cat",), 12)[1:3] == ("novel-01", "novel-02")


def test_an_estimated_number_of_classes_carries_its_interval(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gcd_longtail.discovery.number_of_classes import KEstimate

    guess = KEstimate(9, 7, 12, 1.0, {})
    monkeypatch.setattr(training, "estimate", lambda problem, seed: guess)
    folder = data.parent / "estimated"
    train(TrainSettings(data, "ss-kmeans", folder, k="estimated"))
    results = evaluate(EvaluateSettings(folder, resamples=100))
    row = results.one(metric="k_estimated")
    assert (row.value, row.ci_low, row.ci_high, row.get("k")) == (9, 7, 12, "estimated")
    assert results.one(metric="k_error").value == pytest.approx(-0.1)
    assert load_found(folder)[1].discovery.k == 9


def test_a_killed_run_is_resumed_to_the_same_figures(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data.parent / "killed"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            train(TrainSettings(data, "ss-kmeans", folder))
    with pytest.raises(UserError, match="has not ended; end it with"):
        evaluate(EvaluateSettings(folder))
    with pytest.raises(UserError, match="or go on with it by --resume"):
        train(TrainSettings(data, "ss-kmeans", folder))
    train(TrainSettings(resume=folder))
    ours, theirs = (load_found(f)[1].discovery for f in (folder, run))
    np.testing.assert_array_equal(ours.assignments, theirs.assignments)
    np.testing.assert_array_equal(ours.predictor.weight, theirs.predictor.weight)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_run_on_data_that_changed_is_refused(run: Path, data: Path) -> None:
    other = data.parent / "other"
    split(SplitSettings(other, SourceConfig(Path("digits")), imbalance_ratio=10, seed=1))
    features(FeaturesSettings(other, FeatureConfig("pixels", 8)))
    with pytest.raises(UserError, match="computed from another split .* give its own split with --data"):
        evaluate(EvaluateSettings(run, other))


def test_a_run_says_what_it_was_made_from(run: Path, data: Path) -> None:
    config, loaded = json.loads((run / "config.json").read_text()), load(data)
    assert (config["command"], config["model"], config["dataset"]) == (
        "train",
        "ss-kmeans",
        loaded.split.name,
    )
    assert config["identity"]["split"] == loaded.split.hash and config["identity"]["image_size"] == 8
    assert config["settings"]["method"] == "ss-kmeans" and config["features"]["backbone"] == "pixels"
    assert config["data_fingerprint"] == digest(loaded.identity)


def make(folder: Path, size: int = 8) -> Path:
    """Make a small split of digits with their pixels."""
    split(SplitSettings(folder, SourceConfig(Path("digits")), imbalance_ratio=20))
    features(FeaturesSettings(folder, FeatureConfig("pixels", size)))
    return folder


def test_a_run_is_not_scored_on_other_features(tmp_path: Path) -> None:
    data, run = make(tmp_path / "data"), tmp_path / "run"
    train(TrainSettings(data, "kmeans", run))
    first = evaluate(EvaluateSettings(run, resamples=100)).rows
    features(FeaturesSettings(data, FeatureConfig("pixels", 12)))
    message = r"another image size \(8 there, 12 here\); take its own features again with `gcd-longtail features --data"
    with pytest.raises(
        UserError, match=f"{message} .*data --backbone pixels --size 8 --fit crop`, or train again"
    ):
        evaluate(EvaluateSettings(run, resamples=100))
    with pytest.raises(UserError, match=message):
        train(TrainSettings(resume=run))
    features(FeaturesSettings(data, FeatureConfig("pixels", 8)))
    assert evaluate(EvaluateSettings(run, resamples=100)).rows == first


def test_runs_of_old_and_of_other_commands_are_told_in_a_line(run: Path, tmp_path: Path) -> None:
    old, other = tmp_path / "old", tmp_path / "other"
    for folder, change in (
        (old, lambda c: c.pop("identity")),
        (other, lambda c: c.update(command="discover")),
    ):
        shutil.copytree(run, folder)
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
    for command in (lambda: evaluate(EvaluateSettings(old)), lambda: train(TrainSettings(resume=old))):
        with pytest.raises(UserError, match="does not say what the run was computed from"):
            command()
    with pytest.raises(
        UserError, match="a run of `gcd-longtail train` is needed, but `gcd-longtail discover` made"
    ):
        evaluate(EvaluateSettings(other))


def test_a_resumed_run_takes_no_other_settings(run: Path) -> None:
    with pytest.raises(UserError, match="leave out the other options"):
        train(TrainSettings(resume=run, method="kmeans"))


def test_a_moved_run_is_used_where_it_is(images: Path, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    split(SplitSettings(there / "data", SourceConfig(images), known_classes=("a", "c", "e")))
    features(FeaturesSettings(there / "data", FeatureConfig("pixels", 8)))
    train(TrainSettings(there / "data", "ss-kmeans", there / "run"))
    first = evaluate(EvaluateSettings(there / "run", resamples=100)).rows
    shutil.move(there, here)
    with pytest.raises(
        UserError, match=r"its data is not in .*there.data any more; give its place with --data"
    ):
        evaluate(EvaluateSettings(here / "run", resamples=100))
    assert evaluate(EvaluateSettings(here / "run", here / "data", resamples=100)).rows == first

    def files() -> set[str]:
        return {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}

    before = files()
    predict(PredictSettings(here / "run", images, tmp_path / "out/sorted"))
    new = files() - before
    assert "out/sorted/predictions.csv" in new and all(name.startswith("out/") for name in new)
    predict(PredictSettings(here / "run", images, tmp_path / "more", cache=here / "features"))
    assert files() - before - new == {"more/predictions.csv"}  # the training's cache has these images already
    same = (tmp_path / name / "predictions.csv" for name in ("out/sorted", "more"))
    assert len({file.read_text() for file in same}) == 1


def test_a_run_is_not_used_with_other_weights(images: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights_of(0, weights)
    split(SplitSettings(tmp_path / "data", SourceConfig(images)))
    features(FeaturesSettings(tmp_path / "data", FeatureConfig("test_vit", 32, weights=weights)))
    train(TrainSettings(tmp_path / "data", "ss-kmeans", tmp_path / "run"))
    settings = PredictSettings(tmp_path / "run", images, tmp_path / "out")
    shutil.move(weights, tmp_path / "moved.safetensors")
    with pytest.raises(UserError, match=r"w\.safetensors: no such file; .* with --weights"):
        predict(settings)
    weights_of(1, weights)
    with pytest.raises(UserError, match="another weights .* give its own weights with --weights"):
        predict(settings)
    predict(dataclasses.replace(settings, weights=tmp_path / "moved.safetensors"))
    assert (tmp_path / "out" / "predictions.csv").exists()


def weights_of(seed: int, path: Path) -> None:
    """Write random weights of a small backbone."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    save_file(timm.create_model("test_vit").state_dict(), path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "needs --data"),
        ({"method": "nothing"}, "--method nothing: no such method"),
        ({"k": 4}, "K = 4 is fewer than the 5 known classes"),
        (
            {"k": 5000},
            r"--k 5000: more classes than images; (\d+) unlabelled images .* at most \1 with kmeans",
        ),
        (
            {"k": 5000, "method": "ward"},
            r"--k 5000: more classes than images; .* and 5 known classes make at most",
        ),
        ({"data": Path("nowhere")}, "no such split"),
    ],
)
def test_what_can_not_be_trained_leaves_no_folder(data: Path, changes: dict, message: str) -> None:
    settings = TrainSettings(data, "kmeans", data.parent / "refused")
    with pytest.raises(UserError, match=message):
        train(dataclasses.replace(settings, **changes))
    assert not (data.parent / "refused").exists()


def test_a_run_is_written_by_one_process_at_a_time(run: Path, data: Path) -> None:
    new = data.parent / "contested"
    with files.locked(new), pytest.raises(UserError, match="contested: another run is writing to it"):
        train(TrainSettings(data, "kmeans", new))
    unfinished = shutil.copytree(run, data.parent / "unfinished")
    (unfinished / "checkpoints" / "model.safetensors").unlink()
    with files.locked(unfinished), pytest.raises(UserError, match="unfinished: another run is writing to it"):
        train(TrainSettings(resume=unfinished))


def test_predictions_sort_new_images_into_known_and_novel_classes(images: Path, tmp_path: Path) -> None:
    split(SplitSettings(tmp_path / "data", SourceConfig(images), known_classes=("a", "c", "e")))
    features(FeaturesSettings(tmp_path / "data", FeatureConfig("pixels", 8)))
    train(TrainSettings(tmp_path / "data", "ss-kmeans", tmp_path / "run"))
    (images / "broken.png").write_text("no image")
    predict(PredictSettings(tmp_path / "run", images, tmp_path / "out"))
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert lines[0] == "image,class,name,known,margin,confidence,novel,unlike,none_of_these"
    rows = [line.split(",") for line in lines[1:]]
    assert len(rows) == 66
    right = [name == key.split("/")[0] for key, _, name, *_ in rows if key[0] in "ace"]
    assert np.mean(right) > 0.9
    assert all(known == "no" for _, _, name, known, *_ in rows if name.startswith("novel"))
    assert all(float(row[4]) >= 0 for row in rows)
    failures = (tmp_path / "out" / "failures.csv").read_text()
    assert failures == "file,page,reason\nbroken.png,,not an image in a known format\n"
    with pytest.raises(UserError, match="exists already"):
        predict(PredictSettings(tmp_path / "run", images, tmp_path / "out"))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        predict(PredictSettings(tmp_path, tmp_path, tmp_path / "out"))


# ------------------------------------------------------------------------------------------- problem and plots


def problem(**changes) -> Problem:
    given = {
        "labelled": np.zeros((2, 3), np.float32),
        "labels": np.array([0, 1]),
        "unlabelled": np.zeros((4, 3), np.float32),
        "known": 2,
    }
    return Problem(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"labelled": np.zeros((0, 3)), "labels": np.zeros(0, int)}, UserError, "no image is labelled"),
        ({"unlabelled": np.zeros((0, 3))}, UserError, "nothing to discover"),
        ({"unlabelled": np.full((4, 3), np.nan)}, UserError, "4 unlabelled features hold NaN"),
        ({"labels": np.array([0, 0])}, ValueError, "0 to 1, each at least once"),
        ({"unlabelled": np.zeros((4, 2))}, ValueError, "features must be"),
        ({"labels": np.array([0])}, ValueError, "labels of shape"),
        ({"labelled_views": np.zeros((1, 3, 3))}, ValueError, "labelled_views must be"),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(changes: dict, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        problem(**changes)


def test_assignments_outside_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        Discovered(np.array([2]), nearest_centroid(np.zeros((2, 3))))


def test_a_predictor_survives_its_arrays() -> None:
    generator = np.random.default_rng(0)
    predictor = nearest_centroid(
        generator.normal(size=(4, 2)),
        generator.normal(size=3),
        generator.normal(size=(3, 2)),
        power=0.5,
        normalize=True,
    )
    rows = generator.normal(size=(9, 3)).astype(np.float32)
    again = type(predictor).from_arrays(predictor.arrays())
    np.testing.assert_array_equal(again.scores(rows), predictor.scores(rows))
    assert (again.power, again.normalize) == (0.5, True)


def test_the_nearest_centroid_is_the_nearest() -> None:
    generator = np.random.default_rng(0)
    centroids, rows = generator.normal(size=(5, 3)), generator.normal(size=(50, 3)).astype(np.float32)
    expected = np.linalg.norm(rows[:, None] - centroids[None], axis=2).argmin(1)
    np.testing.assert_array_equal(nearest_centroid(centroids).predict(rows, block=7), expected)


# Clusters 0, 1, 2 belong to classes 0 (known), 1 (novel), 2 (novel); cluster 3 to none.
SCORED = Scored(np.array([[6, 1, 0], [1, 8, 1], [2, 1, 5], [1, 0, 4]]), 1, ("many", "many", "few"))


def test_shares_of_where_images_went_are_as_counted_by_hand() -> None:
    assert list(shares(SCORED, "known").values()) == pytest.approx([0.6, 0.0, 0.3, 0.1])
    assert list(shares(SCORED, "novel").values()) == pytest.approx([13 / 20, 1 / 20, 2 / 20, 4 / 20])


def test_plots_are_drawn_even_if_a_group_is_empty() -> None:
    assert "known" in plots.svg(by_frequency({"ward": [SCORED, SCORED], "kmeans": [SCORED]}))
    assert "a spare cluster" in plots.svg(destinations({"test": SCORED}))


def test_trust_is_measured_image_by_image() -> None:
    from gcd_longtail.discovery.methods.shift_merge_mix import ShiftMergeMix
    from gcd_longtail.discovery.trust import margins, trust
    from gcd_longtail.figures.trust_rows import _figures
    from gcd_longtail.settings.methods import HeadConfig, ShiftMergeMixConfig, SimGCDConfig

    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 30)
    rows = (3 * generator.normal(size=(8, 12))[labels] + generator.normal(size=(240, 12))).astype(np.float32)
    labelled = (labels < 4) & (np.arange(240) % 2 == 0)
    problem = Problem(rows[labelled], labels[labelled], rows[~labelled], 4)
    quick = ShiftMergeMixConfig(holdouts=1, head=SimGCDConfig(head=HeadConfig(epochs=1)))
    truth = labels[~labelled]
    for predictor in (ShiftMergeMix(quick).fit(problem, 8, 0).predictor, nearest_centroid(rows[::30])):
        confidence, novel = trust(predictor, problem.unlabelled) or margins(predictor, problem.unlabelled, 4)
        assert confidence.shape == novel.shape == truth.shape
        assert novel[truth >= 4].mean() > novel[truth < 4].mean()

    class Labelled:
        unlabelled_labels = np.array([0, 0, 1, 1])
        split = type("Split", (), {"known": 1})

    scored = score(Labelled.unlabelled_labels, np.array([0, 0, 1, 0]), 1, ["many", "few"], 2)
    arrays = {
        "transductive": np.array([0, 0, 1, 0]),
        "confidence_transductive": np.array([0.9, 0.8, 0.7, 0.2]),
        "novel_transductive": np.array([0.1, 0.2, 0.8, 0.15]),
        "calibrated": np.array(False),
    }
    figures = dict(_figures(arrays, scored, "transductive", Labelled))  # ty: ignore
    assert figures == {"confidence_auc": 1.0, "novel_auc": 0.75}


def test_a_lead_is_that_over_the_best_other_method_of_each_column() -> None:
    from gcd_longtail.figures.discovery_rows import Identity, gain_rows

    class Seed:
        split = type("Split", (), {"name": "made-up", "imbalance": 2.0})
        config = type("Config", (), {"backbone": "pixels"})
        problem = type("Problem", (), {"labels": np.arange(4)})

    truth = np.array([0, 0, 0, 0, 1, 1])

    def found(*clusters: int) -> dict[str, Scored]:
        return {"test": score(truth, np.array(clusters), 1, ["many", "few"], 2)}

    runs = {
        "ours": [found(0, 0, 0, 0, 1, 1), found(0, 0, 0, 0, 1, 0)],  # macro 1, .75
        "ours, no head": [found(0, 0, 0, 0, 1, 1), found(0, 0, 0, 0, 1, 1)],
        "a": [found(0, 0, 1, 1, 1, 1), found(0, 0, 1, 1, 1, 1)],  # macro .75, novel 1
        "b": [found(0, 0, 0, 0, 0, 1), found(0, 0, 0, 0, 0, 1)],  # macro .75, novel .5
    }
    rows = {row.metric: row for row in gain_rows(runs, [Seed, Seed], Identity("ours", "true", (0, 1)))}  # ty: ignore
    assert rows["macro_all_gain"].value == pytest.approx(0.125)
    assert rows["macro_novel_gain"].value == pytest.approx(-0.25)
    assert rows["macro_novel_gain"].facts["over"] == "a"
    low, high = rows["macro_all_gain"].ci_low, rows["macro_all_gain"].ci_high
    assert low is not None and high is not None and low < 0.125 < high
    assert not [*gain_rows({"a": runs["a"]}, [Seed, Seed], Identity("ours", "true", (0, 1)))]  # ty: ignore

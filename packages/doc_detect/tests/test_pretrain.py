"""Unlabelled scans in, a detector out whose backbone and pyramid have seen them."""

import pytest

pytest.importorskip("torch")

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from doc_detect.adapt import adapt
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.scoring import Scoring, read_scoring, write_scoring
from doc_detect.detectors.trained import load_detector, trained_as
from doc_detect.pretrain import FACTS, open_start, pretrain, verdict_of
from doc_detect.settings.adaptation import SelfTrainingConfig
from doc_detect.settings.adaptation import smoke as smoke_adaptation
from doc_detect.settings.pretraining import FittingConfig, PretrainSettings, smoke
from doc_detect.settings.training import ModelConfig, OptimizationConfig
from doc_detect.settings.training import smoke as smoke_training
from doc_detect.train import train
from seminar_common import failures
from seminar_common.checkpoints import load_tensors
from seminar_common.errors import UserError
from seminar_common.runs import Run
from seminar_common.work import WorkConfig

LABELS = ("graphic", "drop_capital")
MODEL = ModelConfig(size=128, head_convs=1, labels=LABELS)
SCORING = Scoring({"graphic": (1.0, 0.0)}, 0.01, {"graphic": 0.004})
METHODS = ("denoising", "dense-contrast", "distillation", "masked")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=8, val=4, height=192)


@pytest.fixture(scope="module")
def source(toy_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(shutil.copytree(toy_source, tmp_path_factory.mktemp("runs") / "source"))
    write_scoring(SCORING, run.folder)
    return run


def settings(data: Path, out: Path, init: Path | str, **changes) -> PretrainSettings:
    chosen = dataclasses.replace(
        smoke(),
        images=(data / "images",),
        out=out,
        init=Path(init),
        page_timeout=0.0,
        work=WorkConfig(workers=1),
    )
    if chosen.is_new:
        chosen = dataclasses.replace(chosen, model=MODEL)
    return dataclasses.replace(chosen, **changes)


def fitting(steps: int, **changes) -> FittingConfig:
    return FittingConfig(steps=steps, batch_size=2, window=96, ema_decay=0.5, **changes)


def facts_of(run: Run) -> dict:
    return json.loads((run.folder / FACTS).read_text())


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_tensors(run.checkpoints / "model.safetensors")[0]


@pytest.fixture(scope="module", params=METHODS)
def learned(
    source: Run, data: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Run:
    """A pretraining by each method."""
    return pretrain(
        settings(
            data,
            tmp_path_factory.mktemp("runs") / "run",
            source.folder,
            method=request.param,
            pages=5,
            anchor=0.1,
            fitting=fitting(16, learning_rate=1e-3, backbone_learning_rate=5e-4),
            log_every=4,
            checkpoint_every=8,
        )
    )


def test_a_task_is_learned_on_a_few_pages(source: Run, learned: Run) -> None:
    facts = facts_of(learned)
    first, last = facts["losses"]
    assert facts["verdict"] == "pretrained" and last < 0.95 * first
    assert facts["pages"] == 5 and facts["method"] == learned.config()["settings"]["method"]
    assert all(record["spread"] > 0.1 and record["loss_anchor"] >= 0 for record in learned.logged())
    before, after = weights(source), weights(learned)
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(".network." in name for name in moved) and any(".pyramid." in name for name in moved)
    assert not any("head" in name for name in moved)


def test_a_run_leaves_exactly_these_files(learned: Run) -> None:
    files = {str(path.relative_to(learned.folder)) for path in learned.folder.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "scoring.json",
        "checkpoints/model.safetensors",
        FACTS,
    }
    assert read_scoring(learned.folder) == SCORING
    trained = trained_as(learned)
    assert trained.name == "pretrained" and trained.steps == 16 and trained.model.labels == LABELS


@pytest.mark.parametrize(("init", "method"), [("imagenet", "dense-contrast"), ("run", "masked")])
def test_a_killed_run_ends_with_the_bits_of_an_unbroken_one(
    source: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, init: str, method: str
) -> None:
    start = source.folder if init == "run" else init
    chosen = settings(data, tmp_path / "killed", start, method=method, fitting=fitting(4))
    whole = pretrain(dataclasses.replace(chosen, out=tmp_path / "whole"))
    from doc_detect.pretrain import update_average as real

    left = [4]

    def killed(*args):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr("doc_detect.pretrain.update_average", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(chosen)
    with pytest.raises(UserError, match="has not ended; go on with `pretrain --resume"):
        load_detector(Run(tmp_path / "killed"))
    run = pretrain(dataclasses.replace(smoke(), resume=tmp_path / "killed"))
    ours, theirs = weights(run), weights(whole)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [r["loss"] for r in run.logged()] == [r["loss"] for r in whole.logged()]
    assert facts_of(run)["spread"] == facts_of(whole)["spread"]


def test_training_and_adaptation_go_on_from_it(data: Path, tmp_path: Path, without_files) -> None:
    run = pretrain(settings(data, tmp_path / "seen", "imagenet", fitting=fitting(2)))
    detector = load_detector(run)
    assert isinstance(detector, FCOSDetector) and not detector.config.folded
    optimization = OptimizationConfig(steps=1, batch_size=1, sizes=(96,), ema_decay=0.0, learning_rate=1e-9)
    optimization = dataclasses.replace(optimization, backbone_learning_rate=1e-9)
    trained = train(
        dataclasses.replace(
            smoke_training(),
            data=data,
            init=run.folder,
            out=tmp_path / "trained",
            model=MODEL,
            optimization=optimization,
            validate_every=0,
        )
    )
    ours, theirs = weights(trained), weights(run)
    assert ours.keys() == theirs.keys()
    for name in ours:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(ours[name], theirs[name], atol=1e-4, rtol=1e-4)
    adapted = adapt(
        dataclasses.replace(
            smoke_adaptation(),
            run=run.folder,
            target=(data / "images",),
            out=tmp_path / "adapted",
            optimization=optimization,
            self_training=SelfTrainingConfig(sure=0.05, doubt=0.04, fewest=1),
            page_timeout=0.0,
            work=WorkConfig(workers=1),
        )
    )
    assert trained_as(adapted).model.folded


def test_from_nothing_the_first_strokes_are_learned_too(data: Path, tmp_path: Path) -> None:
    moved = {}
    for init in ("imagenet", "none"):
        chosen = settings(data, tmp_path / init, init, fitting=fitting(2))
        before, after = open_start(chosen).detector.state_dict(), weights(pretrain(chosen))
        moved[init] = {name for name in after if not torch.equal(before[name], after[name])}
    assert "backbone.network.conv_stem.weight" in moved["none"] - moved["imagenet"]


def test_the_detector_that_ships_is_the_default_start(data: Path, tmp_path: Path) -> None:
    run = pretrain(settings(data, tmp_path / "run", "default", fitting=fitting(2)))
    assert trained_as(run).model.folded and load_detector(run).labels[0] == "graphic"
    assert read_scoring(run.folder).calibration


def test_collapsed_features_are_not_kept(
    source: Run,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "doc_detect.pretrain.COLLAPSED", 10.0
    )  # as if the start had differed ten times as much
    run = pretrain(settings(data, tmp_path / "run", source.folder, fitting=fitting(1)))
    assert facts_of(run)["verdict"] == "collapsed, kept the start"
    assert "collapsed, kept the start: the spread of features went from" in capsys.readouterr().err
    ours, theirs = weights(run), weights(source)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_verdict_looks_at_the_spread_first_and_then_at_the_loss() -> None:
    assert verdict_of(0.5, 0.4, (2.0, 1.0))[0] == "pretrained"
    assert verdict_of(0.5, 0.4, (2.0, 2.0))[0] == "the loss did not fall"
    assert verdict_of(0.5, 0.09, (2.0, 0.0))[0] == "collapsed, kept the start"
    assert verdict_of(0.01, 0.01, (2.0, 1.0))[0] == "collapsed, kept the start"
    assert verdict_of(0.5, float("nan"), (2.0, 1.0))[0] == "collapsed, kept the start"


def test_pages_that_cannot_be_read_are_left_out(source: Run, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    images = sorted((data / "images").iterdir())[:6]
    for path in images:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.png").write_bytes(images[0].read_bytes()[:200])
    run = pretrain(settings(data, tmp_path / "run", source.folder, images=(folder,), fitting=fitting(1)))
    assert facts_of(run)["pages"] == 6
    (failed,) = failures.read(run.folder / "failures.csv")
    assert failed.file.endswith("broken.png")
    for path in images[:2]:
        (folder / path.name).unlink()
    (folder / "broken.png").unlink()
    with pytest.raises(UserError, match="4 pages that can be read; 5 or more are needed"):
        pretrain(settings(data, tmp_path / "few", source.folder, images=(folder,)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ()}, "--images is missing"),
        ({"init": Path("nowhere.onnx")}, "nowhere.onnx: no such file"),
        ({"init": Path("none"), "method": "distillation"}, "distillation needs a detector whose features"),
        ({"init": Path("default"), "model": MODEL}, "has layers and classes of its own"),
        ({"hidden": 1.0}, r"--hidden 1.0: must lie in \(0, 1\)"),
        ({"model": dataclasses.replace(MODEL, weights="none")}, "--weights: say it by --init"),
        (
            {"init": Path("none"), "model": dataclasses.replace(MODEL, architecture="faster-rcnn")},
            "pretrain works with fcos alone",
        ),
    ],
)
def test_unusable_settings_are_refused_in_one_line(
    source: Run, data: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        pretrain(settings(data, tmp_path / "run", **{"init": source.folder, **changes}))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()

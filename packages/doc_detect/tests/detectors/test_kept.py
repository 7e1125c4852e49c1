"""A detector that keeps some classes finds them as before, whatever it learns of the others."""

import pytest

pytest.importorskip("torch")

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from doc_detect.adapt import adapt
from doc_detect.detectors.base import Target, build_detector
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.from_onnx import load_onnx
from doc_detect.detectors.onnx import OnnxDetector, default_model
from doc_detect.pretrain import open_start
from doc_detect.settings.adaptation import AdaptSettings
from doc_detect.settings.pretraining import PretrainSettings
from doc_detect.settings.training import ModelConfig, OptimizationConfig, TrainSettings
from doc_detect.training.optimization import make_optimizer
from seminar_common.errors import UserError

LABELS = ("graphic", "stamp", "caption")
STAMP = 1
CARD = {"architecture": "fcos", "backbone": "tf_efficientnet_lite0"}
NONE = torch.zeros(0, 4)
ROUNDING = 1e-6


def picture(height: int = 96, width: int = 64) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5))


def keeping(source: FCOSDetector, levels: int = 2) -> FCOSDetector:
    config = dataclasses.replace(source.config, kept=("stamp",), kept_levels=levels)
    detector = build_detector(config, seed=9)
    assert isinstance(detector, FCOSDetector)
    detector.keep(source)
    return detector


@pytest.fixture(scope="module")
def source() -> FCOSDetector:
    detector = build_detector(ModelConfig(labels=LABELS, size=96, head_convs=1, weights="none"), seed=4)
    assert isinstance(detector, FCOSDetector)
    return detector.eval()


def learn(detector: FCOSDetector) -> None:
    """Take one large step on a page with a picture and a stamp."""
    box = torch.tensor([[8.0, 8, 40, 60], [30.0, 50, 60, 90]])
    optimizer = make_optimizer(detector, OptimizationConfig(learning_rate=0.1))
    detector.train()
    losses = detector.fit_step([picture()[0]], [Target(box, torch.tensor([0, STAMP]), NONE)])
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    detector.eval()


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_a_kept_class_is_found_as_before_whatever_is_learned(source: FCOSDetector, levels: int) -> None:
    detector = keeping(source, levels).eval()
    with torch.inference_mode():
        boxes, scores = source.dense(picture())
        at_first = detector.dense(picture())
    count = scores.shape[1]
    torch.testing.assert_close(at_first[0][:, :count], boxes, atol=0, rtol=0)
    torch.testing.assert_close(at_first[1][:, :count, 0], scores[..., 0], atol=ROUNDING, rtol=0)
    learn(detector)
    with torch.inference_mode():
        later_boxes, later = detector.dense(picture())
    kept = later.shape[1] - count
    assert kept == sum([96, 24, 6, 2, 1][:levels])
    torch.testing.assert_close(later_boxes[:, count:], boxes[:, :kept], atol=0, rtol=0)
    torch.testing.assert_close(later[:, count:, STAMP], scores[:, :kept, STAMP], atol=ROUNDING, rtol=0)
    assert not later[:, :count, STAMP].any() and not later[:, count:, [0, 2]].any()
    assert (later[:, :count, 0] - scores[..., 0]).abs().max() > 0.01
    assert (later_boxes[:, :count] - boxes).abs().max() > 0.1


def test_the_backbone_stays_with_its_statistics(source: FCOSDetector) -> None:
    detector = keeping(source)
    network = detector.backbone.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learn(detector)
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_object_of_a_kept_class_is_none_for_the_others(source: FCOSDetector) -> None:
    detector = keeping(source).eval()
    stamp, nothing = torch.tensor([[10.0, 10, 40, 40]]), torch.zeros(0, dtype=torch.int64)
    with torch.inference_mode():
        seen = detector.fit_step([picture()[0]], [Target(stamp, torch.tensor([STAMP]), NONE, (STAMP,))])
        none = detector.fit_step([picture()[0]], [Target(NONE, nothing, NONE)])
        caption = detector.fit_step([picture()[0]], [Target(stamp, torch.tensor([2]), NONE)])
        unlabelled = detector.fit_step([picture()[0]], [Target(NONE, nothing, NONE, (0, 2))])
    assert seen == none and seen["box"] == 0 < caption["box"]
    assert unlabelled["classification"] == 0 < none["classification"]


def test_an_exported_file_keeps_and_can_be_trained_further(source: FCOSDetector, tmp_path: Path) -> None:
    detector = keeping(source)
    learn(detector)
    file, again = tmp_path / "a.onnx", tmp_path / "b.onnx"
    detector.export(file, CARD)
    image = picture().numpy()
    with torch.inference_mode():
        boxes, scores = (part[0].numpy() for part in detector.dense(picture()))
    theirs = OnnxDetector(file).dense(image)
    for ours, other, most in zip((boxes, scores), theirs, (0.1, 1e-3), strict=True):
        np.testing.assert_allclose(np.sort(ours, 0), np.sort(other, 0), atol=most)
    loaded = load_onnx(file).detector
    assert loaded.config.kept == ("stamp",) and loaded.config.kept_levels == 2
    settings = PretrainSettings(images=(tmp_path,), init=file)
    with pytest.raises(UserError, match="a.onnx: keeps stamp on a backbone that is not to change; give"):
        open_start(settings)
    with pytest.raises(UserError, match="a.onnx: keeps stamp on a backbone that is not to change; give"):
        adapt(AdaptSettings(target=(tmp_path,), model=file, out=tmp_path / "adapted"))
    assert not (tmp_path / "adapted").exists()
    loaded.export(again, CARD)
    second = load_onnx(again).detector.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in loaded.state_dict().items())
    learn(loaded)


def test_the_detector_that_ships_finds_its_stamps_when_it_keeps_them(tmp_path: Path) -> None:
    shipped = load_onnx(default_model())
    config = dataclasses.replace(shipped.detector.config, kept=("stamp",), kept_levels=1)
    detector, file = build_detector(config), tmp_path / "kept.onnx"
    assert isinstance(detector, FCOSDetector)
    detector.keep(shipped.detector)
    detector.export(file, {**shipped.card, **shipped.scoring.facts()})
    assert file.stat().st_size < 8e6
    number = config.labels.index("stamp")
    image = np.zeros((1, 3, 256, 192), np.float32)
    image[:] = np.random.default_rng(0).random((1, 3, 256, 192)).round() * 0.2 + 0.8
    one, other = (OnnxDetector(each).dense(image) for each in (default_model(), file))
    best = np.sort(one[1][:, number])[-20:]
    np.testing.assert_allclose(np.sort(other[1][:, number])[-20:], best, atol=1e-5)
    rows = [boxes[scores[:, number].argmax()] for boxes, scores in (one, other)]
    np.testing.assert_allclose(*rows, atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kept": ("table",)}, "--kept table: choose from graphic, stamp, caption"),
        ({"kept": ("stamp", "stamp")}, "--kept: give each class once"),
        ({"kept": LABELS}, "--kept: leave at least one class to learn"),
        ({"kept": ("stamp",), "architecture": "faster-rcnn"}, "--kept: goes with --architecture fcos"),
        ({"kept_levels": 2}, "--kept-levels: goes with --kept"),
        ({"kept": ("stamp",), "kept_levels": 6}, "--kept-levels 6: must lie between 1 and 5"),
    ],
)
def test_what_can_not_be_kept_is_one_line(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelConfig(labels=LABELS, **changes)


def test_there_is_nothing_to_keep_without_a_start() -> None:
    model = ModelConfig(kept=("stamp",))
    with pytest.raises(UserError, match="--kept: goes with --init, which finds what is kept"):
        TrainSettings(model=model)
    with pytest.raises(UserError, match="--kept: goes with `train --init`"):
        PretrainSettings(images=(Path("pages"),), model=model)

"""An exported file is the same detector again in PyTorch."""

import pytest

pytest.importorskip("torch")

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from doc_detect.detectors.base import build_detector
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.from_onnx import load_onnx
from doc_detect.detectors.onnx import METADATA_KEY, OnnxDetector, default_model, prepare
from doc_detect.detectors.onnx_graph import CANDIDATES
from doc_detect.detectors.scoring import Scoring
from doc_detect.pages import Page
from doc_detect.settings.training import ModelConfig
from seminar_common.errors import UserError
from seminar_common.folding import fold_norms

SCORE, PIXELS = 1e-5, 2e-3
"""What rounding may change."""
SHAPES = ((320, 224), (180, 300), (512, 64), (33, 47), (512, 480))
"""Height and width of pages: upright, wide, narrow, tiny, as large as what is looked at."""
CARD = {"name": "toy", "architecture": "fcos", "backbone": "tf_efficientnet_lite0"}
SCORING = Scoring({"graphic": (1.3, 0.2)}, 0.01, {"graphic": 0.004, "drop_capital": 0.003})


def pages() -> list[Page]:
    """Pages with hatched blocks, on which a detector finds something."""
    generator, made = np.random.default_rng(3), []
    for height, width in SHAPES:
        pixels = generator.integers(200, 256, (height, width, 3)).astype(np.uint8)
        pixels[height // 5 : height // 2 : 3, width // 5 : width // 2] = 20
        pixels[height * 3 // 4 : height * 5 // 6, width // 8 : width // 5] = 40
        made.append(Page(pixels, width, height))
    return made


@pytest.fixture(scope="module")
def moved() -> FCOSDetector:
    """A detector whose batch norms have seen something."""
    config = ModelConfig(labels=("graphic", "drop_capital"), head_convs=1, score_threshold=0.001)
    detector = build_detector(config, seed=4)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean += 0.1 * module.running_var.sqrt()
            module.running_var *= 1.2
        if isinstance(module, nn.GroupNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    assert isinstance(detector, FCOSDetector)
    return detector.eval()


def same(one: OnnxDetector | FCOSDetector, other: OnnxDetector) -> None:
    """Check that boxes and scores of the 1,000 best positions are the same, apart from rounding."""
    for page in pages():
        image, _ = prepare(page.pixels, other.size, 32)
        ours, theirs = answer(one, image), other.dense(image)
        assert len(ours[1]) == len(theirs[1]) > 0
        np.testing.assert_allclose(ours[1].max(axis=1), theirs[1].max(axis=1), atol=SCORE)
        # Nearly equal scores may stand in another order, and of those at the end either may be there.
        rows, others = np.hstack([ours[0], 100 * ours[1]])[:990], np.hstack([theirs[0], 100 * theirs[1]])
        far = np.array([np.abs(row - others).max(axis=1).min() for row in rows])
        assert far.max() < PIXELS


def answer(detector: OnnxDetector | FCOSDetector, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(detector, OnnxDetector):
        return detector.dense(image)
    with torch.inference_mode():
        boxes, scores = (part[0].numpy() for part in detector.dense(torch.from_numpy(image)))
    best = np.argsort(-scores.max(axis=1), kind="stable")[:CANDIDATES]
    return boxes[best], scores[best]


def test_the_default_detector_gives_its_own_answers_in_torch(tmp_path: Path) -> None:
    file = default_model()
    loaded = load_onnx(file)
    runtime = OnnxDetector(file)
    same(loaded.detector, runtime)
    assert loaded.detector.labels == runtime.labels and loaded.scoring == runtime.scoring
    assert not any(isinstance(module, nn.BatchNorm2d) for module in loaded.detector.modules())
    again = tmp_path / "again.onnx"
    loaded.detector.export(again, {**loaded.card, **loaded.scoring.facts()})
    same(OnnxDetector(again), runtime)
    # The weights are the same; the graph has fewer nodes than when that file was made.
    assert 0 <= file.stat().st_size - again.stat().st_size < 60_000


def test_a_new_detector_comes_back_with_all_that_its_file_says(moved: FCOSDetector, tmp_path: Path) -> None:
    file, again = tmp_path / "a.onnx", tmp_path / "b.onnx"
    moved.export(file, {**CARD, **SCORING.facts()})
    assert not moved.training
    loaded = load_onnx(file)
    assert loaded.scoring == SCORING and loaded.card["name"] == "toy"
    assert loaded.detector.config == dataclasses.replace(moved.config, weights="none", folded=True)
    same(loaded.detector, OnnxDetector(file))
    loaded.detector.export(again, CARD)
    second = load_onnx(again).detector.state_dict()
    for name, tensor in loaded.detector.state_dict().items():
        torch.testing.assert_close(tensor, second[name], atol=0, rtol=0)


def test_a_folded_backbone_computes_what_it_did(moved: FCOSDetector) -> None:
    network = copy.deepcopy(moved.backbone.network)
    picture = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    before = [stage.detach().clone() for stage in network(picture)]
    fold_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for ours, theirs in zip(network(picture), before, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4 * float(theirs.abs().max()), rtol=0)


def test_a_folded_detector_learns_all_but_its_frozen_stages() -> None:
    config = ModelConfig(labels=("graphic",), size=96, head_convs=1, folded=True)
    detector = build_detector(config).train()
    names = {name for name, parameter in detector.named_parameters() if not parameter.requires_grad}
    assert "backbone.network.conv_stem.bias" in names
    assert not any("blocks.3" in name or "head" in name for name in names)


def damaged(file: Path, out: Path, change: Callable[[onnx.ModelProto, dict], None]) -> Path:
    model = onnx.load(file)
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    card = json.loads(entry.value)
    change(model, card)
    entry.value = json.dumps(card)
    onnx.save(model, out)
    return out


def test_files_of_other_architectures_are_refused_in_one_line(
    moved: FCOSDetector, tiny_model: Path, tmp_path: Path
) -> None:
    message = "not a detector that can be trained further .*; give an FCOS"
    with pytest.raises(UserError, match=message):
        load_onnx(tiny_model)
    file = tmp_path / "a.onnx"
    moved.export(file, CARD)

    def other_activation(model: onnx.ModelProto, card: dict) -> None:
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Tanh"

    def other_backbone(model: onnx.ModelProto, card: dict) -> None:
        card["backbone"] = "resnet18"

    def other_labels(model: onnx.ModelProto, card: dict) -> None:
        card["labels"] = ["graphic"]

    for number, change in enumerate((other_activation, other_backbone, other_labels)):
        with pytest.raises(UserError, match=message) as caught:
            load_onnx(damaged(file, tmp_path / f"{number}.onnx", change))
        assert "\n" not in str(caught.value)
    (tmp_path / "none.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match="not an ONNX model"):
        load_onnx(tmp_path / "none.onnx")

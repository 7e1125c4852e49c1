"""The contract of every detector engine."""

import pytest

pytest.importorskip("torch")

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from doc_detect.detectors.base import ENGINES, Detector, Target, build_detector, missing_engine, resize_to
from doc_detect.settings.training import ModelConfig
from seminar_common.errors import UserError

LABELS = ("graphic", "drop_capital", "caption")


@pytest.fixture(scope="module", params=list(ENGINES), ids="-".join)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    engine, architecture = request.param
    if reason := missing_engine(engine):
        pytest.skip(reason)
    return ModelConfig(
        engine=engine, architecture=architecture, labels=LABELS, size=128, head_convs=1, score_threshold=0.001
    )


@pytest.fixture(scope="module")
def fresh(config: ModelConfig) -> Detector:
    return build_detector(config, seed=1)


@pytest.fixture
def detector(fresh: Detector) -> Detector:
    return copy.deepcopy(fresh).train()


def page(height: int = 128, width: int = 96) -> Tensor:
    image = torch.full((3, height, width), 0.9)
    image[:, 20:80:4, 16:76] = 0.1  # a hatched picture
    image[:, 92:116, 16:40] = 0.0  # a black initial
    return image


def target(ignore: Tensor | None = None) -> Target:
    boxes = torch.tensor([[16.0, 20, 76, 80], [16, 92, 40, 116]])
    return Target(boxes, torch.tensor([0, 1]), torch.zeros(0, 4) if ignore is None else ignore)


def empty(ignore: Tensor | None = None) -> Target:
    none = torch.zeros(0, 4)
    return Target(none, torch.zeros(0, dtype=torch.int64), none if ignore is None else ignore)


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def test_a_step_gives_gradients_to_all_but_the_frozen_stages(detector: Detector) -> None:
    losses = detector.fit_step([page(), page(96, 128)], [target(), target()])
    total(losses).backward()
    assert all(torch.isfinite(loss) and loss >= 0 for loss in losses.values())
    frozen = [p for p in detector.parameters() if not p.requires_grad]
    assert frozen and all(p.grad is None for p in frozen)
    trained = [p for p in detector.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)
    assert sum(bool(p.grad.abs().sum() > 0) for p in trained) > 0.9 * len(trained)


def test_forward_is_a_step(detector: Detector) -> None:
    torch.manual_seed(0)
    ours = detector.fit_step([page()], [target()])
    torch.manual_seed(0)
    assert {k: v.item() for k, v in detector([page()], [target()]).items()} == pytest.approx(
        {k: v.item() for k, v in ours.items()}, rel=1e-3
    )


def test_it_learns_a_page_by_heart(detector: Detector) -> None:
    groups = detector.parameter_groups(1e-3, 3e-3)
    assert sum(len(group["params"]) for group in groups) == sum(
        p.requires_grad for p in detector.parameters()
    )
    optimizer = torch.optim.AdamW(groups)
    torch.manual_seed(0)
    losses = []
    for _ in range(12):
        loss = total(detector.fit_step([page(), page()], [target(), target()]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_a_page_without_objects_has_a_finite_loss(detector: Detector) -> None:
    loss = total(detector.fit_step([page()], [empty()]))
    loss.backward()
    assert torch.isfinite(loss)


def test_background_in_an_ignore_region_is_not_learned(config: ModelConfig) -> None:
    detector = build_detector(
        ModelConfig(config.engine, config.architecture, labels=("caption",), size=128, head_convs=1)
    ).train()
    everything = torch.tensor([[-200.0, -200, 400, 400]])
    torch.manual_seed(0)
    seen = detector.fit_step([page()], [empty()])
    torch.manual_seed(0)
    hidden = detector.fit_step([page()], [empty(everything)])
    assert total(hidden) < 0.5 * total(seen)


def test_detections_are_absolute_corners_inside_the_page_best_first(detector: Detector) -> None:
    images = [page(), page(96, 128), torch.rand(3, 301, 200)]
    found = detector.predict(images)
    assert len(found) == len(images)
    for image, each in zip(images, found, strict=True):
        count = len(each.scores)
        assert each.boxes.shape == (count, 4) and each.labels.shape == (count,)
        assert each.boxes.dtype == each.scores.dtype == np.float32 and each.labels.dtype == np.int64
        assert (each.boxes[:, 2:] >= each.boxes[:, :2]).all() and (each.boxes >= 0).all()
        assert (each.boxes <= np.array([image.shape[2], image.shape[1]] * 2)).all()
        assert (np.diff(each.scores) <= 0).all() and ((each.scores >= 0) & (each.scores <= 1)).all()
        assert ((each.labels >= 0) & (each.labels < len(LABELS))).all()


def test_boxes_are_in_the_pixels_of_the_page_that_was_given(detector: Detector) -> None:
    large = torch.rand(3, 256, 192)
    (small,), (scale,) = resize_to([large], detector.config.size)
    (one,), (two,) = detector.predict([small]), detector.predict([large])
    assert scale == 0.5 and len(one.boxes)
    np.testing.assert_allclose(2 * one.boxes, two.boxes, rtol=1e-5)


def test_a_state_dict_carries_all_that_predictions_depend_on(detector: Detector, config: ModelConfig) -> None:
    total(detector.fit_step([page()], [target()])).backward()  # moves the batch norms
    other = build_detector(config, seed=2)
    other.load_state_dict(detector.state_dict())
    (ours,), (theirs,) = detector.predict([page()]), other.predict([page()])
    np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5, atol=1e-5)


def test_weights_depend_on_the_seed_alone(config: ModelConfig, fresh: Detector) -> None:
    torch.manual_seed(99)
    again = build_detector(config, seed=1).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in fresh.state_dict().items())


def test_export_writes_a_file_or_says_why_not(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    try:
        detector.export(path, {})
    except UserError as error:
        assert "has no ONNX form" in str(error) and not path.exists()
    else:
        assert path.stat().st_size > 1e6
    assert list(tmp_path.iterdir()) in ([], [path])


def test_an_unknown_architecture_of_an_engine_is_refused() -> None:
    with pytest.raises(UserError, match="--architecture fcos: detectron2 has faster-rcnn"):
        build_detector(ModelConfig(engine="detectron2", architecture="fcos"))

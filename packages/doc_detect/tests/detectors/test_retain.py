"""Classes that a further stage must not unlearn are taught by another detector."""

import copy

import pytest

pytest.importorskip("torch")

import torch

from doc_detect.detectors.base import Target
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.settings.training import ModelConfig, TrainSettings
from seminar_common.errors import UserError

LABELS = ("graphic", "stamp")


def new_detector(seed: int) -> FCOSDetector:
    torch.manual_seed(seed)
    return FCOSDetector(ModelConfig(labels=LABELS, weights="none", channels=64, head_convs=1, size=128))


def losses_of(detector: FCOSDetector, label: int) -> dict[str, torch.Tensor]:
    pixels = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0))
    return detector.fit_step(
        [pixels],
        [Target(torch.tensor([[20.0, 20.0, 90.0, 90.0]]), torch.tensor([label]), torch.zeros((0, 4)))],
    )


def test_a_teacher_of_the_same_scores_has_nothing_to_teach() -> None:
    detector = new_detector(0).eval()
    teacher = copy.deepcopy(detector)
    detector.retain(teacher, ["stamp"])
    assert losses_of(detector, 0)["retained"].item() < 1e-9
    assert not any(name.startswith("_teacher") for name in detector.state_dict())


def test_scores_of_a_retained_class_come_to_those_of_the_teacher_whatever_the_labels_say() -> None:
    detector, teacher = new_detector(0).eval(), new_detector(1).eval()
    bias = teacher.head.classification_head.cls_logits.bias
    with torch.no_grad():
        bias[1] = -0.5
    detector.retain(teacher, ["stamp"])
    pixels = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    wanted = teacher.raw(pixels)[0].logits.sigmoid()[..., 1].mean().item()
    optimizer = torch.optim.Adam(detector.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        sum(losses_of(detector, 1).values(), torch.zeros(())).backward()
        optimizer.step()
    after = detector.raw(pixels)[0].logits.sigmoid()[..., 1].mean().item()
    assert abs(after - wanted) < 0.1
    assert wanted > 0.3


def test_labels_do_not_touch_the_classification_of_a_retained_class() -> None:
    detector = new_detector(0).eval()
    detector.retain(copy.deepcopy(detector), ["stamp"])
    losses_of(detector, 1)["classification"].backward()
    grad = detector.head.classification_head.cls_logits.bias.grad
    assert grad is not None
    assert grad[1] == 0
    assert grad[0] != 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retain": ("stamp",)}, "--teacher or --init"),
        ({"retain": ("main_text",), "init": "x"}, "not among --labels"),
        ({"teacher": "default"}, "goes with --retain"),
    ],
)
def test_what_teaches_nothing_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainSettings(**settings)

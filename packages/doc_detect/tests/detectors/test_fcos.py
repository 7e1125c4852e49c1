"""Which positions of FCOS's pyramid learn which box."""

import pytest

pytest.importorskip("torch")

import torch

from doc_detect.detectors.base import Target, build_detector
from doc_detect.detectors.fcos import STRIDES, assign, make_grid
from doc_detect.settings.training import ModelConfig


@pytest.mark.parametrize(
    ("box", "stride"),
    [
        ((100.0, 100, 160, 160), 8),
        ((20.0, 40, 420, 60), 8),  # a headpiece: its farthest edge would put it at stride 32
        ((20.0, 40, 420, 160), 16),
        ((20.0, 40, 420, 480), 32),
    ],
)
def test_a_box_belongs_to_the_level_of_its_area(box: tuple[float, ...], stride: int) -> None:
    grid = make_grid([torch.zeros(1, 1, 512 // each, 512 // each) for each in STRIDES])
    none = torch.zeros(0, 4)
    found = assign(grid, Target(torch.tensor([box]), torch.tensor([0]), none))
    assert set(grid.strides[found == 0].tolist()) == {stride}


@pytest.mark.parametrize(
    ("box", "width", "height"), [((20.0, 40, 420, 60), 160, 16), ((100.0, 100, 140, 140), 24, 24)]
)
def test_positives_lie_along_a_long_box_and_round_the_middle_of_a_small_one(
    box: tuple[float, ...], width: float, height: float
) -> None:
    """Within a fifth of each side of the centre, or one and a half strides, and inside the box."""
    grid = make_grid([torch.zeros(1, 1, 512 // each, 512 // each) for each in STRIDES])
    found = grid.centres[assign(grid, Target(torch.tensor([box]), torch.tensor([0]), torch.zeros(0, 4))) == 0]
    x, y = grid.centres[grid.strides == 8].T
    expected = ((x - (box[0] + box[2]) / 2).abs() < width / 2) & (
        (y - (box[1] + box[3]) / 2).abs() < height / 2
    )
    expected &= (y > box[1]) & (y < box[3])
    assert len(found) == int(expected.sum()) >= 4
    assert {tuple(p) for p in found.tolist()} == set(
        zip(x[expected].tolist(), y[expected].tolist(), strict=True)
    )


@pytest.mark.parametrize("smallest", [0, 1])
def test_where_boxes_of_one_level_overlap_the_smallest_wins(smallest: int) -> None:
    """An initial in the corner of a picture: both are of the finest level, and their middles overlap."""
    boxes = [(100.0, 100, 200, 200), (100.0, 100, 200, 200)]
    boxes[smallest] = (130.0, 130, 170, 170)
    grid = make_grid([torch.zeros(1, 1, 512 // each, 512 // each) for each in STRIDES])
    target = Target(torch.tensor(boxes), torch.tensor([0, 1]), torch.zeros(0, 4))
    alone = assign(grid, Target(target.boxes[[smallest]], torch.tensor([0]), torch.zeros(0, 4))) == 0
    other = assign(grid, Target(target.boxes[[1 - smallest]], torch.tensor([0]), torch.zeros(0, 4))) == 0
    found = assign(grid, target)
    assert (alone & other).any() and (found[alone] == smallest).all()
    assert (found[other & ~alone] == 1 - smallest).all()


def test_in_an_unknown_region_objects_are_learned_and_nothing_is_background() -> None:
    detector = build_detector(ModelConfig(labels=("graphic", "caption"), size=128, head_convs=1)).eval()
    page, everything = torch.rand(3, 128, 96), torch.tensor([[-200.0, -200, 400, 400]])
    none, number = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    with torch.no_grad():
        seen = detector.fit_step([page], [Target(none, number, none)])
        hidden = detector.fit_step([page], [Target(none, number, none, (), everything)])
        box, label = torch.tensor([[20.0, 20, 70, 70]]), torch.tensor([0])
        parts = [detector.fit_step([page], [Target(box, label, none, (), x)]) for x in (None, everything)]
    assert seen["classification"] > 0 and hidden["classification"] == 0
    known, unknown = parts
    assert unknown["box"] == known["box"] and 0 < unknown["classification"] < known["classification"]
    moved = Target(none, number, none, (), everything).to(torch.device("cpu"))
    assert moved.unknown is not None and torch.equal(moved.unknown, everything)


def test_of_an_unboxed_class_the_place_is_learned_and_not_the_size() -> None:
    detector = build_detector(ModelConfig(labels=("graphic", "caption"), size=128, head_convs=1)).eval()
    page, box, none = torch.rand(3, 128, 96), torch.tensor([[20.0, 20, 70, 70]]), torch.zeros(0, 4)
    target = Target(box, torch.tensor([0]), none)
    whole, other, own = (
        detector.fit_step([page], [target._replace(unboxed=classes).to(torch.device("cpu"))])
        for classes in ((), (1,), (0,))
    )
    assert other == whole and whole["box"] > 0
    assert own["classification"] == whole["classification"] and own["box"] == own["quality"] == 0

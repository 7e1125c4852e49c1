"""Which positions of FCOS's pyramid learn which box."""

import pytest
import torch

from doc_detect.detectors.base import Target
from doc_detect.detectors.fcos import STRIDES, assign, make_grid


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

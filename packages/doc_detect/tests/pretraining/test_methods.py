"""What the tasks of self-supervision show, and what they ask for."""

import pytest

pytest.importorskip("torch")

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import torch

from doc_detect.adaptation.target import TargetPage
from doc_detect.detectors.backbones import PyramidBackbone
from doc_detect.pretraining.base import METHODS, Problem, at_level, distance, make_method, spread
from doc_detect.pretraining.denoising import normalised
from doc_detect.pretraining.windows import Windows
from doc_detect.settings.pretraining import smoke

SIDE = 96


@pytest.fixture
def windows(tmp_path: Path) -> Windows:
    pages = []
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (200, 140, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
        pages.append(TargetPage(str(number), tmp_path / f"{number}.png", 140, 200, (0, 0, 140, 200)))
    return Windows(pages, dataclasses.replace(smoke(), hidden=0.5))


def test_windows_depend_on_the_step_alone(windows: Windows) -> None:
    one, again, other = windows.clean(3), windows.clean(3), windows.clean(4)
    assert [square.shape for square in one] == [(SIDE, SIDE, 3)] * 2
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_page_smaller_than_a_window_is_continued_by_its_paper(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 60, 3), 200, np.uint8))
    page = TargetPage("a", tmp_path / "a.png", 60, 40, (0, 0, 60, 40))
    (square, _) = Windows([page], smoke()).clean(0)
    assert square.shape == (SIDE, SIDE, 3) and (square == 200).all()


def test_in_another_light_every_place_stays_where_it_is(windows: Windows) -> None:
    square = np.full((SIDE, SIDE, 3), 230, np.uint8)
    square[32:64, 40:48] = 20
    for step in range(8):
        (seen,) = windows.in_other_light([square], step)
        dark = seen.mean(axis=2) < (float(seen.min()) + float(seen.max())) / 2
        rows, columns = np.flatnonzero(dark.mean(1) > 0.05), np.flatnonzero(dark.mean(0) > 0.2)
        assert (abs(rows[0] - 32), abs(rows[-1] - 63)) <= (1, 1)
        assert (abs(columns[0] - 40), abs(columns[-1] - 47)) <= (1, 1)
    (one,), (other,) = windows.in_other_light([square], 0), windows.in_other_light([square], 0, 1)
    assert not np.array_equal(one, other)


def test_holes_have_the_colour_of_paper_and_are_where_the_mask_says(windows: Windows) -> None:
    square = np.full((SIDE, SIDE, 3), 10, np.uint8)
    square[: SIDE // 2] = 240  # half is paper
    holes = windows.with_holes([square, square], 0)
    assert holes.pixels.shape == (2, 3, SIDE, SIDE) and holes.hidden.shape == (2, 1, 3, 3)
    assert holes.hidden.flatten(1).sum(dim=1).tolist() == [4, 4]  # half of nine squares
    whole = holes.hidden.repeat_interleave(32, 2).repeat_interleave(32, 3).expand(-1, 3, -1, -1)
    assert (holes.pixels[whole] == 240 / 255).all()
    clean = torch.from_numpy(square).permute(2, 0, 1).float().div(255).expand(2, -1, -1, -1)
    assert torch.equal(holes.pixels[~whole], clean[~whole])


def test_a_distance_counts_in_variances_of_what_is_wanted() -> None:
    wanted = torch.randn(4, 8, 6, 6)
    unit = wanted.std(correction=0)
    assert distance([wanted], [wanted]) == 0
    assert float(distance([wanted + unit], [wanted])) == pytest.approx(1, rel=1e-5)
    assert float(distance([100 * (wanted + unit)], [100 * wanted])) == pytest.approx(1, rel=1e-5)
    still = torch.ones(2, 8, 1, 1) * torch.randn(8)[:, None, None]  # one place, alike on every page
    assert float(distance([still + still.std(correction=0)], [still])) == pytest.approx(1, rel=1e-5)
    half = torch.zeros(4, 1, 6, 6)
    half[..., :3] = 1
    there = wanted + unit * half
    assert float(distance([there], [wanted], lambda level: half)) == pytest.approx(1, rel=1e-5)
    assert float(distance([there], [wanted], lambda level: 1 - half)) == pytest.approx(0, abs=1e-6)


def test_the_spread_tells_features_that_differ_from_such_that_do_not() -> None:
    free = torch.randn(2, 64, 12, 12)
    assert spread([free]) == pytest.approx(1, abs=0.05)
    assert spread([torch.ones(2, 64, 12, 12)]) == pytest.approx(0, abs=1e-5)
    assert spread([free * 1e-3 + 1]) < 0.01  # a direction that all share
    assert spread([free * 1e-3]) == pytest.approx(spread([free]), abs=1e-5)  # their length does not count


def test_a_mask_of_squares_is_the_same_place_on_every_level() -> None:
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[0, 0, 1, 2] = True
    fine = at_level(mask, torch.zeros(1, 8, 16, 16))
    assert fine[0, 0, 4:8, 8:12].min() == 1 and fine.sum() == 16
    coarse = at_level(mask, torch.zeros(1, 8, 2, 2))
    assert coarse[0, 0].tolist() == [[0, 0.25], [0, 0]]


def test_the_target_of_denoising_does_not_depend_on_light_and_leaves_paper_plain() -> None:
    picture = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(normalised(picture * 0.5 + 0.3), normalised(picture), atol=1e-4, rtol=1e-3)
    paper = 0.8 + 0.005 * torch.randn(1, 1, 16, 16)
    assert normalised(paper).std() < 0.2


@pytest.mark.parametrize("name", METHODS)
def test_losses_depend_on_the_step_and_reach_pyramid_and_backbone(windows: Windows, name: str) -> None:
    torch.manual_seed(0)
    start = PyramidBackbone("tf_efficientnet_lite0", "none", 32, _extra()).eval()
    settings = dataclasses.replace(windows.settings, method=name)
    method = make_method(Problem(start, windows, settings))
    student = PyramidBackbone("tf_efficientnet_lite0", "none", 32, _extra()).eval()
    one, again, other = (method.losses(student, start, step) for step in (0, 0, 1))
    (loss,) = one.values()
    assert torch.equal(loss, *again.values()) and not torch.equal(loss, *other.values())
    assert loss.isfinite() and loss > 0
    loss.backward()
    for part in (student.pyramid.layer_blocks[0][0].weight, student.network.blocks[4][0].conv_pw.weight):
        assert part.grad is not None and part.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in start.parameters())
    if method.own is not None:
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.own.parameters())


def _extra():
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    return LastLevelP6P7(32, 32)


def test_the_contrast_is_lowest_where_a_place_is_known_again(windows: Windows) -> None:
    """Features that say where a place is on the page are told apart; such that are alike everywhere are not."""
    from doc_detect.pretraining.dense_contrast import DenseContrast

    start = PyramidBackbone("tf_efficientnet_lite0", "none", 32, _extra()).eval()
    method = DenseContrast(Problem(start, windows, windows.settings))
    for head in method.projector.heads:
        head[0], head[2] = torch.nn.Identity(), torch.nn.Identity()
    method.projector.heads.eval()
    g = np.random.default_rng(0)
    place = torch.randn(2, 32, 16, 16)
    ink = torch.rand(2, 1, 12, 12)
    moved = [1, 0]
    one, other = [place[:, :, :12, :12]], [place[:, :, 4:, :12]]
    known = method._level(one, other, ink, 0, moved, g)
    blind = method._level([torch.ones(2, 32, 12, 12)], [torch.ones(2, 32, 12, 12)], ink, 0, moved, g)
    wrong = method._level(one, other, ink, 0, [0, 0], g)
    assert known < 0.5 * blind and known < 0.5 * wrong
    assert float(blind) == pytest.approx(np.log(2 * 48), rel=1e-4)

"""Statistics that are corrected after the norms were folded are those that the norms would have taken up."""

import pytest

pytest.importorskip("torch")

import copy
from typing import cast

import torch
from torch import Tensor, nn

from doc_detect.adaptation.statistics import LARGEST, match, measure
from doc_detect.detectors.base import build_detector
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.settings.training import ModelConfig
from seminar_common.folding import fold_norms, normed_convolutions


def small_network() -> nn.Sequential:
    """Three convolutions, of which the first and the last have a norm."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, bias=False, padding=1),
        nn.BatchNorm2d(5),
    )
    for norm in network:
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -1, 1)
            norm.momentum = None  # an average over all batches, with one batch that batch
    return network


def pictures(contrast: float, light: float, seed: int) -> Tensor:
    return torch.randn((6, 3, 64, 32), generator=torch.Generator().manual_seed(seed)) * contrast + light


@pytest.fixture
def trained() -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network with the statistics of a source, and pages of source and target."""
    source, target = pictures(1.0, 0.0, 1), pictures(0.4, 0.7, 2)
    network = small_network()
    network.train()(source)
    return network.eval(), source, target


def folded(network: nn.Sequential) -> nn.Sequential:
    network = copy.deepcopy(network)
    fold_norms(network)
    return network


def convolutions(network: nn.Sequential) -> list[nn.Conv2d]:
    """Return those that had a norm."""
    layers = [network[0], network[5]]
    return [layer for layer in layers if isinstance(layer, nn.Conv2d)]


def corrected(network: nn.Sequential, source: Tensor, pages: list[Tensor], kept: float) -> nn.Sequential:
    ours = folded(network)
    wanted = measure(ours, convolutions(ours), list(source))
    match(ours, convolutions(ours), wanted, [page for batch in pages for page in batch], kept)
    return ours


@torch.no_grad()
def test_it_computes_what_batch_norms_compute_with_the_statistics_of_the_target(
    trained: tuple[nn.Sequential, Tensor, Tensor],
) -> None:
    network, source, target = trained
    ours = corrected(network, source, [target], kept=0.0)
    before = network(target)
    expected = copy.deepcopy(network).train()(target)  # torch's own: normalised by the batch
    torch.testing.assert_close(ours(target), expected, atol=5e-3, rtol=5e-3)
    assert (before - expected).abs().mean() > 0.3


@torch.no_grad()
def test_pages_of_any_size_come_to_the_moments_of_the_source(
    trained: tuple[nn.Sequential, Tensor, Tensor],
) -> None:
    network, source, target = trained
    other = target * 0.5 + 0.3  # the pages differ in light and contrast, and in size
    pages = [*target, *other[:, :, :32]]
    ours = corrected(network, source, [target, other[:, :, :32]], kept=0.0)
    aim, before, got = (
        measure(net, convolutions(net), on)
        for net, on in ((folded(network), list(source)), (folded(network), pages), (ours, pages))
    )
    for wanted, first, last in zip(aim, before, got, strict=True):
        torch.testing.assert_close(last.mean, wanted.mean, atol=0.05, rtol=0)
        torch.testing.assert_close(last.variance, wanted.variance, atol=0, rtol=0.05)
        assert (first.variance - wanted.variance).abs().max() > 0.3 * wanted.variance.max()


@torch.no_grad()
def test_on_its_own_pages_nothing_changes_and_kept_lies_between(
    trained: tuple[nn.Sequential, Tensor, Tensor],
) -> None:
    network, source, target = trained
    torch.testing.assert_close(
        corrected(network, source, [source], 0.0)(source), network(source), atol=2e-3, rtol=2e-3
    )
    before = network(target)
    changes = [
        float((corrected(network, source, [target], kept)(target) - before).norm()) for kept in (0, 0.5, 0.9)
    ]
    assert changes[0] > changes[1] > changes[2] > 0


@torch.no_grad()
def test_a_channel_that_is_constant_on_the_target_is_not_blown_up(
    trained: tuple[nn.Sequential, Tensor, Tensor],
) -> None:
    network, source, _ = trained
    blank = torch.full((1, 3, 64, 32), 0.5)
    ours = corrected(network, source, [blank], kept=0.0)
    first, second = (net.get_parameter("0.weight") for net in (ours, folded(network)))
    assert torch.isfinite(first).all() and (first.abs() <= LARGEST * second.abs() * 1.001).all()
    assert torch.isfinite(ours(source)).all()


def test_what_had_a_norm_is_known_from_the_network_before_it_was_folded() -> None:
    assert normed_convolutions(small_network()) == ["0", "5"]
    assert normed_convolutions(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))) == []


@torch.no_grad()
def test_in_a_deep_network_errors_do_not_add_up() -> None:
    config = ModelConfig(labels=("graphic",), size=64, head_convs=1)
    backbone = cast(FCOSDetector, build_detector(config)).backbone.eval()
    names = normed_convolutions(backbone.network)
    fold_norms(backbone.network)
    layers = [cast(nn.Conv2d, backbone.network.get_submodule(name)) for name in names]
    generator = torch.Generator().manual_seed(0)
    pages = [torch.rand((3, 64, width), generator=generator) for width in (64, 64, 64)]
    before, batch = [layer.weight.clone() for layer in layers], torch.stack([pages[0], pages[2]])
    maps = backbone(batch)
    match(backbone, layers, measure(backbone, layers, pages), pages, kept=0.0)
    assert len(layers) > 40
    for layer, weight in zip(layers, before, strict=True):
        torch.testing.assert_close(layer.weight, weight, rtol=0.1, atol=1e-4)
    for ours, theirs in zip(backbone(batch), maps, strict=True):
        assert (ours - theirs).abs().mean() < 0.05 * theirs.abs().mean()

"""The classifier learns to tell two worlds apart, and what comes before it learns the contrary."""

import pytest

pytest.importorskip("torch")

import math

import torch
from torch import nn

from doc_detect.adaptation.adversarial import DomainClassifier, domain_loss, reverse, risen
from doc_detect.detectors.fcos import STRIDES


def test_the_gradient_is_reversed_and_weighted_and_nothing_else_is() -> None:
    features = torch.randn(2, 4, 3, 3, requires_grad=True)
    layer = nn.Conv2d(4, 1, 1)
    (plain, weight) = torch.autograd.grad(layer(features).square().sum(), [features, layer.weight])
    seen = reverse(features, 0.3)
    assert torch.equal(seen, features)
    (turned, same) = torch.autograd.grad(layer(seen).square().sum(), [features, layer.weight])
    torch.testing.assert_close(turned, -0.3 * plain)
    assert torch.equal(weight, same) and plain.abs().min() > 0


def test_a_step_makes_the_classifier_better_and_the_features_worse_to_tell_apart() -> None:
    torch.manual_seed(0)
    images = torch.cat([torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16) + 0.5])
    backbone, classifier = nn.Conv2d(3, 8, 3, padding=1), DomainClassifier(8)

    def loss(weight: float) -> torch.Tensor:
        (logits,) = classifier([reverse(backbone(images), weight)])
        worlds = torch.tensor([0.0, 0, 1, 1])[:, None, None].expand_as(logits)
        return nn.functional.binary_cross_entropy_with_logits(logits, worlds)

    before = loss(1.0).item()
    for module, sign in ((classifier, -1), (backbone, 1)):
        module.zero_grad()
        kept = [parameter.detach().clone() for parameter in module.parameters()]
        loss(1.0).backward()
        optimizer = torch.optim.SGD(module.parameters(), 0.05)
        optimizer.step()
        assert (loss(1.0).item() - before) * sign > 1e-5
        with torch.no_grad():
            for parameter, old in zip(module.parameters(), kept, strict=True):
                parameter.copy_(old)


def test_padding_says_nothing_and_worlds_and_levels_count_alike() -> None:
    sizes = [(64, 40), (64, 64), (30, 64)]
    logits = [torch.zeros(3, -(-64 // stride), -(-64 // stride)) for stride in STRIDES]
    assert float(domain_loss(logits, sizes, 1)) == pytest.approx(math.log(2))
    finest = logits[0].clone()
    finest[0, :, 5:], finest[2, 4:] = 50.0, -50.0  # wrong, but beside the pages
    assert float(domain_loss([finest, *logits[1:]], sizes, 1)) == pytest.approx(math.log(2))
    finest[0] = -50.0  # the one page of the source is told right at one of five levels: half of a fifth
    assert float(domain_loss([finest, *logits[1:]], sizes, 1)) == pytest.approx(0.9 * math.log(2))
    finest[0] = 50.0
    assert float(domain_loss([finest, *logits[1:]], sizes, 1)) > 4


def test_the_weight_rises_from_none_to_all() -> None:
    assert risen(0) == 0 and risen(0.1) == pytest.approx(math.tanh(0.5)) and 0.999 < risen(1) < 1

import pytest
import timm
import torch
from torch import nn

from gcd_longtail.backbones import cpu_network
from gcd_longtail.backbones.cpu_network import AT_ONCE, CpuNetwork, can_be_rebuilt
from seminar_common.folding import fold_norms
from seminar_common.lite0 import LITE0, lite_weights


def lite0(folded: bool = False) -> torch.nn.Module:
    model = timm.create_model(LITE0).eval()
    model.load_state_dict(lite_weights(LITE0))
    model.reset_classifier(0)
    if folded:
        fold_norms(model)
    return model


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def rebuilt() -> CpuNetwork:
    return CpuNetwork(lite0(folded=True), torch.float32)


@pytest.mark.parametrize(
    "size",
    [
        (160, 160),  # each convolution with a stride sees an even number of rows: padding on one side
        (97, 97),  # an odd number: padding on both
        (100, 63),  # each of the two somewhere
    ],
)
@torch.inference_mode()
def test_its_features_are_those_of_timm_with_batch_norms(rebuilt: CpuNetwork, size: tuple[int, int]) -> None:
    images = pictures(AT_ONCE + 1, *size)
    found, expected = rebuilt(images), lite0()(images)
    assert torch.cosine_similarity(found, expected).min() > 0.999999
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_pictures_that_are_not_turned_have_other_features(rebuilt: CpuNetwork) -> None:
    images = pictures(2, 96, 96)
    assert torch.cosine_similarity(rebuilt(images.flip(2, 3)), lite0()(images)).max() < 0.999


@torch.inference_mode()
def test_half_precision_changes_features_by_its_rounding() -> None:
    images = pictures(4, 96, 96)
    found = CpuNetwork(lite0(folded=True), torch.bfloat16)(images)
    similar = torch.cosine_similarity(found, lite0()(images))
    assert found.dtype == torch.float32
    assert 0.99 < similar.min() and similar.max() < 0.999999


@torch.inference_mode()
@pytest.mark.parametrize("groups", [1, 8])
def test_a_processor_without_bfloat16_rounds_to_it_and_sums_in_32_bits(
    monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    monkeypatch.setattr(cpu_network, "convolves_in_bfloat16", lambda: False)
    conv = nn.Conv2d(8, 8, 3, padding=1, groups=groups)
    images = torch.randn(2, 8, 9, 9).bfloat16()
    found = cpu_network._Convolution(conv, nn.ReLU6(), torch.bfloat16)(images)
    weight, bias = (
        one.bfloat16().double().flip(2, 3) if one.dim() > 1 else one.bfloat16().double()
        for one in conv.parameters()
    )
    exact = nn.functional.conv2d(images.double(), weight, bias, padding=1, groups=groups).clamp(0, 6)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-5)  # 8 bits
    assert (found == exact.bfloat16()).float().mean() > 0.98  # the rest lay between two of them


@torch.inference_mode()
@pytest.mark.skipif(not cpu_network.convolves_in_bfloat16(), reason="this processor has no bfloat16")
def test_a_processor_with_bfloat16_has_the_features_of_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(2, 96, 96)
    there = CpuNetwork(lite0(folded=True), torch.bfloat16)(images)
    monkeypatch.setattr(cpu_network, "convolves_in_bfloat16", lambda: False)
    without = CpuNetwork(lite0(folded=True), torch.bfloat16)(images)
    assert torch.cosine_similarity(there, without).min() > 0.999


@torch.inference_mode()
def test_a_picture_has_the_same_bits_in_any_place_of_a_batch(rebuilt: CpuNetwork) -> None:
    picture = pictures(1, 64, 64)
    features = rebuilt(picture.expand(AT_ONCE + 2, -1, -1, -1))
    assert all(torch.equal(one, features[0]) for one in features)


@pytest.mark.parametrize(
    ("name", "so"),
    [
        (LITE0, True),
        ("tf_efficientnet_lite1", True),
        (
            "efficientnet_lite0",
            False,
        ),  # pads all sides where it has a stride, and a turn changes what that gives
        ("tf_efficientnet_b0", False),  # squeezes and excites
        ("resnet18", False),
    ],
)
def test_only_what_keeps_its_features_is_rebuilt(name: str, so: bool) -> None:
    model = timm.create_model(name, num_classes=0).eval()
    fold_norms(model)
    assert can_be_rebuilt(model) is so


def test_a_network_with_batch_norms_is_not_rebuilt() -> None:
    assert not can_be_rebuilt(lite0())

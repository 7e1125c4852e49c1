from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from gcd_longtail.backbones.backbones import NAMES, caveat, load_backbone
from gcd_longtail.settings.commands import FeatureConfig
from seminar_common.errors import UserError
from seminar_common.lite0 import LITE0, lite_weights


def weights_of(name: str, path: Path) -> Path:
    torch.manual_seed(0)
    save_file(timm.create_model(name).state_dict(), path)
    return path


def test_the_default_knows_images_without_a_network() -> None:
    backbone = load_backbone(FeatureConfig())
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)
    with torch.inference_mode():
        features = backbone.model(torch.zeros(2, 3, 96, 96))
    assert features.shape == (2, 1280)
    assert torch.equal(features[0], features[1]) and features.std() > 0


def test_folding_the_norms_changes_features_by_rounding_only() -> None:
    backbone = load_backbone(FeatureConfig())
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in backbone.model.modules())
    plain = timm.create_model("tf_efficientnet_lite0")
    plain.load_state_dict(lite_weights(LITE0))
    plain.reset_classifier(0)
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(backbone.model(images), plain.eval()(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit", "test_resnet"])
def test_any_timm_model_takes_weights_from_a_file(tmp_path: Path, name: str) -> None:
    file = weights_of(name, tmp_path / "w.safetensors")
    config = FeatureConfig(name, 64, weights=file)
    model = load_backbone(config).model
    torch.manual_seed(0)
    expected = timm.create_model(name, num_classes=0).eval()
    expected.load_state_dict({n: t for n, t in timm_state(file).items() if n in expected.state_dict()})
    images = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(model(images), expected(images))
    assert not any(parameter.requires_grad for parameter in model.parameters())


def timm_state(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def test_nothing_is_fetched_unless_asked() -> None:
    with pytest.raises(UserError, match="give --weights FILE, or --download"):
        load_backbone(FeatureConfig("dino-vits16"))


def test_an_unknown_name_proposes_near_ones() -> None:
    with pytest.raises(UserError, match="neither a name of ours nor a timm model; did you mean"):
        load_backbone(FeatureConfig("resnet51"))


def test_every_short_name_is_a_timm_model() -> None:
    assert all(timm.is_model(name) for name in NAMES.values())


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    file = weights_of("test_vit", tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="checkpoint of another architecture"):
        load_backbone(FeatureConfig("test_resnet", 64, weights=file))


def test_pixels_are_flattened() -> None:
    images = torch.rand(2, 3, 8, 8)
    np.testing.assert_array_equal(load_backbone(FeatureConfig("pixels", 8)).model(images), images.flatten(1))


def test_every_backbone_says_what_its_features_know() -> None:
    assert "overlap" in caveat("efficientnet-lite0")
    assert "without labels" in caveat("dinov2-vits14")
    assert "nothing was pretrained" in caveat("pixels")

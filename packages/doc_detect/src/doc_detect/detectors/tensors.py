"""Pictures as tensors."""

import numpy as np
import torch
from torch import Tensor


def to_tensor(picture: np.ndarray) -> Tensor:
    """Return an RGB picture, uint8 [H, W, 3], as float32 [3, H, W] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float() / 255

"""A timm EfficientNet rebuilt for a CPU: the same features but for rounding, in about half the time.

- Batch norms are folded into the convolutions before them (:func:`seminar_common.folding.fold_norms`, on every device).
- Pictures are turned by half a turn, and every kernel with them. TensorFlow pads the input of a convolution with a stride
  of 2 at its right and bottom alone. PyTorch pads all sides or none, so that timm first copies the input into a larger
  one. Turned, the padding lies at the left and top. There a convolution that is padded on all sides begins, and it never
  reaches what is padded at the others. Features are means over the picture, whichever way it lies.
- oneDNN takes the activation as it writes what a convolution gave, with the operator that ``torch.compile`` uses for it.
- A processor that can't convolve in bfloat16 rounds to it and convolves in 32 bits: features of another one's precision
  can be made on it, in one and a half times the time of 32 bits.
- Few pictures at a time go through the first blocks, whose activations are large: they stay in the processor's cache, and
  the memory for them is not asked of the system each time.
"""

import itertools
import math
from typing import Any, cast

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
"""Activations that oneDNN takes at once: their name there, and the limits."""
LARGE_BLOCKS = 2
"""Blocks of large activations: the second one begins with six times the channels of the first."""
AT_ONCE = 4
"""Pictures that go through them together."""


class CpuNetwork(nn.Module):
    """A folded EfficientNet without squeeze-and-excitation, such as the default backbone, for inference on a CPU."""

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        """Take the network apart, which is of no use by itself any more.

        Args:
            model: what :func:`can_be_rebuilt` says yes to.
            dtype: in which convolutions compute; their means over the picture are taken in 32 bits.
        """
        super().__init__()
        for block in list(model.modules()):
            _fuse(block, dtype)
        parts = cast(Any, model)
        blocks = [block for stage in parts.blocks for block in stage]
        self.dtype = dtype
        self.large = nn.Sequential(parts.conv_stem, parts.bn1, *blocks[:LARGE_BLOCKS])
        self.small = nn.Sequential(*blocks[LARGE_BLOCKS:], parts.conv_head, parts.bn2)
        self.pool = parts.global_pool

    def forward(self, images: Tensor) -> Tensor:
        """Return features, float32 [N, D], of images float32 [N, 3, S, S]."""
        turned = images.flip(2, 3).to(self.dtype, memory_format=torch.channels_last)
        # All parts are of one size, so that a picture's features have the same bits in any place of a batch.
        parts = turned.split(math.gcd(len(turned), AT_ONCE))
        large = torch.cat([self.large(few) for few in parts])
        return self.pool(self.small(large).float())


def can_be_rebuilt(model: nn.Module) -> bool:
    """Return whether :class:`CpuNetwork` gives the features of ``model``, and PyTorch has the operator for it."""
    from timm.models.efficientnet import EfficientNet

    there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    if not (there and isinstance(model, EfficientNet)):
        return False
    working = [
        part for part in model.modules() if not list(part.children()) or list(part.parameters(recurse=False))
    ]
    known = (nn.Conv2d, nn.AdaptiveAvgPool2d, nn.Flatten, *ACTIVATIONS)
    return all(_is_turnable(one) if isinstance(one, nn.Conv2d) else isinstance(one, known) for one in working)


def convolves_in_bfloat16() -> bool:
    """Return whether oneDNN can convolve in bfloat16 on this processor: x86 needs AVX-512 for it, or AVX-NE-CONVERT."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def is_quicker_in_bfloat16() -> bool:
    """Return whether this processor multiplies matrices of bfloat16 in hardware (AMX): about twice as fast as in 32 bits."""
    return bool(torch.cpu._is_amx_tile_supported())


def _is_turnable(conv: nn.Conv2d) -> bool:
    """Return whether half a turn of picture and kernel makes the padding of ``conv`` that of all sides."""
    from timm.layers.conv2d_same import Conv2dSame

    side, padding = conv.kernel_size[0], conv.kernel_size[0] // 2
    if conv.kernel_size != (side, side) or side % 2 == 0 or conv.dilation != (1, 1):
        return False
    if type(conv) is Conv2dSame:
        return conv.stride in ((1, 1), (2, 2)) and side > 1
    return type(conv) is nn.Conv2d and conv.stride == (1, 1) and conv.padding == (padding, padding)


def _fuse(block: nn.Module, dtype: torch.dtype) -> None:
    """Put a :class:`_Convolution` in the place of each convolution and activation among the children of ``block``."""
    children = list(block.named_children())
    for (name, conv), (after, activation) in itertools.pairwise([*children, ("", nn.Module())]):
        if isinstance(conv, nn.Conv2d):
            taken = type(activation) in ACTIVATIONS
            setattr(block, name, _Convolution(conv, activation if taken else nn.Identity(), dtype))
            if taken:
                setattr(block, after, nn.Identity())


class _Convolution(nn.Module):
    """A convolution of a turned picture, and its activation."""

    def __init__(self, conv: nn.Conv2d, activation: nn.Module, dtype: torch.dtype):
        super().__init__()
        side = conv.kernel_size[0] // 2
        # Products of two bfloat16 are exact in 32 bits, in which they are summed up either way.
        self.at_work = dtype if dtype != torch.bfloat16 or convolves_in_bfloat16() else torch.float32
        turned = conv.weight.detach().flip(2, 3).to(dtype).to(self.at_work, memory_format=torch.channels_last)
        self.weight = nn.Parameter(turned, requires_grad=False)
        bias = None if conv.bias is None else conv.bias.detach().to(dtype).to(self.at_work)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.how = ([side, side], list(conv.stride), [1, 1], conv.groups, *ACTIVATIONS[type(activation)], "")

    def forward(self, images: Tensor) -> Tensor:
        shown = images.to(self.at_work)
        return torch.ops.mkldnn._convolution_pointwise(shown, self.weight, self.bias, *self.how).to(
            images.dtype
        )

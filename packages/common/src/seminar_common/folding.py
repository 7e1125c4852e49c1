"""Batch norms folded into the convolutions before them, as in every exported file.

Such a network has no running statistics, so that a short training on other pages can't spoil them. Its answers are
those that it had with batch norms in evaluation.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

EXAMPLE = (1, 3, 64, 64)
"""Shape of the picture that is sent through a network to see what comes after what."""


@torch.no_grad()
def fold_norms(network: nn.Module) -> None:
    """Fold each batch norm of ``network`` into the convolution whose output it takes.

    The convolution gets a bias, and of the norm its activation alone stays. A batch norm after something else stays.

    Args:
        network: Takes pictures [B, 3, H, W].
    """
    names = {module: name for name, module in network.named_modules()}
    for conv, norm in _pairs(network):
        assert norm.running_var is not None and norm.running_mean is not None
        scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
        before = 0 if conv.bias is None else conv.bias
        shift = 0 if norm.bias is None else norm.bias
        conv.weight.mul_(scale[:, None, None, None])
        conv.bias = nn.Parameter((before - norm.running_mean) * scale + shift)
        network.set_submodule(names[norm], cast(Any, getattr(norm, "act", None)) or nn.Identity())


def normed_convolutions(network: nn.Module) -> list[str]:
    """Return the names of the convolutions into which :func:`fold_norms` would fold a norm, in order of execution."""
    names = {module: name for name, module in network.named_modules()}
    return [names[conv] for conv, _ in _pairs(network)]


def _pairs(network: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each batch norm that takes the output of a convolution, with that convolution, in order of execution."""
    made: list[tuple[Tensor, nn.Conv2d]] = []  # kept alive, so that no other tensor comes to lie in its place
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            made.append((output, module))

    def match(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        pairs.extend((conv, module) for output, conv in made if output is inputs[0])

    modules = list(network.modules())
    hooks: list[Any] = [m.register_forward_hook(note) for m in modules if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_pre_hook(match) for m in modules if isinstance(m, nn.BatchNorm2d)]
    _run(network, hooks)
    return pairs


def in_order(
    network: nn.Module, kind: type[nn.Module], answer: Callable[[Tensor], Any] | None = None
) -> list[nn.Module]:
    """Return the modules of a kind in the order in which they compute, one that computes again as often.

    Args:
        network: Has the modules.
        kind: Their class.
        answer: What computes for pictures [B, 3, H, W]; by default ``network`` itself.
    """
    called: list[nn.Module] = []
    modules = [module for module in network.modules() if isinstance(module, kind)]
    hooks = [m.register_forward_pre_hook(lambda module, _: called.append(module)) for m in modules]
    _run(network, hooks, answer)
    return called


@torch.no_grad()
def _run(network: nn.Module, hooks: list[Any], answer: Callable[[Tensor], Any] | None = None) -> None:
    """Send a picture through ``network`` in evaluation, and take the hooks off."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        (answer or network)(torch.zeros(EXAMPLE))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode

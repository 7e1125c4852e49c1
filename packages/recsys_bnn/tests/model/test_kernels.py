from collections.abc import Callable

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from recsys_bnn.model import kernels
from recsys_bnn.model.layers import PReLU, QuantEmbedding, pair_products
from recsys_bnn.model.quantizers import ThresholdSigns, Use, make_quantizer
from seminar_common.seeds import torch_generator

ROWS, COLUMNS = torch.tril_indices(5, 5, offset=-1)
FIELDS = torch.tensor([[0, 3], [299, 1], [7, 0], [7, 2], [50, 9]])


def quantizer(bits: int, shape: tuple[int, ...] | None) -> torch.nn.Module:
    module = make_quantizer(Use(bits, "activation", shape))
    module.calibrate(torch.randn(40, 5, 3, generator=torch_generator(2)))
    return module


def thresholds() -> torch.nn.Module:
    flattened = torch.nn.Flatten()
    return torch.nn.Sequential(flattened, ThresholdSigns(Use(1), 15, 3))


class Pairs(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return pair_products(x, ROWS * 5 + COLUMNS)


MODULES: dict[str, Callable[[], torch.nn.Module]] = {
    "sign": lambda: quantizer(1, None),
    "scaled sign": lambda: quantizer(1, (5, 1)),
    "8 bits": lambda: quantizer(8, ()),
    "4 bits, a step a field": lambda: quantizer(4, (5, 1)),
    "2 bits": lambda: quantizer(2, ()),
    "thresholds": thresholds,
    "pairs": Pairs,
    "PReLU": PReLU,
}


def results(module: torch.nn.Module, start: Tensor, turned: bool) -> list[Tensor]:
    """Return what ``module`` makes of values, and all gradients."""
    module.zero_grad()
    x = start.clone().requires_grad_()
    # Neither the values nor the gradient need to lie in memory row after row.
    out = module(x.transpose(0, 1).contiguous().transpose(0, 1) if turned else x)
    factors = torch.randn(out.shape[::-1], generator=torch_generator(1))
    (
        out * (factors.permute(*range(out.dim())[::-1]) if turned else factors.reshape(out.shape))
    ).sum().backward()
    assert x.grad is not None
    return [out.detach(), x.grad, *(p.grad.clone() for p in module.parameters() if p.grad is not None)]


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("name", MODULES)
def test_the_kernels_do_what_pytorch_does(name: str, turned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module = MODULES[name]()
    x = torch.randn(70, 5, 3, generator=torch_generator(0)) * 2
    x[0], x[1], x[2] = 0.0, -1.0, 1.0
    ours = results(module, x, turned)
    monkeypatch.setattr(kernels, "compiled", lambda *tensors: False)
    theirs = results(module, x, turned)
    assert len(ours) == len(theirs) == 2 + len(list(module.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bits", [32, 4, 1])
@pytest.mark.parametrize("scale", ["auto", "field", "group"])
def test_tables_learn_the_same_either_way(bits: int, scale, monkeypatch: pytest.MonkeyPatch) -> None:
    table = QuantEmbedding([300, 9], 4, bits, 0.5, scale=scale, hashed_share=0.5, hot_bits=8, hot_share=0.1)
    table.reset_parameters(torch_generator(0))
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(kernels, "compiled", lambda *tensors: False)
        table.zero_grad()
        out = table(FIELDS)
        (out * torch.randn(out.shape, generator=torch_generator(1))).sum().backward()
        assert table.weight.grad is not None
        gradients = [
            p.grad.clone() for p in table.parameters() if p.grad is not None and not p.grad.is_sparse
        ]
        found.append([out.detach(), table.weight.grad.to_dense(), *gradients])
    assert len(found[0]) == len(found[1]) >= 3 - (bits == 32)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

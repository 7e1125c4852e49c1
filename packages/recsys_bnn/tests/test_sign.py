import pytest
import torch

from recsys_bnn.quantizers import QUANTIZERS, make_quantizer
from recsys_bnn.quantizers.sign import sign


def test_the_sign_has_two_values_and_zero_is_positive() -> None:
    x = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0])
    assert sign(x).tolist() == [-1, -1, 1, 1, 1, 1]


def test_the_gradient_passes_inside_the_unit_interval_only() -> None:
    # Eq. 4 of Hubara et al. 2016: the indicator of |x| <= 1, the ends included.
    x = torch.tensor([-1.5, -1.0, -0.3, 0.0, 1.0, 1.001], requires_grad=True)
    (sign(x) * torch.arange(1.0, 7.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_stay(dtype: torch.dtype) -> None:
    x = torch.randn(2, 0, 3).to(dtype)
    assert sign(x).shape == x.shape
    assert sign(x).dtype == dtype


@pytest.mark.parametrize("bits", [b for b in QUANTIZERS if b < 32])
def test_a_quantizer_has_no_more_values_than_its_bits_allow(bits: int) -> None:
    assert len(make_quantizer(bits)(torch.linspace(-3, 3, 1001)).unique()) <= 2**bits


def test_full_precision_changes_nothing() -> None:
    x = torch.randn(5)
    assert torch.equal(make_quantizer(32)(x), x)


def test_unknown_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="no quantizer for 3 bits"):
        make_quantizer(3)

from typing import get_args, get_type_hints

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.model.quantizers import QUANTIZERS, Quantizer, Use, make_quantizer, make_row_quantizer
from recsys_bnn.model.quantizers.dorefa import DoReFa
from recsys_bnn.model.quantizers.sign import ScaledSign, sign
from recsys_bnn.settings.training import ModelConfig

LOW_BITS = [8, 4, 2, 1]
KINDS = sorted(QUANTIZERS)


@st.composite
def vectors(draw: st.DrawFn) -> torch.Tensor:
    """Up to 30 vectors of up to 30 values, with normal or heavy tails, ties or none, of any usual size."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    x = torch.randn(shape, generator=generator).pow(draw(st.sampled_from([1, 3, 5])))
    x = x.round(decimals=draw(st.sampled_from([0, 1, 6])))
    return x * 10 ** draw(st.floats(-2, 2))


def calibrated(kind: str, bits: int, x: torch.Tensor, **use) -> Quantizer:
    quantizer = make_quantizer(Use(bits, **use), kind).to(x.dtype)
    quantizer.calibrate(x)
    return quantizer


def test_the_sign_has_two_values_and_zero_is_positive() -> None:
    x = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0])
    assert sign(x).tolist() == [-1, -1, 1, 1, 1, 1]


def test_the_gradient_passes_inside_the_unit_interval_only() -> None:
    # Eq. 4 of Hubara et al. 2016: the indicator of |x| <= 1, the ends included.
    x = torch.tensor([-1.5, -1.0, -0.3, 0.0, 1.0, 1.001], requires_grad=True)
    (sign(x) * torch.arange(1.0, 7.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]


def test_the_best_magnitude_of_signs_is_the_mean_magnitude() -> None:
    quantizer = ScaledSign(Use(1, scale_shape=(2, 1)))
    x = torch.tensor([[1.0, -3.0], [0.5, 0.5]])
    quantizer.calibrate(x)
    assert quantizer(x).flatten().tolist() == pytest.approx([2, -2, 0.5, 0.5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("role", ["weight", "activation", "embedding"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [32, *LOW_BITS])
def test_shape_and_dtype_stay_and_a_gradient_passes(bits: int, kind: str, role, dtype: torch.dtype) -> None:
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    out = calibrated(kind, bits, x.detach(), role=role)(x)
    assert out.shape == x.shape and out.dtype == dtype
    out.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and (x.grad != 0).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["weight", "activation"])
@pytest.mark.parametrize("bits", LOW_BITS)
@given(x=vectors())
@settings(max_examples=25)
def test_no_more_values_than_the_bits_allow(kind: str, role, bits: int, x: torch.Tensor) -> None:
    assert len(calibrated(kind, bits, x, role=role)(x).unique()) <= 2**bits


@pytest.mark.parametrize("bits", LOW_BITS)
@given(x=vectors())
@settings(max_examples=25)
def test_no_more_values_a_row_than_the_bits_allow(bits: int, x: torch.Tensor) -> None:
    by_row = calibrated("lsq", bits, x, scale_shape=(len(x), 1))
    for quantizer in (by_row, make_row_quantizer(bits)):
        assert all(len(row.unique()) <= 2**bits for row in quantizer(x).detach())


@pytest.mark.parametrize("bits", LOW_BITS)
def test_a_row_beyond_16_bit_floats_stays_finite(bits: int) -> None:
    out = make_row_quantizer(bits)(torch.tensor([[-1e6, 0.0, 3.0], [-2.0, 5.0, 1e6], [-1e6, 0.0, 1e6]]))
    assert out.isfinite().all()
    assert all(len(row.unique()) <= 2**bits for row in out)


@pytest.mark.parametrize("bits", LOW_BITS)
@given(x=vectors())
@settings(max_examples=25)
def test_a_second_time_changes_nothing(bits: int, x: torch.Tensor) -> None:
    # DoReFa is left out: its tanh squashes quantized weights once more.
    quantizer = calibrated("lsq", bits, x)
    once = quantizer(x)
    assert torch.equal(quantizer(once), once)


@pytest.mark.parametrize("bits", LOW_BITS)
def test_a_second_time_changes_no_row(bits: int) -> None:
    quantizer = make_row_quantizer(bits)
    once = quantizer(torch.randn(200, 16, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(quantizer(once), once, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("bits", "bound"), [(8, 0.01), (4, 0.12), (2, 0.36)])
def test_the_error_shrinks_with_the_bits(bits: int, bound: float) -> None:
    # Normal values: the best uniform quantizers have relative errors 0.0066, 0.107 and 0.345 (Max 1960).
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    out = calibrated("lsq", bits, x)(x)
    assert ((out - x).norm() / x.norm()).item() < bound


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_row_errs_by_half_its_step_at_most(bits: int) -> None:
    x = torch.randn(100, 16, generator=torch.Generator().manual_seed(0))
    step = (x.amax(1, keepdim=True) - x.amin(1, keepdim=True)) / (2**bits - 1)
    # The smallest value and the step are rounded to 16 bits: one part in 2048 each.
    rounding = (x.abs().amax(1, keepdim=True) + 2**bits * step) / 2048
    assert ((make_row_quantizer(bits)(x) - x).abs() <= step / 2 + rounding).all()


def test_a_row_keeps_its_ends_in_literal_numbers() -> None:
    # 2 bits from -1 to 2: steps of 1.
    x = torch.tensor([[-1.0, 2.0, 0.4, 0.6], [3.0, 3.0, 3.0, 3.0]], requires_grad=True)
    out = make_row_quantizer(2)(x)
    assert out.tolist() == [[-1, 2, 0, 1], [3, 3, 3, 3]]
    out.mul(torch.arange(8.0).view(2, 4)).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_one_bit_a_row_is_the_sign_times_the_mean_magnitude() -> None:
    assert make_row_quantizer(1)(torch.tensor([[1.0, -3.0]])).tolist() == [[2, -2]]


def test_dorefa_in_literal_numbers() -> None:
    # 2 bits: -1, -1/3, 1/3, 1. Eq. 11 clips; Eq. 9 divides by the largest tanh.
    activations = DoReFa(Use(2, "activation"))
    x = torch.tensor([-7.0, -0.5, 0.1, 0.7, 2.0], requires_grad=True)
    out = activations(x)
    assert out.tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1, 1])
    out.sum().backward()
    assert x.grad is not None and x.grad.tolist() == pytest.approx([0, 1, 1, 1, 0])
    weights = DoReFa(Use(2, "weight"))(torch.tensor([0.1, -0.01, 0.08]))
    assert weights.tolist() == pytest.approx([1, -1 / 3, 1])


def test_dorefa_survives_weights_that_are_all_zero() -> None:
    assert DoReFa(Use(2, "weight"))(torch.zeros(3)).isfinite().all()


def test_full_precision_changes_nothing() -> None:
    x = torch.randn(5)
    assert torch.equal(make_quantizer(Use(32))(x), x)


def test_unknown_bits_and_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="no quantizer to 16 bits"):
        make_quantizer(Use(16))
    with pytest.raises(ValueError, match=r"no quantizer 'lsp'; there are \['dorefa', 'lsq'\]"):
        make_quantizer(Use(4), "lsp")


def test_the_option_names_every_quantizer() -> None:
    assert sorted(get_args(get_type_hints(ModelConfig)["quantizer"])) == KINDS

import pytest

pytest.importorskip("torch")

import torch

from recsys_bnn.model.quantizers import Use
from recsys_bnn.model.quantizers.lsq import LSQ, lsq


def test_values_and_gradients_in_literal_numbers() -> None:
    # 3 bits, step 0.5: multiples from -4 to 3. Eq. 3: -4 and 3 outside, round(v / s) - v / s inside.
    x = torch.tensor([-2.6, -0.6, 0.1, 0.3, 1.5, 9.0], requires_grad=True)
    step = torch.tensor(0.5, requires_grad=True)
    out = lsq(x, step, 3)
    assert out.tolist() == [-2, -0.5, 0, 0.5, 1.5, 1.5]
    weights = torch.tensor([1.0, 10.0, 100.0, 1000.0, 1e4, 1e5])
    (out * weights).sum().backward()
    per_value = torch.tensor([-4, -1 + 1.2, 0 - 0.2, 1 - 0.6, 3, 3])
    assert step.grad is not None and x.grad is not None
    assert step.grad.item() == pytest.approx((weights * per_value).sum().item())
    # Eq. 5: the indicator of -4 < v / s < 3, the ends left out.
    assert x.grad.tolist() == [0, 10, 100, 1000, 0, 0]


def test_two_bits_have_no_zero() -> None:
    # Step 2: -3, -1, 1, 3. The outer values reach half a step further, to 4 in size, and Eq. 3 is -1.5 or 1.5 there.
    x = torch.tensor([-4.1, -3.9, -1.9, -0.1, 0.1, 1.9, 2.1, 9.0], requires_grad=True)
    step = torch.tensor(2.0, requires_grad=True)
    out = lsq(x, step, 2)
    assert out.tolist() == [-3, -3, -1, -1, 1, 1, 3, 3]
    weights = 10.0 ** torch.arange(-3, 5)
    (out * weights).sum().backward()
    inside = [-1.5 + 1.95, -0.5 + 0.95, -0.5 + 0.05, 0.5 - 0.05, 0.5 - 0.95, 1.5 - 1.05]
    assert step.grad is not None and x.grad is not None
    assert step.grad.item() == pytest.approx((weights * torch.tensor([-1.5, *inside, 1.5])).sum().item())
    assert (x.grad != 0).tolist() == [False] + 6 * [True] + [False]


def test_each_scale_gets_the_gradient_of_its_values() -> None:
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([[0.1], [0.3], [0.9]], requires_grad=True)
    lsq(x, steps, 4).pow(2).sum().backward()
    for field, value in enumerate([0.1, 0.3, 0.9]):
        step = torch.tensor(value, requires_grad=True)
        lsq(x[:, field], step, 4).pow(2).sum().backward()
        assert steps.grad is not None and step.grad is not None
        assert steps.grad[field].item() == pytest.approx(step.grad.item(), rel=1e-5)


def test_the_gradient_of_a_step_is_scaled() -> None:
    # Sec. 2.2: 1 / sqrt(N Qp), here N = 9 values and Qp = 7 in 4 bits; d exp(z) / dz adds the step itself.
    x = torch.linspace(-1, 1, 9)
    plain = torch.tensor(0.1, requires_grad=True)
    lsq(x, plain, 4).sum().backward()
    quantizer = LSQ(Use(4, shared=9))
    with torch.no_grad():
        quantizer.log_scale.copy_(torch.tensor(0.1).log())
    quantizer(x).sum().backward()
    assert plain.grad is not None and quantizer.log_scale.grad is not None
    assert quantizer.log_scale.grad.item() == pytest.approx(plain.grad.item() * 0.1 / (9 * 7) ** 0.5)


def test_an_index_chooses_the_step_of_each_vector() -> None:
    quantizer = LSQ(Use(4, scale_shape=(3,)))
    with torch.no_grad():
        quantizer.log_scale.copy_(torch.tensor([1.0, 2.0, 4.0]).log())
    x = torch.tensor([[[0.9, 3.0], [0.9, 3.0]]])
    out = quantizer(x, torch.tensor([[2, 0]]))
    assert out.tolist() == [[[0.0, pytest.approx(4)], [1.0, 3.0]]]
    out.sum().backward()
    assert quantizer.log_scale.grad is not None
    assert (quantizer.log_scale.grad != 0).tolist() == [True, False, True]


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_calibration_is_near_the_best_of_all_steps(bits: int) -> None:
    # A search a hundred times as fine, with a heavy tail that a range from minimum to maximum would waste bits on.
    x = torch.randn(4000, generator=torch.Generator().manual_seed(0)).pow(3)
    quantizer = LSQ(Use(bits))
    quantizer.calibrate(x)

    def error(step: float) -> float:
        return (lsq(x, torch.tensor(step), bits) - x).square().sum().item()

    finest = min(error(x.abs().max().item() * 1.01**-power) for power in range(800))
    assert error(quantizer.scale().item()) < 1.1 * finest


def test_calibration_by_index_is_that_of_each_part() -> None:
    x = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 50.0]).view(
        1, 2, 1
    )
    index = torch.tensor([[0, 2]]).expand(6, 2)
    together = LSQ(Use(4, scale_shape=(3,)))
    together.calibrate(x, index)
    for column, scale in ((0, 0), (1, 2)):
        alone = LSQ(Use(4))
        alone.calibrate(x[:, column])
        assert together.log_scale[scale].item() == pytest.approx(alone.log_scale.item(), abs=1e-5)
    assert together.log_scale[1] == 0  # no value chose it: it stays


def test_values_that_are_all_zero_leave_the_step() -> None:
    quantizer = LSQ(Use(4))
    quantizer.calibrate(torch.zeros(5))
    assert quantizer.scale() == 1

import math

import pytest

pytest.importorskip("torch")

import torch

from recsys_bnn.training.optimizers import RowAdam, RowwiseAdagrad, summed_by_row
from recsys_bnn.training.row_kernels import sum_by_row


def table(rows: list[list[float]]) -> torch.nn.Embedding:
    return torch.nn.Embedding.from_pretrained(torch.tensor(rows), freeze=False, sparse=True)


def test_two_steps_equal_the_formula() -> None:
    weights = table([[1.0, 2.0], [3.0, 4.0]])
    optimizer = RowwiseAdagrad(weights.parameters(), lr=0.1, eps=0.0)
    expected, accumulated = [1.0, 2.0], 0.0
    for gradient in ([3.0, 4.0], [0.0, 2.0]):
        optimizer.zero_grad()
        (weights(torch.tensor([0])) * torch.tensor(gradient)).sum().backward()
        optimizer.step()
        accumulated += sum(g * g for g in gradient) / 2
        expected = [w - 0.1 * g / math.sqrt(accumulated) for w, g in zip(expected, gradient, strict=True)]
    torch.testing.assert_close(weights.weight[0], torch.tensor(expected))
    assert weights.weight[1].tolist() == [3.0, 4.0]


def test_a_row_named_twice_gets_the_sum_of_its_gradients() -> None:
    twice, once = table([[1.0, 1.0]]), table([[1.0, 1.0]])
    for weights, ids, factor in ((twice, [0, 0], 1.0), (once, [0], 2.0)):
        optimizer = RowwiseAdagrad(weights.parameters(), lr=0.1)
        (factor * weights(torch.tensor(ids)) * torch.tensor([1.0, 3.0])).sum().backward()
        optimizer.step()
    assert torch.equal(twice.weight, once.weight)


def test_rows_without_a_gradient_are_not_read() -> None:
    weights = table([[1.0], [math.nan]])
    optimizer = RowwiseAdagrad(weights.parameters())
    weights(torch.tensor([0])).sum().backward()
    optimizer.step()
    assert weights.weight[0].isfinite().all()


def test_the_state_is_one_number_a_row() -> None:
    weights = table([[1.0] * 16] * 5)
    optimizer = RowwiseAdagrad(weights.parameters())
    weights(torch.tensor([0])).sum().backward()
    optimizer.step()
    assert [tensor.numel() for tensor in optimizer.state[weights.weight].values()] == [5]


def test_a_step_without_gradients_changes_nothing() -> None:
    weights = table([[1.0]])
    RowwiseAdagrad(weights.parameters()).step()
    assert weights.weight.item() == 1.0


def test_sums_by_row_are_those_of_coalesce() -> None:
    generator = torch.Generator().manual_seed(0)
    ids, values = torch.randint(0, 9, (50,), generator=generator), torch.randn(50, 3, generator=generator)
    gradient = torch.sparse_coo_tensor(ids[None], values, (12, 3), check_invariants=True)
    rows, sums = summed_by_row(gradient)
    expected = gradient.coalesce()
    assert torch.equal(rows, expected.indices()[0])
    torch.testing.assert_close(sums, expected.values())
    assert torch.equal(summed_by_row(expected)[1], expected.values())
    ours, ours_sums = (torch.from_numpy(array) for array in sum_by_row(ids.numpy(), values.numpy()))
    order = ours.argsort()
    assert torch.equal(ours[order], rows)
    torch.testing.assert_close(ours_sums[order], sums)


@pytest.mark.parametrize("optimizer", [RowwiseAdagrad, RowAdam])
def test_the_kernels_do_what_pytorch_does_to_double_tables(optimizer) -> None:
    # A double table takes PyTorch's operations, a float one the compiled kernels.
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(200, 5, generator=generator)
    ids = torch.randint(0, 150, (6, 300), generator=generator)
    factors = torch.randn(6, 300, 5, generator=generator)
    ended = []
    for dtype in (torch.float32, torch.float64):
        weights = torch.nn.Embedding.from_pretrained(start.to(dtype, copy=True), freeze=False, sparse=True)
        steps = optimizer(weights.parameters(), lr=0.1)
        for i, factor in zip(ids, factors.to(dtype), strict=True):
            steps.zero_grad()
            (weights(i) * factor).sum().backward()
            steps.step()
        state = {name: value for name, value in steps.state[weights.weight].items() if name != "step"}
        ended.append({"table": weights.weight.detach()} | state)
    assert ended[0].keys() == ended[1].keys()
    for name, value in ended[0].items():
        torch.testing.assert_close(value, ended[1][name].float(), rtol=1e-4, atol=1e-5)
    assert torch.equal(ended[0]["table"][150:], start[150:])

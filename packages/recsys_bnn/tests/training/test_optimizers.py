import math

import pytest

pytest.importorskip("torch")

import torch

from recsys_bnn.training.optimizers import RowwiseAdagrad, summed_by_row


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

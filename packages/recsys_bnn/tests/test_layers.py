import math

import pytest
import torch

from recsys_bnn.layers import QuantEmbedding, QuantLinear, SeededDropout
from seminar_common.seeds import torch_generator


def embedding(bits: int = 32, init: float = 0.0) -> QuantEmbedding:
    table = QuantEmbedding([3, 1, 4], dim=2, bits=bits, init=init)
    table.reset_parameters(torch_generator(0))
    return table


def test_each_field_reads_its_own_rows() -> None:
    table = embedding()
    out = table(torch.tensor([[2, 0, 3], [0, 0, 0]]))
    assert torch.equal(out, table.weight[torch.tensor([[2, 3, 7], [0, 3, 4]])])


def test_an_id_beyond_the_table_reads_the_out_of_vocabulary_row() -> None:
    table = embedding()
    assert torch.equal(table(torch.tensor([[3, 1, 99]])), table(torch.tensor([[0, 0, 0]])))


def test_a_binary_embedding_is_binarized_after_the_lookup() -> None:
    table = embedding(bits=1)
    out = table(torch.tensor([[1, 0, 2]]))
    assert torch.equal(out, torch.where(table.weight[torch.tensor([[1, 3, 6]])] >= 0, 1.0, -1.0))


@pytest.mark.parametrize("bits", [32, 1])
def test_a_step_never_touches_a_row_that_is_not_in_the_batch(bits: int) -> None:
    table = embedding(bits)
    ids = torch.tensor([[1, 0, 2], [1, 0, 0]])
    used = [1, 3, 4, 6]
    with torch.no_grad():  # a NaN that is read anywhere would spread
        table.weight[[row for row in range(8) if row not in used]] = math.nan
    out = table(ids)
    out.pow(2).sum().backward() if bits == 32 else out.sum().backward()
    assert out.isfinite().all()
    gradient = table.weight.grad
    assert gradient is not None and gradient.is_sparse
    assert gradient.coalesce().indices().flatten().tolist() == used


def test_rows_are_drawn_from_the_bound_of_their_field() -> None:
    table = QuantEmbedding([4, 400], dim=16)
    table.reset_parameters(torch_generator(1))
    small, large = table.weight[:4].abs().max().item(), table.weight[4:].abs().max().item()
    assert 0.4 < small <= 0.5  # sqrt(1 / 4)
    assert 0.04 < large <= 0.05  # sqrt(1 / 400)


def test_rows_are_drawn_with_the_given_deviation() -> None:
    assert QuantEmbedding([1000], 16, init=0.01).init == 0.01
    table = QuantEmbedding([1000], 16, init=0.01)
    table.reset_parameters(torch_generator(1))
    assert table.weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_a_binary_layer_equals_a_loop_over_signs() -> None:
    layer = QuantLinear(5, 3, weight_bits=1, activation_bits=1)
    layer.reset_parameters(torch_generator(0))
    x = torch.randn(4, 5, generator=torch_generator(1))
    expected = [
        [
            sum((1 if v >= 0 else -1) * (1 if w >= 0 else -1) for v, w in zip(row, unit, strict=True))
            for unit in layer.weight
        ]
        for row in x
    ]
    assert layer(x).tolist() == expected
    assert layer.bias is None


def test_a_full_precision_layer_is_a_linear_layer() -> None:
    layer = QuantLinear(5, 3)
    layer.reset_parameters(torch_generator(0))
    x = torch.randn(4, 5, generator=torch_generator(1))
    assert torch.allclose(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


def test_dropout_keeps_the_mean_and_follows_its_generator() -> None:
    dropout = SeededDropout(0.25)
    x = torch.ones(200, 200)
    dropout.generator = torch_generator(0)
    first = dropout(x)
    dropout.generator = torch_generator(0)
    assert torch.equal(first, dropout(x))
    assert first.unique().tolist() == pytest.approx([0, 4 / 3])
    assert first.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(dropout.eval()(x), x)

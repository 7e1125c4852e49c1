import itertools
import math

import pytest

pytest.importorskip("torch")

import torch

from recsys_bnn.model import layers
from recsys_bnn.model.layers import GROUPS, QuantEmbedding, QuantLinear, SeededDropout, capped, pair_products
from seminar_common.seeds import torch_generator


def embedding(bits: int = 32, **options) -> QuantEmbedding:
    table = QuantEmbedding([3, 1, 4], dim=2, bits=bits, **options)
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


QUANTIZED = [
    dict(bits=bits, quantizer=quantizer, scale=scale)
    for bits in (32, 8, 4, 2, 1)
    for quantizer in ("lsq", "dorefa")
    for scale in ("auto", "field", "group", "row")
]


@pytest.mark.parametrize("options", QUANTIZED, ids=str)
def test_a_step_never_touches_a_row_that_is_not_in_the_batch(options: dict) -> None:
    table = embedding(**options)
    ids = torch.tensor([[1, 0, 2], [1, 0, 0]])
    used = [1, 3, 4, 6]
    with torch.no_grad():  # a NaN that is read anywhere would spread
        table.weight[[row for row in range(8) if row not in used]] = math.nan
    out = table(ids)
    out.sum().backward()
    assert out.isfinite().all()
    gradient = table.weight.grad
    assert gradient is not None and gradient.is_sparse
    assert gradient.coalesce().indices().flatten().tolist() == used


@pytest.mark.parametrize("options", QUANTIZED, ids=str)
def test_a_row_is_the_same_in_every_batch(options: dict) -> None:
    # Nothing of the quantizer depends on the other rows of a batch, so a table can be packed once for all.
    table = embedding(**options)
    together = table(torch.tensor([[0, 0, 0], [1, 0, 1], [2, 0, 2], [0, 0, 3]]))
    for number, ids in enumerate([[0, 0, 0], [1, 0, 1], [2, 0, 2], [0, 0, 3]]):
        assert torch.equal(table(torch.tensor([ids]))[0], together[number])


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize("scale", ["field", "group"])
def test_each_scale_has_no_more_values_than_the_bits_allow(bits: int, scale: str) -> None:
    rows = [400, 7, 1]
    table = QuantEmbedding(rows, dim=16, bits=bits, scale=scale)
    table.reset_parameters(torch_generator(0))
    out = table(torch.stack([torch.arange(400).clamp(max=r - 1) for r in rows], 1)).detach()
    for field, count in enumerate(rows):
        # Equal parts of the logarithm of the rank.
        parts = GROUPS if scale == "group" else 1
        borders = [0, *(math.ceil(count ** (part / parts)) for part in range(1, parts)), count]
        for start, end in itertools.pairwise(borders):
            assert len(out[start:end, field].unique()) <= 2**bits


def test_groups_of_frequent_and_rare_values_have_scales_of_their_own() -> None:
    table = QuantEmbedding([2**GROUPS], dim=16, bits=4, scale="group")
    table.reset_parameters(torch_generator(0))
    with torch.no_grad():
        table.weight[: 2**5] *= 100
        table.weight[2**10 :] /= 100
    table.reset_scales()
    scales = table.quantize.scale().tolist()
    assert scales[4] / scales[5] == pytest.approx(100, rel=0.3)
    assert scales[9] / scales[10] == pytest.approx(100, rel=0.3)
    ids = torch.arange(2**GROUPS).unsqueeze(1)
    for part in (slice(0, 2**5), slice(2**5, 2**10), slice(2**10, 2**GROUPS)):
        rows = table.weight[part]
        assert ((table(ids[part])[:, 0] - rows).norm() / rows.norm()).item() < 0.15


@pytest.mark.parametrize("scale", ["field", "group", "row"])
def test_an_8_bit_embedding_is_close_to_a_float_one(scale: str) -> None:
    table = QuantEmbedding([1, 30, 5000], dim=16, bits=8, scale=scale)
    table.reset_parameters(torch_generator(0))
    ids = torch.tensor([[0, i % 30, i] for i in range(5000)])
    rows = torch.nn.functional.embedding(ids + table.offsets, table.weight)
    assert ((table(ids) - rows).norm(dim=(0, 2)) / rows.norm(dim=(0, 2))).max().item() < 0.01


def test_binary_rows_have_no_scale_unless_asked() -> None:
    assert embedding(bits=1)(torch.tensor([[0, 0, 0]])).abs().unique().tolist() == [1]
    assert not list(embedding(bits=1).quantize.parameters())
    fields = embedding(bits=1, scale="field")
    assert fields(torch.tensor([[0, 0, 0]])).abs()[0, :, 0].tolist() == pytest.approx(
        fields.quantize.log_scale.exp().flatten().tolist()
    )


def test_rows_are_drawn_from_the_bound_of_their_field() -> None:
    table = QuantEmbedding([4, 400], dim=16)
    table.reset_parameters(torch_generator(1))
    small, large = table.weight[:4].abs().max().item(), table.weight[4:].abs().max().item()
    assert 0.4 < small <= 0.5  # sqrt(1 / 4)
    assert 0.04 < large <= 0.05  # sqrt(1 / 400)


@pytest.mark.parametrize("init", [0.0, 0.1])
def test_rows_drawn_in_parts_are_those_drawn_at_once(init: float, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for size in (layers._PART_ROWS, 16):
        monkeypatch.setattr(layers, "_PART_ROWS", size)
        tables.append(QuantEmbedding([70, 26], 4, init=init))
        tables[-1].reset_parameters(torch_generator(1))
    assert torch.equal(tables[0].weight, tables[1].weight)


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


@pytest.mark.parametrize(("bits", "bound"), [(8, 0.025), (4, 0.25)])
def test_a_layer_of_few_bits_is_close_to_a_float_one(bits: int, bound: float) -> None:
    # Inputs have variance 1 here, as behind the batch norm of a DLRM; K = 70 is no multiple of 64.
    layer = QuantLinear(70, 30, bits, bits)
    layer.reset_parameters(torch_generator(0))
    x = torch.randn(500, 70, generator=torch_generator(1))
    exact = x @ layer.weight.T
    assert ((layer(x) - exact).norm() / exact.norm()).item() < bound


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_each_output_has_a_step_of_its_own(bits: int) -> None:
    layer = QuantLinear(300, 3, bits)
    layer.reset_parameters(torch_generator(0))
    with torch.no_grad():
        layer.weight *= torch.tensor([[1.0], [10.0], [100.0]])
    layer.quantize_weight.calibrate(layer.weight.detach())
    first, second, third = layer.quantize_weight.log_scale.exp().flatten().tolist()
    assert 5 < second / first < 20 and 5 < third / second < 20
    assert all(len(row.unique()) <= 2**bits for row in layer.quantize_weight(layer.weight))


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


def test_pair_products_equal_autograds_with_their_gradient() -> None:
    generator = torch_generator(3)
    vectors = torch.randn(5, 4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    rows, columns = torch.tril_indices(4, 4, offset=-1)
    assert torch.autograd.gradcheck(lambda v: pair_products(v, rows * 4 + columns), vectors)
    expected = torch.stack([(vectors[:, i] * vectors[:, j]).sum(1) for i in range(4) for j in range(i)], 1)
    assert torch.allclose(pair_products(vectors, rows * 4 + columns), expected)


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, [10, 4, 100]), (0.5, [10, 4, 43]), (0.1, [3, 3, 3]), (0.0, [0, 0, 0])]
)
def test_a_cap_cuts_the_largest_fields_first(share: float, expected: list[int]) -> None:
    assert capped([10, 4, 100], share) == expected


def test_hashed_fields_share_rows_and_small_ones_keep_theirs() -> None:
    table = QuantEmbedding([80, 2], dim=2, hashed_share=0.6)
    table.reset_parameters(torch_generator(0))
    assert table.rows.tolist() == [47, 2] and len(table.weight) == 49
    out = table(torch.tensor([[1, 1], [48, 1], [49, 0]]))
    assert torch.equal(out[0], out[1])  # ids 1 and 48 share a row; 49 has another
    assert not torch.equal(out[0, 0], out[2, 0])


@pytest.mark.parametrize(
    ("rows", "kept"), [([113, 17, 9, 9, 4], [41, 17, 9, 9, 4]), ([16_000] * 5, [2000] * 5), ([3, 2], [3, 2])]
)
def test_short_tables_are_not_hashed_to_rows_that_tell_nothing_apart(
    rows: list[int], kept: list[int]
) -> None:
    assert QuantEmbedding(rows, dim=2, hashed_share=1 / 8).rows.tolist() == kept


def test_frequent_values_have_more_bits() -> None:
    table = QuantEmbedding([50, 3], dim=4, bits=1, hot_bits=8, hot_share=0.2)
    table.reset_parameters(torch_generator(0))
    assert table.hot_rows.tolist() == [7, 3] and table.hot_count == 10
    out = table(torch.tensor([[6, 2], [7, 2]]))
    assert (out[0] - table.weight[[6, 52]]).abs().max() < 0.02 * table.weight.abs().max()
    assert set(out[1, 0].abs().tolist()) == {1.0}


def test_several_signs_tell_one_input() -> None:
    layer = QuantLinear(5, 3, 1, 1, thresholds=3)
    layer.reset_parameters(torch_generator(0))
    assert layer.weight.shape == (3, 15) and layer.in_features == 15
    x = torch.tensor([[-1.0, -0.1, 0.0, 0.1, 1.0]])
    signs = layer.quantize_input(x).view(3, 5)  # thresholds start at -0.67, 0 and 0.67
    assert signs.tolist() == [[-1, 1, 1, 1, 1], [-1, -1, 1, 1, 1], [-1, -1, -1, -1, 1]]
    layer(x).sum().backward()
    assert layer.quantize_input.thresholds.grad.abs().sum() > 0

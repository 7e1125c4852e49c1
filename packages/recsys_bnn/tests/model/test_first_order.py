import pytest

torch = pytest.importorskip("torch")

from recsys_bnn.model.dlrm import DLRM  # noqa: E402
from recsys_bnn.model.first_order import LEAST_ROWS, FirstOrder  # noqa: E402
from recsys_bnn.model.post_training import quantize_after_training  # noqa: E402
from recsys_bnn.settings.training import ModelConfig  # noqa: E402
from seminar_common.errors import UserError  # noqa: E402

IDS = torch.tensor([[0, 1], [2, 4], [7, 3]], dtype=torch.int32)


def filled(cardinalities: list[int], integers: int) -> FirstOrder:
    module = FirstOrder(cardinalities, integers)
    generator = torch.Generator().manual_seed(0)
    for weight in module.parameters():
        torch.nn.init.normal_(weight, generator=generator)
    return module


def test_it_adds_a_weight_for_each_value_and_a_slope_for_each_integer() -> None:
    module, integers = filled([3, 5], 2), torch.tensor([[1.0, 2], [0, -1], [3, 0]])
    first, second = module.weight.split([3, 5])
    # Id 7 is none of the first field's three values: it adds nothing.
    values = first[[0, 2, 0]] * torch.tensor([1, 1, 0]) + second[[1, 4, 3]]
    torch.testing.assert_close(module(integers, IDS), values + integers @ module.integer_weight)


def test_only_frequent_values_of_long_fields_have_a_weight() -> None:
    module = filled([10, 2 * LEAST_ROWS], 0)
    assert module.rows.tolist() == [10, LEAST_ROWS - 10] and module.integer_weight is None
    last = LEAST_ROWS - 11
    added = module(torch.empty(2, 0), torch.tensor([[0, last], [0, last + 1]]))
    torch.testing.assert_close(added, module.weight[0] + torch.stack([module.weight[-1], torch.tensor(0.0)]))


def test_rounding_keeps_what_the_codes_say_and_a_second_one_changes_nothing() -> None:
    module = filled([3, 5], 0)
    before = module.weight.detach().clone()
    module.round_to_codes()
    step = module.scales().repeat_interleave(module.rows)
    assert ((module.weight - before).abs() <= step / 2 + 1e-7).all()
    assert module.codes().dtype == torch.int8 and module.codes().abs().max() == 127
    once = module.weight.detach().clone()
    module.round_to_codes()
    torch.testing.assert_close(module.weight, once, rtol=1e-6, atol=0)


def test_a_field_without_a_weight_above_zero_has_codes_of_zero() -> None:
    assert FirstOrder([3, 5], 0).codes().tolist() == [0] * 8


def test_a_new_model_begins_as_the_one_without_it() -> None:
    batch = torch.randn(3, 2), IDS
    logits = []
    for first_order in (False, True):
        model = DLRM(ModelConfig(bottom_mlp=(4,), top_mlp=(4,), first_order=first_order), 2, [3, 5])
        model.reset_parameters(torch.Generator().manual_seed(1))
        logits.append(model.eval()(*batch))
    assert torch.equal(*logits)


def test_its_weights_are_counted_with_8_bits() -> None:
    plain, wide = (
        DLRM(ModelConfig(bottom_mlp=(4,), top_mlp=(4,), first_order=first_order), 2, [3, 5])
        for first_order in (False, True)
    )
    bits = [sum(size.values * size.bits for size in model.tensor_sizes()) for model in (plain, wide)]
    assert bits[1] - bits[0] == 8 * 8 + 2 * 32 + 2 * 32  # values, a scale a field, integers


def test_other_bits_keep_the_weights_and_a_model_without_them_gets_none() -> None:
    from recsys_bnn.data.dataset import Batch

    config = ModelConfig(bottom_mlp=(4,), top_mlp=(4,), first_order=True)
    model = DLRM(config, 2, [3, 5])
    model.reset_parameters(torch.Generator().manual_seed(1))
    weight = model.get_parameter("first_order.weight")
    torch.nn.init.normal_(weight)
    rows = Batch(torch.ones(3), torch.randn(3, 2), IDS)
    four = ModelConfig(bottom_mlp=(4,), top_mlp=(4,), first_order=True, embedding_bits=4, mlp_bits=4)
    quantized = quantize_after_training(model, four, rows)
    assert torch.equal(quantized.get_parameter("first_order.weight"), weight)
    without = ModelConfig(bottom_mlp=(4,), top_mlp=(4,), embedding_bits=4, mlp_bits=4)
    with pytest.raises(UserError, match="--first-order is False, but True in the trained model"):
        quantize_after_training(model, without, rows)


def test_a_value_without_a_row_in_the_tables_may_have_a_weight() -> None:
    config = ModelConfig(bottom_mlp=(4,), top_mlp=(4,), first_order=True)
    model = DLRM(config, 2, [3, 5], [30, 5])
    model.reset_parameters(torch.Generator().manual_seed(1))
    rare, unknown = (torch.tensor([[row, 1]]) for row in (29, 0))
    assert torch.equal(*(model.eval()(torch.zeros(1, 2), ids) for ids in (rare, unknown)))
    with torch.no_grad():
        model.get_parameter("first_order.weight")[29] = 0.5
    logits = [model(torch.zeros(1, 2), ids) for ids in (rare, unknown)]
    torch.testing.assert_close(logits[0] - logits[1], torch.tensor([0.5]))

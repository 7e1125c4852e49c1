"""Packed models against the PyTorch models that they come from."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.quantizers import QUANTIZERS, Quantizer
from recsys_bnn.packing.model import to_spec
from recsys_bnn.packing.norms import turning_points
from recsys_bnn.runtime.numpy_engine import NumpyEngine
from recsys_bnn.settings.training import ModelConfig, TrainSettings
from recsys_bnn.study_models.variants import ABLATIONS, VARIANTS
from seminar_common.errors import UserError

SIZES = dict(embedding_dim=5, bottom_mlp=(7,), top_mlp=(9, 16))
CARDINALITIES = [3, 40, 170, 5]


def study_models() -> dict[str, ModelConfig]:
    small = TrainSettings(init=Path("float"), model=ModelConfig(**SIZES))
    models = {name: variant.change(small).model for name, variant in (VARIANTS | ABLATIONS).items()}
    return {
        name: model for model, name in {model: name for name, model in models.items()}.items()
    }  # each once


OPTIONS = {
    **study_models(),
    **{
        f"tables of {bits} bits, {quantizer}, {scale}": ModelConfig(
            **SIZES, embedding_bits=bits, quantizer=quantizer, embedding_scale=scale
        )
        for bits, quantizer, scale in product(
            (8, 4, 2, 1), ("lsq", "dorefa"), ("auto", "field", "group", "row")
        )
        if quantizer == "lsq" or scale in ("auto", "row") or bits == 1
    },
    **{
        f"weights of {weights} and inputs of {inputs} bits, {quantizer}": ModelConfig(
            **SIZES,
            quantizer=quantizer,
            layer_bits=(f"top.0={weights}/{inputs}", f"bottom.last={weights}/{inputs}"),
        )
        for weights, inputs in product((32, 8, 4, 2, 1), (32, 8, 4, 2, 1))
        for quantizer in ("lsq", "dorefa")
        if quantizer == "lsq" or weights == inputs or 32 in (weights, inputs)
    },
    **{
        f"{signs} signs, weights of {bits}": ModelConfig(
            **SIZES, mlp_bits=bits, activation_bits=1, bottom_mlp_bits=1, thresholds=signs
        )
        for signs, bits in product((1, 2, 3), (32, 8, 1))
    },
    **{
        f"hot rows of {hot} bits, {quantizer}, {scale}": ModelConfig(
            **SIZES,
            embedding_bits=bits,
            hot_bits=hot,
            hot_share=0.3,
            quantizer=quantizer,
            embedding_scale=scale,
        )
        for hot, quantizer, (bits, scale) in product(
            (32, 8, 4, 2), ("lsq", "dorefa"), ((1, "group"), (4, "row"))
        )
    },
    "hot and hashed": ModelConfig(**SIZES, embedding_bits=1, hot_bits=8, hot_share=0.3, hashed_share=0.4),
    "all rows hot": ModelConfig(**SIZES, embedding_bits=1, hot_bits=8, hot_share=1.0),
    "flags": ModelConfig(**SIZES, missing_flags=True, dropout=0.5),
    "first order, flags": ModelConfig(**SIZES, missing_flags=True, first_order=True),
    "bottom of 8 bits, flags": ModelConfig(**SIZES, missing_flags=True, bottom_mlp_bits=8, mlp_bits=8),
    "one layer": ModelConfig(embedding_dim=1, bottom_mlp=(4,), top_mlp=(), mlp_bits=4),
}


def trained(config: ModelConfig, integers: int = 3, values: list[int] | None = None) -> DLRM:
    """Return a model with random weights whose batch norms have seen rows; some of their slopes are turned or 0."""
    generator = torch.Generator().manual_seed(0)
    model = DLRM(config, integers, CARDINALITIES, values)
    model.reset_parameters(generator, 0.3)
    with torch.no_grad():
        model.embedding.weight.normal_(0, 0.3, generator=generator)
        model.embedding.reset_scales()
        for weight in () if model.first_order is None else model.first_order.parameters():
            weight.normal_(0, 0.3, generator=generator)
        model.train()(*rows(200, integers, seed=1))
        for module in model.eval().modules():
            if isinstance(module, nn.BatchNorm1d):
                disturb(module, generator)
            if isinstance(module, nn.PReLU):
                module.weight.fill_(-0.2)
        if model.first_order is not None:
            model.first_order.round_to_codes()
        spread(model, model(*rows(200, integers, seed=1)))
    return model


def spread(model: DLRM, logits: torch.Tensor) -> None:
    """Give the logits mean 0 and deviation 1, so that a difference shows in the probabilities."""
    norm = model.top[-1]
    norm.weight.div_(logits.std())
    norm.bias.sub_(logits.mean()).div_(logits.std())


def disturb(norm: nn.BatchNorm1d, generator: torch.Generator) -> None:
    size = norm.num_features
    norm.running_var.mul_(torch.rand(size, generator=generator) + 0.5)
    norm.bias.normal_(0, 0.3, generator=generator)
    norm.weight.normal_(1, 0.5, generator=generator)
    norm.weight[torch.rand(size, generator=generator) < 0.2] *= -1
    if size > 1:
        norm.weight[torch.rand(size, generator=generator) < 0.1] = 0


def rows(count: int, integers: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(count, integers, generator=generator)
    numbers[torch.rand(count, integers, generator=generator) < 0.2] = torch.nan
    ids = [torch.randint(0, size + 2, (count,), generator=generator) for size in CARDINALITIES]
    return numbers, torch.stack(ids, 1).int()


@torch.no_grad()
def probabilities(model: DLRM, integers: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the packed model and of PyTorch."""
    numbers, ids = rows(1000, integers, seed=2)
    expected = torch.sigmoid(model(numbers, ids).double()).numpy()
    logits = NumpyEngine(to_spec(model)).logits(numbers.numpy(), ids.numpy())
    return 1 / (1 + np.exp(-logits.astype(np.float64))), expected


@pytest.mark.parametrize("name", OPTIONS)
def test_packed_scores_are_those_of_pytorch(name: str) -> None:
    if OPTIONS[name].engine == "bitorch":
        pytest.importorskip("bitorch")
    packed, expected = probabilities(trained(OPTIONS[name]))
    assert np.std(expected) > 0.01
    beyond = np.abs(packed - expected) > 1e-5
    assert beyond.sum() <= 2, np.abs(packed - expected).max()  # a value at an edge may round either way


@pytest.mark.parametrize("bits", [32, 1])
def test_a_model_without_integers(bits: int) -> None:
    packed, expected = probabilities(
        trained(ModelConfig(**SIZES, mlp_bits=bits, missing_flags=True, first_order=True), 0), 0
    )
    np.testing.assert_allclose(packed, expected, atol=1e-5)


def test_values_without_a_table_row_keep_their_first_order_weight() -> None:
    more = [count + 1 for count in CARDINALITIES]  # the rows hold one id more than that
    packed, expected = probabilities(trained(ModelConfig(**SIZES, first_order=True), values=more))
    np.testing.assert_allclose(packed, expected, atol=1e-5)


def test_every_quantizer_in_the_registry_is_packed() -> None:
    assert {quantizer for quantizer in QUANTIZERS if f"tables of 4 bits, {quantizer}, auto" in OPTIONS} == {
        *QUANTIZERS
    }


def test_a_quantizer_that_packing_does_not_know_is_one_line() -> None:
    class Ternary(Quantizer):
        pass

    model = trained(ModelConfig(**SIZES, mlp_bits=8))
    model.top[1].quantize_weight = Ternary(model.top[1].quantize_weight.use)
    with pytest.raises(UserError, match="Ternary: packing knows no codes"):
        to_spec(model)


def test_a_layer_that_packing_does_not_know_is_one_line() -> None:
    model = trained(ModelConfig(**SIZES))
    model.top[1] = nn.Identity()
    with pytest.raises(UserError, match="no layer of BatchNorm, Identity, BatchNorm"):
        to_spec(model)


def test_few_bits_take_few_bytes() -> None:
    spec = to_spec(trained(ModelConfig(embedding_dim=16, embedding_bits=1, mlp_bits=1, activation_bits=4)))
    assert spec.table.cold.data.shape == (sum(CARDINALITIES), 2)
    assert spec.top[1].weights.data.shape == (256, 512 // 8)


def test_a_weight_without_an_opposite_is_kept_exactly() -> None:
    """The least of LSQ's whole numbers has none, and a falling sign asks for it."""
    model = trained(ModelConfig(**SIZES, mlp_bits=8, activation_bits=1))
    with torch.no_grad():
        model.top[1].weight[:] = -10
    packed, expected = probabilities(model)
    np.testing.assert_allclose(packed, expected, atol=1e-5)
    assert to_spec(model).top[0].weights.bits == 32


def test_turning_points_are_exact() -> None:
    slopes = np.array([3, -3, 0, 0, 1e-30, 1], np.float32)
    shifts = np.array([1, 1, 1, -1, 0, 0], np.float32)
    with np.errstate(over="ignore"):
        points, falling = turning_points(lambda x: x * slopes + shifts >= 0, 6)
    assert falling.tolist() == [False, True, False, False, False, False]
    assert points[2] == -np.inf and points[3] == np.inf
    assert np.all((points == 0) | (np.abs(points) >= np.finfo(np.float32).smallest_normal))
    below = np.nextafter(points[:2], np.float32(-np.inf))
    assert (points[:2] * slopes[:2] + shifts[:2] >= 0).tolist() == [True, False]
    assert (below * slopes[:2] + shifts[:2] >= 0).tolist() == [False, True]

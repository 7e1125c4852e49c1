import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from recsys_bnn.data.dataset import Batch
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.layers import QuantEmbedding, QuantLinear, SeededDropout
from recsys_bnn.model.post_training import quantize_after_training
from recsys_bnn.settings.training import ModelConfig
from seminar_common.errors import UserError
from seminar_common.seeds import torch_generator

SIZES = dict(embedding_dim=8, bottom_mlp=(32,), top_mlp=(33, 16))
CARDINALITIES = [3, 1, 200]


def batch(rows: int, seed: int = 0) -> Batch:
    generator = torch_generator(seed)
    integers = torch.randn(rows, 5, generator=generator) * 3 + 1
    ids = torch.stack([torch.randint(0, c, (rows,), generator=generator) for c in CARDINALITIES], 1)
    labels = torch.sigmoid(integers[:, 0] + (ids[:, 2] % 7) - 4).bernoulli(generator=generator)
    return Batch(labels, integers, ids)


def logits(model: DLRM, rows: Batch) -> torch.Tensor:
    return model.eval()(rows.integers, rows.categoricals).detach()


@pytest.fixture(scope="module")
def trained() -> DLRM:
    """A float model that has learned something, with dropout and batch-norm statistics that are not those of a start."""
    model = DLRM(ModelConfig(**SIZES, dropout=0.1), 5, CARDINALITIES)
    model.reset_parameters(torch_generator(0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    dropouts = [module for module in model.modules() if isinstance(module, SeededDropout)]
    for step in range(60):
        rows = batch(256, step)
        for index, dropout in enumerate(dropouts):
            dropout.generator = torch_generator(step, "dropout", index)
        out = model.train()(rows.integers, rows.categoricals)
        nn.functional.binary_cross_entropy_with_logits(out, rows.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    # Without dropout the activations have other statistics; these are the ones to compare with.
    return quantize_after_training(model, model.config, batch(20_000, seed=99))


def relative_error(trained: DLRM, **bits) -> float:
    quantized = quantize_after_training(trained, ModelConfig(**SIZES, **bits), batch(4096, seed=100))
    rows = batch(1000, seed=101)
    exact = logits(trained, rows)
    return ((logits(quantized, rows) - exact).norm() / (exact - exact.mean()).norm()).item()


def test_the_error_grows_as_the_bits_fall(trained: DLRM) -> None:
    errors = [relative_error(trained, embedding_bits=b, mlp_bits=b, bottom_mlp_bits=b) for b in (32, 8, 4, 2)]
    assert errors == sorted(errors)
    assert errors[0] < 0.05  # only the batch norms' statistics are others: those of the given rows
    assert errors[1] < 0.08
    assert errors[2] < 0.4


@pytest.mark.parametrize("scale", ["field", "group", "row"])
def test_8_bit_tables_change_little(trained: DLRM, scale: str) -> None:
    assert relative_error(trained, embedding_bits=8, embedding_scale=scale) < 0.06


@pytest.mark.parametrize("options", [
    dict(embedding_bits=1, mlp_bits=1),
    dict(embedding_bits=1, mlp_bits=1, activation_bits=4, embedding_scale="group", layer_bits=("bottom.0=8",)),
    dict(embedding_bits=4, mlp_bits=4, embedding_scale="row"),
], ids=str)  # fmt: skip
def test_the_trained_weights_are_where_a_second_stage_starts(trained: DLRM, options: dict) -> None:
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    student = quantize_after_training(trained, ModelConfig(**SIZES, **options, dropout=0.5), batch(500))
    assert student.config.name != "float" and not student.training
    kinds = (QuantLinear, QuantEmbedding, nn.PReLU)
    ours, theirs = ([m for m in model.modules() if isinstance(m, kinds)] for model in (student, trained))
    assert len(ours) == len(theirs) == 1 + 5 + 4
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(ours, theirs, strict=True))
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.state_dict().items())
    rows = batch(64)
    student.train()(rows.integers, rows.categoricals).sum().backward()
    assert all(p.grad is not None for p in student.parameters())
    assert all(m.momentum == 0.1 for m in student.modules() if isinstance(m, nn.BatchNorm1d))


def test_the_batch_norms_see_what_the_quantized_layers_give(trained: DLRM) -> None:
    rows = batch(2000)
    student = quantize_after_training(trained, ModelConfig(**SIZES, embedding_bits=1, mlp_bits=1), rows)
    inputs = {}
    for name, module in student.named_modules():
        if isinstance(module, nn.BatchNorm1d):
            module.register_forward_pre_hook(lambda _, args, name=name: inputs.update({name: args[0]}))
    logits(student, rows)
    # A rounding error flips the sign of a value near zero, so a few of the 2,000 rows may differ behind a sign.
    for name, seen in inputs.items():
        norm = student.get_submodule(name)
        torch.testing.assert_close(norm.running_mean, seen.mean(0), rtol=0.02, atol=0.05)
        torch.testing.assert_close(norm.running_var, seen.var(0), rtol=0.02, atol=0.05)


def test_it_repeats(trained: DLRM) -> None:
    config = ModelConfig(**SIZES, embedding_bits=4, mlp_bits=4, embedding_scale="group")
    first, second = (quantize_after_training(trained, config, batch(500)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_quantized_model_can_be_narrowed_or_widened(trained: DLRM) -> None:
    narrow = quantize_after_training(trained, ModelConfig(**SIZES, embedding_bits=2, mlp_bits=2), batch(500))
    wide = quantize_after_training(narrow, ModelConfig(**SIZES), batch(4096, seed=100))
    rows = batch(1000, seed=101)
    # The weights behind the quantizer are still those of the float model; a bias in front of a batch norm has no effect.
    exact = logits(trained, rows)
    assert ((logits(wide, rows) - exact).norm() / (exact - exact.mean()).norm()).item() < 0.05


def test_other_sizes_are_refused(trained: DLRM) -> None:
    with pytest.raises(UserError, match=r"--top-mlp is \(33,\), but \(33, 16\) in the trained model"):
        quantize_after_training(trained, ModelConfig(**{**SIZES, "top_mlp": (33,)}), batch(10))


def test_several_signs_start_from_the_weights_of_their_input(trained: DLRM) -> None:
    config = ModelConfig(**SIZES, mlp_bits=1, thresholds=3)
    quantized = quantize_after_training(trained, config, batch(4096, seed=100))
    source, target = trained.top[1].weight, quantized.top[1].weight
    assert all(torch.equal(part, source) for part in target.split(source.shape[1], 1))

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

import recsys_bnn
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.settings.training import ModelConfig
from seminar_common.errors import UserError
from seminar_common.seeds import torch_generator

bitorch = pytest.importorskip("bitorch", reason="the extra recsys-bnn[bitorch] is not installed")
BINARY = dict(embedding_bits=1, mlp_bits=1, embedding_dim=8, bottom_mlp=(16,), top_mlp=(32, 16))


def model(cardinalities: list[int], engine: str = "bitorch", **options) -> DLRM:
    built = DLRM(ModelConfig(**{**BINARY, **options}, engine=engine), 5, cardinalities)  # ty: ignore
    built.reset_parameters(torch_generator(0))
    return built


@pytest.mark.parametrize("large", [False, True], ids=["within the threshold", "beyond it, too"])
def test_looking_up_before_quantizing_equals_the_whole_table_of_its_embedding_bag(large: bool) -> None:
    from bitorch.layers.qembedding import QEmbeddingBag

    ours = model([7, 3]).embedding
    with torch.no_grad():
        ours.weight.mul_(3 if large else 1)
    theirs = QEmbeddingBag(7, embedding_dim=8, mode="mean", weight_quantization="approxsign")
    theirs.weight.data = ours.weight.detach()[:7].clone()
    ids = torch.tensor([[4, 0], [4, 1], [0, 2], [6, 0]])
    out = ours(ids)[:, 0]
    reference = theirs(ids[:, 0], torch.arange(4))
    assert torch.equal(out, reference)
    gradient = torch.randn(4, 8, generator=torch_generator(1))
    out.backward(gradient)
    reference.backward(gradient)
    assert torch.allclose(ours.weight.grad.to_dense()[:7], theirs.weight.grad, atol=1e-6)


def test_its_linear_layer_equals_qlinear_forwards_and_backwards() -> None:
    from bitorch.layers import QLinear

    ours = model([7, 3]).top[1]
    theirs = QLinear(ours.in_features, ours.out_features, bias=False, weight_quantization="approxsign")
    theirs.weight.data = ours.weight.detach().clone()
    x = torch.randn(6, ours.in_features, generator=torch_generator(2)) * 2
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outs = [layer(each) for layer, each in zip((ours, theirs), inputs, strict=True)]
    assert torch.equal(*outs)
    for out in outs:
        out.square().sum().backward()
    assert torch.equal(inputs[0].grad, inputs[1].grad)
    assert torch.equal(ours.weight.grad, theirs.weight.grad)


def test_the_whole_model_equals_bitorchs_own_for_an_even_number_of_fields() -> None:
    from bitorch.models.dlrm import DLRM as BitorchDLRM

    cardinalities = [7, 3, 5, 4]
    ours = model(cardinalities)
    theirs = BitorchDLRM(5, cardinalities, [], [16], [32, 16, 1], embedding_dimension=8)
    for layer in theirs.embedding_layers:
        layer.embedding_weight_quantization = bitorch.quantizations.ApproxSign()
    offsets = ours.embedding.offsets.tolist()
    for layer, start, rows in zip(theirs.embedding_layers, offsets, cardinalities, strict=True):
        layer.weight.data = ours.embedding.weight.detach()[start : start + rows].clone()
    load(theirs.bottom_mlp, ours.bottom)
    load(theirs.top_mlp, ours.top)
    generator = torch_generator(3)
    integers = torch.randn(64, 5, generator=generator)
    ids = torch.stack([torch.randint(0, c, (64,), generator=generator) for c in cardinalities], 1)
    bags = (list(ids.T), [torch.arange(64)] * 4)
    # Its pairs go row by row below the diagonal, as ours.
    expected = theirs(integers, bags).flatten()
    assert torch.allclose(torch.sigmoid(ours(integers, ids)), expected, atol=1e-5)


def load(theirs: torch.nn.Sequential, ours: torch.nn.Sequential) -> None:
    for target, source in zip(theirs, ours, strict=False):
        values = {k: v for k, v in source.state_dict().items() if k in target.state_dict()}
        target.load_state_dict(values, strict=bool(values))


@pytest.mark.parametrize("cardinalities", [[5, 3, 1], [5, 3, 1, 2]], ids=["odd", "even"])
def test_any_number_of_fields_works_unlike_in_its_own_model(cardinalities: list[int]) -> None:
    ids = torch.zeros(4, len(cardinalities), dtype=torch.int64)
    assert model(cardinalities)(torch.randn(4, 5, generator=torch_generator(0)), ids).shape == (4,)


def test_sizes_and_costs_are_those_of_the_native_binary_model() -> None:
    theirs, ours = model([7, 3]), model([7, 3], "native")
    assert theirs.tensor_sizes() == ours.tensor_sizes()
    assert theirs.cost_layers() == ours.cost_layers()
    assert theirs.config.name == "bitorch-binary"


@pytest.mark.parametrize(
    "options",
    [dict(mlp_bits=4), dict(activation_bits=4), dict(embedding_bits=4), dict(embedding_scale="row")],
    ids=str,
)
def test_what_its_recipe_lacks_is_refused(options: dict) -> None:
    with pytest.raises(UserError, match="--engine bitorch"):
        model([7, 3], **options)


def test_no_module_imports_it_unless_asked_for() -> None:
    sources = Path(recsys_bnn.__file__).parent.rglob("*.py")
    at_top = re.compile(r"^(import|from) (bitorch\b|recsys_bnn\.bitorch_engine)", re.MULTILINE)
    assert not [path for path in sources if at_top.search(path.read_text())]


def test_a_missing_bitorch_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "recsys_bnn.model.bitorch_engine", raising=False)
    monkeypatch.setitem(sys.modules, "bitorch.layers.qlinear", None)
    with pytest.raises(UserError, match=r"--engine bitorch: .*pip install 'recsys-bnn\[bitorch\]'"):
        model([7, 3])

import math

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.settings.training import ModelConfig
from seminar_common import cost
from seminar_common.errors import UserError
from seminar_common.seeds import torch_generator

CRITEO_FIELDS = [4] * 26


def make(config: ModelConfig, integers: int = 13, cardinalities: list[int] = CRITEO_FIELDS) -> DLRM:
    model = DLRM(config, integers, cardinalities)
    model.reset_parameters(torch_generator(0))
    return model


def inputs(rows: int, integers: int, fields: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch_generator(1)
    dense = torch.randn(rows, integers, generator=generator)
    return dense, torch.randint(0, 4, (rows, fields), generator=generator, dtype=torch.int32)


def mflops_of_5000(config: ModelConfig) -> float:
    return 5000 * cost.mflops_per_sample(make(config).cost_layers())


def test_the_references_cost_is_that_of_5000_samples() -> None:
    # The published 2430 MFLOPs: 486,032 multiply-adds a sample, the interaction as the full 27 x 27 product.
    layers = make(ModelConfig()).cost_layers()
    assert sum(layer.multiply_adds for layer in layers) == 486_032
    assert mflops_of_5000(ModelConfig()) == pytest.approx(2430.16)


def test_a_binary_top_mlp_costs_884_of_them() -> None:
    assert mflops_of_5000(ModelConfig(embedding_bits=1, mlp_bits=1)) == pytest.approx(883.88)


def test_the_references_974_counts_batch_norm_too() -> None:
    # Its tool counts 5 FLOPs for each value of a batch norm in training mode, and takes the last one, of one
    # value, for a binary layer because of its name (docs/explain/recsys_related_work.md).
    model = make(ModelConfig(embedding_bits=1, mlp_bits=1))
    values = sum(m.num_features for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d))
    assert values == 1693 + 1904
    per_sample = 1e6 * cost.mflops_per_sample(model.cost_layers()) + 5 * values - (5 - 5 / 32)
    assert 5000 * per_sample / 1e6 == pytest.approx(973.78, abs=0.005)


def test_the_references_size_is_that_of_its_tables() -> None:
    # 33.76 million rows of 16 values: 2162 MB in full precision. The model is never allocated here.
    with torch.device("meta"):
        model = DLRM(ModelConfig(), 13, [33_762_577 - 25, *[1] * 25])
    assert cost.size_mb(model.tensor_sizes()) == pytest.approx(2162, abs=1)


def bytes_per_row(**options) -> float:
    """Return what one more row of the tables takes."""
    few, many = (
        cost.size_mb(make(ModelConfig(**options), cardinalities=[rows]).tensor_sizes()) for rows in (10, 1010)
    )
    return (many - few) * 1e6 / 1000


@pytest.mark.parametrize(("bits", "scale", "size"), [
    (32, "auto", 64), (8, "auto", 16), (4, "auto", 8), (2, "auto", 4), (1, "auto", 2),
    (4, "group", 8), (1, "field", 2), (32, "row", 64),
    # As FBGEMM stores them: 16 values, and a 16-bit scale and bias.
    (8, "row", 20), (4, "row", 12), (2, "row", 8),
    # A sign needs no bias.
    (1, "row", 4),
])  # fmt: skip
def test_a_row_counts_at_its_true_bits_with_its_scales(bits: int, scale: str, size: float) -> None:
    assert bytes_per_row(embedding_bits=bits, embedding_scale=scale) == pytest.approx(size)


def test_rows_count_the_bits_that_they_have() -> None:
    options = dict(embedding_bits=1, hot_bits=8, hot_share=0.1, hashed_share=0.5)
    sizes = {size.name: size for size in make(ModelConfig(**options), cardinalities=[2000, 2]).tensor_sizes()}
    assert (
        sizes["embedding.hot_rows"].values == (98 + 2) * 16
    )  # a tenth of the 1,001 rows that hashing leaves
    assert sizes["embedding.hot_rows"].bits == 8
    assert sizes["embedding.weight"].values == (1001 - 100) * 16


def test_signs_of_one_input_are_counted_as_so_many() -> None:
    layers = {x.name: x for x in make(ModelConfig(mlp_bits=1, thresholds=3)).cost_layers()}
    assert layers["top.1"].multiply_adds == 3 * 367 * 512
    assert layers["bottom.1"].multiply_adds == 13 * 512


def test_learned_scales_count_32_bits_each() -> None:
    def scale_bits(**options) -> dict[str, float]:
        sizes = make(ModelConfig(**options)).tensor_sizes()
        return {s.name: s.values * s.bits for s in sizes if s.name.endswith("log_scale")}

    assert scale_bits(embedding_bits=1, mlp_bits=1) == {}
    assert scale_bits(embedding_bits=4) == {"embedding.quantize.log_scale": 26 * 32}
    assert scale_bits(embedding_bits=4, embedding_scale="group") == {
        "embedding.quantize.log_scale": 16 * 26 * 32
    }
    assert sum(scale_bits(mlp_bits=4, activation_bits=32).values()) == (512 + 256 + 1) * 32


@pytest.mark.parametrize(
    ("bits", "activation_bits", "share"), [(1, 1, 1), (1, 4, 4), (2, 2, 2), (8, 4, 8), (1, 32, 32)]
)
def test_a_layer_costs_as_much_as_its_wider_operand(bits: int, activation_bits: int, share: int) -> None:
    config = ModelConfig(embedding_bits=1, mlp_bits=bits, activation_bits=activation_bits)
    # Bottom MLP and interaction stay at 32 bits: the interaction multiplies by the float dense vector.
    expected = 155_136 + 11_664 + 319_232 * share / 32
    assert mflops_of_5000(config) == pytest.approx(expected * 5000 / 1e6)


def numpy_float_dlrm(model: DLRM, dense: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The forward pass in evaluation mode as plain float64 loops: an independent reference."""
    state = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}

    def run(prefix: str, x: np.ndarray) -> np.ndarray:
        for index, module in enumerate(getattr(model, prefix)):
            key = f"{prefix}.{index}."
            if isinstance(module, torch.nn.BatchNorm1d):
                x = (x - state[key + "running_mean"]) / np.sqrt(state[key + "running_var"] + 1e-5)
                x = x * state[key + "weight"] + state[key + "bias"]
            elif isinstance(module, torch.nn.PReLU):
                x = np.where(x > 0, x, state[key + "weight"] * x)
            else:
                x = x @ state[key + "weight"].T + state[key + "bias"]
        return x

    logits = []
    bottom = run("bottom", dense)
    for row in range(len(dense)):
        offset, vectors = 0, [bottom[row]]
        for field, cardinality in enumerate(model.embedding.cardinalities.tolist()):
            vectors.append(state["embedding.weight"][offset + ids[row, field]])
            offset += cardinality
        products = [vectors[i] @ vectors[j] for i in range(len(vectors)) for j in range(i)]
        logits.append(run("top", np.concatenate([bottom[row], products])[None])[0, 0])
    return np.array(logits)


@pytest.mark.parametrize("fields", [1, 2, 26])  # odd and even numbers of vectors in the interaction
def test_the_float_model_equals_a_float64_loop(fields: int) -> None:
    config = ModelConfig(embedding_dim=8, bottom_mlp=(6,), top_mlp=(7, 5))
    model = make(config, integers=3, cardinalities=[4] * fields)
    model(*inputs(64, 3, fields))  # moves the batch norms' statistics away from 0 and 1
    dense, ids = inputs(9, 3, fields)
    out = model.eval()(dense, ids).detach().numpy()
    np.testing.assert_allclose(
        out, numpy_float_dlrm(model, dense.double().numpy(), ids.numpy()), rtol=1e-4, atol=1e-5
    )


CONFIGS = [
    *(dict(embedding_bits=b, mlp_bits=b, bottom_mlp_bits=b) for b in (32, 8, 4, 2, 1)),
    dict(embedding_bits=1, mlp_bits=1, activation_bits=4),
    dict(embedding_bits=1, mlp_bits=1, embedding_scale="row"),
    dict(embedding_bits=1, mlp_bits=1, embedding_scale="group", bottom_mlp_bits=8),
    dict(embedding_bits=4, mlp_bits=2, embedding_scale="group"),
    dict(embedding_bits=2, mlp_bits=8, embedding_scale="row", layer_bits=("top.0=32/4", "bottom.last=1/2")),
    dict(embedding_bits=4, mlp_bits=4, bottom_mlp_bits=4, quantizer="dorefa"),
]


@pytest.mark.parametrize("options", CONFIGS, ids=str)
def test_every_parameter_learns(options: dict) -> None:
    # Tables of a thousand rows: every group of values by frequency has some in the batch.
    model = make(ModelConfig(embedding_dim=8, bottom_mlp=(32,), top_mlp=(32,), **options), 13, [1000] * 5)
    dense, _ = inputs(512, 13, 5)
    ids = torch.randint(0, 1000, (512, 5), generator=torch_generator(2))
    # Not around zero: there the last batch norm's bias has no gradient but rounding errors.
    (model(dense, ids) - 1).pow(2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        gradient = parameter.grad.to_dense()
        assert gradient.isfinite().all() and gradient.abs().sum() > 0, name


@pytest.mark.parametrize("options", CONFIGS, ids=str)
@pytest.mark.parametrize("cardinalities", [[1], [4, 1], [5, 1, 2], [1, 1, 3, 70]], ids=str)
def test_any_sizes_work(options: dict, cardinalities: list[int]) -> None:
    # Odd and even numbers of fields, fields of one value, and layers whose K is no multiple of 64.
    config = ModelConfig(embedding_dim=5, bottom_mlp=(7,), top_mlp=(65, 3), **options)
    if "layer_bits" in options:
        assert config.top_bits.layers[0] == (32, 4)
    model = make(config, integers=3, cardinalities=cardinalities)
    for training in (True, False):
        logits = model.train(training)(*inputs(33, 3, len(cardinalities)))
        assert logits.shape == (33,) and logits.isfinite().all()


@pytest.mark.parametrize("options", CONFIGS, ids=str)
def test_the_weights_hold_all_that_a_model_has_learned(options: dict) -> None:
    # What a checkpoint keeps: scales must not hide in anything else.
    config = ModelConfig(embedding_dim=8, bottom_mlp=(16,), top_mlp=(16,), **options)
    model = make(config, 3, [30, 4])
    batch = inputs(64, 3, 2)
    for _ in range(3):
        model(*batch).pow(2).sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(parameter.grad.to_dense().clamp(-0.1, 0.1))
                parameter.grad = None
    other = DLRM(config, 3, [30, 4])
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(*batch), other.eval()(*batch))


def test_the_8_bit_model_starts_close_to_the_float_model() -> None:
    exact, narrow = make(ModelConfig()), make(ModelConfig(embedding_bits=8, mlp_bits=8))
    with torch.no_grad():  # a float layer draws a bias too, so later weights differ
        for name, parameter in narrow.named_parameters():
            if name.endswith("weight"):
                parameter.copy_(exact.state_dict()[name])
    batch = inputs(512, 13, 26)
    logits = exact(*batch)  # in training mode: a batch norm takes each bias away again
    assert ((narrow(*batch) - logits).norm() / logits.norm()).item() < 0.1


def test_the_binary_model_sees_signs_only_in_its_top_mlp() -> None:
    model = make(ModelConfig(embedding_bits=1, mlp_bits=1)).eval()
    seen = []
    for module in model.top:
        if hasattr(module, "quantize_input"):
            module.quantize_input.register_forward_hook(
                lambda _m, _i, out: seen.append(set(out.unique().tolist()))
            )
    model(*inputs(32, 13, 26))
    assert len(seen) == 3
    assert all(values <= {-1.0, 1.0} for values in seen)


def test_layers_can_have_bits_of_their_own() -> None:
    config = ModelConfig(embedding_bits=1, mlp_bits=1, layer_bits=("top.first=32", "top.last=8/4"))
    bits = [
        (layer.weight_bits, layer.activation_bits)
        for layer in make(config).cost_layers()
        if "top" in layer.name
    ]
    assert bits == [(32, 32), (1, 1), (8, 4)]


def test_a_reset_repeats() -> None:
    first, second = make(ModelConfig()).state_dict(), make(ModelConfig()).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("bits", [32, 1])
def test_data_without_integers_interact_among_their_fields(bits: int) -> None:
    model = make(ModelConfig(embedding_bits=bits, mlp_bits=bits), integers=0, cardinalities=[4] * 10)
    logits = model(*inputs(64, 0, 10))
    assert logits.shape == (64,) and logits.isfinite().all()
    assert model.top[0].num_features == 45  # the pairs of ten fields
    interaction = model.cost_layers()[-1]
    assert (interaction.multiply_adds, interaction.activation_bits) == (10 * 10 * 16, bits)


@pytest.mark.parametrize(("integers", "cardinalities"), [(0, [4]), (13, []), (0, [])])
def test_a_single_vector_has_nothing_to_interact_with(integers: int, cardinalities: list[int]) -> None:
    with pytest.raises(UserError, match="two categorical fields"):
        make(ModelConfig(), integers=integers, cardinalities=cardinalities)


def test_a_missing_integer_reads_as_the_mean_and_only_its_flag_is_set() -> None:
    _, ids = inputs(2, 13, 26)
    integers = torch.zeros(2, 13)  # the mean, present
    integers[0, 3], integers[0, 4] = math.nan, 2.0
    for flags in (False, True):
        model = make(ModelConfig(missing_flags=flags)).eval()
        seen: list[torch.Tensor] = []
        assert model.bottom is not None
        model.bottom.register_forward_pre_hook(lambda _, arguments, seen=seen: seen.append(arguments[0]))
        assert model(integers, ids).isfinite().all()
        assert seen[0][:, :13].tolist() == integers.nan_to_num(0).tolist()
        assert seen[0][:, 13:].nonzero().tolist() == ([[0, 3]] if flags else [])
        assert seen[0].shape[1] == (26 if flags else 13)
        assert integers[0, 3].isnan()  # the batch stays as it is


@pytest.mark.parametrize("flags", [False, True])
def test_missing_flags_tell_a_missing_integer_from_the_mean(flags: bool) -> None:
    model = make(ModelConfig(missing_flags=flags)).eval()
    _, ids = inputs(2, 13, 26)
    missing, mean = torch.full((2, 13), math.nan), torch.zeros(2, 13)
    difference = (model(missing, ids) - model(mean, ids)).abs().max().item()
    assert (difference > 1e-2) == flags

import itertools

import pytest

from recsys_bnn.settings.bits import STANDARD_NAMES
from recsys_bnn.settings.training import ModelConfig
from seminar_common.errors import UserError


@pytest.mark.parametrize(("config", "name"), [
    (ModelConfig(), "float"),
    (ModelConfig(embedding_bits=8, mlp_bits=8), "8-bit"),
    (ModelConfig(embedding_bits=4, mlp_bits=4), "4-bit"),
    (ModelConfig(embedding_bits=2, mlp_bits=2, activation_bits=2), "2-bit"),
    (ModelConfig(embedding_bits=1, mlp_bits=1), "binary"),
    (ModelConfig(embedding_bits=1, mlp_bits=1, activation_bits=4), "binary-a4"),
    (ModelConfig(embedding_bits=1), "mixed-e1-b32-w32-a32"),
    # A standard name promises a float bottom MLP.
    (ModelConfig(embedding_bits=1, mlp_bits=1, bottom_mlp_bits=8), "mixed-e1-b8-w1-a1"),
    (ModelConfig(embedding_bits=1, mlp_bits=1, layer_bits=("top.last=32/32",)), "mixed-e1-b32-w1-a1-top2w32a32"),
    (ModelConfig(layer_bits=("bottom.first=8", "top.1=8/4")), "mixed-e32-b32-w32-a32-top1w8a4-bottom0w8a8"),
    # A layer that gets what it has anyway.
    (ModelConfig(embedding_bits=1, mlp_bits=1, layer_bits=("top.0=1/1",)), "binary"),
])  # fmt: skip
def test_models_are_named_by_their_bits(config: ModelConfig, name: str) -> None:
    assert config.name == name


def test_no_two_choices_of_bits_share_a_name() -> None:
    widths = (32, 8, 4, 2, 1)
    names = [
        ModelConfig(embedding_bits=e, mlp_bits=w, activation_bits=a, bottom_mlp_bits=b).name
        for e, w, a, b in itertools.product(widths, repeat=4)
    ]
    assert len(set(names)) == len(names) == 5**4
    assert set(STANDARD_NAMES.values()) <= set(names)


def test_a_layer_takes_its_bits_by_number_or_place() -> None:
    config = ModelConfig(
        mlp_bits=1, activation_bits=4, layer_bits=("top.first=8/2", "top.2=32", "bottom.3=4")
    )
    assert config.top_bits.layers == ((8, 2), (1, 4), (32, 32))
    assert config.bottom_bits.layers == ((32, 32), (32, 32), (32, 32), (4, 4))


@pytest.mark.parametrize(("text", "message"), [
    ("middle.0=8", "--layer-bits middle.0=8: expected LAYER=WEIGHTS/ACTIVATIONS"),
    ("8", "expected LAYER=WEIGHTS/ACTIVATIONS"),
    ("top.3=8", "no layer '3'; choose 0, 1, 2, first or last"),
    ("top=8", "no layer ''"),
    ("top.-1=8", "no layer '-1'"),
    ("top.0", "'' is no number of bits; choose 1, 2, 32, 4 or 8"),
    ("top.0=3", "'3' is no number of bits"),
    ("top.0=8/", "'' is no number of bits"),
    ("top.0=8/4/2", "'4/2' is no number of bits"),
])  # fmt: skip
def test_a_layer_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelConfig(layer_bits=(text,))


def test_a_layer_named_twice_is_refused() -> None:
    with pytest.raises(UserError, match="top.2 has its bits already"):
        ModelConfig(layer_bits=("top.2=8", "top.last=4"))


def test_scales_that_dorefa_does_not_have_are_refused() -> None:
    with pytest.raises(UserError, match="dorefa learns no scales"):
        ModelConfig(quantizer="dorefa", embedding_bits=4, embedding_scale="group")
    ModelConfig(quantizer="dorefa", embedding_bits=1, embedding_scale="group")  # the sign's scales

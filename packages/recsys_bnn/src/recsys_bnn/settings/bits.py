"""Bits of each layer of an MLP, and the names of models by their bits. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from seminar_common.errors import UserError, choices

Bits = Literal[32, 8, 4, 2, 1]
"""Bits of a value; 32 is full precision, 1 is its sign."""

Part = Literal["bottom", "top"]

STANDARD_NAMES: Mapping[tuple[int, int, int], str] = {
    (32, 32, 32): "float",
    (8, 8, 8): "8-bit",
    (4, 4, 4): "4-bit",
    (2, 2, 2): "2-bit",
    (1, 1, 1): "binary",
    (1, 1, 4): "binary-a4",
}
"""Bits of tables, top weights and top activations -> name of the model with a float bottom MLP."""


class LayerBits(NamedTuple):
    """Bits of one linear layer."""

    weights: int
    activations: int
    """Bits of the layer's input."""


class MLPBits(NamedTuple):
    """Bits of the layers of an MLP."""

    part: Part
    default: LayerBits
    layers: tuple[LayerBits, ...]

    def exceptions(self) -> str:
        """Return the layers that differ from the default, as text for a model's name: ``-top0w8a8``."""
        return "".join(
            f"-{self.part}{index}w{bits.weights}a{bits.activations}"
            for index, bits in enumerate(self.layers)
            if bits != self.default
        )


def mlp_bits(part: Part, default: LayerBits, layers: int, exceptions: Sequence[str]) -> MLPBits:
    """Return the bits of each layer of ``part``: ``default``, but for what ``exceptions`` say.

    Args:
        part: The MLP.
        default: Bits of a layer without an exception.
        layers: Layers of the MLP.
        exceptions: Texts such as ``top.0=8/4`` (8-bit weights, 4-bit inputs) or ``bottom.last=8``; those of the
            other MLP are passed over.

    Raises:
        UserError: a text is none of these, or names a layer that is not there or that was named before.
    """
    bits: dict[int, LayerBits] = {}
    for text in exceptions:
        name, _, value = text.partition("=")
        text_part, _, layer = name.partition(".")
        if text_part not in get_args(Part):
            raise UserError(
                f"--layer-bits {text}: expected LAYER=WEIGHTS/ACTIVATIONS, such as top.0=8/8 or bottom.last=8"
            )
        if text_part != part:
            continue
        index = _layer_index(text, layer, layers)
        if index in bits:
            raise UserError(f"--layer-bits {text}: {part}.{index} has its bits already; name each layer once")
        bits[index] = _parse_bits(text, value)
    return MLPBits(part, default, tuple(bits.get(index, default) for index in range(layers)))


def _layer_index(text: str, name: str, layers: int) -> int:
    names = {"first": 0, "last": layers - 1} | {str(index): index for index in range(layers)}
    if name not in names:
        raise UserError(f"--layer-bits {text}: no layer {name!r}; choose {choices(names)}")
    return names[name]


def _parse_bits(text: str, value: str) -> LayerBits:
    weights, slash, activations = value.partition("/")
    known = {str(bits): bits for bits in get_args(Bits)}
    activations = activations if slash else weights
    for given in (weights, activations):
        if given not in known:
            raise UserError(f"--layer-bits {text}: {given!r} is no number of bits; choose {choices(known)}")
    return LayerBits(known[weights], known[activations])


def model_name(embedding_bits: int, top: MLPBits, bottom: MLPBits, hot: str = "") -> str:
    """Return the standard name if there is one, else ``mixed-`` and the bits of every part."""
    kept = top.exceptions() + bottom.exceptions()
    standard = STANDARD_NAMES.get((embedding_bits, *top.default))
    if standard and bottom.default == (32, 32) and not kept + hot:
        return standard
    weights, activations = top.default
    return f"mixed-e{embedding_bits}{hot}-b{bottom.default.weights}-w{weights}-a{activations}{kept}"

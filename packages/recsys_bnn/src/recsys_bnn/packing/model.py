"""A trained DLRM as a :class:`~recsys_bnn.runtime.spec.ModelSpec`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import nn

from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.first_order import FirstOrder as WideModule
from recsys_bnn.model.layers import LinearLayer, QuantLinear, SeededDropout
from recsys_bnn.packing.codes import CodedInput, coded_input, learned_scale, stored, unit
from recsys_bnn.packing.norms import affine
from recsys_bnn.packing.tables import table_spec
from recsys_bnn.runtime.spec import Codes, FirstOrder, FloatInput, LayerSpec, ModelSpec, pack_codes
from seminar_common.errors import UserError

_ROWS = 1 << 16  # table rows that are turned into codes at once


def to_spec(model: DLRM) -> ModelSpec:
    """Return a trained model, on the CPU and in evaluation mode, in packed form.

    Raises:
        UserError: it has a part that packing does not know.
    """
    bottom = None if model.bottom is None else mlp_spec(model.bottom)
    return ModelSpec(
        model.integer_count,
        model.config.missing_flags and bool(model.integer_count),
        bottom,
        table_spec(model.embedding),
        mlp_spec(model.top),
        None if model.first_order is None else first_order_spec(model.first_order),
    )


def first_order_spec(part: WideModule) -> FirstOrder:
    """Return the first-order term; the last norm of the top MLP holds the bias of both."""
    weights = part.integer_weight
    slopes = np.empty(0, np.float32) if weights is None else weights.detach().numpy()
    return FirstOrder(0.0, part.rows.numpy(), part.codes().numpy(), part.scales().numpy(), slopes)


class Block(NamedTuple):
    """A linear layer and what stands around it."""

    before: nn.BatchNorm1d
    linear: LinearLayer
    after: nn.BatchNorm1d
    slope: float | None

    @property
    def quantizers(self) -> tuple[nn.Module, nn.Module]:
        """What quantizes the input, and the weights."""
        linear = self.linear
        if isinstance(linear, QuantLinear):
            return linear.quantize_input, linear.quantize_weight
        return linear.activation, linear.weight_quantization  # ty: ignore[missing-attribute]  # BITorch's


def blocks(mlp: nn.Sequential) -> Iterator[Block]:
    """Yield the layers of an MLP.

    Raises:
        UserError: it has a module that stands in no block of batch norm, linear layer, batch norm and PReLU.
    """
    modules = [module for module in mlp if not isinstance(module, SeededDropout)]
    while modules:
        (before, linear, after), modules = modules[:3], modules[3:]
        norms = isinstance(before, nn.BatchNorm1d) and isinstance(after, nn.BatchNorm1d)
        if not (norms and isinstance(linear, LinearLayer)):
            names = ", ".join(type(part).__name__ for part in (before, linear, after))
            raise UserError(
                f"packing knows no layer of {names}; it knows batch norm, linear, batch norm, PReLU"
            )
        slope = None
        if modules and isinstance(modules[0], nn.PReLU):
            slope = modules[0].weight.item()
            modules = modules[1:]
        yield Block(before, linear, after, slope)


def mlp_spec(mlp: nn.Sequential) -> tuple[LayerSpec, ...]:
    """Return the layers of an MLP with their norms folded in."""
    return tuple(layer_spec(block) for block in blocks(mlp))


def layer_spec(block: Block) -> LayerSpec:
    """Return one layer with its norms folded in."""
    quantize_input, _ = block.quantizers
    coded = coded_input(quantize_input, block.before)
    weights, weight_scale = _weights(block)
    if isinstance(coded.inputs, FloatInput):
        return _of_floats(block, weights, weight_scale)
    return _finished(block, coded, _turned(weights, coded.flipped), weight_scale * coded.scale, 0.0)


def _finished(
    block: Block, coded: CodedInput, weights: Codes, scale: np.ndarray | float, constant: np.ndarray | float
) -> LayerSpec:
    """Fold ``acc * scale + constant``, the layer's bias and the norm after it into gain and bias."""
    after, own_bias = affine(block.after), block.linear.bias  # ty: ignore[missing-attribute]
    own = 0.0 if own_bias is None else own_bias.detach().double().numpy()
    gain = np.broadcast_to(after.scale * scale, len(weights))
    bias = after.scale * (constant + own) + after.shift
    return LayerSpec(coded.inputs, weights, gain.astype(np.float32), bias.astype(np.float32), block.slope)


def _of_floats(block: Block, weights: Codes, scale: np.ndarray | float) -> LayerSpec:
    """Fold the norm before a layer whose inputs stay floats: into its weights if they are, else beside the input."""
    before = affine(block.before)
    if weights.bits == 32:
        plain = weights.data.astype(np.float64)
        folded = Codes((plain * before.scale).astype(np.float32), 32, weights.count)
        return _finished(block, CodedInput(FloatInput(), 1.0), folded, 1.0, plain @ before.shift)
    constant = scale * (weights.ints().astype(np.float64) @ before.shift)
    inputs = FloatInput(before.scale.astype(np.float32))
    return _finished(block, CodedInput(inputs, 1.0), weights, scale, constant)


def _weights(block: Block) -> tuple[Codes, np.ndarray | float]:
    """Return a layer's weights and their scales, float64 [N] or one."""
    (_, quantizer), weight = block.quantizers, block.linear.weight.detach()  # ty: ignore[missing-attribute]
    count = weight.shape[1]
    if block.linear.weight_bits == 32:
        return Codes(weight.numpy(), 32, count), 1.0
    learned, bits = learned_scale(quantizer), block.linear.weight_bits
    found = stored(quantizer, weight, learned)
    scale = unit(quantizer) if learned is None else learned.double().view(-1).numpy() * unit(quantizer)
    return Codes(pack_codes(found.codes, bits), bits, count, found.mul, found.add), scale


def _turned(weights: Codes, flipped: np.ndarray | None) -> Codes:
    """Return the weights with another sign where that of their input was turned round."""
    if flipped is None:
        return weights
    if weights.bits == 32:
        return Codes(np.where(flipped, -weights.data, weights.data), 32, weights.count)
    ints = np.where(flipped, -weights.ints(), weights.ints())
    if ints.max() > weights.range[1]:  # the least code of LSQ has no opposite
        return Codes(ints.astype(np.float32), 32, weights.count)
    codes = (ints - weights.add) // weights.mul
    return replace(weights, data=pack_codes(codes, weights.bits))

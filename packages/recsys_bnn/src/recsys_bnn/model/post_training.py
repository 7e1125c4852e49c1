"""Quantization of a trained model without training it again; also where a second stage of training starts.

Sources: Guan et al., "Post-Training 4-bit Quantization on Embedding Tables", 2019 (clipping ranges searched for
the least squared error); Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, Sec. 3 (batch-norm statistics
of the values that the model will see); Martinez et al., "Training Binary Neural Networks with Real-to-Binary
Convolutions", ICLR 2020 (stages of training).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from recsys_bnn.data.dataset import Batch
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.first_order import FirstOrder
from recsys_bnn.model.layers import LinearLayer, QuantEmbedding
from recsys_bnn.model.quantizers import Quantizer
from recsys_bnn.settings.training import ModelConfig
from seminar_common.errors import UserError

_SCALE_ROWS = 8192
"""Rows that the scales of table values and activations are fitted to; the batch norms take all."""


@torch.no_grad()
def quantize_after_training(model: DLRM, config: ModelConfig, rows: Batch) -> DLRM:
    """Return a new model with the weights of ``model`` and the bits of ``config``, in evaluation mode.

    One forward pass of ``rows`` sets, from the input to the logit, every learned scale to the one with the least
    squared error on the values that it meets, and the statistics of every batch norm, so that each layer makes up
    for the errors before it. The result is what a second stage of training starts from, too.

    Args:
        model: Trained model, in full precision or with other bits; stays as it is.
        config: Sizes of ``model``, and the bits and scales to have.
        rows: Training rows in random order, some ten thousand.

    Raises:
        UserError: ``config`` has other sizes than ``model``.
    """
    for name in ("embedding_dim", "bottom_mlp", "top_mlp", "hashed_share", "missing_flags", "first_order"):
        ours, theirs = getattr(config, name), getattr(model.config, name)
        if ours != theirs:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} is {ours}, but {theirs} in the trained model: only bits may differ")
    values = None if model.first_order is None else model.first_order.values.tolist()
    kept = model.embedding.cardinalities.tolist()
    quantized = DLRM(config, model.integer_count, kept, values, model.list_widths)
    quantized.to(model.embedding.weight.device)
    for source, target in zip(_parts(model), _parts(quantized), strict=True):
        _copy(source, target)
    quantized.embedding.reset_scales()  # for groups of values that don't occur in `rows`
    _calibrate(quantized.eval(), rows)
    return quantized


def _parts(model: DLRM) -> Iterator[nn.Module]:
    """Yield the modules with weights or statistics; dropouts in between don't count."""
    kinds = (QuantEmbedding, LinearLayer, nn.BatchNorm1d, nn.PReLU, FirstOrder)
    return (module for module in model.modules() if isinstance(module, kinds))


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Copy weights and statistics, but no scales.

    A bias is left out where ``target`` has none: the batch norm that follows takes it away again.
    """
    values = source.state_dict()
    for name, tensor in target.state_dict().items():
        if name in values and not name.endswith("log_scale"):
            tensor.copy_(_repeated(values[name], tensor))
        elif name == "bias":
            tensor.zero_()


def _repeated(values: Tensor, target: Tensor) -> Tensor:
    """Return weights as many times as ``target`` has signs for each of their inputs."""
    return values if values.shape == target.shape else values.repeat(1, target.shape[1] // values.shape[1])


def _calibrate(model: DLRM, rows: Batch) -> None:
    """Run ``rows`` through ``model`` once; each quantizer and batch norm fits itself to its input before it acts."""
    quantizers = [module for module in model.modules() if isinstance(module, Quantizer)]
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0  # the running statistics become those of this pass
    hooks = [quantizer.register_forward_pre_hook(_fit_scales) for quantizer in quantizers]
    device = model.embedding.weight.device
    model(rows.integers.to(device), rows.categoricals.to(device))
    for hook in hooks:
        hook.remove()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum


def _fit_scales(module: nn.Module, arguments: tuple[Any, ...]) -> None:
    assert isinstance(module, Quantizer)
    listed = (
        module.use.role == "embedding" and arguments[0].dim() == 2
    )  # items, of which a row has any number
    if module.use.role != "weight" and not listed:
        arguments = tuple(a if a is None else a[:_SCALE_ROWS] for a in arguments)
    module.calibrate(*arguments)

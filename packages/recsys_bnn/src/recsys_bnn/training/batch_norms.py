"""Batch-norm statistics of the model as it is used, in place of those gathered while it learned."""

import itertools
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn

from recsys_bnn.data.dataset import Rows
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.trained import rows_at_once
from recsys_bnn.settings.training import TrainSettings
from seminar_common import seeds

SETTLE_ROWS = 262_144
"""At most about so many training rows settle the statistics."""


@torch.no_grad()
def settle_batch_norms(model: DLRM, rows: Rows, settings: TrainSettings, device: torch.device) -> None:
    """Replace the batch norms' running statistics by means over training rows without dropout.

    Source: Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, Sec. 3 (PreciseBN). The running ones belong
    to activations with dropout, which have another variance (Li et al., "Understanding the Disharmony between
    Dropout and Batch Normalization", CVPR 2019); behind a sign that moves every later activation, and the
    predicted probabilities end far from the click rate.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    model.eval()
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    generator = seeds.numpy_generator(settings.seed, "settle")
    most = rows_at_once(rows, min(len(rows), SETTLE_ROWS) // 16)
    size = max(settings.optimization.batch_size, most)
    batches = rows.batches(min(size, len(rows)), generator=generator, drop_last=True)
    for batch in itertools.islice(batches, 16):
        model(batch.integers.to(device), batch.categoricals.to(device))
    model.eval()


@contextmanager
def settled(model: DLRM, rows: Rows, settings: TrainSettings, device: torch.device) -> Generator[DLRM]:
    """Yield ``model`` with settled batch norms; afterwards it trains on as if nothing had been."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    before = [
        ({name: buffer.clone() for name, buffer in norm.named_buffers()}, norm.momentum) for norm in norms
    ]
    settle_batch_norms(model, rows, settings, device)
    yield model
    for norm, (buffers, momentum) in zip(norms, before, strict=True):
        norm.load_state_dict(buffers, strict=False)
        norm.momentum = momentum
    model.train()

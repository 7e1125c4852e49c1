"""What a training takes of the machine's memory, told before anything is built."""

from collections.abc import Mapping

import torch

from recsys_bnn.data.dataset import Dataset
from recsys_bnn.model.trained import build_model
from recsys_bnn.settings.training import TrainSettings
from seminar_common.device import choose
from seminar_common.errors import UserError
from seminar_common.memory import available_bytes
from seminar_common.progress import say

_PRODUCTS = 3
"""Arrays of the size of the products of all pairs of vectors, V x V a row, that a step holds at once: 2.2 to 2.7
measured with 300 and 600 fields, of 32 bits and of 1 bit."""
_ROWS = 8
"""The same for the looked-up rows, V x D."""
_MENDED_BY = {
    "tables": "--min-count, --kept-share or --hashed-share leave rows out, --embedding-dim makes them shorter, and "
    "--embedding-optimizer rowwise-adagrad keeps less of them",
    "MLPs": "make --top-mlp and --bottom-mlp smaller, or leave fields out",
    "a batch": "lower --batch-size, or leave fields out",
}


def training_bytes(settings: TrainSettings, dataset: Dataset) -> dict[str, int]:
    """Return about how many bytes the tables, the MLPs and a batch take, with gradients and optimizer states."""
    with torch.device("meta"):  # sizes without memory
        model = build_model(settings, dataset)
    table = model.embedding.weight
    others = sum(p.numel() for p in model.parameters()) - table.numel()
    config, dim = settings.optimization, settings.model.embedding_dim
    states = {"adam": 2.0, "rowwise-adagrad": 1 / dim}[config.embedding_optimizer]
    copies = sum(folder is not None for folder in (settings.init, settings.teacher))
    vectors = len(dataset.cardinalities) + bool(dataset.integer_names)
    items = dataset.columns - len(dataset.cardinalities)
    values = {
        "tables": table.numel() * (1 + copies + states),
        "MLPs": others * (4 + copies),  # weights, gradients and two states
        "a batch": config.batch_size * (_PRODUCTS * vectors**2 + _ROWS * dim * (vectors + items)),
    }
    return {name: int(4 * number) for name, number in values.items()}


def require_memory(settings: TrainSettings, dataset: Dataset) -> None:
    """Say if a training on the CPU takes more than half of the memory that is free.

    Raises:
        UserError: it takes more than there is.
    """
    free = available_bytes()
    if free is None or choose(settings.device).accelerator != "cpu":
        return
    parts = training_bytes(settings, dataset)
    needed = sum(parts.values())
    if needed <= free / 2:
        return
    text = f"{dataset.folder}: training takes about {_text(parts)}, of {free / 1e9:,.1f} GB that are free"
    if needed > free:
        raise UserError(f"{text}; {_MENDED_BY[max(parts, key=lambda name: parts[name])]}")
    say(text)


def _text(parts: Mapping[str, int]) -> str:
    each = ", ".join(f"{name} {count / 1e9:,.1f}" for name, count in parts.items())
    return f"{sum(parts.values()) / 1e9:,.1f} GB ({each})"

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional as F

from recsys_bnn.data.dataset import Batch
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.first_order import FirstOrder
from recsys_bnn.model.layers import QuantEmbedding
from recsys_bnn.model.post_training import quantize_after_training
from recsys_bnn.settings.training import ModelConfig
from recsys_bnn.train import Trainer
from recsys_bnn.training.sharded_tables import shard_tables
from seminar_common.errors import UserError
from seminar_common.seeds import torch_generator

ROWS, WIDTHS = [5, 30, 200], (3, 4)
IDS = torch.tensor(
    [[4, 1, -1, -1, 7, 7, 7, 2], [0, 3, 9, 0, 199, -1, -1, -1], [2, 29, 29, -1, 150, 3, 0, 3]],
    dtype=torch.int32,
)
ITEMS = [[[4], [1], [7, 7, 7, 2]], [[0], [3, 9, 0], [199]], [[2], [29, 29], [150, 3, 0, 3]]]
"""The same, as lists of items by row and field."""
HOT = {"hot_bits": 8, "hot_share": 0.1}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bits": 8},
        {"bits": 4, "scale": "group"},
        {"bits": 1},
        {"bits": 1, "scale": "group", **HOT},
        {"bits": 1, "scale": "field"},
        {"bits": 2, "scale": "row"},
        {"bits": 4, "quantizer": "dorefa", "hashed_share": 0.5},
    ],
)
def test_a_list_reads_the_mean_of_the_rows_that_its_items_read_alone(options: dict[str, Any]) -> None:
    table = QuantEmbedding(ROWS, 4, init=0.5, list_widths=WIDTHS, **options)
    table.reset_parameters(torch_generator(0))
    alone = QuantEmbedding(ROWS, 4, init=0.5, **options)
    alone.load_state_dict(table.state_dict())
    pooled = table(IDS)
    for row, fields in enumerate(ITEMS):
        for field, items in enumerate(fields):
            ids = torch.zeros(len(items), 3, dtype=torch.int32)
            ids[:, field] = torch.tensor(items)
            torch.testing.assert_close(pooled[row, field], alone(ids)[:, field].mean(0))


def test_the_gradient_is_that_of_an_embedding_bag() -> None:
    table = QuantEmbedding(ROWS, 4, init=0.5, list_widths=WIDTHS)
    table.reset_parameters(torch_generator(0))
    given = torch.randn(3, 3, 4, generator=torch_generator(1))
    (table(IDS) * given).sum().backward()
    bags = [
        [i + offset for i in items]
        for fields in ITEMS
        for items, offset in zip(fields, (0, 5, 35), strict=True)
    ]
    weight = table.weight.detach().clone().requires_grad_()
    offsets = torch.tensor([0, *map(len, bags)]).cumsum(0)[:-1]
    flat = torch.tensor([i for bag in bags for i in bag])
    (F.embedding_bag(flat, weight, offsets, mode="mean") * given.reshape(-1, 4)).sum().backward()
    gradient = table.weight.grad
    assert gradient is not None and gradient.is_sparse
    torch.testing.assert_close(gradient.to_dense(), weight.grad)
    assert set(gradient.coalesce().indices()[0].tolist()) == set(flat.tolist())  # no row that no list names


def test_the_first_order_term_adds_the_mean_of_the_items_weights() -> None:
    part = FirstOrder(ROWS, 0, WIDTHS)
    with torch.no_grad():
        part.weight.copy_(torch.randn(len(part.weight), generator=torch_generator(0)))
    fields = part.weight.split(part.rows.tolist())
    for got, row in zip(part(torch.empty(3, 0), IDS), ITEMS, strict=True):
        wanted = sum(weights[items].mean() for weights, items in zip(fields, row, strict=True))
        torch.testing.assert_close(got, wanted)


def test_the_order_of_items_tells_nothing_and_bits_may_be_fitted_afterwards() -> None:
    config = ModelConfig(embedding_dim=4, bottom_mlp=(8,), top_mlp=(8,))
    model = DLRM(config, 2, ROWS, None, WIDTHS)
    model.reset_parameters(torch_generator(0))
    integers, turned = torch.zeros(3, 2), IDS[:, [0, 1, 2, 3, 7, 6, 5, 4]][::2]
    torch.testing.assert_close(model.eval()(integers[::2], turned), model(integers, IDS)[::2])
    bits = dataclasses.replace(config, embedding_bits=4, embedding_scale="field", hot_bits=8, hot_share=0.1)
    quantized = quantize_after_training(model, bits, Batch(torch.zeros(3), integers, IDS))
    assert quantized(integers, IDS).isfinite().all()


def test_processes_with_fewer_items_fill_up_with_zeros() -> None:
    of_two_processes = SimpleNamespace(fabric=SimpleNamespace(all_gather=lambda count: torch.tensor([2, 4])))
    rows, values = Trainer._filled_up(cast(Any, of_two_processes), torch.tensor([5, 3]), torch.ones(2, 3))
    assert (rows.tolist(), values.sum(1).tolist()) == ([5, 3, 5, 5], [3, 3, 0, 0])


def test_tables_of_torchrec_take_no_lists() -> None:
    with pytest.raises(UserError, match="--tables torchrec: takes no fields of lists"):
        shard_tables(DLRM(ModelConfig(), 2, ROWS, None, WIDTHS))

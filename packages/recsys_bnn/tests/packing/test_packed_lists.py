"""Packed models with fields of lists against the PyTorch models that they come from."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import recsys_bnn
from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.trained import load_model, predict
from recsys_bnn.pack import pack
from recsys_bnn.packing.model import to_spec
from recsys_bnn.prepare import prepare
from recsys_bnn.runtime.numpy_engine import NumpyEngine
from recsys_bnn.settings.pack import PackSettings
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import ModelConfig, OptimizationConfig, smoke
from recsys_bnn.train import train

ROWS, WIDTHS = [4, 30, 200], (3, 5)
SIZES = {"embedding_dim": 5, "bottom_mlp": (7,), "top_mlp": (9,), "first_order": True}
OPTIONS = [
    {},
    {"embedding_bits": 8, "embedding_scale": "field"},
    {"embedding_bits": 4, "embedding_scale": "group", "mlp_bits": 8},
    {"embedding_bits": 2, "embedding_scale": "row"},
    {"embedding_bits": 1},
    {"embedding_bits": 1, "hot_bits": 8, "hot_share": 0.2, "embedding_scale": "group"},
    {"embedding_bits": 4, "quantizer": "dorefa", "hashed_share": 0.5},
]


def rows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.rand(count, 9, generator=generator)
    every = torch.tensor([4, *[30] * 3, *[200] * 5])
    items = (ids * every).int()
    lengths = torch.randint(1, 6, (count, 2), generator=generator)
    for start, width, length in ((1, 3, lengths[:, :1]), (4, 5, lengths[:, 1:])):
        items[:, start : start + width].masked_fill_(torch.arange(width) >= length, -1)
    return torch.randn(count, 2, generator=generator), items


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_scores_are_those_of_pytorch(options: dict) -> None:
    model = DLRM(ModelConfig(**SIZES, **options), 2, ROWS, None, WIDTHS)
    generator = torch.Generator().manual_seed(0)
    model.reset_parameters(generator)
    model.embedding.weight.normal_(0, 0.3, generator=generator)
    model.embedding.reset_scales()
    assert model.first_order is not None
    model.first_order.weight.normal_(0, 0.3, generator=generator)
    model.train()(*rows(200))
    model.eval().first_order.round_to_codes()
    integers, ids = rows(300)
    got = NumpyEngine(to_spec(model)).logits(integers.numpy(), ids.numpy())
    differences = np.abs(got - model(integers, ids).numpy())
    assert np.quantile(differences, 0.98) < 1e-4  # the other rows may round a value to the next code


def test_from_a_log_to_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [
        f'{int(rng.random() < (0.8 if 3 in tags else 0.2))},u{rng.integers(9)},"{tags}"'
        for tags in (rng.integers(0, 8, rng.integers(0, 5)).tolist() for _ in range(600))
    ]
    (tmp_path / "log.csv").write_text("\n".join(["click,user,tags", *lines, ""]))
    (tmp_path / "s.toml").write_text('label = "click"\ncategoricals = ["user"]\nlists = {tags = ","}\n')
    log = PrepareConfig(
        format="table", input=(tmp_path / "log.csv",), schema=tmp_path / "s.toml", out=tmp_path / "data"
    )
    prepare(log)
    data = open_dataset(tmp_path / "data")
    recipe = OptimizationConfig(batch_size=64, epochs=3)
    settings = dataclasses.replace(smoke(), data=data.folder, out=tmp_path / "run", optimization=recipe)
    run = train(settings)
    pack(PackSettings(run=run.folder, out=tmp_path / "model.safetensors", check_rows=200))
    model = recsys_bnn.load(tmp_path / "model.safetensors")
    assert model.list_names == ("tags",)
    _, integers, ids = data.rows("test").columns()
    wanted = predict(load_model(run, data), data.rows("test"), torch.device("cpu"))
    np.testing.assert_allclose(model.predict_encoded(integers, ids), wanted, atol=1e-5)
    raw = [line.split(",", 2)[1:] for line in lines[-len(ids) :]]
    got = model.predict([{"user": user, "tags": tags.strip('"')} for user, tags in raw])
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert "Categories (list): tags" in model.card["card"]

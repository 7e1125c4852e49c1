"""A toy collection, and a toy detector that has learned a little of it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

LABELS = ("graphic", "drop_capital")


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=14, val=4, height=192)


@pytest.fixture(scope="session")
def toy_source(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from doc_detect.settings.training import ModelConfig, OptimizationConfig, smoke
    from doc_detect.train import train

    chosen = dataclasses.replace(
        smoke(),
        data=toy_data,
        out=tmp_path_factory.mktemp("runs") / "source",
        model=ModelConfig(size=128, head_convs=1, labels=LABELS),
        optimization=OptimizationConfig(steps=24, batch_size=2, sizes=(128,), ema_decay=0.5, warmup=0.1),
        validate_every=0,
    )
    return train(chosen).folder

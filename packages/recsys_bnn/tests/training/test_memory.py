import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

from recsys_bnn.data import dataset
from recsys_bnn.data.dataset import Dataset
from recsys_bnn.model import trained
from recsys_bnn.model.trained import build_model, rows_at_once
from recsys_bnn.settings.training import ModelConfig, TrainSettings, smoke
from recsys_bnn.train import train
from recsys_bnn.training import memory
from recsys_bnn.training.memory import training_bytes
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError


def settings(**changes) -> TrainSettings:
    base = smoke()
    optimization = dataclasses.replace(base.optimization, **changes)
    return dataclasses.replace(base, optimization=optimization, device=DeviceConfig("cpu", threads=1))


def test_tables_take_their_states_and_each_other_model(prepared: Dataset) -> None:
    table = 4 * build_model(settings(), prepared).embedding.weight.numel()
    assert training_bytes(settings(), prepared)["tables"] == 3 * table
    rowwise = settings(embedding_optimizer="rowwise-adagrad")
    assert training_bytes(rowwise, prepared)["tables"] == table + table // 8
    taught = dataclasses.replace(settings(), teacher=Path("run"))
    assert training_bytes(taught, prepared)["tables"] == 4 * table


def test_a_batch_grows_with_the_square_of_the_fields(prepared: Dataset) -> None:
    wide = dataclasses.replace(prepared, cardinalities=(3,) * 2000)
    assert training_bytes(settings(), wide)["a batch"] > 128 * 3 * 4 * 2000**2


@pytest.mark.parametrize(
    ("free", "changes", "way_out"),
    [
        (1.0, {"batch_size": 2}, "--min-count"),
        (1.0, {"batch_size": 2048}, "lower --batch-size"),
        (1.9, {}, ""),
        (2.1, {}, None),
    ],
)
def test_a_training_beyond_the_memory_is_refused_before_a_folder_is_made(
    prepared: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    free: float,
    changes: dict[str, int],
    way_out: str | None,
) -> None:
    chosen = dataclasses.replace(settings(**changes), data=prepared.folder, out=tmp_path / "run")
    needed = sum(training_bytes(chosen, prepared).values())
    monkeypatch.setattr(memory, "available_bytes", lambda: int(free * needed) - 1)
    if way_out:
        with pytest.raises(UserError, match=f"training takes about .* that are free; .*{way_out}"):
            train(chosen)
        assert not (tmp_path / "run").exists()
    else:
        memory.require_memory(chosen, prepared)
        assert ("training takes about" in capsys.readouterr().err) == (way_out == "")


def test_nothing_is_refused_where_the_memory_is_not_known(
    prepared: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.require_memory(dataclasses.replace(settings(), model=ModelConfig(embedding_dim=10**6)), prepared)


def test_many_fields_are_computed_few_rows_at_once(
    prepared: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = prepared.rows("train")
    assert rows.fields == 26 and rows_at_once(rows, 8192) == 8192
    monkeypatch.setattr(trained, "PRODUCTS_BYTES", 27 * 27 * 4 * 5)
    assert rows_at_once(rows, 8192) == 5
    monkeypatch.setattr(trained, "PRODUCTS_BYTES", 1)
    assert rows_at_once(rows, 8192) == 1


def test_wide_rows_are_shuffled_in_smaller_windows(
    prepared: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = prepared.rows("train")
    assert rows._window_blocks(16) == 16
    monkeypatch.setattr(dataset, "WINDOW_BYTES", 3 * dataset.BLOCK_ROWS * (1 + 4 * 39))
    assert rows._window_blocks(16) == 3
    monkeypatch.setattr(dataset, "WINDOW_BYTES", 1)
    assert rows._window_blocks(16) == 1

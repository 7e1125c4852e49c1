import pytest

pytest.importorskip("torch")

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from seminar_common.checkpoints import (
    flatten_optimizer,
    load_tensors,
    load_weights,
    save_tensors,
    unflatten_optimizer,
)
from seminar_common.errors import UserError


def test_tensors_and_facts_survive_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.arange(6.0).reshape(2, 3).T}, {"step": 7})
    tensors, facts = load_tensors(path)
    assert torch.equal(tensors["a"], torch.arange(6.0).reshape(2, 3).T)
    assert facts == {"step": 7}


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_tensors(path)


def test_no_byte_can_be_changed_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {
        "a": torch.arange(4.0),
        "b": torch.zeros((), dtype=torch.bfloat16),
        "c": torch.from_numpy(np.empty(0)),
    }
    save_tensors(path, tensors, {"step": 7})
    written = path.read_bytes()
    for place in range(len(written)):
        changed = bytearray(written)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(UserError, match="was changed after|not a readable checkpoint"):
            load_tensors(path)


def test_a_file_without_a_digest_is_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors", {"facts": '{"step": 7}'})
    tensors, facts = load_tensors(tmp_path / "x.safetensors")
    assert tensors["a"].tolist() == [1, 1] and facts == {"step": 7}


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_tensors(path)


@pytest.mark.parametrize("other", [torch.nn.Linear(4, 2), torch.nn.Linear(3, 2, bias=False)])
def test_another_architecture_is_refused_by_its_first_difference(other: torch.nn.Module) -> None:
    with pytest.raises(UserError, match="another architecture: (weight is|bias is)"):
        load_weights(torch.nn.Linear(3, 2), other.state_dict(), Path("x.safetensors"))


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adagrad, torch.optim.SparseAdam])
def test_an_optimizer_goes_on_as_if_never_stopped(kind: type[torch.optim.Optimizer], tmp_path: Path) -> None:
    def step(table: torch.nn.Embedding, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        table(torch.tensor([0, 2])).pow(2).sum().backward()
        optimizer.step()

    def make() -> tuple[torch.nn.Embedding, torch.optim.Optimizer]:
        table = torch.nn.Embedding(4, 2, sparse=kind is torch.optim.SparseAdam)
        torch.nn.init.ones_(table.weight)
        return table, kind(table.parameters(), lr=0.1)  # ty: ignore[unknown-argument]

    table, optimizer = make()
    step(table, optimizer)
    tensors, facts = flatten_optimizer(optimizer.state_dict())
    save_tensors(tmp_path / "o.safetensors", tensors, facts)
    resumed_table, resumed = make()
    resumed_table.load_state_dict(table.state_dict())
    resumed.load_state_dict(unflatten_optimizer(*load_tensors(tmp_path / "o.safetensors")))
    step(table, optimizer)
    step(resumed_table, resumed)
    assert torch.equal(table.weight, resumed_table.weight)

"""Tables that no process holds whole: TorchRec divides their rows among the processes of a training.

Source: Ivchenko et al., "TorchRec: a PyTorch Domain Library for Recommendation Systems", RecSys 2022 (row-wise
sharding). Every process sends the ids of its part of a batch to those that hold the rows, and gets the rows back as
floats; quantizing them stays where it was, after the lookup. A row learns where it lies, by FBGEMM's row-wise Adagrad,
as the gradients come back, with the formula of :class:`recsys_bnn.training.optimizers.RowwiseAdagrad`.

TorchRec and FBGEMM load beside one version of PyTorch alone, so they have an environment of their own, ``tools/sharded``.
"""

import importlib
import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.settings.training import TrainSettings
from seminar_common.errors import UserError

_EPS = 1e-10
_NAME = "rows"
_PART_ROWS = 65_536


class ShardedRows:
    """The rows of all tables, one after the other, in equal parts on the processes.

    Args:
        rows: Rows of all tables together, R.
        dim: Values of a row, D, a multiple of 4.
    """

    def __init__(self, rows: int, dim: int):
        self.shape = rows, dim
        self.module = _sharded(rows, dim)
        shard = self._shard(self.module.state_dict()[f"embedding_bags.{_NAME}.weight"])
        self.first, self.part = shard
        self.optimizer = ShardedAdagrad(self.module.fused_optimizer)

    @staticmethod
    def _shard(tensor: Any) -> tuple[int, Tensor]:
        """Return the first row that lies here, and those that do, [R / processes, ...]."""
        [shard] = tensor.local_shards()
        return shard.metadata.shard_offsets[0], shard.tensor.detach()

    def lookup(self, places: Tensor) -> Tensor:
        """Return the rows at ``places``, int [B, F], as [B, F, D]; every process asks for as many."""
        self.optimizer.set_rate()
        if torch.is_inference_mode_enabled():  # for which FBGEMM has no lookup
            with torch.inference_mode(False), torch.no_grad():
                return self._lookup(places.clone())
        return self._lookup(places)

    def _lookup(self, places: Tensor) -> Tensor:
        from torchrec import KeyedJaggedTensor  # ty: ignore[import-not-found]

        lengths = torch.ones(places.numel(), dtype=torch.int64)
        ids = KeyedJaggedTensor(keys=[_NAME], values=places.long().flatten(), lengths=lengths)
        return self.module(ids).wait().values().view(*places.shape, self.shape[1])

    def store(self, first: int, rows: Tensor) -> None:
        """Keep what of ``rows``, which begin at row ``first`` of all, lies here."""
        start, end = max(first, self.first), min(first + len(rows), self.first + len(self.part))
        if start < end:
            self.part[start - self.first : end - self.first] = rows[start - first : end - first]

    def forget(self) -> None:
        """Let the optimizer begin anew."""
        for state in self.module.fused_optimizer.state_dict()["state"].values():
            for tensor in state.values():
                self._shard(tensor)[1].zero_()

    def write(self, whole: Tensor) -> None:
        """Copy the rows of all processes to ``whole`` [R, D], part by part, on the first process."""
        rows, processes = self.shape[0], distributed.get_world_size()
        block = -(-rows // processes)
        for process in range(processes):
            end = min((process + 1) * block, rows)
            for start in range(process * block, end, _PART_ROWS):
                part = torch.empty(min(_PART_ROWS, end - start), self.shape[1])
                if process == distributed.get_rank():
                    part.copy_(self.part[start - self.first : start - self.first + len(part)])
                distributed.broadcast(part, process)
                if distributed.get_rank() == 0:
                    whole[start : start + len(part)] = part


class ShardedAdagrad(torch.optim.Optimizer):
    """The learning rate of rows that learn during the backward pass: a step has nothing left to do.

    Args:
        fused: TorchRec's optimizer of the rows.
    """

    def __init__(self, fused: torch.optim.Optimizer):
        self.fused = fused
        super().__init__([nn.Parameter(torch.empty(0))], {"lr": fused.param_groups[0]["lr"]})

    def set_rate(self) -> None:
        """Take the learning rate over for the next backward pass."""
        for group in self.fused.param_groups:
            group["lr"] = self.param_groups[0]["lr"]
        self.fused.step()

    def step(self, closure: Any = None) -> None:  # ty: ignore[incompatible-method-override]
        """Do nothing."""


def _sharded(rows: int, dim: int) -> Any:
    from fbgemm_gpu.split_embedding_configs import EmbOptimType  # ty: ignore[import-not-found]
    from torchrec import EmbeddingBagCollection, EmbeddingBagConfig  # ty: ignore[import-not-found]
    from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder  # ty: ignore[import-not-found]
    from torchrec.distributed.shard import shard  # ty: ignore[import-not-found]
    from torchrec.distributed.sharding_plan import construct_module_sharding_plan, row_wise  # ty: ignore[import-not-found]
    from torchrec.distributed.types import ShardingEnv  # ty: ignore[import-not-found]

    # Bags of one row each: FBGEMM has no lookup without bags on the CPU, and gives rows of other ids.
    config = EmbeddingBagConfig(num_embeddings=rows, embedding_dim=dim, name=_NAME, feature_names=[_NAME])
    bags = EmbeddingBagCollection([config], device=torch.device("meta"))
    sharder: Any = EmbeddingBagCollectionSharder(
        {"optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD, "eps": _EPS, "learning_rate": 0.0}
    )
    processes = distributed.get_world_size()
    plan = construct_module_sharding_plan(
        bags, {_NAME: row_wise(compute_kernel="fused")}, sharder, processes, processes, "cpu"
    )
    group = distributed.group.WORLD
    assert group is not None
    return shard(bags, plan, ShardingEnv.from_process_group(group), torch.device("cpu"), sharder)


def check(settings: TrainSettings, processes: int, device: torch.device) -> None:
    """Check that tables can be divided.

    Raises:
        UserError: TorchRec is not installed, or doesn't go with another setting or with one process.
    """
    try:
        importlib.import_module("torchrec")
    except (ImportError, OSError) as error:
        raise UserError(
            f"--tables torchrec: TorchRec can't be loaded ({error}); `uv run --project tools/sharded recsys-bnn train` "
            "has it, beside the PyTorch that it loads with"
        ) from error
    refused = {
        "needs several processes; start it with torchrun": processes < 2,
        "runs on the CPU; add --device cpu": device.type != "cpu",
        "needs --embedding-optimizer rowwise-adagrad": settings.optimization.embedding_optimizer
        != "rowwise-adagrad",
        "needs an --embedding-dim that is a multiple of 4": settings.model.embedding_dim % 4 > 0,
        "can't start from whole tables; leave out --init": settings.init is not None,
    }
    for why, refuse in refused.items():
        if refuse:
            raise UserError(f"--tables torchrec {why}")


def shard_tables(model: DLRM) -> ShardedRows:
    """Divide the rows of ``model`` among the processes; its table is then empty. The rows are still to be drawn.

    Raises:
        UserError: the model has fields of lists, for which every process would ask for another number of rows.
    """
    if model.list_widths:
        raise UserError(
            "--tables torchrec: takes no fields of lists; leave it out, or prepare the log without them"
        )
    logging.getLogger("torchrec").setLevel(logging.ERROR)
    embedding = model.embedding
    rows = ShardedRows(*embedding.weight.shape)
    embedding.keep_elsewhere(rows)
    return rows


@contextmanager
def brought_back(model: DLRM, folder: Path) -> Generator[None]:
    """Give the first process the whole table of ``model``, if it was divided, in a file in ``folder`` for a while."""
    rows = model.embedding.elsewhere
    if not isinstance(rows, ShardedRows):
        yield
        return
    first, path = distributed.get_rank() == 0, folder / "rows.tmp"
    count, dim = rows.shape[0] if first else 0, rows.shape[1]
    folder.mkdir(parents=True, exist_ok=True)
    whole = torch.from_file(str(path), shared=True, size=count * dim) if first else torch.empty(0)
    try:
        rows.write(whole.view(count, dim))
        model.embedding.weight = nn.Parameter(whole.view(count, dim), requires_grad=False)
        yield
    finally:
        if first:
            path.unlink()

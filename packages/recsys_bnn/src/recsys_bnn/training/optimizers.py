"""Optimizers for embedding tables, whose gradients name only the rows of a batch."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recsys_bnn.model.kernels import arrays, compiled
from recsys_bnn.training import row_kernels


class RowwiseAdagrad(torch.optim.Optimizer):
    """Adagrad with one accumulator a row: the state of a table is 1/D of its size, where Adam's is twice it.

    Source: Duchi et al., "Adaptive Subgradient Methods", JMLR 2011, with the row-wise mean of squared gradients
    that DLRM's training at scale uses (Mudigere et al., "Software-Hardware Co-design for Fast and Scalable
    Training of Deep Learning Recommendation Models", ISCA 2022, Sec. 4.1.4): a row w with gradient g gets
    ``a += mean(g^2)``, then ``w -= lr * g / (sqrt(a) + eps)``.

    Args:
        params: Tables [R, D] with sparse gradients.
        lr: Learning rate.
        eps: Keeps the division finite.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-2, eps: float = 1e-10):
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # ty: ignore[incompatible-method-override]
        """Update the rows that have a gradient; rows without one are not read."""
        return _step(self, closure, self._update)

    def _update(self, table: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[table]
        if not state:
            state["sum"] = torch.zeros(len(table), dtype=table.dtype, device=table.device)
        if _in_place(table):
            numbers = np.float32(group["lr"]), np.float32(group["eps"])
            row_kernels.adagrad(*arrays(table, state["sum"]), *_entries(gradient), *numbers)
            return
        rows, values = summed_by_row(gradient)
        accumulated = state["sum"].index_add_(0, rows, values.square().mean(1))[rows]
        table.index_add_(0, rows, values / (accumulated.sqrt() + group["eps"])[:, None], alpha=-group["lr"])


class RowAdam(torch.optim.SparseAdam):
    """PyTorch's SparseAdam, which reads and writes each row of the batch once where the kernels can."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # ty: ignore[incompatible-method-override]
        """Update the rows that have a gradient, and their moments; those of other rows don't decay."""
        tables = [table for group in self.param_groups for table in group["params"]]
        if not all(map(_in_place, tables)):
            return super().step(closure)
        return _step(self, closure, self._update)

    def _update(self, table: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[table]
        if not state:
            zeros = torch.zeros_like(table), torch.zeros_like(table)
            state["step"], (state["exp_avg"], state["exp_avg_sq"]) = 0, zeros
        state["step"] += 1
        corrections = [1 - beta ** state["step"] for beta in group["betas"]]
        step_size = group["lr"] * corrections[1] ** 0.5 / corrections[0]
        shares = [1 - beta for beta in group["betas"]]
        numbers = map(np.float32, (step_size, *shares, group["eps"]))
        moments = arrays(state["exp_avg"], state["exp_avg_sq"])
        row_kernels.adam(*arrays(table), *moments, *_entries(gradient), *numbers)


def _step(
    optimizer: torch.optim.Optimizer,
    closure: Callable[[], float] | None,
    update: Callable[[Tensor, Tensor, dict[str, Any]], None],
) -> float | None:
    """Update each table that has a gradient; return the loss."""
    loss = None if closure is None else closure()
    for group in optimizer.param_groups:
        for table in group["params"]:
            if table.grad is not None:
                update(table, table.grad, group)
    return loss


def _in_place(table: Tensor) -> bool:
    """Say whether a kernel can change ``table`` where it is."""
    return compiled(table) and table.is_contiguous()


def _entries(gradient: Tensor) -> list[np.ndarray]:
    """Return the row of each entry of a sparse gradient, int64 [N], and their values [N, D]."""
    return arrays(gradient._indices()[0], gradient._values())


def summed_by_row(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows [R] that a sparse gradient names, ascending, and the sum of the values [R, D] of each.

    What ``gradient.coalesce()`` holds, in about half the time for the hundred thousand entries of a batch.
    """
    if gradient.is_coalesced():
        return gradient.indices()[0], gradient.values()
    entries, order = gradient._indices()[0].sort(stable=True)
    rows, which = torch.unique_consecutive(entries, return_inverse=True)
    values = gradient._values()
    return rows, values.new_zeros(len(rows), values.shape[1]).index_add_(0, which, values[order])

"""Follow the proximally regularized leader: the optimizer of a linear part."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class FTRL(torch.optim.Optimizer):
    """FTRL-proximal with an L2 penalty that is exact for rare features, too: one that no batch names stays as it is.

    Source: McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013, Alg. 1, without L1. With the sum
    z of adjusted gradients and n of their squares a weight is ``-z / ((beta + sqrt(n)) / lr + l2)``, so a value that was
    read a few times stays close to zero, as in logistic regression with the same penalty.

    Args:
        params: Weights of linear features, with dense gradients of the *mean* loss of a batch.
        lr: Alpha of the paper; it is a constant, as the rate falls by itself, weight by weight.
        l2: Strength of the penalty, ``l2 / 2 * w^2`` against the summed loss of all rows that are read.
        rows: Rows of a batch, which turn the gradient of the mean into that of the sum.
        beta: Keeps the first steps short.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, l2: float, rows: int, beta: float = 1.0):
        super().__init__(params, {"lr": lr, "l2": l2, "rows": rows, "beta": beta})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # ty: ignore[incompatible-method-override]
        """Update all weights that have a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad * group["rows"], group)
        return loss

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            # A weight that doesn't begin at zero is where its leader stands, before a row was read.
            state["z"] = weight * -(group["beta"] / group["lr"] + group["l2"])
            state["n"] = torch.zeros_like(weight)
        before = state["n"].sqrt()
        after = state["n"].addcmul_(gradient, gradient).sqrt()
        state["z"].add_(gradient).addcmul_(after - before, weight, value=-1 / group["lr"])
        weight.copy_(-state["z"] / ((group["beta"] + after) / group["lr"] + group["l2"]))

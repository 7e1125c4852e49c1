"""All losses of a step of SimGCD, forward and backward, of this package and of the official code."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from gcd_longtail.benchmarks import peers
from gcd_longtail.benchmarks.rows import row
from gcd_longtail.discovery.methods.head import Batch
from gcd_longtail.discovery.methods.simgcd import SimGCD
from seminar_common.cost import measure_latency
from seminar_common.progress import say
from seminar_common.results import Row


def measure(
    folder: Path | None, seed: int, batch: int = 128, k: int = 100, width: int = 256
) -> Iterator[Row]:
    """Time the losses on given cosines and projections of two views.

    Args:
        folder: a checkout of SimGCD, or None.
        seed: of the inputs.
        batch: images, half of them labelled.
        k: classes, half of them known.
        width: of the projections.
    """
    say("SimGCD's losses")
    generator = torch.Generator().manual_seed(seed)
    cosines = (2 * torch.rand(2 * batch, k, generator=generator) - 1).requires_grad_()
    rows = torch.randn(2 * batch, width, generator=generator).requires_grad_()
    labels = torch.randint(k // 2, (batch // 2,), generator=generator)
    steps: dict[str, Callable[[], Tensor]] = {
        "simgcd": lambda: SimGCD().objective(cosines, normalize(rows, dim=1), Batch(rows, labels), progress=0)
    }
    if folder is not None:
        module = peers.load_simgcd(folder)
        steps["simgcd-official"] = lambda: _official(module, cosines, rows, labels)
    for name, step in steps.items():
        timing = measure_latency(lambda step=step: step().backward(), warmup=10, repeats=50)
        yield row(name, "losses_ms_p50", timing.p50_us / 1e3, "ms", batch=batch)
        yield row(name, "loss", step().item(), batch=batch)


def _official(module: ModuleType, cosines: Tensor, rows: Tensor, labels: Tensor) -> Tensor:
    """Return the official losses, put together as the official training loop does."""
    n = len(labels)
    some = torch.cat([half[:n] for half in (cosines / 0.1).chunk(2)])
    supervised = cross_entropy(some, torch.cat([labels, labels]))
    views = normalize(torch.stack([half[:n] for half in rows.chunk(2)], 1), dim=-1)
    supervised = supervised + module.SupConLoss()(views, labels=labels)
    mean = (cosines / 0.1).softmax(1).mean(0)
    gap = torch.log(mean**mean).sum() + float(np.log(len(mean)))
    contrast = cross_entropy(*module.info_nce_logits(rows, device="cpu"))
    distilled = module.DistillLoss(30, 200)(cosines, cosines.detach(), 0)
    return 0.65 * (distilled + 2 * gap + contrast) + 0.35 * supervised

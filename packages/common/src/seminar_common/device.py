"""Where a model runs: CPU or GPU, precision, threads and processes, decided once, with the reason.

Lightning Fabric does the work; topics contain no ``.cuda()`` and no ``if torch.cuda``. Under ``torchrun``
the same code runs data-parallel (DDP) in every process. CUDA has not been run by the project's own
tests, which have no GPU; the CPU and two-process CPU runs are tested.
"""

import atexit
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from seminar_common.errors import UserError
from seminar_common.progress import say

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class DeviceConfig:
    """Where and how to compute."""

    device: Device = "auto"
    """`auto` takes a CUDA GPU if there is one, else the CPU, and says why."""
    precision: Precision = "auto"
    """`auto` is 32-bit on the CPU, bf16 mixed precision on a GPU that has it."""
    threads: int = 0
    """CPU threads of each process; 0 takes OMP_NUM_THREADS, else all cores, shared between a machine's processes."""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: must be 0 (automatic) or more")


@dataclass(frozen=True)
class Choice:
    """What was decided, and why."""

    accelerator: Literal["cpu", "cuda"]
    precision: str
    threads: int
    processes: int
    reason: str


def choose(config: DeviceConfig) -> Choice:
    """Decide accelerator, precision and threads from ``config`` and what this machine has.

    Raises:
        UserError: CUDA was asked for and is not there, or the precision is not possible on the CPU.
    """
    import torch

    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise UserError(
            "--device cuda: PyTorch finds no CUDA GPU here; use --device cpu, or see `seminar doctor`"
        )
    accelerator: Literal["cpu", "cuda"] = "cuda" if available and config.device != "cpu" else "cpu"
    precision, precision_reason = _choose_precision(config.precision, accelerator)
    if config.device != "auto":
        device_reason = "asked for"
    else:
        device_reason = torch.cuda.get_device_name() if available else "PyTorch finds no CUDA GPU"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    threads, threads_reason = _choose_threads(config.threads)
    reason = (
        f"{accelerator} ({device_reason}), {precision} ({precision_reason}), "
        f"{threads} thread{'s' * (threads > 1)} ({threads_reason}), {processes} process{'es' * (processes > 1)}"
    )
    return Choice(accelerator, precision, threads, processes, reason)


def _choose_precision(asked: Precision, accelerator: str) -> tuple[str, str]:
    import torch

    if asked == "16-mixed" and accelerator == "cpu":
        raise UserError("--precision 16-mixed needs a GPU; on the CPU use 32-true or bf16-mixed")
    if asked != "auto":
        return asked, "asked for"
    if accelerator == "cpu":
        return "32-true", "mixed precision seldom helps on a CPU"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed", "this GPU has bf16"
    return "32-true", "this GPU has no bf16"


def _choose_threads(asked: int) -> tuple[int, str]:
    if asked:
        return asked, "asked for"
    variable = os.environ.get("OMP_NUM_THREADS", "")
    if variable.isdecimal() and int(variable):
        return int(variable), "OMP_NUM_THREADS"
    cores, processes = usable_cores(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, cores // processes), "all cores" if processes == 1 else "an equal share of the cores"


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def launch(config: DeviceConfig) -> "Fabric":
    """Set the thread count, print the choice with its reason, and return a launched Fabric.

    Under ``torchrun`` the returned Fabric joins the process group that the environment describes.
    """
    import torch
    from lightning_fabric import Fabric

    choice = choose(config)
    torch.set_num_threads(choice.threads)
    say(f"device: {choice.reason}")
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=choice.accelerator,
        devices=local,
        num_nodes=max(1, choice.processes // local),
        precision=choice.precision,  # ty: ignore[invalid-argument-type]
        strategy="ddp" if choice.processes > 1 else "auto",
    )
    fabric.launch()
    if choice.processes > 1:
        atexit.register(_leave_group)
    return fabric


def _leave_group() -> None:
    """End the process group while Python still runs.

    A process of two once died of SIGABRT after all its work was done. The likely cause, not proven: a thread of Gloo
    asks for the interpreter's lock as the interpreter goes down, and is ended inside C++ code that must not be left.
    """
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()

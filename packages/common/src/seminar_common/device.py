"""Where a model runs: CPU or GPU, precision, threads and processes, decided once, with the reason.

Lightning Fabric does the work; topics contain no ``.cuda()`` and no ``if torch.cuda``. Under ``torchrun``
the same code runs data-parallel (DDP) in every process. CUDA has not been run by the project's own
tests, which have no GPU; the CPU and two-process CPU runs are tested.
"""

import atexit
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seminar_common.errors import UserError
from seminar_common.progress import say

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
PASSIVE_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
"""Threads that wait for work sleep; by default OpenMP's and OpenBLAS's spin, which takes whole cores from others. Read as
they load."""
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class PlaceConfig:
    """Where to compute."""

    device: Device = "auto"
    """`auto` takes a CUDA GPU if there is one, else the CPU, and says why."""
    threads: int = 0
    """CPU threads of each process; 0 takes OMP_NUM_THREADS, else the cores that others leave free (with several
    processes on a machine, an equal share of all)."""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: must be 0 (automatic) or more")


@dataclass(frozen=True)
class DeviceConfig(PlaceConfig):
    """Where and how to compute, for what also runs in mixed precision; everything else is computed in 32 bits."""

    precision: Precision = "auto"
    """`auto` is 32-bit on the CPU, bf16 mixed precision on a GPU that has it."""


@dataclass(frozen=True)
class Choice:
    """What was decided, and why."""

    accelerator: Literal["cpu", "cuda"]
    precision: str
    threads: int
    processes: int
    reason: str


def choose(config: PlaceConfig) -> Choice:
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
    asked = config.precision if isinstance(config, DeviceConfig) else None
    precision, precision_reason = _choose_precision(asked, accelerator)
    if config.device != "auto":
        device_reason = "asked for"
    else:
        device_reason = torch.cuda.get_device_name() if available else "PyTorch finds no CUDA GPU"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    threads, threads_reason = choose_threads(config.threads)
    reason = (
        f"{accelerator} ({device_reason}), {precision} ({precision_reason}), "
        f"{threads} thread{'s' * (threads > 1)} ({threads_reason}), {processes} process{'es' * (processes > 1)}"
    )
    return Choice(accelerator, precision, threads, processes, reason)


def _choose_precision(asked: Precision | None, accelerator: str) -> tuple[str, str]:
    import torch

    if asked is None:
        return "32-true", "always"

    if asked == "16-mixed" and accelerator == "cpu":
        raise UserError("--precision 16-mixed needs a GPU; on the CPU use 32-true or bf16-mixed")
    if asked != "auto":
        return asked, "asked for"
    if accelerator == "cpu":
        return "32-true", "mixed precision seldom helps on a CPU"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed", "this GPU has bf16"
    return "32-true", "this GPU has no bf16"


def choose_threads(asked: int = 0) -> tuple[int, str]:
    """Return how many CPU threads to use, and why.

    Args:
        asked: A number that the user gave wins; 0 takes OMP_NUM_THREADS, else the cores that others leave free.
    """
    if asked:
        return asked, "asked for"
    variable = os.environ.get("OMP_NUM_THREADS", "")
    if variable.isdecimal() and int(variable):
        return int(variable), "OMP_NUM_THREADS"
    cores, processes = usable_cores(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if processes > 1:  # each would take its sisters for the load of others
        return max(1, cores // processes), "an equal share of the cores"
    free = free_cores()
    return free, "all cores" if free == cores else f"of {cores} cores, which others use, too"


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that give numerical libraries ``threads`` threads, which wait without spinning."""
    return {**dict.fromkeys(_VARIABLES, str(threads)), **PASSIVE_WAITING}


@contextmanager
def environment_set(variables: Mapping[str, str]) -> Generator[None]:
    """Set environment variables in the block: for libraries that load in it, and processes that start in it.

    The environment is the whole process's: threads that do this at once must take turns.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use: those it may run on, capped by the cgroup's quota."""
    quota = cgroup_quota()
    return len(_cores()) if quota is None else max(1, min(len(_cores()), int(quota)))


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cgroup_quota(
    root: Path = Path("/sys/fs/cgroup"), member: Path = Path("/proc/self/cgroup")
) -> float | None:
    """Return how many cores' time the control groups of this process allow, or None where they set no limit.

    Args:
        root: Where the control groups are mounted; versions 1 and 2 are read.
        member: The groups that this process is in. A group inside another is bound by both.
    """
    quotas = []
    for line in _read(member).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        folder = base / group.lstrip("/")
        for each in (folder, *folder.parents):
            if each.is_relative_to(base):
                quotas.append(_quota(each))
    return min((quota for quota in quotas if quota), default=None)


def _quota(folder: Path) -> float | None:
    limit = _read(folder / "cpu.max").split()
    if not limit:
        limit = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    # No limit is "max" in version 2 and -1 in version 1.
    known = len(limit) == 2 and all(part.isdecimal() and int(part) for part in limit)
    return int(limit[0]) / int(limit[1]) if known else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def free_cores(seconds: float = 0.25, stat: Path = Path("/proc/stat")) -> int:
    """Return how many of the usable cores others leave idle, at least 1.

    Idle time is sampled for some ``seconds``, in which this process sleeps: the 1-minute load would still tell of what
    ended before. Where the system doesn't say, all usable cores count as free.

    Args:
        seconds: How long to look.
        stat: The kernel's count of busy and idle ticks of each core.
    """
    cores = usable_cores()
    before = _ticks(stat)
    if cores == 1 or not before:
        return cores
    time.sleep(seconds)
    shares = []
    for core, (idle, total) in _ticks(stat).items():
        idle_before, total_before = before.get(core, (idle, total))
        if total > total_before:
            shares.append((idle - idle_before) / (total - total_before))
    return max(1, min(cores, int(sum(shares) + 0.5))) if shares else cores


def _ticks(stat: Path) -> dict[int, tuple[int, int]]:
    """Return idle ticks and all ticks since the start of each core that this process may run on."""
    ticks = {}
    for line in _read(stat).splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in _cores():
            user_to_steal = [
                int(count) for count in counts[:8]
            ]  # what guests used is in user's ticks already
            ticks[int(name[3:])] = (sum(user_to_steal[3:5]), sum(user_to_steal))
    return ticks


def launch(config: PlaceConfig, quiet: bool = False) -> "Fabric":
    """Set the thread count, print the choice with its reason unless ``quiet``, and return a launched Fabric.

    The count holds for PyTorch, and for the BLAS and OpenMP libraries that are loaded: NumPy and SciPy bring their own,
    which take every core unless they are told otherwise, and round otherwise with another count.

    Under ``torchrun`` the returned Fabric joins the process group that the environment describes.
    """
    import torch
    from lightning_fabric import Fabric
    from threadpoolctl import threadpool_limits

    choice = choose(config)
    torch.set_num_threads(choice.threads)
    threadpool_limits(choice.threads)
    if not quiet:
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

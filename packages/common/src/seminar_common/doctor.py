"""Say what this machine offers: device, precision, threads, engines, kernels and data sets.

A topic adds its own lines by an entry point of the group ``seminar.checks``: a function that takes
the data folder (or None) and returns a list of :class:`Check`.
"""

import importlib.util
import os
import platform
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Literal

from seminar_common.extras import is_own, missing_module

DATA_VARIABLE = "SEMINAR_DATA"
GROUP = "seminar.checks"
NO_TORCH = "not installed: training needs it, what works on finished models does not; pip install 'TOPIC[train]' adds it"


@dataclass(frozen=True)
class DoctorSettings:
    """Say which device, precision, threads, engines, kernels and data sets are there."""

    data: Path | None = None
    """Folder to look for data sets in; by default the environment variable SEMINAR_DATA."""


@dataclass(frozen=True)
class Check:
    """One line of the answer."""

    area: Literal["machine", "device", "engine", "kernel", "data set"]
    name: str
    state: str
    """What was found, or what is missing and how to get it."""
    found: bool = True


def main(settings: DoctorSettings) -> None:
    """Print every check as a table; the function behind ``seminar doctor``."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    folder = settings.data or data_folder()
    state = Column("state", overflow="fold")  # a long path is wrapped, not cut
    table = Table("area", "what", state, title="seminar doctor", title_justify="left")
    for check in collect(folder):
        mark = Text("+ " if check.found else "- ", style="green" if check.found else "yellow")
        table.add_row(check.area, check.name, mark + Text(check.state))
    Console().print(table)


def data_folder() -> Path | None:
    """Return the folder that SEMINAR_DATA names, or None where it isn't set or isn't a folder."""
    folder = os.environ.get(DATA_VARIABLE)
    return Path(folder) if folder and Path(folder).is_dir() else None


def collect(folder: Path | None) -> list[Check]:
    """Return the checks of this machine, then those of every installed topic.

    Args:
        folder: Where to look for data sets.
    """
    checks = [*_machine(), *_device(), _data(folder)]
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        checks += _of_topic(entry, folder)
    return checks


def _of_topic(entry: EntryPoint, folder: Path | None) -> list[Check]:
    try:
        return entry.load()(folder)
    except ModuleNotFoundError as error:
        if error.name is None or is_own(error.name):
            raise  # a mistake of ours
        distribution = entry.dist.name if entry.dist else entry.name
        message = missing_module(f"{distribution}'s own list", distribution, error.name)
        return [Check("engine", entry.name, message, False)]


def _machine() -> list[Check]:
    from seminar_common.device import choose_threads, usable_cores
    from seminar_common.runs import processor_name

    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    threads, reason = choose_threads()
    return [
        Check("machine", "python", system),
        Check("machine", "processor", f"{processor_name()}, {usable_cores()} usable cores"),
        Check("machine", "threads", f"{threads} ({reason})"),
    ]


def _device() -> list[Check]:
    if not _has_torch():
        return [Check("kernel", "PyTorch", NO_TORCH, False)]
    import torch

    from seminar_common.device import DeviceConfig, choose

    kernels = torch.backends.cpu.get_cpu_capability()
    cuda = torch.cuda.is_available()
    state = (
        torch.cuda.get_device_name() if cuda else "no GPU that PyTorch can use; everything runs on the CPU"
    )
    return [
        Check("kernel", "PyTorch", f"{version('torch')}, CPU kernels {kernels}"),
        Check("device", "auto chooses", choose(DeviceConfig()).reason),
        Check("device", "CUDA", state, cuda),
    ]


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _data(folder: Path | None) -> Check:
    if folder is None:
        return Check(
            "data set",
            "folder",
            f"none; set {DATA_VARIABLE} or give --data (see docs/reference/data.md)",
            False,
        )
    return Check("data set", "folder", str(folder))

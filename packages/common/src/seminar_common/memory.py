"""Memory that a job may take, asked before it takes it."""

from collections.abc import Iterator
from pathlib import Path

_GROUPS = {
    "": ("memory.max", "memory.current"),  # cgroup v2
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes"),  # cgroup v1
}


def available_bytes(system: Path = Path("/")) -> int | None:
    """Return how many bytes a process can still take, None where the system does not say.

    That is what Linux counts as available, files that it only caches included, or less where a control group has a
    limit, as in a container.

    Args:
        system: Where ``proc`` and ``sys`` are.
    """
    known = [*_of_the_machine(system / "proc/meminfo"), *_of_groups(system)]
    return max(0, min(known)) if known else None


def _of_the_machine(file: Path) -> Iterator[int]:
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _of_groups(system: Path) -> Iterator[int]:
    """Yield what each control group above this process, and its own, has left."""
    file = system / "proc/self/cgroup"
    for line in file.read_text().splitlines() if file.exists() else ():
        _, controllers, name = line.split(":", 2)
        for controller in {*controllers.split(",")} & _GROUPS.keys():
            root = system / "sys/fs/cgroup" / controller
            own = root / name.lstrip("/")
            for folder in [own, *own.parents]:
                yield from _left(folder, *_GROUPS[controller])
                if folder == root:
                    break


def _left(folder: Path, limit: str, usage: str) -> Iterator[int]:
    try:
        most, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return
    if most.isdecimal():
        # Pages of files that were not read lately are given back before a process is refused memory.
        yield int(most) - used + int(statistics.get("inactive_file", 0))

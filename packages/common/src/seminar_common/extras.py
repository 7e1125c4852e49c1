"""What a distribution and its extras need, read from its own metadata, and what of that is missing."""

import importlib.metadata
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from seminar_common.errors import UserError


def version(distribution: str) -> str:
    """Return the installed version, or ``not installed``."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def require(command: str, distribution: str, extra: str) -> None:
    """Check that what an extra of a distribution names is installed.

    Raises:
        UserError: something is missing; the message says what to install.
    """
    missing = sorted({name for name in needed(distribution, extra) if version(name) == "not installed"})
    if missing:
        listed = missing[0] if len(missing) == 1 else f"{', '.join(missing[:-1])} and {missing[-1]}"
        verb = "is" if len(missing) == 1 else "are"
        raise UserError(
            f"{command} needs {listed}, which {verb} not installed: pip install '{distribution}[{extra}]'"
        )


def needed(distribution: str, extra: str) -> Iterator[str]:
    """Yield the distributions that an extra adds, also through extras of others such as ``seminar-common[train]``."""
    for requirement in requirements(distribution):
        marker = requirement.marker
        if marker is None or not marker.evaluate({"extra": extra}) or marker.evaluate({"extra": ""}):
            continue
        if canonicalize_name(requirement.name) != canonicalize_name(distribution):
            yield requirement.name
        for inner in requirement.extras:
            yield from needed(requirement.name, inner)


def requirements(distribution: str) -> list[Requirement]:
    """Return what an installed distribution requires, its extras included; nothing where it is not installed."""
    try:
        return [Requirement(text) for text in importlib.metadata.requires(distribution) or ()]
    except importlib.metadata.PackageNotFoundError:
        return []


def missing_module(command: str, distribution: str, module: str) -> str:
    """Return what to say where ``module`` of another distribution can't be imported."""
    top = canonicalize_name(module.split(".")[0])
    try:
        offered = importlib.metadata.metadata(distribution).get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        offered = []
    holder = next((e for e in offered if top in map(canonicalize_name, needed(distribution, e))), None)
    what = f"{distribution}[{holder}]" if holder else distribution
    return f"{command} needs the Python module {module}, which is not installed: pip install '{what}'"


def is_own(module: str) -> bool:
    """Say whether a module belongs to the shared package or to a topic that builds on it."""
    top = module.split(".")[0]
    own = {"seminar_common"} | {
        entry.module.split(".")[0] for entry in importlib.metadata.entry_points(group="seminar.demos")
    }
    return top in own

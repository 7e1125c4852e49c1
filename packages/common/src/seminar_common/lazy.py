"""Names that a package offers at its top and imports when they are first used."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(
    package: str, targets: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package (PEP 562) that import its main names when they are used.

    Args:
        package: The package's ``__name__``.
        targets: Module of each name, e.g. ``{"Detector": "doc_detect.detectors"}``; ``module:name`` where it has
            another name there.

    So ``from doc_detect import Detector`` costs the import of its module, and ``import doc_detect`` costs nothing.
    """

    def __getattr__(name: str) -> Any:
        if name not in targets:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, own_name = targets[name].partition(":")
        value = getattr(importlib.import_module(module), own_name or name)
        setattr(sys.modules[package], name, value)  # the next use finds it without this function
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *targets})

    return __getattr__, __dir__

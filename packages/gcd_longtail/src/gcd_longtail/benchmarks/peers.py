"""The official codes of GCD and SimGCD, run from a user's checkout for comparison. Nothing of them is in here."""

import importlib.util
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from seminar_common.errors import UserError

KMEANS_FILE = Path("methods/clustering/faster_mix_k_means_pytorch.py")
SIMGCD_FILE = Path("model.py")


def sort_peers(folders: tuple[Path, ...]) -> tuple[Path | None, Path | None]:
    """Return the checkouts of GCD and of SimGCD among ``folders``.

    Raises:
        UserError: a folder is neither.
    """
    gcd = simgcd = None
    for folder in folders:
        if (folder / KMEANS_FILE).exists():
            gcd = folder
        elif (folder / SIMGCD_FILE).exists() and "DistillLoss" in (folder / SIMGCD_FILE).read_text():
            simgcd = folder
        else:
            raise UserError(f"{folder}: neither a checkout of GCD (with {KMEANS_FILE}) nor of SimGCD")
    return gcd, simgcd


def load_kmeans(folder: Path) -> ModuleType:
    """Return GCD's k-means module.

    It imports a private module that scikit-learn has dropped and an evaluation helper that the fit never calls;
    joblib and an empty module stand in for them while it is loaded.
    """
    import joblib

    joblib_names: dict[str, Any] = {
        n: getattr(joblib, n) for n in ("Parallel", "delayed", "effective_n_jobs")
    }
    helper: dict[str, Any] = {"cluster_acc": None}
    stand_ins = {
        "sklearn.utils._joblib": joblib_names,
        "project_utils": {},
        "project_utils.cluster_utils": helper,
    }
    with _modules(stand_ins):
        return _load(folder / KMEANS_FILE, "official_gcd_kmeans")


def load_simgcd(folder: Path) -> ModuleType:
    """Return SimGCD's module of heads and losses."""
    return _load(folder / SIMGCD_FILE, "official_simgcd_model")


@contextmanager
def _modules(contents: dict[str, dict[str, Any]]) -> Generator[None]:
    before = {name: sys.modules.get(name) for name in contents}
    for name, values in contents.items():
        sys.modules[name] = module = ModuleType(name)
        vars(module).update(values)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _load(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

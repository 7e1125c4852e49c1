"""Discovery methods: each is one class in one file and one line in :data:`METHODS`."""

from collections.abc import Callable

from gcd_longtail.methods.kmeans import KMeans
from gcd_longtail.methods.ss_kmeans import SemiSupervisedKMeans
from gcd_longtail.methods.ward import ConstrainedWard
from gcd_longtail.problem import Method
from seminar_common.errors import UserError, choices

__all__ = ["METHODS", "make_method"]

METHODS: dict[str, Callable[[], Method]] = {
    "kmeans": KMeans,
    "ss-kmeans": SemiSupervisedKMeans,
    "ward": ConstrainedWard,
}
"""Value of ``--method`` -> the method with its default settings."""


def make_method(name: str) -> Method:
    """Return a new method.

    Raises:
        UserError: no method of this name.
    """
    if name not in METHODS:
        raise UserError(f"--method {name}: no such method; choose {choices(METHODS)}")
    return METHODS[name]()

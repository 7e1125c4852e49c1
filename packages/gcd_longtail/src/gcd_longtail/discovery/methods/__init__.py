"""Discovery methods: each is one class in one file and one line in :data:`METHODS`."""

from collections.abc import Callable
from functools import partial

from gcd_longtail.discovery.methods.bacon import BaCon
from gcd_longtail.discovery.methods.kmeans import KMeans
from gcd_longtail.discovery.methods.shift_merge_mix import ShiftMergeMix
from gcd_longtail.discovery.methods.simgcd import SimGCD, SimGCDFromWard, start_at_ss_kmeans
from gcd_longtail.discovery.methods.ss_kmeans import SemiSupervisedKMeans
from gcd_longtail.discovery.methods.supervised import Supervised
from gcd_longtail.discovery.methods.uno import UNO
from gcd_longtail.discovery.methods.ward import ConstrainedWard
from gcd_longtail.discovery.problem import Method
from gcd_longtail.settings.methods import SupervisedConfig
from seminar_common.errors import UserError, choices

__all__ = ["METHODS", "make_method"]

METHODS: dict[str, Callable[[], Method]] = {
    "supervised": Supervised,
    "supervised-balanced": partial(Supervised, SupervisedConfig(adjustment=1.0)),
    "kmeans": KMeans,
    "ss-kmeans": SemiSupervisedKMeans,
    "uno": UNO,
    "simgcd": SimGCD,
    "simgcd-ss-kmeans": partial(SimGCD, start=start_at_ss_kmeans),
    "bacon": BaCon,
    "ward": ConstrainedWard,
    "simgcd-ward": SimGCDFromWard,
    "shift-merge-mix": ShiftMergeMix,
}
"""Value of ``--method`` -> the method with its default settings."""


def make_method(name: str, option: str = "--method") -> Method:
    """Return a new method.

    Args:
        name: a key of :data:`METHODS`.
        option: the option that named it.

    Raises:
        UserError: no method of this name.
    """
    if name not in METHODS:
        raise UserError(f"{option} {name}: no such method; choose {choices(METHODS)}")
    return METHODS[name]()

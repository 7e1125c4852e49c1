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
from gcd_longtail.settings.methods import ShiftMergeMixConfig, SimGCDConfig, SupervisedConfig
from seminar_common.errors import UserError, choices

__all__ = ["ABLATIONS", "METHODS", "make_method"]

FULL = "shift-merge-mix"

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
    FULL: ShiftMergeMix,
}
"""Value of ``--method`` -> the method with its default settings."""

ABLATIONS: dict[str, Callable[[], Method]] = {
    f"{FULL}, {name}": partial(ShiftMergeMix, config)
    for name, config in {
        "no shift": ShiftMergeMixConfig(shift=0.0),
        "no merge": ShiftMergeMixConfig(over_cut=1.0),
        "no head": ShiftMergeMixConfig(weights=(0.0,)),
        "no mixture": ShiftMergeMixConfig(weights=(1000.0,)),
        "weight 1": ShiftMergeMixConfig(weights=(1.0,)),
        "long head": ShiftMergeMixConfig(head=SimGCDConfig()),
    }.items()
}
"""Our method less one of its parts, for a study."""


def make_method(name: str, option: str = "--method") -> Method:
    """Return a new method.

    Args:
        name: a key of :data:`METHODS`.
        option: the option that named it.

    Raises:
        UserError: no method of this name.
    """
    if name not in METHODS | ABLATIONS:
        raise UserError(f"{option} {name}: no such method; choose {choices(METHODS)}")
    return (METHODS | ABLATIONS)[name]()

"""Quantizers: modules from a float tensor to one that fewer bits can hold, trainable end to end.

A quantizer to 2 bits and more is one class in one file, and one line in :data:`QUANTIZERS`.
"""

from collections.abc import Callable

from recsys_bnn.model.quantizers.base import Quantizer, ScaledQuantizer, Use
from recsys_bnn.model.quantizers.dorefa import DoReFa
from recsys_bnn.model.quantizers.lsq import LSQ
from recsys_bnn.model.quantizers.row import RowMinMax, RowSign
from recsys_bnn.model.quantizers.sign import ScaledSign, Sign
from recsys_bnn.model.quantizers.thresholds import ThresholdSigns

__all__ = [
    "QUANTIZERS",
    "Quantizer",
    "ScaledQuantizer",
    "ThresholdSigns",
    "Use",
    "make_quantizer",
    "make_row_quantizer",
]

QUANTIZERS: dict[str, Callable[[Use], Quantizer]] = {"lsq": LSQ, "dorefa": DoReFa}
"""Value of ``--quantizer`` -> the class for 2 bits and more."""


def make_quantizer(use: Use, kind: str = "lsq") -> Quantizer:
    """Return a new quantizer: ``kind`` for 2 to 8 bits, the sign for 1 bit, nothing for 32.

    Raises:
        ValueError: no quantizer ``kind`` is registered, or there is none to so many bits.
    """
    if kind not in QUANTIZERS:
        raise ValueError(f"no quantizer {kind!r}; there are {sorted(QUANTIZERS)}")
    if use.bits == 32:
        return Quantizer(use)
    if use.bits == 1:
        return Sign(use) if use.scale_shape is None else ScaledSign(use)
    if not 2 <= use.bits <= 8:
        raise ValueError(f"no quantizer to {use.bits} bits; there are 1 to 8 and 32")
    return QUANTIZERS[kind](use)


def make_row_quantizer(bits: int) -> RowMinMax | RowSign:
    """Return a new quantizer whose scales are stored with each row."""
    use = Use(bits, "embedding", None)
    return RowSign(use) if bits == 1 else RowMinMax(use)

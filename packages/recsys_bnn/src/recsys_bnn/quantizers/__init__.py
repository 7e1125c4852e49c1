"""Quantizers: functions from a float tensor to one that fewer bits can hold, trainable end to end.

A quantizer is one class in one file, and one line in :data:`QUANTIZERS`.
"""

from collections.abc import Callable

from torch import nn

from recsys_bnn.quantizers.sign import Sign

QUANTIZERS: dict[int, Callable[[], nn.Module]] = {32: nn.Identity, 1: Sign}
"""Bits of the quantized value -> the module that makes it."""


def make_quantizer(bits: int) -> nn.Module:
    """Return a new quantizer to ``bits`` bits.

    Raises:
        ValueError: no quantizer is registered for ``bits``.
    """
    if bits not in QUANTIZERS:
        raise ValueError(f"no quantizer for {bits} bits; there are {sorted(QUANTIZERS)}")
    return QUANTIZERS[bits]()

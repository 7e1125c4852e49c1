"""SplitMix64, a hash of 64-bit numbers (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014)."""

import numpy as np


def splitmix64(seeds: np.ndarray, index: int = 1) -> np.ndarray:
    """Return the ``index``-th output, from 1, of the SplitMix64 generator that starts from each of ``seeds``.

    As a hash of numbers, ``index`` is its salt. Equal to Vigna's ``splitmix64.c``.

    Args:
        seeds: Whole numbers of any shape; negative ones count modulo 2^64.
        index: Which output.

    Returns:
        uint64 of the same shape.
    """
    step = np.uint64(index * 0x9E3779B97F4A7C15 % 2**64)
    mixed = np.atleast_1d(seeds).astype(np.uint64) + step  # an array: NumPy warns where a scalar wraps
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).reshape(np.shape(seeds))

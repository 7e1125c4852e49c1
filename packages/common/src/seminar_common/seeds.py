"""Explicit random generators, each derived from one seed and the name of what it is for.

A generator depends on its seed and its path alone, never on what was drawn before it. The data order of
epoch 3 or the dropout of step 512 is therefore the same in an unbroken run and in one that was killed and
resumed, with no generator state to store.
"""

import hashlib
import operator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *path: str | int) -> int:
    """Return a 63-bit seed for the stream named by ``path`` under ``seed``.

    >>> derive(0, "dropout", 7) == derive(0, "dropout", 7) != derive(0, "dropout", 8)
    True
    """
    text = repr((int(seed), *map(_plain, path))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def _plain(part: str | int) -> str | int:
    """Return Python's own value: NumPy's numbers and strings are written otherwise and would name other streams."""
    return str(part) if isinstance(part, str) else operator.index(part)


def numpy_generator(seed: int, *path: str | int) -> np.random.Generator:
    """Return NumPy's default generator for the stream ``path`` under ``seed``."""
    return np.random.default_rng(derive(seed, *path))


def torch_generator(seed: int, *path: str | int, device: str = "cpu") -> "torch.Generator":
    """Return a torch generator on ``device`` for the stream ``path`` under ``seed``."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, *path))

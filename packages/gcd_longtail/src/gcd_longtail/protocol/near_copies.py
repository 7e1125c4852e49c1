"""Near copies: the same picture saved again, made smaller or trimmed, found by features that are there anyway.

Two images are near copies if the cosine of their features is at least a threshold. A pair of a training and a test image
is a leak, for what a method answers on the test image it was shown.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gcd_longtail.protocol.split_file import Split
from seminar_common import files

FILE = "near-copies.csv"
HEADER = ("image", "role", "class", "other", "other_role", "other_class", "cosine")
ROLES = {"L": "labelled", "U": "unlabelled", "T": "test"}
MOST_IMAGES = 200_000
"""More are not compared: all pairs of so many take some minutes on one core."""
MOST_PAIRS = 100_000
"""The search ends at so many; a set that is all one picture would have billions."""
_DIRECTIONS = 64
_SAMPLE = 10_000
_BLOCK, _CHUNK = 2048, 8192
_SLACK = 1e-3
"""What single precision may be off in a squared distance; the pairs that pass are computed again."""


@dataclass(frozen=True)
class NearCopies:
    """Pairs of near copies, those of a training and a test image first, then the most alike."""

    pairs: np.ndarray
    """Numbers of the images in the split, int64 [M, 2]."""
    cosines: np.ndarray
    """float64 [M]."""
    leaks: int
    """Pairs of a training and a test image; they come first."""
    complete: bool
    """Whether these are all."""


def near_pairs(
    features: np.ndarray, threshold: float, most: int = MOST_PAIRS
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the pairs of rows whose cosine is at least ``threshold``, int64 [M, 2], their cosines, and if these are all.

    The distance of unit vectors is never larger in a projection. So pairs are looked for in the first principal
    directions and computed in full where they are near enough there: none is missed, and memory stays that of a block.

    Args:
        features: float32 [N, D].
        threshold: above 0 and at most 1.
        most: pairs at which the search ends.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    left, right = _sides(_projected(unit))
    reach = -(1 - threshold) - _SLACK  # minus half of the squared distance, which is 1 - cosine at most
    found: list[np.ndarray] = []
    cosines: list[np.ndarray] = []
    for pairs in _near_blocks(left, right, reach):
        for part in np.array_split(pairs, len(pairs) // _CHUNK + 1):
            exact = np.einsum("nd,nd->n", unit[part[:, 0]], unit[part[:, 1]], dtype=np.float64)
            found.append(part[exact >= threshold])
            cosines.append(exact[exact >= threshold])
        if sum(map(len, found)) > most:
            return np.concatenate(found)[:most], np.concatenate(cosines)[:most], False
    if not found:
        return np.empty((0, 2), np.int64), np.empty(0), True
    return np.concatenate(found), np.concatenate(cosines), True


def _near_blocks(left: np.ndarray, right: np.ndarray, reach: float) -> Iterator[np.ndarray]:
    """Yield the pairs of two rows whose product is at least ``reach``, int64 [M, 2], block by block."""
    buffer = np.empty((_BLOCK, _BLOCK), np.float32)  # kept, for a new one costs more than the product
    for row in range(0, len(left), _BLOCK):
        rows = left[row : row + _BLOCK]
        for column in range(row, len(right), _BLOCK):
            columns = right[column : column + _BLOCK]
            block = np.matmul(rows, columns.T, out=buffer[: len(rows), : len(columns)])
            near = block >= reach
            if near.any():
                pairs = np.argwhere(near) + (row, column)
                yield pairs[pairs[:, 0] < pairs[:, 1]]


def _projected(unit: np.ndarray) -> np.ndarray:
    """Return ``unit`` [N, D] in its principal directions, float32 [N, at most 64]."""
    sample = unit[:: len(unit) // _SAMPLE + 1]
    mean = sample.mean(0)
    if unit.shape[1] <= _DIRECTIONS:
        return unit - mean
    _, vectors = np.linalg.eigh(np.cov(sample, rowvar=False))
    return (unit - mean) @ vectors[:, -_DIRECTIONS:].astype(np.float32)


def _sides(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays whose product is minus half of the squared distance of each pair of ``rows``."""
    half = -0.5 * np.square(rows).sum(1, keepdims=True)
    ones = np.ones_like(half)
    return np.hstack([rows, half, ones]), np.hstack([rows, ones, half])


def near_copies(split: Split, numbers: np.ndarray, features: np.ndarray, threshold: float) -> NearCopies:
    """Return the near copies among images of ``split``; images with the same bytes are none, they share their role.

    Args:
        split: which images have which role.
        numbers: of the images in the split, int64 [N].
        features: of these, float32 [N, D].
        threshold: see :func:`near_pairs`.
    """
    hashes = np.array(split.hashes)[numbers]
    _, first = np.unique(hashes, return_index=True)
    first.sort()
    pairs, cosines, complete = near_pairs(features[first], threshold)
    pairs = numbers[first][pairs]
    is_test = np.array([role == "T" for role in split.roles])
    leak = is_test[pairs[:, 0]] != is_test[pairs[:, 1]]
    order = np.lexsort((-cosines, ~leak))
    return NearCopies(pairs[order], cosines[order], int(leak.sum()), complete)


def write_near_copies(file: Path, split: Split, found: NearCopies) -> None:
    """Write a line for each pair."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for (one, other), cosine in zip(found.pairs.tolist(), found.cosines.tolist(), strict=True):
        writer.writerow([*_cells(split, one), *_cells(split, other), f"{cosine:.4f}"])
    files.write_text(file, text.getvalue())


def _cells(split: Split, image: int) -> Sequence[str]:
    return split.keys[image], ROLES[split.roles[image]], split.classes[split.labels[image]].name

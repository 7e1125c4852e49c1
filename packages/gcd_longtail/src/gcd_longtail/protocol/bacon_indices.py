"""Splits that BaCon published: three index files into CIFAR's training images in place of a drawn split.

A folder ``cifar100_k80_imb100`` holds ``l_k_uq_idxs.pt`` (labelled images of known classes), ``unl_k_uq_idxs.pt``
(unlabelled ones of known classes) and ``unl_unk_uq_idxs.pt`` (unlabelled ones of novel classes), each an array of image
numbers. CIFAR's test images are the test images.

Source: Bai et al., "Towards Distribution-Agnostic Generalized Category Discovery", NeurIPS 2023; the folder
``data_uq_idxs`` of github.com/JianhongBai/BaCon (MIT licence).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gcd_longtail.images.sources.base import Source
from gcd_longtail.protocol.planning import class_infos
from gcd_longtail.protocol.split_file import Split
from gcd_longtail.settings.commands import SplitSettings, check_name
from seminar_common.errors import UserError
from seminar_common.progress import say

FILES = {"labelled": "l_k_uq_idxs.pt", "known": "unl_k_uq_idxs.pt", "novel": "unl_unk_uq_idxs.pt"}


@dataclass(frozen=True)
class Indices:
    """Numbers of CIFAR's training images, none of them twice."""

    labelled: np.ndarray
    """Labelled images of known classes, int64."""
    known: np.ndarray
    """Unlabelled images of known classes, int64."""
    novel: np.ndarray
    """Unlabelled images of novel classes, int64."""


def read_indices(folder: Path) -> Indices:
    """Return the index files in ``folder``.

    Reading them runs no code: PyTorch's reader is allowed arrays of numbers and nothing else.

    Raises:
        UserError: a file is missing or holds anything else, or an image stands in two places.
    """
    parts = {name: _read(folder / file) for name, file in FILES.items()}
    every = np.concatenate(list(parts.values()))
    if len(np.unique(every)) < len(every):
        numbers, counts = np.unique(every, return_counts=True)
        raise UserError(f"{folder}: image {numbers[counts > 1][0]} is listed twice; get the files again")
    return Indices(**parts)


def _read(file: Path) -> np.ndarray:
    import _codecs
    import pickle

    import torch
    from numpy._core.multiarray import _reconstruct

    if not file.is_file():
        raise UserError(
            f"{file}: no such file; --bacon takes a folder with {', '.join(FILES.values())}, such as "
            "data_uq_idxs/cifar100_k80_imb100 of BaCon's repository"
        )
    # What a pickled array of whole numbers is made of. NumPy 2 writes the first under another name.
    array = [
        _reconstruct,
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        type(np.dtype(np.int64)),
        _codecs.encode,
    ]
    try:
        with torch.serialization.safe_globals(array):
            numbers = np.asarray(torch.load(file, weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise UserError(
            f"{file}: not an index file of BaCon ({type(error).__name__}); get it again"
        ) from error
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not len(numbers) or numbers.min() < 0:
        raise UserError(f"{file}: not a list of image numbers; get it again")
    return numbers.astype(np.int64)


def published_split(
    indices: Indices, source: Source, hashes: Mapping[int, str], settings: SplitSettings
) -> Split:
    """Return the split that ``indices``, read from ``settings.bacon``, say.

    Args:
        indices: numbers of training images.
        source: CIFAR as torchvision unpacks it, whose training images come first, in their own order.
        hashes: digest of each readable image.
        settings: of them, ``bacon``, ``name`` and ``seed`` are used.

    Raises:
        UserError: the files are of another set of images than ``source``.
    """
    assert settings.bacon is not None
    listing = source.listing
    train = [number for number, part in enumerate(listing.splits) if part == "train"]
    roles = {}
    for role, numbers in (("L", indices.labelled), ("U", np.concatenate([indices.known, indices.novel]))):
        if numbers.max() >= len(train):
            raise UserError(
                f"{settings.bacon}: lists image {numbers.max()}, but {source.path} has only {len(train):,} training "
                "images; give the CIFAR that the files are made for"
            )
        roles |= {train[number]: role for number in numbers}
    known = {listing.labels[train[number]] for number in indices.labelled}
    _check_classes(source, train, indices, known, settings.bacon)
    images: dict[str, list[int]] = {}
    for index in roles:
        images.setdefault(listing.labels[index], []).append(index)
    order = sorted(images, key=lambda name: (-len(images[name]), name))
    classes = class_infos(order, images, known)
    roles |= {index: "T" for index, part in enumerate(listing.splits) if part == "test"}
    numbers_of = {one.name: number for number, one in enumerate(classes)}
    rows = sorted(index for index in roles if index in hashes and listing.labels[index] in numbers_of)
    _tell_copies([(hashes[index], roles[index]) for index in rows])
    return Split(
        settings.name or check_name(settings.bacon.resolve().name),
        {"bacon": settings.bacon.resolve().name, "seed": settings.seed},
        classes,
        tuple(listing.keys[index] for index in rows),
        tuple(hashes[index] for index in rows),
        np.array([numbers_of[listing.labels[index]] for index in rows], np.int64),
        "".join(roles[index] for index in rows),
    )


def _check_classes(source: Source, train: list[int], indices: Indices, known: set[str], folder: Path) -> None:
    """Raise a UserError unless exactly the images of ``known`` are listed as such: else the numbers mean others."""
    labels = source.listing.labels
    for numbers, expected in ((indices.known, True), (indices.novel, False)):
        wrong = next((number for number in numbers if (labels[train[number]] in known) != expected), None)
        if wrong is not None:
            raise UserError(
                f"{folder}: image {wrong} is listed as one of a {'known' if expected else 'novel'} class, but "
                f"{source.path} has it as {labels[train[wrong]]}; give the CIFAR that the files are made for"
            )


def _tell_copies(rows: list[tuple[str, str]]) -> None:
    """Say how many images have the bytes of one with another role: published splits are taken as they are."""
    found = Counter(digest for digest, _ in set(rows))
    torn = sum(found[digest] > 1 for digest, _ in rows)
    if torn:
        say(
            f"{torn} images have the same bytes as one with another role; the published split is kept as it is"
        )

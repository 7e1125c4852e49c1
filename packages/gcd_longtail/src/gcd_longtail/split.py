"""``split``: decide which classes are known and which images are labelled, and write it down."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from gcd_longtail.images.copies import left_out
from gcd_longtail.images.hashing import hash_images
from gcd_longtail.images.sources import open_source, resolve
from gcd_longtail.images.sources.base import Source
from gcd_longtail.protocol.bacon_indices import Indices, published_split, read_indices
from gcd_longtail.protocol.planning import plan
from gcd_longtail.protocol.split_file import Split, read_split, write_split
from gcd_longtail.settings.commands import SplitSettings
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.progress import say


def split(settings: SplitSettings) -> Split:
    """Split the images that ``settings`` name; write the folder ``settings.out``.

    Images with the same bytes get the same role. Images that can't be read, and copies that no role fits, are left out
    and listed in ``failures.csv``.

    Raises:
        UserError: the folder exists or another run is making it, there are no labels, a known class is missing, or too
            few classes remain.
    """
    with files.reserved(settings.out):
        return _split(settings)


def _split(settings: SplitSettings) -> Split:
    indices = None if settings.bacon is None else _published(settings)
    source = open_source(settings.source)
    hashes, lost = hash_images(source)
    torn: dict[int, failures.Failure] = {}
    if settings.reuse is not None:
        made = _reuse(read_split(settings.reuse), source, hashes, settings.reuse)
    elif indices is not None:
        made = published_split(indices, source, hashes, settings)
    else:
        torn = left_out(source.listing, hashes)
        made = plan(source, {i: digest for i, digest in hashes.items() if i not in torn}, settings)
    write_split(settings.out, made, dataclasses.replace(settings.source, format=resolve(settings.source)))
    left = [*lost, *torn.values()]
    if left:
        failures.add(settings.out / failures.FILE, left)
    _describe(made, settings.out, len(lost), len(torn))
    return made


def _published(settings: SplitSettings) -> Indices:
    """Return the index files that ``--bacon`` names.

    Raises:
        UserError: they can't be read, or the images are not CIFAR in its own order.
    """
    assert settings.bacon is not None
    form = resolve(settings.source)
    if form not in ("cifar10", "cifar100"):
        raise UserError(
            f"--bacon: its files number the images of CIFAR as torchvision unpacks it, but {settings.source.images} is "
            f"read as {form}; give the folder that holds cifar-100-python or cifar-10-batches-py"
        )
    return read_indices(settings.bacon)


def _reuse(shared: Split, source: Source, hashes: Mapping[int, str], file: Path) -> Split:
    """Return ``shared`` with the names that its images have in ``source``.

    Raises:
        UserError: an image of the split is not there.
    """
    here: dict[str, list[int]] = {}
    for index, digest in hashes.items():
        here.setdefault(digest, []).append(index)
    missing = Counter(shared.hashes) - Counter(hashes.values())
    if missing:
        digest = next(d for d in shared.hashes if d in missing)
        key = shared.keys[shared.hashes.index(digest)]
        raise UserError(
            f"{source.path}: lacks {missing.total()} of the images of {file}, or they differ (first: {key}); a split "
            "fits only the very same image files"
        )
    keys = tuple(source.listing.keys[here[digest].pop(0)] for digest in shared.hashes)
    return dataclasses.replace(shared, keys=keys)


def _describe(made: Split, out: Path, unreadable: int, torn: int) -> None:
    novel = len(made.classes) - made.known
    say(
        f"{made.name}: {made.known} known and {novel} novel classes; {made.roles.count('L'):,} labelled, "
        f"{made.roles.count('U'):,} unlabelled and {made.roles.count('T'):,} test images; imbalance {made.imbalance:.0f}"
    )
    if unreadable:
        say(f"{unreadable} images can't be read and are left out: see {out / failures.FILE}")
    shared = len(made.hashes) - len(set(made.hashes))
    if shared:
        say(f"{shared} images have the same bytes as another one and share its role")
    if torn:
        say(
            f"{torn} images with the same bytes in two classes, or in training and test, are left out: see "
            f"{out / failures.FILE}"
        )
    say(f"wrote {out / 'split.json'}, hash {made.hash}")

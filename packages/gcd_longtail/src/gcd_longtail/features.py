"""``features``: extract the features of a split's images, or find them in the cache.

:func:`gcd_longtail.protocol.data.load` reads them back.
"""

import dataclasses
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.backbones.backbones import PIXELS
from gcd_longtail.backbones.cache import FeatureStore
from gcd_longtail.backbones.extract import Extractor, Wanted, read_unchanged
from gcd_longtail.backbones.precision import with_precision
from gcd_longtail.images.shapes import fitted
from gcd_longtail.images.sources import open_source
from gcd_longtail.images.sources.base import Source
from gcd_longtail.protocol import near_copies
from gcd_longtail.protocol.data import FEATURES_FILE
from gcd_longtail.protocol.split_file import Split, read_source, read_split
from gcd_longtail.settings.commands import FeaturesSettings
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.identity import Facts
from seminar_common.images import BadImage
from seminar_common.progress import say
from seminar_common.settings import to_dict


def features(settings: FeaturesSettings) -> None:
    """Fill the cache for every image of a split and note in ``features.json`` which features it uses.

    Images that can't be decoded are listed in ``failures.csv`` and left out of the problem. Near copies are listed in
    ``near-copies.csv``; they stay where they are.

    Raises:
        UserError: no split, images that are gone or changed, a folder that can't be written to, or a backbone that can't be
            loaded.
    """
    split = read_split(settings.data)
    cache = settings.cache or settings.data.absolute().parent / "features"
    open_images = partial(open_source, read_source(settings.data))
    chosen = with_precision(fitted(settings.features, open_images()), settings.extraction.device)
    settings = dataclasses.replace(settings, features=chosen)
    extractor = Extractor(open_images, settings.features, cache, settings.extraction)
    images = _wanted(split, extractor.source)
    files.check_writable(settings.data, "--data ")
    if extractor.store(0).missing(split.hashes):
        files.check_writable(cache, "--cache ")
    _check_cached(extractor.store(0), images, extractor.source)
    train = [one for one, role in zip(images, split.roles, strict=True) if role != "T"]
    lost = extractor.extract(images, *[train] * settings.views)
    if lost:
        failures.add(settings.data / failures.FILE, lost)
        say(f"{len(lost)} images can't be decoded and are left out: see {settings.data / failures.FILE}")
    files.write_json(settings.data / FEATURES_FILE, _document(settings, cache, extractor.facts, split))
    say(f"features of {len(images) - len(lost):,} images are in {extractor.store(0).folder}")
    if settings.near_copies and settings.features.backbone != PIXELS:
        _report_near_copies(settings, split, extractor.store(0))


def _report_near_copies(settings: FeaturesSettings, split: Split, store: FeatureStore) -> None:
    """Write the near copies of the split and say how many there are; what was found before is gone."""
    file = settings.data / near_copies.FILE
    files.remove(file)
    missing = set(store.missing(split.hashes))
    numbers = np.array([i for i, digest in enumerate(split.hashes) if digest not in missing], np.int64)
    if len(numbers) > near_copies.MOST_IMAGES:
        say(f"near copies are not looked for among more than {near_copies.MOST_IMAGES:,} images")
        return
    features = store.get([split.hashes[i] for i in numbers])
    found = near_copies.near_copies(split, numbers, features, settings.near_copies)
    if len(found.pairs):
        near_copies.write_near_copies(file, split, found)
        at_least = "" if found.complete else "at least "
        say(
            f"{at_least}{len(found.pairs):,} pairs of near copies, {found.leaks:,} of them of a training and a test "
            f"image: see {file}"
        )


def _wanted(split: Split, source: Source) -> list[Wanted]:
    """Return the images of ``split``, all of which must be in ``source``."""
    gone = next((key for key in split.keys if key not in source.numbers), None)
    if gone is not None:
        raise UserError(
            f"{source.path}: image {gone} is in the split but not there; restore it or split again"
        )
    return [Wanted(key, digest) for key, digest in zip(split.keys, split.hashes, strict=True)]


def _check_cached(store: FeatureStore, images: Sequence[Wanted], source: Source) -> None:
    """Read again the images whose features are cached: a feature must not outlive a change of its image.

    Raises:
        UserError: one has changed, or can't be read any more.
    """
    missing = set(store.missing(one.hash for one in images))
    for one in images:
        try:
            if one.hash not in missing:
                read_unchanged(source, one)
        except BadImage as error:
            raise UserError(
                f"{source.path}: image {one.key} can't be read any more ({error}); restore it or split again"
            ) from error


def _document(settings: FeaturesSettings, cache: Path, facts: Facts, split: Split) -> dict[str, Any]:
    folder, cache = settings.data.absolute(), cache.absolute()
    # A cache beside the split moves with it.
    place = os.path.relpath(cache, folder) if cache.is_relative_to(folder.parent) else str(cache)
    document = {"split": split.hash, "features": to_dict(settings.features), "facts": facts}
    return {**document, "views": settings.views, "cache": place}

"""``features``: extract the features of a split's images, or find them in the cache.

:func:`gcd_longtail.protocol.data.load` reads them back.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gcd_longtail.backbones.cache import FeatureStore
from gcd_longtail.backbones.extract import Extractor, Wanted, check_unchanged
from gcd_longtail.failures import Failure, write_failures
from gcd_longtail.images.sources import open_source
from gcd_longtail.images.sources.base import Source, UnreadableImageError
from gcd_longtail.protocol.data import FEATURES_FILE
from gcd_longtail.protocol.split_file import Split, read_source, read_split
from gcd_longtail.settings.commands import FeaturesSettings
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.identity import Facts
from seminar_common.progress import say
from seminar_common.settings import to_dict


def features(settings: FeaturesSettings) -> None:
    """Fill the cache for every image of a split and note in ``features.json`` which features it uses.

    Images that can't be decoded are listed in ``failures.csv`` and left out of the problem.

    Raises:
        UserError: no split, images that are gone or changed, or a backbone that can't be loaded.
    """
    split = read_split(settings.data)
    source = open_source(read_source(settings.data))
    images = _wanted(split, source)
    cache = settings.cache or settings.data.absolute().parent / "features"
    extractor = Extractor(settings.features, cache, settings.device, settings.batch)
    _check_cached(extractor.store(0), images, source)
    train = [one for one, role in zip(images, split.roles, strict=True) if role != "T"]
    failures: list[Failure] = []
    for view in range(settings.features.views + 1):
        failures += extractor.extract(source, images if view == 0 else train, view)
    if failures:
        write_failures(settings.data, failures)
        say(f"{len(failures)} images can't be decoded and are left out: see {settings.data / 'failures.csv'}")
    files.write_json(settings.data / FEATURES_FILE, _document(settings, cache, extractor.facts, split))
    say(f"features of {len(images) - len(failures):,} images are in {extractor.store(0).folder}")


def _wanted(split: Split, source: Source) -> list[Wanted]:
    """Return where the images of ``split`` stand in ``source``."""
    numbers = {key: index for index, key in enumerate(source.listing.keys)}
    gone = next((key for key in split.keys if key not in numbers), None)
    if gone is not None:
        raise UserError(
            f"{source.path}: image {gone} is in the split but not there; restore it or split again"
        )
    return [Wanted(numbers[key], digest) for key, digest in zip(split.keys, split.hashes, strict=True)]


def _check_cached(store: FeatureStore, images: Sequence[Wanted], source: Source) -> None:
    """Read again the images whose features are cached: a feature must not outlive a change of its image."""
    missing = set(store.missing(one.hash for one in images))
    for one in images:
        if one.hash not in missing:
            check_unchanged(_read_again(source, one), one, source)


def _read_again(source: Source, one: Wanted) -> bytes:
    """Return the bytes of an image that could be read when the split was made.

    Raises:
        UserError: it can't any more.
    """
    try:
        return source.read(one.index)
    except UnreadableImageError as error:
        raise UserError(
            f"{source.path}: image {source.listing.keys[one.index]} can't be read any more ({error}); restore it or "
            "split again"
        ) from error


def _document(settings: FeaturesSettings, cache: Path, facts: Facts, split: Split) -> dict[str, Any]:
    folder, cache = settings.data.absolute(), cache.absolute()
    # A cache beside the split moves with it.
    place = os.path.relpath(cache, folder) if cache.is_relative_to(folder.parent) else str(cache)
    return {"split": split.hash, "features": to_dict(settings.features), "facts": facts, "cache": place}

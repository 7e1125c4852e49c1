"""Features of a folder of images without classes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gcd_longtail.backbones.extract import Extractor, Wanted
from gcd_longtail.images.hashing import hash_images
from gcd_longtail.images.sources.base import Source
from gcd_longtail.images.sources.folder import open_unlabelled
from gcd_longtail.settings.commands import ExtractionConfig, FeatureConfig
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.files import check_writable
from seminar_common.identity import Facts


@dataclass(frozen=True)
class ImageFolder:
    """The readable images of a folder with their features."""

    source: Source
    numbers: np.ndarray
    """Number of each readable image in the source, int64 [N]."""
    features: np.ndarray
    """float32 [N, D]."""
    hashes: tuple[str, ...]
    """Digest of the bytes of each readable image."""
    facts: Facts
    """What the features depend on besides the images."""
    failures: tuple[Failure, ...]
    """Images that were left out."""

    @property
    def keys(self) -> list[str]:
        """Names of the readable images."""
        return [self.source.listing.keys[i] for i in self.numbers]


def read_folder(
    folder: Path, config: FeatureConfig, cache: Path, extraction: ExtractionConfig
) -> ImageFolder:
    """Return the images below ``folder`` with their plain features, from the cache where it has them.

    Raises:
        UserError: no image in the folder can be read, or the cache can't be written to; see also :class:`~gcd_longtail.backbones.extract.Extractor`.
    """
    extractor = Extractor(partial(open_unlabelled, folder.absolute()), config, cache, extraction)
    source = extractor.source
    hashes, failures = hash_images(source)
    if extractor.store(0).missing(hashes.values()):
        check_writable(cache, "--cache ")
    keys = source.listing.keys
    failures += extractor.extract([Wanted(keys[index], digest) for index, digest in hashes.items()])
    store = extractor.store(0)
    missing = set(store.missing(hashes.values()))
    numbers = [index for index, digest in hashes.items() if digest not in missing]
    if not numbers:
        raise UserError(
            f"{folder}: none of its {len(keys)} images can be read ({failures[0].reason}: {failures[0].file})"
        )
    readable = tuple(hashes[index] for index in numbers)
    features = store.get(readable)
    return ImageFolder(
        source, np.array(numbers, np.int64), features, readable, extractor.facts, tuple(failures)
    )

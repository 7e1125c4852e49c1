"""The digest of each image's stored bytes: its name in caches and in splits."""

import hashlib

from gcd_longtail.images.sources.base import Source
from seminar_common.failures import Failure
from seminar_common.images import BadImage
from seminar_common.progress import progress, say


def image_hash(data: bytes) -> str:
    """Return the digest of an image's stored bytes, 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def hash_images(source: Source) -> tuple[dict[int, str], list[Failure]]:
    """Return the hash of each readable image by its number, and the images that are not readable.

    Says what the source passed over: each command reads its images once.
    """
    for remark in source.remarks:
        say(remark)
    hashes, failures = {}, []
    with progress("reading images", len(source.listing)) as advance:
        for index, key in enumerate(source.listing.keys):
            try:
                data = source.read(index)
                source.check(data)
                hashes[index] = image_hash(data)
            except BadImage as error:
                failures.append(Failure(key, str(error)))
            advance()
    return hashes, failures

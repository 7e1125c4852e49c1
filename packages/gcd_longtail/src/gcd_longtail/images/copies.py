"""Copies: images with the same bytes, which must never be told apart by a split or by a discovery.

A copy in another role is a leak: a test image that was trained on, or an unlabelled image whose label was given.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gcd_longtail.images.sources.base import Listing
from seminar_common.failures import Failure


def copies(hashes: Mapping[int, str]) -> list[list[int]]:
    """Return the numbers of the images that share their bytes, a list for each of several, in order."""
    same: dict[str, list[int]] = defaultdict(list)
    for index, digest in hashes.items():
        same[digest].append(index)
    return [sorted(some) for some in same.values() if len(some) > 1]


def left_out(listing: Listing, hashes: Mapping[int, str]) -> dict[int, Failure]:
    """Return the images that no split can hold beside their copies, by their number.

    Those are copies in several classes, of which at least one is wrong, and training images that are test images of
    the source as well: its test set stays as others measure on it.
    """
    found = {}
    for some in copies(hashes):
        labelled = [index for index in some if listing.labels[index]]
        contradict = len({listing.labels[index] for index in labelled}) > 1
        tests = [index for index in labelled if listing.splits[index] == "test"]
        for index in labelled:
            other = _other(labelled if contradict else tests, index, listing)
            if contradict:
                reason = f"has the same bytes as {listing.keys[other]}, which is of another class"
            elif tests and listing.splits[index] == "train":
                reason = f"has the same bytes as the test image {listing.keys[other]}"
            else:
                continue
            found[index] = Failure(listing.keys[index], reason)
    return found


def _other(candidates: Sequence[int], index: int, listing: Listing) -> int:
    """Return the candidate that is best named beside ``index``: of another class if there is one."""
    others = [one for one in candidates if one != index] or [*candidates, index]
    return next((one for one in others if listing.labels[one] != listing.labels[index]), others[0])


def joined_groups(listing: Listing, hashes: Mapping[int, str]) -> list[str]:
    """Return the group of each image of ``listing``, empty for one that stands alone.

    The groups of the listing hold within a class and a split of the source. Those that share an image's bytes are
    one group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    tied: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index in hashes:
        if listing.groups[index]:
            tied[listing.labels[index], listing.splits[index], listing.groups[index]].append(index)
    pairs = [*_chains(tied.values()), *_chains(copies(hashes))]
    if not pairs:
        return [""] * len(listing)
    n, (ones, others) = len(listing), np.array(pairs, np.int64).T
    _, component = connected_components(coo_array((np.ones(len(ones), np.int8), (ones, others)), (n, n)))
    alone = np.bincount(component)[component] == 1
    return ["" if lonely else str(one) for one, lonely in zip(component.tolist(), alone, strict=True)]


def _chains(tied: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    return [(some[0], other) for some in tied for other in some[1:]]


def contradictions(hashes: Sequence[str], labels: np.ndarray) -> list[list[int]]:
    """Return the numbers of the labelled copies of each picture whose copies have several labels.

    Args:
        hashes: of the images.
        labels: int64 [N], negative where it is unknown.
    """
    same = copies(dict(enumerate(hashes)))
    labelled = ([index for index in some if labels[index] >= 0] for some in same)
    return [some for some in labelled if len(set(labels[some].tolist())) > 1]


def one_answer(hashes: Sequence[str], labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return ``classes`` with one class for all copies of a picture, int64 [N].

    That is the label of its copies, where they have one alone; else the class that most of the unlabelled copies have, of
    equally many the first. A labelled image keeps its label.

    Args:
        hashes: of the images.
        labels: int64 [N], negative where it is unknown.
        classes: int64 [N], a labelled image's label or what was found for the others.
    """
    answers = classes.copy()
    for some in copies(dict(enumerate(hashes))):
        open_ones = [index for index in some if labels[index] < 0]
        given = {int(labels[index]) for index in some if labels[index] >= 0}
        if open_ones:
            found = np.bincount(classes[open_ones])
            answers[open_ones] = given.pop() if len(given) == 1 else int(found.argmax())
    return answers

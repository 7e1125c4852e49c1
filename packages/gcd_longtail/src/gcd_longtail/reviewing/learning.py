"""What a method learns from decisions: labels, the number of classes, and what must not come again.

A decision is a label, so that every method can learn from it. The images that a person saw and put into a class are
labelled images of that class, named or not. The rest of the class is free: it follows if it is like them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gcd_longtail.discovery.problem import Discovered
from gcd_longtail.reviewing.decisions import UNSURE, Decision, Reviewed, ReviewedClass, replay

EXEMPLARS = 3
"""Most central images that stand for a class that a person settled without any being shown, such as after a split."""


@dataclass(frozen=True)
class Before:
    """What a run says of its images before anybody decided about it."""

    names: tuple[str, ...]
    """Of all classes, in order."""
    known: tuple[str, ...]
    """Those of them that labelled images are of; they come first."""
    classes: Mapping[str, str]
    """Class of each image by its key, without the images of rejected classes."""
    labelled: frozenset[str]
    """The images whose class was given."""
    central: Mapping[str, float]
    """How central each image is in its class; higher is nearer to the centre."""
    settled: frozenset[str] = frozenset()
    """The classes that a person decided about before."""
    rejected: frozenset[str] = frozenset()
    """The images of classes that were rejected before."""
    forbidden: tuple[tuple[str, str], ...] = ()
    """Pairs of an image and a class that it was said not to belong to."""


@dataclass(frozen=True)
class Lesson:
    """What is given to a method in place of the labels of before."""

    classes: tuple[str, ...]
    """Names of the classes with labels: those of before in their order, then those that were settled since."""
    labels: Mapping[str, int]
    """Class of each labelled image."""
    left_out: frozenset[str]
    """The images of rejected classes."""
    k: int
    """Number of classes in all: those of before that are still there, and new ones."""
    settled: frozenset[str]
    """Names of the classes that nobody needs to look at again."""
    forbidden: tuple[tuple[str, str], ...] = ()
    """Pairs of an image and one of :attr:`classes` that it does not belong to."""
    apart: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Pairs of an image and the members of a class without labels that it does not belong to."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """What classes of the run are called now, by their names in the run, where it is something else."""


def learn(before: Before, decisions: Sequence[Decision]) -> Lesson:
    """Return what ``decisions`` about a run teach.

    Raises:
        UserError: they name a class or an image that the run does not have.
    """
    reviewed = replay(decisions, before.names, before.classes, before.known)
    members = reviewed.members()
    names = {one.cluster: one.name for one in reviewed.classes}
    gone = {one.cluster for one in reviewed.classes if one.rejected}
    labels = {key: reviewed.images[key] for key in before.labelled} | dict(reviewed.labels)
    labels = {key: one for key, one in labels.items() if one != UNSURE and one not in gone}
    labelled = set(labels.values())
    for one in reviewed.classes:
        if one.settled and not one.rejected and one.cluster not in labelled:
            central = sorted(members[one.cluster], key=lambda key: -before.central[key])
            labels |= dict.fromkeys(central[:EXEMPLARS], one.cluster)
    labelled = set(labels.values())
    order = [one.cluster for one in reviewed.classes if one.cluster in labelled]
    order.sort(key=lambda cluster: cluster not in before.known)  # stable: those of before come first
    numbers = {cluster: number for number, cluster in enumerate(order)}
    filled = set(before.classes.values())
    forbidden = [*_still(before, names), *reviewed.forbidden]
    return Lesson(
        classes=tuple(names[cluster] for cluster in order),
        labels={key: numbers[cluster] for key, cluster in labels.items()},
        left_out=before.rejected.union(*(members[cluster] for cluster in gone)),
        k=max(len(order), sum(_counts(one, before, filled, members) for one in reviewed.classes)),
        settled=frozenset(
            one.name
            for one in reviewed.classes
            if one.cluster in labelled and (one.settled or one.cluster in before.settled)
        ),
        forbidden=tuple((key, names[one]) for key, one in forbidden if one in numbers and key not in labels),
        apart=tuple(
            (key, tuple(members[one]))
            for key, one in forbidden
            if one not in labelled | gone and key not in labels and members[one]
        ),
        renamed={one.cluster: one.name for one in reviewed.classes if one.name != one.cluster},
    )


def _still(before: Before, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what was forbidden before, of the classes that are still there."""
    return [(key, name) for key, name in before.forbidden if name in names and key in before.classes]


def _counts(
    one: ReviewedClass, before: Before, filled: Collection[str], members: Mapping[str, list[str]]
) -> bool:
    """Say whether a class counts in K: it is not rejected, and decisions did not take its last image."""
    was_empty = one.cluster in before.names and one.cluster not in filled
    return not one.rejected and (bool(members[one.cluster]) or was_empty)


def obey(
    discovery: Discovered, features: np.ndarray, keys: Sequence[str], lesson: Lesson, names: Sequence[str]
) -> tuple[Discovered, tuple[tuple[str, str], ...]]:
    """Return a discovery in which no image is in a class that was forbidden to it, but in its next best class.

    A class without labels is found again as the new one that has most of its members.

    Args:
        discovery: what a method found.
        features: of the unlabelled images, float32 [U, D].
        keys: of the unlabelled images, U.
        lesson: what must not be.
        names: of the classes of ``discovery``.

    Returns:
        The discovery, and all pairs of image and class that are forbidden, by the names of now.
    """
    rows = {key: row for row, key in enumerate(keys)}
    numbers = {name: number for number, name in enumerate(names)}
    forbidden: dict[str, set[int]] = {}
    for key, name in lesson.forbidden:
        if key in rows and name in numbers:
            forbidden.setdefault(key, set()).add(numbers[name])
    for key, members in lesson.apart:
        others = [discovery.assignments[rows[one]] for one in members if one in rows and one != key]
        if key in rows and others:
            forbidden.setdefault(key, set()).add(int(np.bincount(others).argmax()))
    assignments = discovery.assignments.copy()
    for key, mine in forbidden.items():
        row = rows[key]
        if assignments[row] in mine and len(mine) < discovery.k:
            scores = discovery.predictor.scores(features[row : row + 1])[0].astype(np.float64)
            scores[list(mine)] = -np.inf
            assignments[row] = scores.argmax()
    pairs = tuple(sorted((key, names[number]) for key, mine in forbidden.items() for number in mine))
    return Discovered(assignments, discovery.predictor), pairs


def named(reviewed: Reviewed) -> dict[str, str]:
    """Return the name of the class of each image that lies in a class which a person named."""
    names = {one.cluster: one.name for one in reviewed.classes if one.named and not one.rejected}
    return {key: names[one] for key, one in reviewed.images.items() if one in names}

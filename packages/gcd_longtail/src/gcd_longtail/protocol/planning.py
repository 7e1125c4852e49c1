"""Which classes are known, which images are labelled and which are held out, drawn from one seed."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gcd_longtail.images.copies import joined_groups
from gcd_longtail.images.sources.base import Source
from gcd_longtail.protocol.split_file import FREQUENCIES, ClassInfo, Split
from gcd_longtail.settings.commands import SplitSettings, check_name
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.seeds import numpy_generator


def plan(source: Source, hashes: Mapping[int, str], settings: SplitSettings) -> Split:
    """Return the split of the images ``hashes`` of ``source``; the same settings give the same split.

    Images of one group get the same role, and so do images with the same bytes.

    Raises:
        UserError: there are no labels, a known class is missing, or too few classes remain.
    """
    groups = joined_groups(source.listing, hashes)
    train, test = _train_and_test(source, hashes, settings, groups)
    order = sorted(train, key=lambda name: (-len(train[name]), name))
    known = choose_known(order, settings)
    classes, rows = class_infos(order, train, known), []
    for number, one in enumerate(classes):
        labelled = _labelled(one, train[one.name], groups, settings)
        rows += [(index, number, "L" if index in labelled else "U") for index in train[one.name]]
        rows += [(index, number, "T") for index in test.get(one.name, ())]
    rows.sort()
    return Split(
        settings.name or check_name(settings.source.images.stem),
        _choices(settings),
        classes,
        tuple(source.listing.keys[index] for index, _, _ in rows),
        tuple(hashes[index] for index, _, _ in rows),
        np.array([number for _, number, _ in rows], np.int64),
        "".join(role for _, _, role in rows),
    )


def _choices(settings: SplitSettings) -> dict[str, object]:
    names = ("known_fraction", "known", "labelled_fraction", "imbalance_ratio", "test_fraction", "seed")
    chosen = {name: getattr(settings, name) for name in names}
    fewer: dict[str, object] = {}
    if settings.exclude:
        fewer["exclude"] = list(settings.exclude)
    if settings.class_count:
        fewer["class_count"] = settings.class_count
    return {
        **chosen,
        "known_classes": list(settings.known_classes),
        "where": settings.source.where,
        **fewer,
    }


def _train_and_test(
    source: Source, hashes: Mapping[int, str], settings: SplitSettings, groups: Sequence[str]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return the training and the test images of each class, after thinning out and leaving out small classes."""
    parts: dict[str, dict[str, list[int]]] = {"train": {}, "test": {}}
    for index in hashes:
        label = source.listing.labels[index]
        if label:
            parts[source.listing.splits[index]].setdefault(label, []).append(index)
    if not parts["train"]:
        raise UserError(
            f"{source.path}: no training image has a label; `split` needs the class of each image"
        )
    names = _kept_classes(parts["train"], source, settings)
    train, test = ({n: i for n, i in part.items() if n in names} for part in parts.values())
    if not source.listing.has_test:
        test = {name: _hold_out(name, train[name], groups, settings) for name in sorted(train)}
        train = {name: sorted(set(images) - set(test[name])) for name, images in train.items()}
    if settings.imbalance_ratio:
        train = thin_out(train, groups, settings.imbalance_ratio, settings.seed)
    small = {name for name, images in train.items() if len(images) < settings.min_images}
    if small:
        say(
            f"{len(small)} classes with fewer than {settings.min_images} training images are left out: "
            f"{', '.join(sorted(small)[:5])}{', ...' if len(small) > 5 else ''}"
        )
    return {n: i for n, i in train.items() if n not in small}, {
        n: i for n, i in test.items() if n not in small
    }


def _kept_classes(classes: Iterable[str], source: Source, settings: SplitSettings) -> set[str]:
    """Return the classes that are not excluded, and of these the ``class_count`` that are drawn.

    Raises:
        UserError: a class to exclude that is not there, or too few to draw from.
    """
    names = sorted(classes)
    missing = sorted(set(settings.exclude) - set(names))
    if missing:
        raise UserError(f"--exclude {missing[0]}: {source.path} has no such class")
    names = [name for name in names if name not in settings.exclude]
    if settings.class_count > len(names):
        raise UserError(f"--class-count {settings.class_count}: {source.path} has only {len(names)} classes")
    if settings.class_count:
        generator = numpy_generator(settings.seed, "classes")
        names = generator.choice(names, settings.class_count, replace=False).tolist()
    return set(names)


def _hold_out(name: str, images: Sequence[int], groups: Sequence[str], settings: SplitSettings) -> list[int]:
    wanted = settings.test_fraction * len(images)
    generator = numpy_generator(settings.seed, "test", name)
    return _whole_groups(images, groups, wanted, generator)


def thin_out(
    train: Mapping[str, Sequence[int]], groups: Sequence[str], ratio: float, seed: int
) -> dict[str, list[int]]:
    """Thin out classes to n_i = n_0 ratio^(-i / (C - 1)), the exponential long tail of Cui et al. 2019.

    The order of classes is that of their frequency, of equal ones by chance. A class that has fewer images than
    that keeps all it has.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, section 5.1.
    """
    generator = numpy_generator(seed, "imbalance")
    chance = dict(zip(sorted(train), generator.random(len(train)), strict=True))
    order = sorted(train, key=lambda name: (-len(train[name]), chance[name]))
    largest, steps = len(train[order[0]]), max(1, len(order) - 1)
    kept = {}
    for place, name in enumerate(order):
        wanted = max(1, round(largest * ratio ** (-place / steps)))
        kept[name] = _whole_groups(train[name], groups, wanted, numpy_generator(seed, "thin", name))
    return kept


def _whole_groups(
    images: Sequence[int], groups: Sequence[str], wanted: float, generator: np.random.Generator
) -> list[int]:
    """Return about ``wanted`` images in whole groups, drawn at random: as near to it as their sizes allow."""
    members: dict[str, list[int]] = {}
    for index in images:
        members.setdefault(groups[index] or f"\0{index}", []).append(index)
    names = list(members)
    chosen: list[int] = []
    for place in generator.permutation(len(names)):
        group = members[names[place]]
        if abs(len(chosen) + len(group) - wanted) < abs(len(chosen) - wanted):
            chosen += group
    return sorted(chosen)


def choose_known(order: Sequence[str], settings: SplitSettings) -> set[str]:
    """Return the known classes out of ``order``, which runs from the most frequent to the rarest.

    Raises:
        UserError: a listed class does not exist, or no class would be known, or none novel.
    """
    if settings.known_classes:
        missing = sorted(set(settings.known_classes) - set(order))
        if missing:
            raise UserError(f"--known-classes {missing[0]}: no such class in the images, or it was left out")
        known = set(settings.known_classes)
    else:
        count = min(len(order) - 1, max(1, round(settings.known_fraction * len(order))))
        if settings.known == "frequent":
            known = set(order[:count])
        else:
            known = _interleave(order, count, settings.seed)
    if not 0 < len(known) < len(order):
        raise UserError(
            f"{len(known)} of {len(order)} classes are known; at least one must be known and one novel"
        )
    return known


def _interleave(order: Sequence[str], count: int, seed: int) -> set[str]:
    """Cut ``order`` into runs of about equal length and draw one class from each.

    It is a known one, or, if known classes are the majority, a novel one.
    """
    generator = numpy_generator(seed, "known")
    drawn = min(count, len(order) - count)
    edges = np.linspace(0, len(order), drawn + 1).round().astype(int)
    picked = {order[generator.integers(low, high)] for low, high in zip(edges[:-1], edges[1:], strict=True)}
    return picked if drawn == count else set(order) - picked


def terciles(order: Sequence[str]) -> dict[str, str]:
    """Return ``many``, ``medium`` or ``few`` for each class of ``order``, most frequent first, a third each."""
    edges = np.linspace(0, len(order), 4).round().astype(int)
    return {
        name: frequency
        for frequency, low, high in zip(FREQUENCIES, edges[:-1], edges[1:], strict=True)
        for name in order[low:high]
    }


def class_infos(
    order: Sequence[str], train: Mapping[str, Sequence[int]], known: set[str]
) -> tuple[ClassInfo, ...]:
    """Return the classes of a split, known ones first and frequent ones first among these.

    Args:
        order: all classes, the most frequent first.
        train: training images of each.
        known: the known ones.
    """
    frequency = terciles(order)
    known_first = sorted(order, key=lambda name: name not in known)  # stable: frequent ones first within each
    return tuple(ClassInfo(name, name in known, len(train[name]), frequency[name]) for name in known_first)


def _labelled(
    one: ClassInfo, images: Sequence[int], groups: Sequence[str], settings: SplitSettings
) -> set[int]:
    """Return the labelled images of a class: in whole groups, at least one image of a known class."""
    if not one.known:
        return set()
    wanted = max(1.0, settings.labelled_fraction * len(images))
    generator = numpy_generator(settings.seed, "labelled", one.name)
    chosen = _whole_groups(images, groups, wanted, generator)
    return set(chosen) or {i for i in images if _same_group(groups, i, images[0])}


def _same_group(groups: Sequence[str], one: int, other: int) -> bool:
    return one == other or bool(groups[one] and groups[one] == groups[other])

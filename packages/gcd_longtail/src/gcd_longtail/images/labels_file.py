"""The practitioner's labels: a CSV file with the path and the class of some images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from gcd_longtail.images.sources.table import read_rows
from seminar_common.errors import UserError
from seminar_common.failures import Failure


@dataclass(frozen=True)
class KnownLabels:
    """Which images are labelled, and how."""

    classes: tuple[str, ...]
    """The known classes, sorted."""
    labels: np.ndarray
    """Class of each image, int64 [N]; -1 where it is unknown."""
    failures: tuple[Failure, ...]
    """Labels of images that are not there or can't be read."""


def read_labels(file: Path, folder: Path, keys: Sequence[str], unreadable: Sequence[str]) -> KnownLabels:
    """Read the labels of the images ``keys`` of ``folder``; an empty label means that it is unknown.

    Args:
        file: CSV with the columns ``path``, relative to ``folder`` or absolute, and ``label``.
        folder: of the images.
        keys: names of the readable images, relative to ``folder``.
        unreadable: names of those that can't be read.

    Raises:
        UserError: a broken file, two labels for an image, no label for any readable image, or for all of them.
    """
    given = _labels(file, folder)
    failures = [
        Failure(
            key, "has a label, but " + ("can't be read" if key in set(unreadable) else "is not in the folder")
        )
        for key in sorted(given.keys() - set(keys))
    ]
    named = [given.get(key, "") for key in keys]
    classes = tuple(sorted(set(named) - {""}))
    if not classes:
        example = f" (first: {failures[0].file} {failures[0].reason})" if failures else ""
        raise UserError(
            f"{file}: labels no readable image of {folder}{example}; paths must be relative to that folder"
        )
    if "" not in named:
        raise UserError(f"{file}: labels every image of {folder}; there is nothing to discover")
    numbers = {name: number for number, name in enumerate(classes)} | {"": -1}
    return KnownLabels(classes, np.array([numbers[name] for name in named], np.int64), tuple(failures))


def _labels(file: Path, folder: Path) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    for line, row in read_rows(file, ("path", "label")):
        if not row["label"]:
            continue
        key = _relative(row["path"], folder)
        if labels.setdefault(key, row["label"]) != row["label"]:
            raise UserError(
                f"{file}, line {line}: {key} is labelled {labels[key]!r} above and {row['label']!r} here"
            )
    return labels


def _relative(path: str, folder: Path) -> str:
    if Path(path).is_absolute():
        absolute, root = Path(path), folder.absolute()
        return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else path
    return PurePath(path).as_posix()

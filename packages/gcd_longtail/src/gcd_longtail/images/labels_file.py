"""The practitioner's labels: a table with the path and the class of some images.

A table of our own is one, too: of ``assignments.csv`` the rows count whose column ``labelled`` says yes. So its names can
be mended by hand, with ``yes`` for what was mended, and given to the next `discover`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from unicodedata import normalize

import numpy as np

from gcd_longtail.images.sources.table import read_rows
from seminar_common.errors import UserError
from seminar_common.failures import Failure

LABELLED = "labelled"
"""Column that says which rows a person vouches for."""
GUESSED = "margin"
"""Column by which a table of `predict` is known: its classes are nobody's labels."""
_YES = frozenset({"yes", "true", "1"})


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
        file: A table as :func:`~gcd_longtail.images.sources.table.read_rows` takes it. Paths are relative to ``folder``,
            absolute, or as seen from the current folder; they may have backslashes, and accents composed or apart
            (Unicode's NFC and NFD). Rows count whose column ``labelled`` says yes, if there is one.
        folder: of the images.
        keys: names of the readable images, relative to ``folder``.
        unreadable: names of those that can't be read.

    Raises:
        UserError: a broken file, two labels for an image, no label for any readable image, or for all of them.
    """
    broken = set(unreadable)
    given = _labels(file, _Names(folder, (*keys, *unreadable)))
    failures = [
        Failure(key, "has a label, but " + ("can't be read" if key in broken else "is not in the folder"))
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


def _labels(file: Path, names: "_Names") -> Mapping[str, str]:
    labels: dict[str, str] = {}
    rows = read_rows(file)
    has_labelled = LABELLED in rows[0][1]
    if not has_labelled and GUESSED in rows[0][1]:
        raise UserError(
            f"{file}: its classes are guesses of `predict`; add a column {LABELLED} with yes for those that are checked"
        )
    for line, row in rows:
        if not row["label"] or has_labelled and row[LABELLED].lower() not in _YES:
            continue
        key, label = names.key(row["path"]), normalize("NFC", row["label"])
        if labels.setdefault(key, label) != label:
            raise UserError(
                f"{file}, line {line}: {key} is labelled {labels[key]!r} above and {label!r} here"
            )
    if not labels and has_labelled:
        raise UserError(f"{file}: no row has a class and yes in the column {LABELLED}")
    return labels


class _Names:
    """The images of a folder by whatever a table calls them."""

    def __init__(self, folder: Path, keys: Sequence[str]):
        self._folders = tuple(
            dict.fromkeys(each.as_posix() for each in (folder.absolute(), folder.resolve(), folder))
        )
        self._keys = set(keys)
        self._composed = {normalize("NFC", key): key for key in keys if not key.isascii()}

    def key(self, path: str) -> str:
        """Return the key of the image that ``path`` means, or, of one that is not there, ``path`` as it is tidied."""
        tidied = ""
        for written in dict.fromkeys((path, path.replace("\\", "/"))):
            tidied = PurePath(written).as_posix()
            for one in (tidied, *self._inside(tidied)):
                if one in self._keys:
                    return one
                if (twin := self._composed.get(normalize("NFC", one))) is not None:
                    return twin
        return next(self._inside(tidied), tidied)

    def _inside(self, path: str) -> Iterator[str]:
        """Yield ``path`` as seen from the folder, where it begins with the folder."""
        return (path.removeprefix(f"{folder}/") for folder in self._folders if path.startswith(f"{folder}/"))

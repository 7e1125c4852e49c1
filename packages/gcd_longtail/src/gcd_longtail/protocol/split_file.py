"""The split file: which classes are known and which images are labelled, unlabelled or test.

``split.json`` holds the choices, the classes in the order in which methods number them, and each image's key,
hash, class and role. Its own hash covers all of that but the keys, so two people with the same hash have the
same split, whatever their files are called. Where the images lie on this machine stands beside it, in
``source.json``, and is not part of the hash.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.settings.commands import SourceConfig
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.settings import from_dict, to_dict

SCHEMA = 1
SPLIT_FILE, SOURCE_FILE = "split.json", "source.json"
FREQUENCIES = ("many", "medium", "few")


@dataclass(frozen=True)
class ClassInfo:
    """A class of a split."""

    name: str
    known: bool
    train_images: int
    frequency: str
    """``many``, ``medium`` or ``few``: the tercile of its training images among all classes."""


@dataclass(frozen=True)
class Split:
    """A split as it stands in its file."""

    name: str
    """Name of the data set."""
    choices: dict[str, Any]
    """The settings that made it."""
    classes: tuple[ClassInfo, ...]
    """Known classes first; a class's place is its number for methods."""
    keys: tuple[str, ...]
    """Names of the images in their source."""
    hashes: tuple[str, ...]
    """Digests of their bytes."""
    labels: np.ndarray
    """Class of each image, int64."""
    roles: str
    """One letter an image: L(abelled), U(nlabelled) or T(est)."""

    @property
    def known(self) -> int:
        """Number of known classes."""
        return sum(one.known for one in self.classes)

    @property
    def frequencies(self) -> tuple[str, ...]:
        """``many``, ``medium`` or ``few`` of each class."""
        return tuple(one.frequency for one in self.classes)

    @property
    def train_images(self) -> np.ndarray:
        """Training images of each class, labelled or not."""
        return np.array([one.train_images for one in self.classes])

    @property
    def imbalance(self) -> float:
        """Training images of the largest class over those of the smallest."""
        return float(self.train_images.max() / self.train_images.min())

    def where(self, role: str) -> np.ndarray:
        """Return the numbers of the images with the role ``L``, ``U`` or ``T``."""
        return np.flatnonzero(np.array(list(self.roles)) == role)

    @cached_property
    def hash(self) -> str:
        """Digest of everything in the split but the images' names, 32 hex digits."""
        content = _content(self)
        del content["images"]["key"]
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _content(split: Split) -> dict[str, Any]:
    images = {
        "key": list(split.keys),
        "hash": list(split.hashes),
        "class": split.labels.tolist(),
        "role": split.roles,
    }
    return {
        "schema": SCHEMA,
        "name": split.name,
        "choices": split.choices,
        "classes": [asdict(one) for one in split.classes],
        "images": images,
    }


def write_split(folder: Path, split: Split, source: SourceConfig) -> None:
    """Make ``folder`` with the split and the place of its images."""
    with files.atomic_path(folder) as temporary:
        temporary.mkdir()
        text = json.dumps({**_content(split), "hash": split.hash}, ensure_ascii=False)
        files.write_text(temporary / SPLIT_FILE, text.replace('"images":', '\n"images":') + "\n")
        files.write_json(temporary / SOURCE_FILE, to_dict(source))


def read_split(path: Path) -> Split:
    """Read a split file, or the one in a folder.

    Raises:
        UserError: missing, of another schema, damaged, or changed since it was made.
    """
    file = path / SPLIT_FILE if path.is_dir() else path
    if not path.exists() or not file.exists():
        raise UserError(f"{file}: no such split; make it with `gcd-longtail split`")
    document = files.read_json(file)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UserError(f"{file}: not a split file of schema {SCHEMA}; make it with `gcd-longtail split`")
    try:
        split = _parse(document)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: damaged ({error!r}); make it again with `gcd-longtail split`") from error
    if split.hash != document["hash"]:
        raise UserError(
            f"{file}: was changed since it was made (its hash differs); make it again or get it again"
        )
    return split


def _parse(document: dict[str, Any]) -> Split:
    images = document["images"]
    split = Split(
        document["name"],
        document["choices"],
        tuple(ClassInfo(**one) for one in document["classes"]),
        tuple(images["key"]),
        tuple(images["hash"]),
        np.array(images["class"], np.int64),
        images["role"],
    )
    if not len(split.keys) == len(split.hashes) == len(split.labels) == len(split.roles):
        raise ValueError("columns of different lengths")
    return split


def read_source(folder: Path) -> SourceConfig:
    """Return where the images of the split in ``folder`` lie."""
    return from_dict(SourceConfig, files.read_json(folder / SOURCE_FILE), folder / SOURCE_FILE)

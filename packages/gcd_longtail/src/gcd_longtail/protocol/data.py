"""A split with its features: what methods, studies and scores read.

::

    data = load(Path("data/caltech101/seed0"))
    data.problem            # what a method may see
    data.unlabelled_labels  # only to score a finished run
"""

import os
import shlex
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.backbones.cache import FeatureStore, store_name
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.protocol.split_file import Split, read_split
from gcd_longtail.settings.commands import PIXELS, FeatureConfig
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.identity import Facts
from seminar_common.settings import from_dict

FEATURES_FILE = "features.json"


@dataclass(frozen=True)
class Data:
    """A split with its features. Labels of unlabelled and of test images are there to score a finished run."""

    folder: Path
    split: Split
    config: FeatureConfig
    """Which features these are."""
    facts: Facts
    """What they depend on besides the images, as :func:`gcd_longtail.backbones.cache.feature_facts` says."""
    stores: tuple[FeatureStore, ...]
    """The plain view's, then those of augmented views."""
    usable: np.ndarray
    """Whether each image of the split has features, bool."""

    @property
    def features(self) -> dict[str, Any]:
        """What a method sees of an image depends on these."""
        return {**self.facts, "views": len(self.stores) - 1}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What every figure on this data depends on, to be stored with it and compared when it is read again."""
        return {"split": self.split.hash, **self.features, "usable_images": int(self.usable.sum())}

    @cached_property
    def problem(self) -> Problem:
        """What a method may look at."""
        labelled, unlabelled = self.where("L"), self.where("U")
        views = len(self.stores) > 1
        return Problem(
            self._features(labelled),
            self.split.labels[labelled],
            self._features(unlabelled),
            self.split.known,
            self._views(labelled) if views else None,
            self._views(unlabelled) if views else None,
        )

    @property
    def unlabelled_labels(self) -> np.ndarray:
        """True classes of the unlabelled images, int64 [U]."""
        return self.split.labels[self.where("U")]

    @cached_property
    def test(self) -> np.ndarray:
        """Features of the test images, float32 [T, D]."""
        return self._features(self.where("T"))

    @property
    def test_labels(self) -> np.ndarray:
        """True classes of the test images, int64 [T]."""
        return self.split.labels[self.where("T")]

    def where(self, role: str) -> np.ndarray:
        """Return the numbers of the usable images with the role ``L``, ``U`` or ``T``."""
        return np.array([i for i in self.split.where(role) if self.usable[i]], np.int64)

    def _features(self, numbers: np.ndarray, view: int = 0) -> np.ndarray:
        return self.stores[view].get([self.split.hashes[i] for i in numbers])

    def _views(self, numbers: np.ndarray) -> np.ndarray:
        return np.stack([self._features(numbers, view) for view in range(1, len(self.stores))])


def load(folder: Path) -> Data:
    """Return the split in ``folder`` with the features that ``features`` chose last.

    Raises:
        UserError: no split, no features yet, or features of another split.
    """
    split, file = read_split(folder), folder / FEATURES_FILE
    if not file.exists():
        raise UserError(
            f"{folder}: has no features yet; make them with `gcd-longtail features --data {folder}`"
        )
    document = files.read_json(file)
    if (
        not isinstance(document, dict)
        or not {"split", "features", "facts", "views", "cache"} <= document.keys()
    ):
        raise UserError(
            f"{file}: does not say what the features depend on; run `gcd-longtail features --data {folder}` again, "
            "with the options of then"
        )
    config, facts = from_dict(FeatureConfig, document["features"], file), document["facts"]
    cache = Path(os.path.normpath(folder / document["cache"]))
    stores = tuple(FeatureStore(cache / store_name(facts, view)) for view in range(document["views"] + 1))
    missing = set(stores[0].missing(split.hashes))
    unreadable = {one.file for one in failures.read(folder / failures.FILE)}
    usable = np.array([digest not in missing for digest in split.hashes])
    lost = [key for key, there in zip(split.keys, usable, strict=True) if not there and key not in unreadable]
    if lost or document["split"] != split.hash:
        raise UserError(
            f"{folder}: {len(lost):,} images have no features in {cache}; make them with "
            f"{features_command(folder, config, document['views'])}"
        )
    _check_known(split, usable)
    return Data(folder, split, config, facts, stores, usable)


def _check_known(split: Split, usable: np.ndarray) -> None:
    """Raise a UserError if the images that can't be decoded leave a known class without a label."""
    labelled = Counter(split.labels[i] for i in split.where("L") if usable[i])
    empty = next(
        (one.name for number, one in enumerate(split.classes[: split.known]) if not labelled[number]), None
    )
    if empty is not None:
        raise UserError(
            f"{split.name}: no labelled image of the known class {empty} can be decoded; mend one or split again"
        )


def features_command(folder: Path, config: FeatureConfig, views: int) -> str:
    """Return the command that makes the features ``config`` and ``views`` of the split in ``folder``."""
    words = ["gcd-longtail", "features", "--data", str(folder), "--backbone", config.backbone]
    words += ["--size", str(config.side)]
    words += [] if config.mirror else ["--no-mirror"]
    words += ["--fit", config.square]
    words += ["--layers", str(config.layers)] if config.layers > 1 else []
    words += ["--precision", config.bits] if config.backbone != PIXELS else []
    words += ["--views", str(views)] if views else []
    words += ["--weights", str(config.weights)] if config.weights else []
    words += ["--download"] if config.download else []
    return f"`{shlex.join(words)}`"

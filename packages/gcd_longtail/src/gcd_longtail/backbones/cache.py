"""A cache of features on disk, keyed by image hash within a store of one backbone, size and view.

A store is a folder of parts, each a NumPy file of records (image hash, feature) that is written at once and
renamed. So a killed extraction loses at most the part it was filling, several processes may fill one store, and
opening it reads nothing but the hashes: features are memory-mapped.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.backbones.backbones import weights_digest
from gcd_longtail.settings.commands import FeatureConfig
from seminar_common.errors import UserError
from seminar_common.files import atomic_path
from seminar_common.identity import Facts, digest

HASH_BYTES = 16


PIXELS_VERSION = 2
"""Version of how an image file becomes the pixels of a view: raise it whenever decoding, cropping or augmentation
gives other pixels, so that features of the old ones are not found any more."""


def feature_facts(config: FeatureConfig) -> dict[str, Any]:
    """Return everything that the features of an image depend on besides the image.

    Raises:
        UserError: the file with the backbone's weights is not there.
    """
    return {
        "backbone": config.backbone,
        "weights": weights_digest(config),
        "image_size": config.side,
        "mirror": config.mirrored,
        "precision": config.bits,
        # The square of before, a crop, keeps the name under which its features are found.
        "pixels_version": PIXELS_VERSION if config.square == "crop" else f"{PIXELS_VERSION}, {config.square}",
        **({"layers": config.layers} if config.layers > 1 else {}),  # one keeps the name of before, too
    }


def store_name(facts: Facts, view: int) -> str:
    """Return the folder's name of the store of a view of the features that ``facts`` describe."""
    safe = "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in facts["backbone"])
    return f"{safe}-{facts['image_size']}px-{digest(facts)[:12]}-view{view}"


class FeatureStore:
    """The features of one backbone, size and view."""

    def __init__(self, folder: Path):
        """Open a store, which need not exist yet.

        Raises:
            UserError: a part is damaged.
        """
        self.folder = folder
        self._parts: list[np.ndarray] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        for file in sorted(folder.glob("*.npy")) if folder.is_dir() else []:
            self._add(_open_part(file))

    def _add(self, part: np.ndarray) -> None:
        number = len(self._parts)
        self._parts.append(part)
        hashes = np.ascontiguousarray(part["hash"]).tobytes()
        keys = (hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES))
        self._places.update((key, (number, row)) for row, key in enumerate(keys))

    def __len__(self) -> int:
        return len(self._places)

    def missing(self, hashes: Iterable[str]) -> list[str]:
        """Return the hashes without a feature, each once, in order."""
        return [one for one in dict.fromkeys(hashes) if bytes.fromhex(one) not in self._places]

    def add(self, hashes: Sequence[str], features: np.ndarray) -> None:
        """Write a part with ``features`` [N, ...] of the images ``hashes``."""
        kind = np.dtype([("hash", f"V{HASH_BYTES}"), ("feature", "<f4", features.shape[1:])])
        part: np.ndarray = np.empty(len(hashes), kind)
        part["hash"] = np.frombuffer(b"".join(bytes.fromhex(one) for one in hashes), f"V{HASH_BYTES}")
        part["feature"] = features
        # Named by its images, so that two processes which extract the same ones leave one part.
        file = self.folder / f"{digest({'hashes': list(hashes)})}.npy"
        with atomic_path(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, part, allow_pickle=False)
        self._add(_open_part(file))

    def get(self, hashes: Sequence[str]) -> np.ndarray:
        """Return features, float32 [N, ...], in the order of ``hashes``.

        Raises:
            KeyError: one is not in the store.
        """
        places = np.array([self._places[bytes.fromhex(one)] for one in hashes], np.int64).reshape(-1, 2)
        if not len(places):
            return np.empty((0, *self.shape), np.float32)
        features = np.empty((len(places), *self.shape), np.float32)
        for number in np.unique(places[:, 0]):
            here = np.flatnonzero(places[:, 0] == number)
            features[here] = self._parts[number]["feature"][places[here, 1]]
        return features

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one feature; empty for an empty store."""
        return self._parts[0].dtype["feature"].shape if self._parts else ()


def _open_part(file: Path) -> np.ndarray:
    try:
        part = np.load(file, mmap_mode="r", allow_pickle=False)
        if part.dtype.names != ("hash", "feature"):
            raise ValueError("not a part of a feature cache")
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{file}: damaged ({error}); delete it and extract the features again") from error
    return part

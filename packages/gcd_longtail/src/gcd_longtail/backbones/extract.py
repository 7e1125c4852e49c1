"""Images to features: read, decode, augment, run the backbone, and keep the result in the cache."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gcd_longtail.backbones.backbones import Backbone, load_backbone
from gcd_longtail.backbones.cache import FeatureStore, feature_facts, store_name
from gcd_longtail.failures import Failure
from gcd_longtail.images.augment import view as make_view
from gcd_longtail.images.hashing import image_hash
from gcd_longtail.images.sources.base import Source, UnreadableImageError
from gcd_longtail.settings.commands import BATCH, FeatureConfig
from seminar_common.device import DeviceConfig, launch
from seminar_common.errors import UserError
from seminar_common.progress import progress

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PART = 1024
"""Images of one part of the cache: what a killed extraction loses at most."""


@dataclass(frozen=True)
class Wanted:
    """An image whose features are wanted."""

    index: int
    """Its number in the source."""
    hash: str


class Extractor:
    """Fills the stores of one backbone and size.

    The backbone is loaded when the first feature is missing, so that a cache that has them all costs nothing.
    """

    def __init__(self, config: FeatureConfig, cache: Path, device: DeviceConfig, batch: int = BATCH):
        """Prepare; ``cache`` need not exist yet, ``batch`` is the images of one forward pass."""
        self.config, self.cache, self.device, self.batch = config, cache, device, batch

    @cached_property
    def fabric(self) -> "Fabric":
        """Where the backbone runs."""
        return launch(self.device)

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone, on its device; raises what :func:`~gcd_longtail.backbones.backbones.load_backbone` does."""
        import torch

        backbone = load_backbone(self.config)
        # Convolutions of one image channel each, as in EfficientNets, run 1.7 times as fast in this layout.
        backbone.model.to(self.fabric.device).to(memory_format=torch.channels_last)
        return backbone

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the features depend on."""
        return feature_facts(self.config)

    def store(self, view: int) -> FeatureStore:
        """Return the store of a view."""
        return FeatureStore(self.cache / store_name(self.facts, view))

    def extract(self, source: Source, images: Sequence[Wanted], view: int = 0) -> list[Failure]:
        """Add the features of ``images`` that the cache lacks; return the images that can't be decoded.

        Raises:
            UserError: an image changed since its hash was taken, or a feature is not finite.
        """
        store = self.store(view)
        missing = set(store.missing(one.hash for one in images))
        todo = [one for one in {one.hash: one for one in images}.values() if one.hash in missing]
        reasons: dict[
            str, str
        ] = {}  # by hash: the same bytes under two names are tried once and fail under both
        with progress(f"features, view {view}", len(todo)) as advance:
            for start in range(0, len(todo), PART):
                part = todo[start : start + PART]
                self._extract_part(source, part, view, store, reasons)
                advance(len(part))
        keys = source.listing.keys
        return [Failure(keys[one.index], reasons[one.hash]) for one in images if one.hash in reasons]

    def _extract_part(
        self, source: Source, part: Sequence[Wanted], view: int, store: FeatureStore, reasons: dict[str, str]
    ) -> None:
        batches = [part[i : i + self.batch] for i in range(0, len(part), self.batch)]
        with self._workers() as pool:
            done = list(pool.map(lambda batch: self._extract_batch(source, batch, view, reasons), batches))
        hashes = [digest for digests, _ in done for digest in digests]
        if hashes:
            found = np.concatenate([features for digests, features in done if digests])
            _check_finite(found, hashes, part, source, self.config.backbone)
            store.add(hashes, found)

    @contextmanager
    def _workers(self) -> Generator[ThreadPoolExecutor]:
        """Yield a pool in which each thread takes whole batches: small convolutions share out badly among threads."""
        import torch

        threads = torch.get_num_threads()
        self.backbone  # noqa: B018 - loaded here, once, and not in every thread
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
        torch.set_num_threads(threads)  # some of its settings are of the whole process

    def _extract_batch(
        self, source: Source, batch: Sequence[Wanted], view: int, reasons: dict[str, str]
    ) -> tuple[list[str], np.ndarray]:
        """Return hashes and features of the images that can be decoded; of the others note the reason."""
        hashes, pixels = [], []
        for one in batch:
            try:
                data = source.read(one.index)
                check_unchanged(data, one, source)
                pixels.append(make_view(source.decode(data), self.config.size, view, one.hash))
                hashes.append(one.hash)
            except UnreadableImageError as error:
                reasons[one.hash] = str(error)
        return hashes, self._run(np.stack(pixels)) if pixels else np.empty(0, np.float32)

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        """Return features, float32, of images uint8 [N, S, S, 3]."""
        import torch

        device = self.fabric.device
        images = (
            torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
        )  # a view: channels stay last
        mean, std = (
            torch.tensor(v, device=device)[:, None, None] for v in (self.backbone.mean, self.backbone.std)
        )
        with torch.inference_mode(), self.fabric.autocast():
            features = self.backbone.model((images - mean) / std)
        return features.float().cpu().numpy()


def check_unchanged(data: bytes, one: Wanted, source: Source) -> None:
    """Raise a UserError unless ``data`` are the bytes that the hash of ``one`` was made of."""
    if image_hash(data) != one.hash:
        raise UserError(
            f"{source.path}: image {source.listing.keys[one.index]} changed since the split was made; restore it, or "
            "make the split again (features of unchanged images stay cached)"
        )


def _check_finite(
    features: np.ndarray, hashes: Sequence[str], part: Sequence[Wanted], source: Source, backbone: str
) -> None:
    bad = ~np.isfinite(features.reshape(len(features), -1)).all(1)
    if bad.any():
        digest = hashes[int(bad.argmax())]
        key = next(source.listing.keys[one.index] for one in part if one.hash == digest)
        raise UserError(
            f"{backbone} gives NaN or infinite features for {bad.sum()} images (first: {key}); check its weights, or "
            "use --precision 32-true"
        )

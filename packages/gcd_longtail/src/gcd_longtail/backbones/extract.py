"""Images to features: read, decode, augment, run the backbone, and keep the result in the cache.

Images go through the backbone in batches of one size, the last one filled up with blank ones. The libraries below
PyTorch choose their algorithm by the size of a batch, and algorithms round differently. So a feature has the same bits
whoever its neighbours are: with any number of workers, after a killed run, and beside images that can't be read.
"""

import dataclasses
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gcd_longtail.backbones.backbones import Backbone, load_backbone
from gcd_longtail.backbones.cache import FeatureStore, feature_facts, store_name
from gcd_longtail.images.augment import view as make_view
from gcd_longtail.images.hashing import image_hash
from gcd_longtail.images.sources.base import Source
from gcd_longtail.settings.commands import ExtractionConfig, FeatureConfig
from seminar_common.device import DeviceConfig, choose, launch
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.images import BadImage
from seminar_common.progress import progress, say
from seminar_common.work import Failed, WorkConfig, Workers, executor, results_in_order

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PART = 1024
"""Images of one part of the cache: what a killed extraction loses at most, but for a batch."""
START = 128
"""Images that take about as long as starting a worker process: fewer are not worth one, unless it is asked for."""


@dataclass(frozen=True)
class Wanted:
    """An image whose features are wanted."""

    key: str
    """Its name in the source."""
    hash: str


@dataclass(frozen=True)
class Batch:
    """Images that go through the backbone together."""

    view: int
    images: tuple[Wanted, ...]


@dataclass(frozen=True)
class Extracted:
    """What became of a batch."""

    hashes: tuple[str, ...] = ()
    """Of the images that could be decoded."""
    features: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    """Of these, float32 [N, ...]."""
    reasons: dict[str, str] = field(default_factory=dict)
    """By hash, why the others could not."""


@dataclass(frozen=True)
class BatchExtractor:
    """Extracts a batch wherever it is called; other processes open the images and load the backbone themselves, once."""

    open: Callable[[], Source]
    """Opens the images; a function of a module, or a ``functools.partial`` of one."""
    config: FeatureConfig
    size: int
    """Images of one forward pass."""
    device: DeviceConfig

    def __getstate__(self) -> dict[str, Any]:
        """Return what other processes get: the settings, and nothing that is loaded."""
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}

    @cached_property
    def source(self) -> Source:
        """The images."""
        return self.open()

    @cached_property
    def fabric(self) -> "Fabric":
        """Where the backbone runs."""
        return launch(self.device, quiet=True)

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone, on its device; raises what :func:`~gcd_longtail.backbones.backbones.load_backbone` does."""
        import torch

        from gcd_longtail.backbones.cpu_network import CpuNetwork, can_be_rebuilt

        backbone = load_backbone(self.config)
        # Convolutions of one image channel each, as in EfficientNets, run 1.7 times as fast in this layout.
        model = backbone.model.to(self.fabric.device).to(memory_format=torch.channels_last)
        if self.fabric.device.type == "cpu" and can_be_rebuilt(model):
            model = CpuNetwork(model, torch.bfloat16 if self.config.bits == "bf16-mixed" else torch.float32)
        return dataclasses.replace(backbone, model=model)

    def __call__(self, batch: Batch) -> Extracted:
        """Return the features of ``batch``.

        Raises:
            UserError: an image changed since its hash was taken, or a feature is not finite.
        """
        hashes, pixels, reasons = [], [], {}
        for one in batch.images:
            try:
                data = read_unchanged(self.source, one)
                image, config = self.source.decode(data), self.config
                pixels.append(make_view(image, config.side, batch.view, one.hash, config.square))
                hashes.append(one.hash)
            except BadImage as error:
                reasons[one.hash] = str(error)
        if not pixels:
            return Extracted(reasons=reasons)
        # An augmented view is mirrored by its own chance.
        features = self._run(np.stack(pixels), self.config.mirrored and batch.view == 0)
        self._check_finite(features, hashes, batch)
        return Extracted(tuple(hashes), features, reasons)

    def _run(self, pixels: np.ndarray, mirrored: bool) -> np.ndarray:
        """Return features, float32, of images uint8 [N, S, S, 3]; the mean over each and its mirror image if ``mirrored``."""
        import torch

        # Of this thread: small convolutions share out badly, so each worker takes a batch.
        torch.set_num_threads(1)
        device, missing = self.fabric.device, self.size - len(pixels)
        filled = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
        images = torch.from_numpy(filled).to(device).permute(0, 3, 1, 2).float()  # channels stay last
        mean, std = (
            torch.tensor(v, device=device)[:, None, None] for v in (self.backbone.mean, self.backbone.std)
        )
        images.div_(255).sub_(mean).div_(std)
        if mirrored:
            images = torch.cat([images, images.flip(3)])
        with torch.inference_mode(), self.fabric.autocast():
            features = self.backbone.model(images).float()
        if mirrored:
            features = (features[: self.size] + features[self.size :]) / 2
        return features[: len(pixels)].cpu().numpy()

    def _check_finite(self, features: np.ndarray, hashes: Sequence[str], batch: Batch) -> None:
        bad = ~np.isfinite(features.reshape(len(hashes), -1)).all(1)
        if bad.any():
            digest = hashes[int(bad.argmax())]
            key = next(one.key for one in batch.images if one.hash == digest)
            raise UserError(
                f"{self.config.backbone} gives NaN or infinite features for {bad.sum()} images (first: {key}); check "
                "its weights, or use --precision 32-true"
            )


class Extractor:
    """Fills the stores of one backbone and size.

    The backbone is loaded when the first feature is missing, so that a cache that has them all costs nothing.
    """

    def __init__(
        self,
        open_images: Callable[[], Source],
        features: FeatureConfig,
        cache: Path,
        config: ExtractionConfig,
    ):
        """Prepare; ``cache`` need not exist yet.

        Args:
            open_images: opens the images, here and in other processes.
            features: which ones.
            cache: folder of the stores.
            config: where and how.
        """
        weights = features.weights and features.weights.absolute()  # workers may have another current folder
        features, device = (
            dataclasses.replace(features, weights=weights),
            DeviceConfig(config.device.device, threads=1, precision=features.bits),
        )
        self.cache, self.config = cache, config
        self._extract = BatchExtractor(open_images, features, config.batch_size, device)

    @property
    def source(self) -> Source:
        """The images."""
        return self._extract.source

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the features depend on."""
        return feature_facts(self._extract.config)

    def store(self, view: int) -> FeatureStore:
        """Return the store of a view."""
        return FeatureStore(self.cache / store_name(self.facts, view))

    def extract(self, *images: Sequence[Wanted]) -> list[Failure]:
        """Add the features that the cache lacks; return the images that can't be decoded, each once.

        Args:
            images: of which the plain view is wanted, then those of which view 1 is, and so on.

        Raises:
            UserError: see :class:`BatchExtractor`; an unknown backbone, or a cluster that can't be reached.
        """
        todo = [self._missing(view, some) for view, some in enumerate(images)]
        count, reasons = sum(map(len, todo)), {}
        if count:
            with self._workers(count) as workers:
                for view, some in enumerate(todo):
                    reasons |= self._fill(workers, view, some)
        wanted = dict.fromkeys(one for some in images for one in some)
        return [Failure(one.key, reasons[one.hash]) for one in wanted if one.hash in reasons]

    def _missing(self, view: int, images: Sequence[Wanted]) -> list[Wanted]:
        """Return the images without a feature; the same bytes under two names are tried once, and fail under both."""
        missing = set(self.store(view).missing(one.hash for one in images))
        return [one for one in {one.hash: one for one in images}.values() if one.hash in missing]

    def _fill(self, workers: Workers, view: int, todo: Sequence[Wanted]) -> dict[str, str]:
        """Extract a view of ``todo`` into its store; return by hash why images could not be decoded."""
        store, size, reasons = self.store(view), self.config.batch_size, {}
        batches = [Batch(view, tuple(todo[i : i + size])) for i in range(0, len(todo), size)]
        part: list[Extracted] = []
        with progress(f"features, view {view}", len(todo)) as advance:
            for batch, found in self._survivors(workers, batches):
                reasons |= found.reasons
                part += [found] if found.hashes else []
                if sum(len(one.hashes) for one in part) >= PART:
                    _add(store, part)
                    part = []
                advance(len(batch.images))
        _add(store, part)
        return reasons

    def _survivors(self, workers: Workers, batches: Iterable[Batch]) -> Generator[tuple[Batch, Extracted]]:
        """Yield each batch with what became of it: where no worker survives one, its images are tried one by one."""
        for batch, found in results_in_order(workers, self._extract, batches):
            if not isinstance(found, Failed):
                yield batch, found
            elif len(batch.images) == 1:
                yield batch, Extracted(reasons={batch.images[0].hash: found.reason})
            else:
                yield from self._survivors(workers, [Batch(batch.view, (one,)) for one in batch.images])

    @contextmanager
    def _workers(self, images: int) -> Generator[Workers]:
        """Yield the workers for so many images; on a GPU they are threads, which share it and one backbone."""
        import torch
        from threadpoolctl import threadpool_limits

        work = self.config.work
        choice = choose(dataclasses.replace(self._extract.device, threads=self.config.device.threads))
        count = work.workers or max(1, min(choice.threads, images // START))
        say(
            f"device: {choice.reason}; {f'{count} at work' if work.cluster is None else 'workers of a cluster'}"
        )
        shared = choice.accelerator == "cuda" and work.cluster is None
        if shared:
            self._extract.backbone  # noqa: B018 - loaded once, and not in each thread
        threads = torch.get_num_threads()
        try:
            kind = "threads" if shared else "processes"
            # Where a batch is worked on in this process, its one thread is not that of what comes after.
            with threadpool_limits(), executor(WorkConfig(count, work.cluster), kind) as workers:
                yield workers
        finally:
            torch.set_num_threads(threads)


def _add(store: FeatureStore, part: Sequence[Extracted]) -> None:
    if part:
        store.add([one for found in part for one in found.hashes], np.concatenate([f.features for f in part]))


def read_unchanged(source: Source, one: Wanted) -> bytes:
    """Return the bytes of an image, which are those that its hash was made of.

    Raises:
        BadImage: it can't be read.
        UserError: it is gone or has changed.
    """
    number = source.numbers.get(one.key)
    if number is None:
        raise UserError(f"{source.path}: image {one.key} is gone; restore it, or make the split again")
    data = source.read(number)
    if image_hash(data) != one.hash:
        raise UserError(
            f"{source.path}: image {one.key} changed since the split was made; restore it, or make the split again "
            "(features of unchanged images stay cached)"
        )
    return data

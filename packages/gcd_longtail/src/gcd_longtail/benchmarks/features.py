"""The default backbone on JPEG files of about a photo's detail, from reading to the feature cache, and beside timm's."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np

from gcd_longtail.backbones.backbones import Backbone
from gcd_longtail.backbones.extract import Batch, BatchExtractor, Extractor, Wanted
from gcd_longtail.backbones.precision import with_precision
from gcd_longtail.benchmarks.rows import row, timed
from gcd_longtail.images.hashing import image_hash
from gcd_longtail.images.shapes import fitted
from gcd_longtail.images.sources.base import Source
from gcd_longtail.images.sources.folder import open_folder
from gcd_longtail.settings.commands import ExtractionConfig, FeatureConfig
from gcd_longtail.settings.methods import BenchSettings
from seminar_common.device import DeviceConfig
from seminar_common.lite0 import LITE0, MEAN, STD, lite_weights
from seminar_common.progress import say
from seminar_common.results import Row
from seminar_common.seeds import numpy_generator
from seminar_common.work import WorkConfig

MODEL = "efficientnet-lite0"
TURNS, PICTURES = 7, 96
"""Turns of each way of extraction, by turns, and pictures of a turn."""


class AsTimmHasIt(BatchExtractor):
    """Extracts with timm's network as it comes, its channels last."""

    @cached_property
    def backbone(self) -> Backbone:
        """The network, with its batch norms."""
        import timm
        import torch

        model = timm.create_model(LITE0, num_classes=0).eval()
        weights = {
            name: part for name, part in lite_weights(LITE0).items() if not name.startswith("classifier.")
        }
        model.load_state_dict(weights)
        return Backbone("timm", model.to(memory_format=torch.channels_last), MEAN, STD)


def measure(settings: BenchSettings) -> Iterator[Row]:
    """Time new images and cached ones; nothing without ``settings.pictures``."""
    if not settings.pictures:
        return
    say(f"features of {settings.pictures:,} pictures")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_pictures(folder / "pictures" / "any", settings.pictures, settings.seed)
        open_images = partial(open_folder, folder / "pictures")
        source = open_images()
        wanted = [Wanted(key, image_hash(source.read(i))) for key, i in source.numbers.items()]
        alone = ExtractionConfig(
            work=WorkConfig(1), device=settings.device
        )  # starting processes is not timed
        usual = with_precision(fitted(FeatureConfig(), source), settings.device)
        extractor = Extractor(open_images, usual, folder / "cache", alone)
        first = 2 * alone.batch_size
        extractor.extract(wanted[:first])  # loads the backbone
        rest = wanted[first:]
        seconds, _ = timed(lambda: extractor.extract(rest))
        again, _ = timed(lambda: Extractor(open_images, usual, folder / "cache", alone).extract(wanted))
        speed = len(rest) / seconds
        yield row(MODEL, "images_per_s", speed, "1/s", n=len(rest), batch=alone.batch_size)
        yield row(MODEL, "cached_s", again, "s", n=len(wanted))
        yield from _by_turns(open_images, usual, wanted[:PICTURES], alone.batch_size)


def _by_turns(
    open_images: Callable[[], Source], usual: FeatureConfig, wanted: Sequence[Wanted], size: int
) -> Iterator[Row]:
    """Yield how many images a second of one core's time gives on the CPU, and timm's network in the same turns."""
    import torch

    batches = [Batch(0, tuple(wanted[start : start + size])) for start in range(0, len(wanted), size)]
    ways = {name: kind(open_images, config, size, _place(config)) for name, kind, config in _ways(usual)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    threads = torch.get_num_threads()
    try:
        for turn in range(TURNS + 1):
            for name, extract in ways.items():
                start = process_time()
                for batch in batches:
                    extract(batch)
                seconds[name] += [process_time() - start] if turn else []  # the first one loads the network
        n = len(wanted) * TURNS
        for name, each in seconds.items():
            yield row(name, "images_per_cpu_s", len(wanted) / median(each), "1/s", n=n, batch=size)
            if name != "timm":
                ratios = [theirs / ours for theirs, ours in zip(seconds["timm"], each, strict=True)]
                yield row(name, "speedup_over_timm", median(ratios), "x", n=n, batch=size)
    finally:
        torch.set_num_threads(threads)


def _ways(usual: FeatureConfig) -> Iterator[tuple[str, type[BatchExtractor], FeatureConfig]]:
    """Yield the ways of extraction: what the rows call them, who extracts, and which features."""
    from gcd_longtail.backbones.cpu_network import is_quicker_in_bfloat16

    exact = replace(usual, precision="32-true")
    yield MODEL, BatchExtractor, exact
    if is_quicker_in_bfloat16():
        yield f"{MODEL}, bfloat16", BatchExtractor, replace(usual, precision="bf16-mixed")
    yield "timm", AsTimmHasIt, exact


def _place(config: FeatureConfig) -> DeviceConfig:
    return DeviceConfig("cpu", threads=1, precision=config.bits)


def _make_pictures(folder: Path, count: int, seed: int) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    generator = numpy_generator(seed, "pictures")
    for number in range(count):
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((128, 96), Image.Resampling.BICUBIC)
        fine = generator.normal(0, 8, (96, 128, 3))
        pixels = np.clip(np.asarray(picture) + fine, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg", quality=85)

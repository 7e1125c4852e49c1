"""The default backbone on JPEG files of about a photo's detail, from reading to the feature cache."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from gcd_longtail.backbones.extract import Extractor, Wanted
from gcd_longtail.benchmarks.rows import row, timed
from gcd_longtail.images.hashing import image_hash
from gcd_longtail.images.sources.folder import open_folder
from gcd_longtail.settings.commands import ExtractionConfig, FeatureConfig
from gcd_longtail.settings.methods import BenchSettings
from seminar_common.progress import say
from seminar_common.results import Row
from seminar_common.seeds import numpy_generator
from seminar_common.work import WorkConfig


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
        extractor = Extractor(open_images, FeatureConfig(), folder / "cache", alone)
        first = 2 * alone.batch_size
        extractor.extract(wanted[:first])  # loads the backbone
        rest = wanted[first:]
        seconds, _ = timed(lambda: extractor.extract(rest))
        again, _ = timed(
            lambda: Extractor(open_images, FeatureConfig(), folder / "cache", alone).extract(wanted)
        )
    speed = len(rest) / seconds
    yield row("efficientnet-lite0", "images_per_s", speed, "1/s", n=len(rest), batch=alone.batch_size)
    yield row("efficientnet-lite0", "cached_s", again, "s", n=len(wanted))


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

"""The command `discover` on very many images whose features are cached, in a fresh process whose memory is measured."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gcd_longtail.backbones.cache import FeatureStore, feature_facts, store_name
from gcd_longtail.benchmarks.rows import row
from gcd_longtail.images.hashing import image_hash
from gcd_longtail.settings.commands import DiscoverSettings, FeatureConfig
from gcd_longtail.settings.methods import BenchSettings
from seminar_common import fresh_process
from seminar_common.progress import progress, say
from seminar_common.results import Row
from seminar_common.seeds import numpy_generator

CLASSES = 200
"""Classes; every second one in the order of size is known."""
IMBALANCE = 100.0
"""Images of the largest class for each of the smallest."""
LABELLED = 0.05
"""Share of the known classes' images that have a label; of each class at least one has."""
LATENT = 64
"""Directions in which classes differ. The features are linear in them, with noise in all."""
NOISE = 0.9
"""Deviation of an image from its class in each of these directions, in units of that between classes."""
PART = 10_000
"""Images of a folder and of a part of the cache."""


def measure(settings: BenchSettings) -> Iterator[Row]:
    """Time a discovery; nothing without ``settings.images``.

    The images are tiny files, each with bytes of its own; the features are drawn, as wide as the default backbone's.
    """
    if not settings.images:
        return
    say(f"discovery in {settings.images:,} images, in a fresh process")
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, settings.images, settings.seed)
        function = f"{run.__module__}:{run.__name__}"
        found = fresh_process.call(function, {"folder": folder}, threads=threads)
    common: dict[str, Any] = {"n": settings.images, "ours": True}
    method = found.result["method"]
    yield row(method, "discover_s", found.wall_s, "s", **common)
    yield row(method, "discover_cpu_s", found.cpu_s, "s", **common)
    yield row(method, "peak_rss_mb", found.peak_rss_mb, "MB", **common)
    yield row(method, "k_estimated", found.result["k"], **common)


def run(folder: str) -> dict[str, str | int]:
    """Discover in what :func:`make` made; return the method and the number of classes. The fresh process calls it."""
    from gcd_longtail.discover import discover
    from gcd_longtail.discovery.run import load_found

    base = Path(folder)
    settings = DiscoverSettings(
        images=base / "images", labels=base / "labels.csv", out=base / "found", cache=base / "cache"
    )
    discover(settings)
    return {"method": settings.method_name, "k": len(load_found(base / "found")[1].names)}


def make(folder: Path, images: int, seed: int, width: int = 1280) -> None:
    """Write ``images`` images of a long tail, the labels of some, and a cache with features, float32 [images, width]."""
    generator = numpy_generator(seed, "many images")
    sizes = IMBALANCE ** -np.linspace(0, 1, CLASSES)
    labels = generator.choice(CLASSES, images, p=sizes / sizes.sum())
    labelled = (labels % 2 == 0) & (generator.random(images) < LABELLED)
    first = np.unique(labels, return_index=True)
    labelled[first[1][first[0] % 2 == 0]] = True
    centres = generator.normal(size=(CLASSES, LATENT))
    turn = generator.normal(size=(LATENT, width)) / LATENT**0.5
    store = FeatureStore(folder / "cache" / store_name(feature_facts(FeatureConfig()), 0))
    names = []
    with progress("making images", images) as advance:
        for start in range(0, images, PART):
            own = labels[start : start + PART]
            place = folder / "images" / f"{start // PART:04d}"
            place.mkdir(parents=True)
            hashes = []
            for number in range(start, start + len(own)):
                data = _tiny(number)
                (place / f"{number:07d}.png").write_bytes(data)
                hashes.append(image_hash(data))
                names.append(f"{place.name}/{number:07d}.png")
            latent = centres[own] + NOISE * generator.normal(size=(len(own), LATENT))
            rows = latent @ turn + 0.3 * generator.normal(size=(len(own), width))
            store.add(hashes, np.maximum(rows, 0).astype(np.float32))
            advance(len(own))
    lines = [f"{names[i]},class {labels[i]:03d}\n" for i in np.flatnonzero(labelled)]
    (folder / "labels.csv").write_text("path,label\n" + "".join(lines), encoding="utf-8")


def _tiny(number: int) -> bytes:
    """Return a PNG of 4 x 4 pixels that shows ``number`` in its first three."""
    from PIL import Image

    pixels = np.full((4, 4, 3), 128, np.uint8)
    pixels.reshape(-1)[:8] = np.frombuffer(number.to_bytes(8, "big"), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)
    return buffer.getvalue()

"""Semi-supervised k-means on a million rows, in a fresh process whose memory is measured."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from gcd_longtail.benchmarks.rows import row, timed
from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.settings.methods import KMeansConfig
from seminar_common import fresh_process
from seminar_common.progress import say
from seminar_common.results import Row
from seminar_common.seeds import numpy_generator


def measure(rows: int = 1_000_000, width: int = 384, k: int = 1000) -> Iterator[Row]:
    """Time one start and its memory; the rows are mapped from a file, which counts as far as it is read."""
    say(f"{rows:,} x {width} rows, K = {k:,}, in a fresh process")
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npy"
        _write(file, rows, width, k)
        function = f"{fit.__module__}:{fit.__name__}"
        found = fresh_process.call(function, {"file": file, "k": k}, threads=threads)
    yield row("ss-kmeans", "million_s", found.result["seconds"], "s", n=rows, ours=True)
    yield row("ss-kmeans", "million_inertia_per_row", found.result["inertia"] / rows, n=rows, ours=True)
    yield row("ss-kmeans", "peak_rss_mb", found.peak_rss_mb, "MB", n=rows, ours=True)


def fit(file: str, k: int) -> dict[str, float]:
    """Cluster the rows in ``file``; return the seconds and the inertia. The fresh process calls it."""
    rows = np.load(file, mmap_mode="c")
    seconds, found = timed(lambda: kmeans(rows, k, config=KMeansConfig(inits=1)))
    return {"seconds": seconds, "inertia": found.inertia}


def _write(file: Path, rows: int, width: int, k: int, block: int = 50_000) -> None:
    generator = numpy_generator(0, "large")
    centres = generator.normal(size=(k, width)).astype(np.float32)
    stored = np.lib.format.open_memmap(file, "w+", np.float32, (rows, width))
    for start in range(0, rows, block):
        labels = generator.integers(k, size=min(block, rows - start))
        part = generator.normal(size=(len(labels), width)).astype(np.float32)
        stored[start : start + len(labels)] = part + 0.5 * centres[labels]
    stored.flush()

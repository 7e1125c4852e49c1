"""``bench``: how fast k-means, SimGCD's losses and the features are, beside other code on the same input.

The official k-means of GCD takes minutes for a single start, so its time for one is put together from measured
parts: two of its own iterations, and one of its distance computations at the mean number of centres for each
centre that k-means++ draws. It is told to go through the rows by 1,024, as its authors' script does. The
objective is compared from one start after the same number of updates.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from gcd_longtail.backbones.extract import Extractor, Wanted
from gcd_longtail.benchmarks import peers
from gcd_longtail.discovery.clustering.kmeans import kmeans
from gcd_longtail.discovery.methods.losses import (
    distillation,
    entropy_gap,
    info_nce,
    same_class,
    supervised_contrastive,
)
from gcd_longtail.images.hashing import image_hash
from gcd_longtail.images.sources.folder import open_folder
from gcd_longtail.settings.commands import BATCH, FeatureConfig
from gcd_longtail.settings.methods import BenchSettings, KMeansConfig
from seminar_common import files, runs
from seminar_common.cost import measure_latency, peak_rss_mb
from seminar_common.device import launch
from seminar_common.progress import say
from seminar_common.report import write_report
from seminar_common.results import Results, Row, write_results
from seminar_common.seeds import numpy_generator

DATASET = "synthetic"
UPDATES = 1  # of the centres, after which objectives are compared
LARGE = (1_000_000, 384, 1000)
OFFICIAL_BLOCK = 1024


@dataclass(frozen=True)
class Points:
    """Rows of a mixture on the unit sphere; the first half of the classes is known and half labelled."""

    unlabelled: np.ndarray
    labelled: np.ndarray
    labels: np.ndarray
    k: int


def make_points(rows: int, width: int, k: int, seed: int) -> Points:
    """Return a long-tailed mixture (imbalance 20) in which classes overlap."""
    generator = numpy_generator(seed, "bench")
    shares = np.geomspace(20, 1, k)
    labels = generator.choice(k, rows, p=generator.permutation(shares / shares.sum()))
    labels[: 2 * k] = np.tile(np.arange(k), 2)
    centres = generator.normal(size=(k, width)).astype(np.float32)
    points = generator.normal(size=(rows, width)).astype(np.float32)
    points += 0.5 * centres[labels]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    labelled = (labels < k // 2) & (generator.random(rows) < 0.5)
    labelled[: k // 2] = True
    return Points(points[~labelled], points[labelled], labels[labelled], k)


def bench(settings: BenchSettings) -> Results:
    """Measure, write ``results.json`` and ``report.html``.

    Raises:
        UserError: a peer's folder that isn't one, or results that are there already.
    """
    files.refuse_existing(settings.out)
    gcd, simgcd = peers.sort_peers(settings.peer)
    launch(settings.device)
    points = make_points(settings.rows, settings.width, settings.k, settings.seed)
    rows = [*_ours(points, settings.seed), *_scikit_learn(points)]
    if gcd is not None:
        rows += _official_kmeans(points, gcd, settings.seed)
    rows += _losses(simgcd, settings.seed)
    rows += _features(settings)
    if settings.large:
        rows += _large()
    results = Results(runs.command_line(), tuple(rows))
    write_results(settings.out / "results.json", results)
    facts = runs.environment(torch.get_num_threads())
    write_report([("Speed", results, None, facts)], settings.out / "report.html", "Speed of discovery")
    for row in results.rows:
        say(f"{row.model:32s} {row.metric:24s} {row.value:,.4g} {row.unit}")
    return results


def _row(model: str, metric: str, value: float, unit: str = "", **more: Any) -> Row:
    return Row(model, DATASET, "", metric, value, unit=unit, threads=torch.get_num_threads(), **more)


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = perf_counter()
    value = call()
    return perf_counter() - start, value


# --------------------------------------------------------------------------------------------------- k-means


def _ours(points: Points, seed: int) -> Iterator[Row]:
    say("semi-supervised k-means, one start, k-means++ included")
    n = len(points.unlabelled) + len(points.labelled)
    seconds, found = _timed(lambda: _one_start(points, seed))
    yield _row("ss-kmeans", "start_s", seconds, "s", n=n, seeds=(seed,), ours=True)
    yield _row("ss-kmeans", "iterations", found.iterations, n=n, seeds=(seed,), ours=True)


def _scikit_learn(points: Points) -> Iterator[Row]:
    """Compare plain k-means, which is all that scikit-learn has, from the same start to its end."""
    from sklearn.cluster import KMeans

    say("plain k-means, ours and scikit-learn's")
    x = np.concatenate([points.labelled, points.unlabelled])
    start = x[numpy_generator(0, "start").choice(len(x), points.k, replace=False)]
    ours_s, ours = _timed(lambda: kmeans(x, points.k, start=start, config=KMeansConfig(tolerance=0)))
    reference = KMeans(points.k, init=start, n_init=1, tol=0, max_iter=100)
    theirs_s, theirs = _timed(lambda: reference.fit(x))
    for name, seconds, found in (
        ("kmeans", ours_s, (ours.assignments, ours.centres)),
        ("scikit-learn-kmeans", theirs_s, (theirs.labels_, theirs.cluster_centers_)),
    ):
        yield _row(name, "start_s", seconds, "s", n=len(x))
        yield _row(name, "inertia", _inertia(x, *found), n=len(x))
    yield _row("kmeans", "speedup_over_scikit_learn", theirs_s / ours_s, "x", n=len(x))


def _inertia(x: np.ndarray, assignments: np.ndarray, centres: np.ndarray) -> float:
    """Return the sum of squared distances in float64, for theirs is summed in float32."""
    return float(np.square(x.astype(np.float64) - centres[assignments]).sum())


def _official_kmeans(points: Points, folder: Path, seed: int) -> Iterator[Row]:
    say("GCD's official k-means: two iterations, and a distance computation of its k-means++")
    module = peers.load_kmeans(folder)
    unlabelled, labelled, labels = map(torch.from_numpy, (points.unlabelled, points.labelled, points.labels))
    known = int(labels.max()) + 1
    means = torch.stack([labelled[labels == c].mean(0) for c in range(known)])
    start = torch.cat([means, unlabelled[: points.k - known]])
    n = len(unlabelled) + len(labelled)

    class Official(module.K_Means):
        def kpp(self, *arguments: Any, **options: Any) -> torch.Tensor:
            return start.clone()

    official = Official(
        points.k, max_iterations=UPDATES + 1, n_init=1, pairwise_batch_size=OFFICIAL_BLOCK, tolerance=0.0
    )
    seconds, found = _timed(lambda: official.fit_mix_once(unlabelled, labelled, labels, seed))
    inertia, iteration_s = float(found[1]), seconds / (UPDATES + 1)
    middle = start[: (known + points.k) // 2]
    distance_s, _ = _timed(lambda: module.pairwise_distance(unlabelled, middle, OFFICIAL_BLOCK))
    ours = _same_start(points, start)
    once = _timed(lambda: _one_start(points, seed))
    whole = distance_s * (points.k - known) + iteration_s * once[1].iterations
    yield _row("gcd-official-kmeans", "iteration_s", iteration_s, "s", n=n)
    yield _row("gcd-official-kmeans", "start_s_extrapolated", whole, "s", n=n)
    yield _row("gcd-official-kmeans", "inertia_after_update", inertia, n=n)
    yield _row("ss-kmeans", "inertia_after_update", ours.inertia, n=n, ours=True)
    yield _row("ss-kmeans", "speedup_over_official", whole / once[0], "x", n=n, ours=True)


def _same_start(points: Points, start: torch.Tensor) -> Any:
    config = KMeansConfig(iterations=UPDATES, tolerance=0)
    return kmeans(
        points.unlabelled,
        points.k,
        labelled=points.labelled,
        labels=points.labels,
        start=start,
        config=config,
    )


def _one_start(points: Points, seed: int) -> Any:
    config = KMeansConfig(inits=1)
    return kmeans(
        points.unlabelled, points.k, labelled=points.labelled, labels=points.labels, seed=seed, config=config
    )


# ------------------------------------------------------------------------------------------- SimGCD's losses


def _losses(
    folder: Path | None, seed: int, batch: int = 128, k: int = 100, width: int = 256
) -> Iterator[Row]:
    """Time all losses of a step, forward and backward, on given cosines and projections of two views."""
    say("SimGCD's losses")
    generator = torch.Generator().manual_seed(seed)
    cosines = (2 * torch.rand(2 * batch, k, generator=generator) - 1).requires_grad_()
    rows = torch.randn(2 * batch, width, generator=generator).requires_grad_()
    labels = torch.randint(k // 2, (batch // 2,), generator=generator)
    steps: dict[str, Callable[[], torch.Tensor]] = {"simgcd": lambda: _our_losses(cosines, rows, labels)}
    if folder is not None:
        module = peers.load_simgcd(folder)
        steps["simgcd-official"] = lambda: _official_losses(module, cosines, rows, labels)
    for name, step in steps.items():
        timing = measure_latency(lambda step=step: step().backward(), warmup=10, repeats=50)
        yield _row(name, "losses_ms_p50", timing.p50_us / 1e3, "ms", batch=batch)
        yield _row(name, "loss", step().item(), batch=batch)


def _our_losses(cosines: torch.Tensor, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    projections = torch.nn.functional.normalize(rows, dim=1)
    n = len(labels)
    some = torch.cat([half[:n] for half in cosines.chunk(2)]) / 0.1
    supervised = torch.nn.functional.cross_entropy(some, torch.cat([labels, labels]))
    of_labelled = torch.cat([half[:n] for half in projections.chunk(2)])
    supervised = supervised + supervised_contrastive(of_labelled, same_class(labels), 0.07)
    gap = entropy_gap((cosines / 0.1).softmax(1).mean(0))
    unsupervised = distillation(cosines, 0.1, 0.07) + 2 * gap + info_nce(projections, 1.0)
    return 0.65 * unsupervised + 0.35 * supervised


def _official_losses(
    module: Any, cosines: torch.Tensor, rows: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the official losses, put together as the official training loop does."""
    n = len(labels)
    some = torch.cat([half[:n] for half in (cosines / 0.1).chunk(2)])
    supervised = torch.nn.functional.cross_entropy(some, torch.cat([labels, labels]))
    views = torch.nn.functional.normalize(torch.stack([half[:n] for half in rows.chunk(2)], 1), dim=-1)
    supervised = supervised + module.SupConLoss()(views, labels=labels)
    mean = (cosines / 0.1).softmax(1).mean(0)
    gap = torch.log(mean**mean).sum() + float(np.log(len(mean)))
    contrast = torch.nn.functional.cross_entropy(*module.info_nce_logits(rows, device="cpu"))
    distilled = module.DistillLoss(30, 200)(cosines, cosines.detach(), 0)
    return 0.65 * (distilled + 2 * gap + contrast) + 0.35 * supervised


# ------------------------------------------------------------------------------------------------------ features


def _features(settings: BenchSettings) -> Iterator[Row]:
    """Time the default backbone on JPEG files of about a photo's detail, from reading to the feature cache."""
    if not settings.pictures:
        return
    say(f"features of {settings.pictures:,} pictures")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_pictures(folder / "pictures" / "any", settings.pictures, settings.seed)
        source = open_folder(folder / "pictures")
        wanted = [Wanted(i, image_hash(source.read(i))) for i in range(len(source.listing))]
        extractor = Extractor(FeatureConfig(), folder / "cache", settings.device)
        extractor.extract(source, wanted[: 2 * BATCH])  # loads the backbone
        rest = wanted[2 * BATCH :]
        seconds, _ = _timed(lambda: extractor.extract(source, rest))
        again, _ = _timed(
            lambda: Extractor(FeatureConfig(), folder / "cache", settings.device).extract(source, wanted)
        )
    yield _row("efficientnet-lite0", "images_per_s", len(rest) / seconds, "1/s", n=len(rest), batch=BATCH)
    yield _row("efficientnet-lite0", "cached_s", again, "s", n=len(wanted))


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


# ------------------------------------------------------------------------------------------------ a million rows


def _large() -> Iterator[Row]:
    say("1,000,000 x 384 rows, K = 1,000, in a fresh process")
    with tempfile.TemporaryDirectory() as folder:
        rows, width, k = LARGE
        file = Path(folder) / "rows.npy"
        _write_large(file, rows, width, k)
        threads = str(torch.get_num_threads())
        done = subprocess.run(
            [sys.executable, "-m", "gcd_longtail.bench", str(file), str(k), threads],
            capture_output=True,
            text=True,
            check=True,
        )
    seconds, inertia, peak = map(float, done.stdout.split())
    yield _row("ss-kmeans", "million_s", seconds, "s", n=rows, ours=True)
    yield _row("ss-kmeans", "million_inertia_per_row", inertia / rows, n=rows, ours=True)
    yield _row("ss-kmeans", "peak_rss_mb", peak, "MB", n=rows, ours=True)


def _write_large(file: Path, rows: int, width: int, k: int, block: int = 50_000) -> None:
    generator = numpy_generator(0, "large")
    centres = generator.normal(size=(k, width)).astype(np.float32)
    stored = np.lib.format.open_memmap(file, "w+", np.float32, (rows, width))
    for start in range(0, rows, block):
        labels = generator.integers(k, size=min(block, rows - start))
        part = generator.normal(size=(len(labels), width)).astype(np.float32)
        stored[start : start + len(labels)] = part + 0.5 * centres[labels]
    stored.flush()


def _fit_large(file: str, k: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    rows = np.load(file, mmap_mode="c")
    seconds, found = _timed(lambda: kmeans(rows, int(k), config=KMeansConfig(inits=1)))
    print(seconds, found.inertia, peak_rss_mb())


if __name__ == "__main__":
    _fit_large(*sys.argv[1:])

"""``bench``: how fast k-means, SimGCD's losses and the features are, beside other code on the same input."""

import torch

from gcd_longtail.benchmarks import features, k_means, losses, many_images, million_rows, peers
from gcd_longtail.settings.methods import BenchSettings
from seminar_common import files, runs
from seminar_common.device import launch
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results

SHOWN = (
    "start_s",
    "start_s_extrapolated",
    "speedup_over_official",
    "speedup_over_scikit_learn",
    "losses_ms_p50",
    "images_per_s",
    "images_per_cpu_s",
    "speedup_over_timm",
    "cached_s",
    "million_s",
    "discover_s",
    "discover_cpu_s",
    "peak_rss_mb",
)


def bench(settings: BenchSettings) -> Results:
    """Measure, write ``results.json`` and ``report.html``.

    Raises:
        UserError: a peer's folder that isn't one, or an output that exists or that another run is making.
    """
    files.refuse_existing(settings.out)
    with files.locked(settings.out):
        return _bench(settings)


def _bench(settings: BenchSettings) -> Results:
    gcd, simgcd = peers.sort_peers(settings.peer)
    launch(settings.device)
    points = k_means.make_points(settings.rows, settings.width, settings.k, settings.seed)
    rows = [*k_means.of_this_package(points, settings.seed), *k_means.of_scikit_learn(points)]
    if gcd is not None:
        rows += k_means.of_gcd(points, gcd, settings.seed)
    rows += losses.measure(simgcd, settings.seed)
    rows += features.measure(settings)
    if settings.large:
        rows += million_rows.measure()
    rows += many_images.measure(settings)
    section = Section(
        "Speed", Results(runs.command_line(), tuple(rows)), None, runs.environment(torch.get_num_threads())
    )
    return publish(settings.out, "Speed of discovery", section, shown=SHOWN)
